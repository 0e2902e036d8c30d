package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

func lazyQueue(t *testing.T, o sqlite.Options) *sqlite.Queue {
	t.Helper()
	q, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "queue.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// TestLazy: what somebody is told of is on the disk before he is told; only what is
// done again where it is lost need not be.
func TestLazy(t *testing.T) {
	ctx, q := t.Context(), lazyQueue(t, sqlite.Options{})
	home := holdfast.NewID()
	var task pipeline.Task
	message := func() pipeline.Message { return pipeline.Message{ID: holdfast.NewID(), Body: []byte("x")} }
	take := func() error {
		ts, err := q.Take(ctx, pipeline.Want{Max: 1, Lease: time.Minute, Early: true})
		if err == nil {
			task = ts[0]
		}
		return err
	}
	for _, c := range []struct {
		name string
		lazy bool
		do   func() error
	}{
		{"add a task", false, func() error {
			_, err := q.AddTasks(ctx, pipeline.Task{Source: "https://example.org/", Case: home, Agent: holdfast.Agent{Pseudonym: "a", Role: "r", Office: "o"}, Found: holdfast.Found{How: "asked"}})
			return err
		}},
		{"take it", true, take},
		{"renew", true, func() error { return q.Renew(ctx, task, time.Minute) }},
		{"a message", false, func() error { _, err := q.Publish(ctx, nil, message()); return err }},
		{"later", true, func() error { _, err := q.Publish(ctx, task.Later(time.Now())); return err }},
		{"take it again", true, take},
		{"a message and a step", false, func() error { _, err := q.Publish(ctx, task.Later(time.Now()), message()); return err }},
		{"normalised", false, func() error { return q.Advance(ctx, pipeline.Ack{Stage: pipeline.StageNormalise, To: 2}) }},
		{"indexed", true, func() error { return q.Advance(ctx, pipeline.Ack{Stage: pipeline.StageIndex, To: 2}) }},
		{"preserved", false, func() error {
			return q.Advance(ctx, pipeline.Ack{Stage: pipeline.StagePreserve, To: 2}, pipeline.Message{Body: []byte("result")})
		}},
		{"the result indexed", true, func() error { return q.Advance(ctx, pipeline.Ack{Stage: pipeline.StageResults, To: 1}) }},
		{"announced", false, func() error { return q.Announce(ctx, pipeline.Message{Body: []byte("result")}) }},
		{"pruned", true, func() error {
			_, err := q.Prune(ctx, 0, pipeline.StagePreserve, pipeline.StageIndex)
			return err
		}},
		{"take it once more", true, take},
		{"dropped", false, func() error { _, err := q.Publish(ctx, task.Finish()); return err }},
	} {
		if err := c.do(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := q.Lazy(); got != c.lazy {
			t.Errorf("%s: committed without an fsync: %t, want %t", c.name, got, c.lazy)
		}
	}
	if lazy, err := q.Together(ctx); lazy || err != nil {
		t.Errorf("one that must be on the disk, in one transaction with one that need not: without an fsync %t, %v", lazy, err)
	}
}

// TestWakes: a stage that waits is woken by what this handle writes for it, and need
// not look.
func TestWakes(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	q := lazyQueue(t, sqlite.Options{Poll: time.Hour})
	for _, c := range []struct {
		stage pipeline.Stage
		do    func() error
	}{
		{pipeline.StageNormalise, func() error {
			_, err := q.Publish(ctx, nil, pipeline.Message{ID: holdfast.NewID(), Body: []byte("x")})
			return err
		}},
		{pipeline.StagePreserve, func() error { return q.Advance(ctx, pipeline.Ack{Stage: pipeline.StageNormalise, To: 1}) }},
		{pipeline.StageResults, func() error {
			return q.Advance(ctx, pipeline.Ack{Stage: pipeline.StagePreserve, To: 1}, pipeline.Message{Body: []byte("result")})
		}},
	} {
		got := make(chan error, 1)
		go func() {
			_, err := q.Receive(ctx, c.stage, 0, 0, pipeline.Bounds{})
			got <- err
		}()
		time.Sleep(50 * time.Millisecond) // it waits
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; err != nil {
			t.Errorf("%s was not woken: %v", c.stage, err)
		}
	}
}
