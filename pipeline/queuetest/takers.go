package queuetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// work takes Tasks and publishes one message for each, until it is killed or none
// is left, and prints what was acknowledged.
func work(ctx context.Context, q Queue) error {
	for {
		got, err := q.Take(ctx, pipeline.Want{Max: 2, Lease: 500 * time.Millisecond})
		if err != nil {
			return err
		}
		for _, k := range got {
			m := pipeline.Message{ID: k.Capture(), Body: Body(k.Capture())}
			at, err := q.Publish(ctx, k.Finish(), m)
			if errors.Is(err, pipeline.ErrLease) {
				continue // it took too long, and another has it
			}
			if err != nil {
				return err
			}
			fmt.Printf("%s %d\n", m.ID, at[0])
		}
		if left, err := q.Tasks(ctx, "", 1); err != nil || len(left) == 0 {
			return err
		}
	}
}

// takersKilled: two processes at a time take Tasks and die by SIGKILL. Each Task is
// done in the end, under the ID that it had from the beginning, and acknowledged at
// most once.
func (s suite) takersKilled(t *testing.T) {
	q, dir := s.fresh(t)
	const n = 200
	var tasks []pipeline.Task
	for range n {
		tasks = append(tasks, task("https://a/"))
	}
	add(t, q, tasks...)
	acked := map[holdfast.ID]int64{}
	for range 4 {
		a, b := start(t, "work", 0, dir), start(t, "work", 0, dir)
		for _, p := range []*process{a, b} {
			p.kill(t, 30*time.Millisecond)
			p.acked(t, acked) // fails if one was acknowledged twice
		}
	}
	last := start(t, "work", 0, dir) // waits for the leases of the dead
	if err := last.Wait(); err != nil {
		t.Fatalf("child: %v\n%s", err, last.err.String())
	}
	t.Logf("%d of %d acknowledged to killed takers", len(acked), n)
	last.acked(t, acked)
	if s.kind.Remembers {
		there(t, q, acked)
	}
	end, err := q.End(t.Context(), pipeline.StageNormalise, 0)
	must(t, err)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: end}))
	got := all(t, q, pipeline.StagePreserve)
	t.Logf("%d messages were published", end)
	same(t, "messages", len(got), n)
	ids := map[holdfast.ID]bool{}
	for _, m := range got {
		ids[m.ID] = true
	}
	for _, k := range tasks {
		if !ids[k.Capture()] {
			t.Fatalf("task %s was lost", k.ID)
		}
	}
}
