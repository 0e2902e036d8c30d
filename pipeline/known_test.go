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
