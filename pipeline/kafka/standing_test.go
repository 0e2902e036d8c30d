package kafka_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/deploy/engines"
	"holdfast/pipeline"
)

// TestStanding: a partition whose stage fails is named, since when, and why; one that goes
// on is not; and once it has moved, or is another process's, it is not named any more.
func TestStanding(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	q := place{t.TempDir()}.queue(t, 2)
	begun := time.Now()
	for range 8 { // some for each partition
		_, err := q.Publish(t.Context(), nil, captures(t, 4, 100)...)
		must(t, err)
	}
	for p := range 2 {
		_, err := (&pipeline.Normalise{Queue: q, Partition: p}).Drain(t.Context())
		must(t, err)
	}
	since, err := q.Waits(t.Context(), pipeline.StagePreserve, 0)
	must(t, err)
	if since.Before(begun.Add(-time.Minute)) || since.After(time.Now().Add(time.Minute)) {
		t.Errorf("the first message waits since %v", since)
	}
	if since, err := q.Waits(t.Context(), pipeline.StageNormalise, 0); err != nil || !since.IsZero() {
		t.Errorf("what is done waits since %v, %v", since, err)
	}
	bad, mended := errors.New("contradicted"), atomic.Bool{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- q.Share(ctx, pipeline.StagePreserve, func(ctx context.Context, p int) error {
			if p == 0 && !mended.Load() {
				return bad
			}
			from, err := q.Position(ctx, pipeline.StagePreserve, p)
			var to int64
			if err == nil {
				to, err = q.End(ctx, pipeline.StagePreserve, p)
			}
			if err == nil && to > from {
				err = q.Advance(ctx, pipeline.Ack{Stage: pipeline.StagePreserve, Partition: p, From: from, To: to})
			}
			if err != nil {
				return err
			}
			<-ctx.Done()
			return nil
		})
	}()
	names := func(want int) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			all, err := q.Standing(t.Context())
			must(t, err)
			if len(all) == want {
				for _, s := range all {
					if s.Stage != pipeline.StagePreserve || s.Partition != 0 || !errors.Is(s.Err, bad) || s.Since.Before(begun) || s.Since.After(time.Now()) {
						t.Errorf("it says %+v", s)
					}
				}
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%+v stand still, want %d", all, want)
			}
		}
	}
	names(1)
	first, err := q.Standing(t.Context())
	must(t, err)
	time.Sleep(300 * time.Millisecond)
	if again, err := q.Standing(t.Context()); err != nil || len(again) != 1 || !again[0].Since.Equal(first[0].Since) {
		t.Errorf("since %v, and later since %+v, %v", first[0].Since, again, err)
	}
	mended.Store(true)
	names(0)
	_, err = q.Publish(t.Context(), nil, captures(t, 16, 100)...) // and nothing fails since
	must(t, err)
	for p := range 2 {
		_, err := (&pipeline.Normalise{Queue: q, Partition: p}).Drain(t.Context())
		must(t, err)
	}
	names(0)
	cancel()
	<-done
}
