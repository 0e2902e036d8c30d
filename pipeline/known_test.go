package pipeline_test

import (
	"context"
	"errors"
	"testing"

	"holdfast"
	"holdfast/pipeline"
)

// forgetful remembers no plan, as after an hour and many plans.
type forgetful struct{ *sealer }

func (forgetful) Newest(context.Context, string, int, int64, int) ([]*holdfast.Plan, error) {
	return nil, nil
}

// What is published again when no plan remembers it is skipped where Known has it, and
// where that fails sealing goes on.
func TestKnown(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	old := publish(t, q, 3)
	drain(t, q, s)
	damage(t, dir, `DELETE FROM ids`) // a queue that keeps none
	_, err := q.Publish(t.Context(), nil, captured(t, old[1]))
	must(t, err)
	fresh := publish(t, q, 1)
	_, err = (&pipeline.Normalise{Queue: q}).Drain(t.Context())
	must(t, err)

	asked := 0
	p := &pipeline.Preserve{Queue: q, Plans: forgetful{s}, Carrier: s, Known: func(_ context.Context, ids []holdfast.ID) (map[holdfast.ID]bool, error) {
		asked += len(ids)
		return map[holdfast.ID]bool{old[0]: true, old[1]: true, old[2]: true}, nil
	}}
	must(t, p.Drain(t.Context()))
	b := s.plans[len(s.plans)-1].batch
	if asked != 2 || len(b.Items) != 1 || b.Items[0].ID != fresh[0] || len(b.Skipped) != 1 || b.Skipped[0].ID != old[1] || b.Skipped[0].Reason != "duplicate" {
		t.Fatalf("asked of %d; batch %+v", asked, b)
	}

	last := publish(t, q, 1)
	_, err = (&pipeline.Normalise{Queue: q}).Drain(t.Context())
	must(t, err)
	p.Known = func(context.Context, []holdfast.ID) (map[holdfast.ID]bool, error) { return nil, errors.New("away") }
	must(t, p.Drain(t.Context()))
	got := sealed(t, s.store) // and none twice
	for _, id := range append(append(old, fresh...), last...) {
		if got[id] == 0 {
			t.Errorf("%s is in no Seal", id)
		}
	}
}

// unfinished has a plan of a former name of which the queue has nothing any more.
type unfinished struct {
	forgetful
	plan *holdfast.Plan
}

func (u unfinished) Unfinished(context.Context, string, int) ([]*holdfast.Plan, error) {
	return []*holdfast.Plan{u.plan}, nil
}

func (u unfinished) Carry(ctx context.Context, p *holdfast.Plan, b pipeline.Batch) (pipeline.Outcome, error) {
	if len(b.Items) < len(p.Captures) {
		return pipeline.Outcome{}, pipeline.ErrItems
	}
	return u.sealer.Carry(ctx, p, b)
}

// A plan that nobody can carry out is given up, and its captures are called lost, only once
// it is known that they are in no other Seal.
func TestGivenUpWhenKnown(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	id, err := q.Identity(t.Context())
	must(t, err)
	_, err = q.Redraw(t.Context(), id.Queue)
	must(t, err)
	lost := holdfast.NewID()
	u := unfinished{forgetful{s}, &holdfast.Plan{Queue: id.Queue, First: 1, Last: 1, Seal: holdfast.SealID(id.Queue, 0, 1), Captures: []holdfast.Planned{{ID: lost, Position: 1}}}}
	told := 0
	p := &pipeline.Preserve{Queue: q, Plans: u, Carrier: u, GivenUp: func(_ context.Context, g pipeline.GivenUp) error {
		if told++; len(g.Lost) != 1 || g.Lost[0] != lost {
			t.Errorf("lost: %v", g.Lost)
		}
		return nil
	}}
	for _, away := range []error{errors.New("away"), pipeline.ErrUnavailable} {
		p.Known = func(context.Context, []holdfast.ID) (map[holdfast.ID]bool, error) { return nil, away }
		if err := p.Drain(t.Context()); !errors.Is(err, away) || told > 0 {
			t.Errorf("%v, told %d times", err, told)
		}
	}
	p.Known = func(context.Context, []holdfast.ID) (map[holdfast.ID]bool, error) {
		return map[holdfast.ID]bool{lost: true}, nil
	}
	if must(t, p.Drain(t.Context())); told > 0 {
		t.Error("what is in another Seal was called lost")
	}
	p.Known = func(context.Context, []holdfast.ID) (map[holdfast.ID]bool, error) { return nil, nil }
	if must(t, p.Drain(t.Context())); told != 1 {
		t.Errorf("told %d times", told)
	}
}
