// Package queuetest says what every queue must hold to. A queue's own test calls
// Test, and Main from its TestMain, so that the suite can start the test binary
// again as another process and kill it.
package queuetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// Queue is all of the contract.
type Queue interface {
	pipeline.Publisher
	pipeline.Consumer
	pipeline.Announcer
	pipeline.Identifier
	pipeline.Pruner
	pipeline.TaskAdder
	pipeline.TaskTaker
	pipeline.TaskLister
	Close() error
}

// Open opens the queue of a directory, which is there; now is the clock of
// leases, nil for the real one. Opening the same directory again, also in
// another process, opens the same queue.
type Open func(ctx context.Context, dir string, now func() time.Time) (Queue, error)

// Kind is what queues may differ in.
type Kind struct {
	// Remembers: an ID that was published before keeps its first position and its
	// first bytes, for good, and a poisoned message stays readable where it was. A
	// queue that does not takes the ID in again, and drops the second one before
	// it is normalised; poison it copies away.
	Remembers bool
}

// Test runs the suite for a queue that remembers.
func Test(t *testing.T, open Open) { TestKind(t, Kind{Remembers: true}, open) }

// TestKind runs the suite.
func TestKind(t *testing.T, kind Kind, open Open) {
	s := suite{open, kind}
	for _, c := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Order", s.order}, {"Durable", s.durable}, {"Twice", s.twice}, {"Bounds", s.bounds}, {"Blocks", s.blocks},
		{"Refused", s.refused}, {"Concurrent", s.concurrent}, {"Stages", s.stages}, {"Stale", s.stale}, {"Notes", s.notes},
		{"Results", s.results}, {"Prune", s.prune}, {"Name", s.name},
		{"Tasks", s.tasks}, {"Lease", s.lease}, {"StaleTask", s.staleTask}, {"ClockBack", s.clockBack}, {"MoveWithPublish", s.moveWithPublish}, {"TakenOnce", s.takenOnce},
		{"Processes", s.processes}, {"Killed", s.killed}, {"TakersKilled", s.takersKilled},
	} {
		t.Run(c.name, c.run)
	}
}

type suite struct {
	open Open
	kind Kind
}

func (s suite) fresh(t *testing.T) (Queue, string) {
	dir := t.TempDir()
	return s.at(t, dir, nil), dir
}

func (s suite) at(t *testing.T, dir string, now func() time.Time) Queue {
	t.Helper()
	q, err := s.open(t.Context(), dir, now)
	must(t, err)
	t.Cleanup(func() { q.Close() })
	return q
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// Body is what the suite publishes under an ID.
func Body(id holdfast.ID) []byte { return bytes.Repeat([]byte(id), 8) }

func messages(n int) []pipeline.Message {
	out := make([]pipeline.Message, n)
	for i := range out {
		id := holdfast.NewID()
		out[i] = pipeline.Message{ID: id, Body: Body(id)}
	}
	return out
}

func publish(t testing.TB, q Queue, m ...pipeline.Message) []pipeline.Place {
	t.Helper()
	at, err := q.Publish(t.Context(), nil, m...)
	must(t, err)
	return at
}

// all reads everything that a stage may read, from the beginning.
func all(t testing.TB, q Queue, st pipeline.Stage) []pipeline.Message {
	t.Helper()
	var out []pipeline.Message
	for {
		got, err := q.Receive(t.Context(), st, 0, int64(len(out)), pipeline.Bounds{NoWait: true, Count: 100})
		must(t, err)
		if len(got) == 0 {
			return out
		}
		for _, m := range got {
			if m.Damaged {
				t.Fatalf("position %d is damaged", m.Position)
			}
			same(t, "position", m.Position, int64(len(out))+1)
			out = append(out, m)
		}
	}
}

func (s suite) order(t *testing.T) {
	q, _ := s.fresh(t)
	var want []holdfast.ID
	for _, n := range []int{1, 3, 64, 65, 129} {
		m := messages(n)
		for i, at := range publish(t, q, m...) {
			same(t, "position", at.Position(), int64(len(want))+1)
			want = append(want, m[i].ID)
		}
	}
	got := all(t, q, pipeline.StageNormalise)
	same(t, "messages", len(got), len(want))
	for i, m := range got {
		if m.ID != want[i] || !bytes.Equal(m.Body, Body(want[i])) {
			t.Fatalf("position %d: other message", i+1)
		}
	}
	end, err := q.End(t.Context(), pipeline.StageNormalise, 0)
	must(t, err)
	same(t, "end", end, int64(len(want)))
}

func (s suite) durable(t *testing.T) {
	q, dir := s.fresh(t)
	m := messages(10)
	publish(t, q, m...)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 4}))
	name, err := q.Identity(t.Context())
	must(t, err)
	must(t, q.Close())
	if _, err := q.Publish(t.Context(), nil, messages(1)...); !errors.Is(err, pipeline.ErrStopped) {
		t.Fatalf("publish after close: %v", err)
	}
	q = s.at(t, dir, nil)
	same(t, "messages", len(all(t, q, pipeline.StageNormalise)), 10)
	at, err := q.Position(t.Context(), pipeline.StageNormalise, 0)
	must(t, err)
	same(t, "stage", at, 4)
	again, err := q.Identity(t.Context())
	must(t, err)
	same(t, "name", again.Queue, name.Queue)
	same(t, "next position", publish(t, q, messages(1)...)[0], 11)
}

