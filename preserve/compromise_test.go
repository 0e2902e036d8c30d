package preserve_test

import (
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// end gives the node's key an end in its Policy.
func end(n *sealtest.Node, until time.Time) {
	p, at := *n.Trust.Policy(), holdfast.At(until)
	e := p.Nodes[0]
	e.Keys = []holdfast.PolicyKey{{SPKI: e.Keys[0].SPKI, From: e.Keys[0].From, Until: &at}}
	p.Nodes = append([]holdfast.PolicyNode{e}, p.Nodes[1:]...)
	n.Trust.Set(&p, n.Trust.Material().Certs)
}

// A Seal whose key was compromised before its T is done with, and said to be
// contradicted: an error would come again for ever and stop all that is sealed
// behind it. Its key's account says so too.
func TestCompromisedKeyStopsNothing(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	if o := n.MustSeal(n.Batch(0, 2, 10)); o.State != preserve.StateSealed {
		t.Fatalf("%+v", o)
	}
	before, err := n.Judge.SignedBy(t.Context(), n.Signer.SPKI())
	if err != nil || before.Seals != 1 || before.Void != 0 || len(before.Open) != 0 || before.Last.IsZero() {
		t.Fatalf("%+v, %v", before, err)
	}
	end(n, before.Last.Add(-time.Minute))
	o, err := n.Sealer.Seal(t.Context(), n.Batch(2, 2, 10))
	if err != nil || o.State != preserve.StateSigned || !strings.HasPrefix(o.Reason, "contradicted: key-period: ") {
		t.Errorf("sealed after the end: %+v, %v", o, err)
	}
	after, err := n.Judge.SignedBy(t.Context(), n.Signer.SPKI())
	if err != nil || after.Seals != 2 || after.Void != 2 || len(after.Open) != 0 {
		t.Errorf("%+v, %v", after, err)
	}
}

// What has no quorum when the key ends can get none in time: the reason says so,
// and once the tokens are there it is published as contradicted, once.
func TestCompromisedKeyWithoutQuorum(t *testing.T) {
	t.Parallel()
	n, away := down(t)
	seal := sign(t, n, 0)
	end(n, time.Now().Add(-time.Hour))
	o, err := n.Judge.State(t.Context(), seal)
	if err != nil || o.State != preserve.StateSigned || !strings.Contains(o.Reason, "good until") {
		t.Errorf("%+v, %v", o, err)
	}
	by, err := n.Judge.SignedBy(t.Context(), n.Signer.SPKI())
	if err != nil || len(by.Open) != 1 {
		t.Errorf("%+v, %v", by, err)
	}
	away.SetMode()
	r, published := reconciler(n)
	r.Add(seal)
	for end := time.Now().Add(20 * time.Second); len(published()) == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if _, err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p, err := r.Pass(t.Context())
	if got := published(); err != nil || len(got) != 1 || got[0].State != preserve.StateSigned || !strings.HasPrefix(got[0].Reason, "contradicted: ") || len(p.Bad)+len(p.Signed) != 0 {
		t.Errorf("%+v, %+v, %v", got, p, err)
	}
}
