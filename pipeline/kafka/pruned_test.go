package kafka_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/deploy/engines"
	"holdfast/pipeline"
)

// TestAllPruned: where everything is done and pruned, whoever gets the partition next has
// nothing to look back at, and goes on.
func TestAllPruned(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	_, err := q.Publish(t.Context(), nil, captures(t, 20, 100)...)
	must(t, err)
	for _, s := range []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve, pipeline.StageIndex} {
		must(t, q.Advance(t.Context(), pipeline.Ack{Stage: s, To: 20}))
	}
	if n, err := q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex); err != nil || n != 20 {
		t.Fatalf("%d pruned of 20: %v", n, err)
	}
	must(t, q.Close())
	q = p.queue(t, 1)
	_, err = q.Publish(t.Context(), nil, captures(t, 3, 100)...)
	must(t, err)
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) { // the group learns that the other is gone
		if err = q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, From: 20, To: 23}); err == nil {
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatal(err)
		}
	}
}

// TestPrunedMeanwhile: who asks how far a stage is, or takes a partition over, while what
// was done is pruned, is told, and not that an offset is out of range.
func TestPrunedMeanwhile(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q, other := p.queue(t, 1), p.queue(t, 1)
	ctx, stop := context.WithCancel(t.Context())
	g, ctx := errgroup.WithContext(ctx)
	defer stop()
	for range 6 {
		g.Go(func() error {
			for ctx.Err() == nil {
				if _, err := other.Position(ctx, pipeline.StageNormalise, 0); err != nil && ctx.Err() == nil {
					return err
				}
			}
			return nil
		})
	}
	const rounds = 60
	for i := range rounds {
		_, err := q.Publish(t.Context(), nil, captures(t, 1, 100)...)
		must(t, err)
		for _, s := range []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve, pipeline.StageIndex} {
			must(t, q.Advance(t.Context(), pipeline.Ack{Stage: s, From: int64(i), To: int64(i + 1)}))
		}
		if n, err := q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex); err != nil || n != 1 {
			t.Fatalf("%d pruned of 1: %v", n, err)
		}
	}
	stop()
	must(t, g.Wait())
}
