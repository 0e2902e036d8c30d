package pipeline

import (
	"context"
	"fmt"
	"time"

	"holdfast"
)

// adopt builds the batch of a plan that stands already, and moves r.at behind
// it. The plan decides what is sealed and what is skipped, whatever this process
// would have chosen.
//
// If the queue does not hold what the plan names, the queue is an older copy of
// the one that was planned (a restored backup). Then r.lapsed is set, and the
// batch ends where the two part; if they share nothing, Last is before First
// and nothing of it may be carried out here.
func (r *runner) adopt(ctx context.Context, plan *holdfast.Plan) (Batch, error) {
	b := Batch{Queue: plan.Queue, Partition: plan.Partition, First: plan.First, Last: plan.First - 1}
	skipped := make(map[int64]holdfast.Skipped, len(plan.Skipped))
	for _, s := range plan.Skipped {
		skipped[s.Position] = s
	}
	captures := plan.Captures
	for b.Last < plan.Last {
		got, err := r.Queue.Receive(ctx, StagePreserve, r.Partition, b.Last, Bounds{NoWait: true, Count: int(plan.Last - b.Last)})
		if err != nil {
			return b, err
		}
		if len(got) == 0 {
			more, err := r.more(ctx, b.Last)
			if err != nil {
				return b, err
			}
			if more {
				continue
			}
			break
		}
		for _, m := range got {
			if s, ok := skipped[m.Position]; ok && s.ID == m.ID {
				b.Skipped = append(b.Skipped, s)
				if s.Reason == "poison" {
					it, err := m.Item()
					b.Poisoned = append(b.Poisoned, poisoned(m, it, err))
				}
			} else if len(captures) > 0 && captures[0].Position == m.Position && captures[0].ID == m.ID {
				it, err := m.Item()
				if err != nil {
					return b, fmt.Errorf("carry out plan %s: %w: its packs may still be whole; restore the queue or seal from the store", plan.Seal, err)
				}
				b.Items, captures = append(b.Items, it), captures[1:]
			} else {
				return r.part(b, plan), nil
			}
			b.Last = m.Position
		}
	}
	if b.Last < plan.Last {
		return r.part(b, plan), nil
	}
	r.mem.add(plan, time.Now())
	r.at = b.Last
	return b, nil
}

// part notes that queue and plan have parted.
func (r *runner) part(b Batch, plan *holdfast.Plan) Batch {
	if b.Last >= b.First {
		r.lapsed = true
		r.mem.add(plan, time.Now())
		r.at = b.Last
	}
	return b
}

// more reports whether the queue holds a message after last, and waits until it
// is normalised.
func (r *runner) more(ctx context.Context, last int64) (bool, error) {
	end, err := r.Queue.End(ctx, StagePreserve, r.Partition)
	if err != nil || end <= last {
		return false, err
	}
	if r.drain {
		return false, fmt.Errorf("position %d is planned and not normalised: run normalise first", last+1)
	}
	_, err = r.Queue.Receive(ctx, StagePreserve, r.Partition, last, Bounds{Count: 1})
	return err == nil, err
}

// redraw gives the queue a new name, so that its next positions are not taken
// for those of the captures that the old name's plans hold. Their IDs stay in
// memory, so what both hold is not sealed twice.
func (r *runner) redraw(ctx context.Context) error {
	id, err := r.Queue.Redraw(ctx, r.id.Queue)
	if err != nil {
		return err
	}
	orDiscard(r.Log).WarnContext(ctx, "the store holds plans that this queue does not know: it is an older copy and gets a new name", "old", r.id.Queue, "new", id.Queue)
	r.id, r.lapsed = id, false
	if r.at, err = r.Queue.Position(ctx, StagePreserve, r.Partition); err != nil {
		return err
	}
	if err = r.remember(ctx); err != nil {
		return err
	}
	return r.finish(ctx)
}
