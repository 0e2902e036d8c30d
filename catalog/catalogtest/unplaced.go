package catalogtest

import (
	"slices"
	"testing"

	"holdfast/catalog"
)

// testUnplaced: a Seal that was stated without its captures, or in part, is known
// as such until it is stated whole, in any order; meanwhile no capture is said to
// wait in the queue, and none loses the state that it has.
func testUnplaced(t *testing.T, open Open) {
	w := New(6, 20, 8)
	whole := w.Batches[0].Seal
	id := w.Batches[0].Messages[0].ID
	bare, part, later := whole, whole, whole
	bare.Members, bare.Placed = nil, nil
	part.Placed, part.Partial = nil, true
	later.State, later.Reason = catalog.Pending, ""
	for name, v := range map[string]struct {
		said     []catalog.SealState
		state    string
		reason   string
		unplaced bool
	}{
		"bare":       {[]catalog.SealState{bare}, catalog.Pending, catalog.ReasonUnplaced, true},
		"in part":    {[]catalog.SealState{part}, whole.State, whole.Reason, true},
		"then whole": {[]catalog.SealState{bare, part, later}, whole.State, whole.Reason, false},
		"first":      {[]catalog.SealState{later, part, bare}, whole.State, whole.Reason, false},
	} {
		c := open(t, t.TempDir())
		give(t, c, w.Straight(t)[:1])
		for _, st := range v.said {
			if err := c.Sealed(t.Context(), []catalog.SealState{st}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := c.Capture(t.Context(), id)
		if err != nil || got.State != v.state || got.Reason != v.reason {
			t.Errorf("%s: the capture is %q, %q, %v", name, got.State, got.Reason, err)
		}
		seals, err := c.Unplaced(t.Context(), 10)
		if err != nil || slices.Contains(seals, whole.Seal) != v.unplaced {
			t.Errorf("%s: unplaced are %v, %v", name, seals, err)
		}
	}
}
