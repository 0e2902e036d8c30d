package kafka_test

import (
	"context"
	"strings"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"
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

// TestPrunedBehindNormalise: what was made of a message may be sealed and indexed before
// who normalised it has said that he did, and he may die before that. Until the next one
// has, the message stays; then it is not normalised again.
func TestPrunedBehindNormalise(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	_, err := q.Publish(t.Context(), nil, captures(t, 20, 100)...)
	must(t, err)
	got, err := q.Receive(t.Context(), pipeline.StageNormalise, 0, 0, pipeline.Bounds{Count: 20})
	if err != nil || len(got) != 20 {
		t.Fatalf("%d messages of 20: %v", len(got), err)
	}
	for i := range got {
		got[i].Note = []byte("{}")
	}
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 20}, got...))
	for _, s := range []pipeline.Stage{pipeline.StagePreserve, pipeline.StageIndex} {
		must(t, q.Advance(t.Context(), pipeline.Ack{Stage: s, To: 20}))
	}
	must(t, q.Close())

	o, d, err := options(t.Context(), p.dir, nil)
	must(t, err)
	must(t, d.Close())
	client, topic := &kgo.Client{Addr: kgo.TCP(o.Brokers...)}, o.Prefix+".captured"
	for begun := time.Now(); ; time.Sleep(100 * time.Millisecond) { // the group learns that nobody is in it
		res, err := client.OffsetCommit(t.Context(), &kgo.OffsetCommitRequest{GroupID: o.Prefix + ".normalise", GenerationID: -1,
			Topics: map[string][]kgo.OffsetCommit{topic: {{Partition: 0, Offset: 19}}}})
		if err == nil && res.Topics[topic][0].Error == nil {
			break
		}
		if time.Since(begun) > time.Minute {
			t.Fatal(err, res)
		}
	}
	q = p.queue(t, 1)
	if n, err := q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex); err != nil || n != 0 {
		t.Errorf("%d pruned before normalise has said what it did: %v", n, err)
	}
	got, err = q.Receive(t.Context(), pipeline.StageNormalise, 0, 19, pipeline.Bounds{Count: 20})
	if err != nil || len(got) != 1 {
		t.Fatalf("%d messages before normalise, which is at 19 of 20: %v", len(got), err)
	}
	got[0].Note = []byte("{}")
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, From: 19, To: 20}, got...))
	if end, err := q.End(t.Context(), pipeline.StagePreserve, 0); err != nil || end != 20 {
		t.Errorf("%d messages were normalised of 20: %v", end, err)
	}
	if n, err := q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex); err != nil || n != 20 {
		t.Errorf("%d pruned of 20: %v", n, err)
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
