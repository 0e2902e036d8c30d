package pipeline_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"holdfast/pipeline"
)

// TestStop: a stage that is to stop ends what it has begun, begins nothing, and returns
// without an error; one that only waits returns at once. Nothing that is planned is left
// to others.
func TestStop(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	begun, goOn := make(chan struct{}), make(chan struct{})
	first := true
	s.at = func(step string) error {
		if first && strings.HasSuffix(step, "/statement") && strings.HasPrefix(step, "before") {
			first = false
			close(begun)
			<-goOn
		}
		return nil
	}
	stop, done := make(chan struct{}), make(chan error, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		done <- (&pipeline.Preserve{Queue: q, Plans: s, Carrier: s, Window: time.Millisecond, Stop: stop}).Run(ctx)
	}()
	publish(t, q, 3)
	_, err := (&pipeline.Normalise{Queue: q}).Drain(ctx)
	must(t, err)
	<-begun
	close(stop)
	select {
	case err := <-done:
		t.Fatalf("it ended beside a batch that it had begun: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	publish(t, q, 2)
	_, err = (&pipeline.Normalise{Queue: q}).Drain(ctx)
	must(t, err)
	close(goOn)
	must(t, <-done)
	at, err := q.Position(ctx, pipeline.StagePreserve, 0)
	must(t, err)
	if at != 3 || len(s.plans) != 1 || len(sealed(t, s.store)) != 3 {
		t.Errorf("acknowledged to %d, %d plans, %d sealed: want 3, 1, 3", at, len(s.plans), len(sealed(t, s.store)))
	}

	// Those that wait for something end too.
	stop = make(chan struct{})
	must(t, (&pipeline.Preserve{Queue: q, Plans: s, Carrier: s}).Drain(ctx))
	go func() { done <- (&pipeline.Preserve{Queue: q, Plans: s, Carrier: s, Stop: stop}).Run(ctx) }()
	go func() { done <- (&pipeline.Normalise{Queue: q, Stop: stop}).Run(ctx) }()
	go func() {
		done <- (&pipeline.Index{Queue: q, Indexer: deaf{}, Stop: stop}).Run(ctx)
	}()
	time.Sleep(50 * time.Millisecond)
	close(stop)
	for range 3 {
		must(t, <-done)
	}
}

// deaf indexes nothing.
type deaf struct{}

func (deaf) Accepted(context.Context, []pipeline.Item) error  { return nil }
func (deaf) Sealed(context.Context, []pipeline.Outcome) error { return nil }