func (s suite) twice(t *testing.T) {
	q, dir := s.fresh(t)
	m := messages(5)
	first := publish(t, q, m...)
	other := m[2]
	other.Body = []byte("other bytes under the same id")
	mixed := append(messages(1), other, m[0])
	mixed = append(mixed, mixed[0]) // the same new ID twice in one call
	q = s.at(t, dir, nil)           // another handle knows it too
	got := publish(t, q, mixed...)
	if !s.kind.Remembers {
		if got[0] != got[3] || got[0] == got[1] {
			t.Fatalf("positions %v: the same new ID twice is one message", got)
		}
		s.onceNormalised(t, q, m, mixed[:1])
		return
	}
	if want := []pipeline.Place{6, first[2], first[0], 6}; !slices.Equal(got, want) {
		t.Fatalf("positions %v, want %v", got, want)
	}
	stored := all(t, q, pipeline.StageNormalise)
	same(t, "messages", len(stored), 6)
	if !bytes.Equal(stored[2].Body, m[2].Body) {
		t.Fatal("the second bytes replaced the first")
	}
}

// onceNormalised: what is normalised has each ID once, with the bytes that came first.
func (s suite) onceNormalised(t *testing.T, q Queue, sets ...[]pipeline.Message) {
	t.Helper()
	end, err := q.End(t.Context(), pipeline.StageNormalise, 0)
	must(t, err)
	from, err := q.Position(t.Context(), pipeline.StageNormalise, 0)
	must(t, err)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, From: from, To: end}))
	want := slices.Concat(sets...)
	stored := all(t, q, pipeline.StagePreserve)
	same(t, "normalised messages", len(stored), len(want))
	for i, m := range stored {
		if m.ID != want[i].ID || !bytes.Equal(m.Body, want[i].Body) {
			t.Fatalf("position %d is not the message that came first", i+1)
		}
	}
}

func (s suite) bounds(t *testing.T) {
	q, _ := s.fresh(t)
	m := messages(10)
	for i := range m {
		m[i].Body = make([]byte, 1000)
	}
	publish(t, q, m...)
	for _, c := range []struct {
		after int64
		b     pipeline.Bounds
		want  int
	}{
		{0, pipeline.Bounds{Count: 3}, 3}, {8, pipeline.Bounds{Count: 3}, 2}, {0, pipeline.Bounds{Bytes: 2500}, 2},
		{0, pipeline.Bounds{Bytes: 3000}, 3}, {0, pipeline.Bounds{Bytes: 1}, 1}, {0, pipeline.Bounds{}, 10},
		{10, pipeline.Bounds{NoWait: true}, 0}, {99, pipeline.Bounds{NoWait: true}, 0},
	} {
		got, err := q.Receive(t.Context(), pipeline.StageNormalise, 0, c.after, c.b)
		must(t, err)
		same(t, fmt.Sprintf("messages after %d with %+v", c.after, c.b), len(got), c.want)
		if len(got) > 0 {
			same(t, "first", got[0].Position, c.after+1)
		}
	}
}

