package postgres_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/deploy/engines"
	"holdfast/hashing"
)

// TestInSeals: which captures are in a Seal that is signed at least, by its plan; one that
// is planned only may never come to be.
func TestInSeals(t *testing.T) {
	pg := engines.PostgreSQL(t)
	c := create(t, pg, options(pg, t.TempDir()))
	ids, at := []holdfast.ID{holdfast.NewID(), holdfast.NewID(), holdfast.NewID(), holdfast.NewID()}, time.Now()
	queue := "0123456789abcdef"
	seal := func(n int64, state string, of ...holdfast.ID) catalog.SealState {
		k := catalog.SealState{Seal: holdfast.SealID(queue, 0, n), State: state, At: at}
		if state == catalog.Sealed {
			k.T = at
		}
		for _, id := range of {
			k.Members = append(k.Members, catalog.Member{ID: id, Manifest: hashing.Of([]byte(id)), Position: n})
		}
		return k
	}
	all := []catalog.SealState{seal(1, catalog.Sealed, ids[0]), seal(2, catalog.Signed, ids[1], ids[0]), seal(3, catalog.Pending, ids[2])}
	if err := c.Sealed(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	got, err := c.InSeals(t.Context(), ids)
	want := map[holdfast.ID][]string{ids[0]: {all[0].Seal, all[1].Seal}, ids[1]: {all[1].Seal}}
	if err != nil || !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("in seals: %v, %v; want %v", got, err, want)
	}
	if _, err := c.InSeals(t.Context(), []holdfast.ID{"x"}); err == nil {
		t.Error("an id that is none was asked for")
	}
}
