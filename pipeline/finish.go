package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast"
)

// finish carries out what was planned under former names of the queue and never came to
// its inclusion. Nobody else does: who looks for a plan looks under the present name. And
// what such a plan holds is skipped from now on as sealed already, so it must be. The
// messages are there, since preserve has not moved past them, but their positions may be
// others by now (brokers that lost the end of a log): they are found by their IDs.
//
// Where the queue has lost some of them, nobody can carry the plan out any more: it is
// given up, loudly, and what is left of it is planned anew. It stays without a proof.
//
// It runs before anything is planned under the present name, and a crash leaves the stage
// where it is: so it runs again. Several may do it at once, as they may carry any plan out.
func (r *runner) finish(ctx context.Context) error {
	for i := len(r.id.Former) - 1; i >= 0; i-- {
		plans, err := r.Plans.Unfinished(ctx, r.id.Former[i], r.Partition)
		if err != nil {
			return err
		}
		for _, p := range plans {
			if err := r.finishOne(ctx, p); err != nil {
				return fmt.Errorf("finish plan %s, of a former name of the queue: %w", p.Seal, err)
			}
		}
	}
	return nil
}

func (r *runner) finishOne(ctx context.Context, p *holdfast.Plan) error {
	b, err := r.find(ctx, p)
	if err != nil {
		return err
	}
	is, unsure := r.elsewhere(ctx, p)
	if is { // it was given up before, and what was left of it is planned anew
		r.mem.drop(p.Seal)
		return nil
	}
	o, err := r.Carrier.Carry(ctx, p, b)
	if errors.Is(err, ErrItems) && unsure != nil { // nobody is to say, under a signature, that what is sealed is lost
		return fmt.Errorf("it may be in another seal, and nothing of it is given up before that is known: %w", unsure)
	}
	if errors.Is(err, ErrItems) {
		return r.giveUp(ctx, p)
	}
	if err != nil {
		return err
	}
	body, err := o.Encode()
	if err != nil {
		return err
	}
	if err := r.Queue.Announce(context.WithoutCancel(ctx), Message{Body: body}); err != nil {
		return err
	}
	r.mem.add(p, time.Now())
	if r.Sealed != nil {
		r.Sealed(o)
	}
	return nil
}

// elsewhere reports whether something of a plan is in another one: in a plan that is
// remembered, or, of longer ago, in a Seal. The error says that the latter is not known.
func (r *runner) elsewhere(ctx context.Context, p *holdfast.Plan) (bool, error) {
	if r.mem.elsewhere(p) {
		return true, nil
	}
	got := make([]Message, len(p.Captures))
	for i, c := range p.Captures {
		got[i].ID = c.ID
	}
	known, err := r.known(ctx, got)
	for _, in := range known {
		if in {
			return true, nil
		}
	}
	return false, err
}

// giveUp says which captures are lost: the log as far as a line can hold them, and
// whoever asked for it before anything of the plan is planned anew. A crash in between
// finds the plan as it was, and says it again. What normalise has before it still is not
// lost: it is looked for there first and behind it then, so that nothing slips through.
func (r *runner) giveUp(ctx context.Context, p *holdfast.Plan) error {
	left, err := r.waiting(ctx)
	if err != nil {
		return err
	}
	b, err := r.find(ctx, p)
	if err != nil {
		return err
	}
	for _, it := range b.Items {
		left[it.ID] = true
	}
	var lost []holdfast.ID
	for _, c := range p.Captures {
		if !left[c.ID] {
			lost = append(lost, c.ID)
		}
	}
	if len(lost) == 0 {
		orDiscard(r.Log).WarnContext(ctx, "a part of what was planned is normalised again: it is sealed under another plan", "plan", p.Seal)
		r.mem.drop(p.Seal)
		return nil
	}
	orDiscard(r.Log).ErrorContext(ctx, "the queue has lost captures that were accepted and planned, and are in no seal: what is left of their plan is sealed under another one",
		"plan", p.Seal, "lost", len(lost), "of", len(p.Captures), "ids", lost[:min(len(lost), maxNamed)])
	if r.GivenUp != nil {
		if err := r.GivenUp(ctx, GivenUp{Plan: p, Lost: lost}); err != nil {
			return fmt.Errorf("tell of captures that are lost: %w", err)
		}
	}
	r.mem.drop(p.Seal)
	return nil
}

// waiting are the IDs of what normalise has before it.
func (r *runner) waiting(ctx context.Context) (map[holdfast.ID]bool, error) {
	ids := map[holdfast.ID]bool{}
	for tries := 1; ; tries++ {
		at, err := r.Queue.Position(ctx, StageNormalise, r.Partition)
		for err == nil {
			var got []Message
			if got, err = r.Queue.Receive(ctx, StageNormalise, r.Partition, at, Bounds{NoWait: true}); err == nil && len(got) == 0 {
				return ids, nil
			}
			for _, m := range got {
				at, ids[m.ID] = m.Position, true
			}
		}
		if !errors.Is(err, ErrStale) || tries == 10 { // else it was pruned meanwhile, so it is behind normalise
			return nil, err
		}
	}
}

// GivenUp is a plan that nobody can carry out any more, because the queue has lost what
// it names and no pack has it.
type GivenUp struct {
	Plan *holdfast.Plan
	Lost []holdfast.ID // captures and Events, in the plan's order
}

// maxNamed bounds the IDs in one line of the log; the plan in the store has all.
const maxNamed = 64

// find makes the batch of a plan of the messages that have its IDs, each at the position
// that the plan gives it. It reads what preserve has before it, as far as need be.
func (r *runner) find(ctx context.Context, p *holdfast.Plan) (Batch, error) {
	b := Batch{Queue: p.Queue, Partition: p.Partition, First: p.First, Last: p.Last, Skipped: p.Skipped}
	items := make(map[holdfast.ID]Item, len(p.Captures))
	for _, c := range p.Captures {
		items[c.ID] = Item{}
	}
	for at, left := r.at, len(p.Captures); left > 0; {
		got, err := r.Queue.Receive(ctx, StagePreserve, r.Partition, at, Bounds{NoWait: true})
		if err != nil {
			return b, err
		}
		if len(got) == 0 {
			break
		}
		for _, m := range got {
			at = m.Position
			if it, ok := items[m.ID]; !ok || it.Manifest != nil {
				continue
			}
			if it, err := m.Item(); err == nil {
				items[m.ID], left = it, left-1
			}
		}
	}
	for _, c := range p.Captures {
		if it := items[c.ID]; it.Manifest != nil {
			it.Position = c.Position
			b.Items = append(b.Items, it)
		}
	}
	return b, nil
}