func (s suite) blocks(t *testing.T) {
	q, dir := s.fresh(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := q.Receive(ctx, pipeline.StageNormalise, 0, 0, pipeline.Bounds{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("receive of nothing: %v", err)
	}
	other := s.at(t, dir, nil)
	for _, from := range []Queue{q, other} { // woken by itself, and by others
		end, _ := q.End(t.Context(), pipeline.StageNormalise, 0)
		got := make(chan int, 1)
		go func() {
			m, _ := q.Receive(t.Context(), pipeline.StageNormalise, 0, end, pipeline.Bounds{})
			got <- len(m)
		}()
		time.Sleep(20 * time.Millisecond)
		publish(t, from, messages(1)...)
		select {
		case n := <-got:
			same(t, "messages", n, 1)
		case <-time.After(5 * time.Second):
			t.Fatal("receive was not woken")
		}
	}
}

// refused calls leave no hole and do not disturb others.
func (s suite) refused(t *testing.T) {
	q, _ := s.fresh(t)
	gone := &pipeline.Move{Task: holdfast.NewID(), Token: 1, Done: true}
	for i := range 20 {
		if _, err := q.Publish(t.Context(), gone, messages(3)...); !errors.Is(err, pipeline.ErrLease) {
			t.Fatalf("publish under a lost lease: %v", err)
		}
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		q.Publish(cancelled, nil) // either way
		for _, bad := range []pipeline.Message{{ID: "x", Body: []byte("b")}, {ID: holdfast.NewID()}, {ID: holdfast.NewID(), Body: make([]byte, pipeline.MaxMessage+1)}} {
			if _, err := q.Publish(t.Context(), nil, bad); !errors.Is(err, pipeline.ErrMessage) {
				t.Fatalf("publish of a bad message: %v", err)
			}
		}
		same(t, "position", publish(t, q, messages(1)...)[0].Position(), int64(i)+1)
	}
	same(t, "messages", len(all(t, q, pipeline.StageNormalise)), 20)
}

// concurrent publishers, some of whom give up in the middle or are refused.
func (s suite) concurrent(t *testing.T) {
	q, dir := s.fresh(t)
	handles := []Queue{q, s.at(t, dir, nil)}
	type ack struct {
		id holdfast.ID
		at pipeline.Place
	}
	acks := make(chan []ack)
	for w := range 8 {
		go func() {
			var mine []ack
			defer func() { acks <- mine }()
			for i := range 30 {
				ctx, cancel := context.WithCancel(context.Background())
				if i%5 == 4 {
					time.AfterFunc(time.Duration(w*100)*time.Microsecond, cancel)
				}
				m := messages(1 + (w+i)%4)
				var move *pipeline.Move
				if i%7 == 6 {
					move = &pipeline.Move{Task: holdfast.NewID(), Token: 9, Done: true}
				}
				at, err := handles[w%2].Publish(ctx, move, m...)
				cancel()
				if move != nil && err == nil {
					t.Error("lost lease was not noticed")
				}
				for j := range at {
					mine = append(mine, ack{m[j].ID, at[j]})
				}
			}
		}()
	}
	at := map[pipeline.Place]holdfast.ID{}
	for range 8 {
		for _, a := range <-acks {
			if at[a.at] != "" {
				t.Fatalf("position %d was given twice", a.at)
			}
			at[a.at] = a.id
		}
	}
	got := all(t, q, pipeline.StageNormalise) // checks that there is no hole
	for p, id := range at {
		if p.Position() > int64(len(got)) || got[p-1].ID != id {
			t.Fatalf("message acknowledged at %d is not there", p)
		}
	}
}
