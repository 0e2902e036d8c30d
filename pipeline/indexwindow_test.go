package pipeline_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

// countIndexer counts what it is told, and how often.
type countIndexer struct{ calls, items atomic.Int64 }

func (c *countIndexer) Accepted(_ context.Context, items []pipeline.Item) error {
	c.calls.Add(1)
	c.items.Add(int64(len(items)))
	return nil
}

func (c *countIndexer) Sealed(context.Context, []pipeline.Outcome) error { return nil }

// TestIndexWindow: the first message is told at once, those that come within the window
// together.
func TestIndexWindow(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	q, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "queue.db"), sqlite.Options{})
	must(t, err)
	defer q.Close()
	const window = 3 * time.Second
	var told countIndexer
	ended := make(chan error, 1)
	go func() { ended <- (&pipeline.Index{Queue: q, Indexer: &told, Window: window}).Run(ctx) }()
	defer func() { stop(); <-ended }()
	time.Sleep(100 * time.Millisecond) // it waits
	time.Sleep(window)
	accept := func(n int64) {
		_, err := q.Publish(ctx, nil, captured(t, holdfast.NewID()))
		must(t, err)
		must(t, q.Advance(ctx, pipeline.Ack{Stage: pipeline.StageNormalise, From: n - 1, To: n}))
	}
	wait := func(items int64, d time.Duration) {
		t.Helper()
		for end := time.Now().Add(d); told.items.Load() < items; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d of %d told within %s", told.items.Load(), items, d)
			}
		}
	}
	accept(1)
	wait(1, window-time.Second)
	for n := int64(2); n <= 6; n++ {
		accept(n)
		time.Sleep(50 * time.Millisecond)
	}
	wait(6, time.Minute)
	if calls := told.calls.Load(); calls > 3 { // more than one only where the machine slept for a window
		t.Errorf("6 messages were told in %d calls", calls)
	}
}

// busyIndexer is one of a node where something new is accepted whenever it looks.
type busyIndexer struct {
	accept         func()
	accepted, told int
}

func (b *busyIndexer) Accepted(context.Context, []pipeline.Item) error {
	if b.accepted++; b.accepted < 50 {
		b.accept()
	}
	return nil
}

func (b *busyIndexer) Sealed(context.Context, []pipeline.Outcome) error {
	b.told = b.accepted
	return nil
}

// TestIndexBusy: what is sealed is told behind its captures, and not behind all that is
// accepted meanwhile.
func TestIndexBusy(t *testing.T) {
	ctx := t.Context()
	q, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "queue.db"), sqlite.Options{})
	must(t, err)
	defer q.Close()
	n := int64(0)
	accept := func() {
		n++
		_, err := q.Publish(ctx, nil, captured(t, holdfast.NewID()))
		must(t, err)
		must(t, q.Advance(ctx, pipeline.Ack{Stage: pipeline.StageNormalise, From: n - 1, To: n}))
	}
	accept()
	accept()
	o := pipeline.Outcome{Seal: "seal", State: pipeline.StateSealed}
	body, err := o.Encode()
	must(t, err)
	must(t, q.Advance(ctx, pipeline.Ack{Stage: pipeline.StagePreserve, To: 2}, pipeline.Message{Body: body}))
	b := &busyIndexer{accept: accept}
	_, err = (&pipeline.Index{Queue: q, Indexer: b}).Drain(ctx)
	must(t, err)
	if b.told == 0 || b.told > 2 || b.accepted != 50 {
		t.Errorf("the result was told after %d of %d calls", b.told, b.accepted)
	}
}
