package sqlite_test

import (
	"errors"
	"testing"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/queuetest"
)

// A message is never given out without its Note because others have pruned it
// between two looks: its draft would pass for its Manifest, and the catalog would
// wait for ever for the Seal of that.
func TestOvertakenByPrune(t *testing.T) {
	q, _ := rotten(t)
	id := holdfast.NewID()
	_, err := q.Publish(t.Context(), nil, pipeline.Message{ID: id, Body: queuetest.Body(id)})
	must(t, err)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 1}, pipeline.Message{Position: 1, ID: id, Note: []byte("note")}))
	got, err := q.Receive(t.Context(), pipeline.StageIndex, 0, 0, pipeline.Bounds{NoWait: true})
	if err != nil || len(got) != 1 || string(got[0].Note) != "note" || len(q.Recent()) != 1 {
		t.Fatalf("before: %+v, %v, %d remembered", got, err, len(q.Recent()))
	}
	held := q.Recent()
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, To: 1}, pipeline.Message{Body: []byte("result")}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageIndex, To: 1}))
	n, err := q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageResults)
	if err != nil || n != 1 {
		t.Fatalf("pruned %d, %v", n, err)
	}
	q.Remember(held)
	got, err = q.Receive(t.Context(), pipeline.StageIndex, 0, 0, pipeline.Bounds{NoWait: true})
	if len(got) > 0 || err != nil && !errors.Is(err, pipeline.ErrStale) {
		t.Errorf("after: %+v, %v", got, err)
	}
}

// What is kept as poison stands in front of others that were pruned: it does not
// vouch for them.
func TestOvertakenBehindPoison(t *testing.T) {
	q, _ := rotten(t)
	ids := []holdfast.ID{holdfast.NewID(), holdfast.NewID()}
	_, err := q.Publish(t.Context(), nil, pipeline.Message{ID: ids[0], Body: queuetest.Body(ids[0])}, pipeline.Message{ID: ids[1], Body: queuetest.Body(ids[1])})
	must(t, err)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 2}, pipeline.Message{Position: 2, ID: ids[1], Note: []byte("note")}))
	held := q.Recent()
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, To: 2, Poison: []int64{1}}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageIndex, To: 2}))
	_, err = q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageResults)
	must(t, err)
	q.Remember(held)
	got, err := q.Receive(t.Context(), pipeline.StageIndex, 0, 0, pipeline.Bounds{NoWait: true})
	if err != nil && !errors.Is(err, pipeline.ErrStale) {
		t.Fatal(err)
	}
	for _, m := range got {
		if m.Position == 2 && string(m.Note) != "note" {
			t.Errorf("without its note: %+v", m)
		}
	}
}
