package preserve_test

import (
	"testing"

	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

func TestSeal(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	o := n.MustSeal(n.Batch(1, 3, 100))
	if len(o.Captures) != 3 || o.T.IsZero() || o.Reason != "" {
		t.Fatalf("outcome %+v", o)
	}
	again, err := n.Judge.State(t.Context(), o.Seal)
	if err != nil || again.State != preserve.StateSealed || !again.T.Equal(o.T.Time) {
		t.Fatalf("judged %+v, %v", again, err)
	}
}
