package preserve_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// rewrite changes a stored part as somebody with the disk in hands can.
func rewrite(t *testing.T, n *sealtest.Node, name string, change func([]byte) []byte) {
	t.Helper()
	path := filepath.Join(n.Dir, "store", name)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), os.WriteFile(path, change(slices.Clone(b)), 0o400)); err != nil {
		t.Fatal(err)
	}
}

// One flipped bit in any part, and the Seal is no more than pending or signed.
func TestJudgeSeesEveryChange(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	n.MustSeal(n.Batch(0, 1, 10))
	o := n.MustSeal(n.Batch(1, 3, 10))
	n.Quorum.Close()
	for _, name := range slices.Sorted(maps.Keys(contents(t, n.Files, "seals/"+o.Seal+"/"))) {
		if strings.HasSuffix(name, "plan.json") {
			continue
		}
		var before []byte
		rewrite(t, n, name, func(b []byte) []byte {
			before = slices.Clone(b)
			b[len(b)/2] ^= 4
			return b
		})
		got, err := n.Judge.State(t.Context(), o.Seal)
		if err == nil && (got.State == preserve.StateSealed || !strings.HasPrefix(got.Reason, "contradicted")) {
			t.Errorf("%s changed, judged %s: %s", name, got.State, got.Reason)
		}
		rewrite(t, n, name, func([]byte) []byte { return before })
	}
	if got, err := n.Judge.State(t.Context(), o.Seal); err != nil || got.State != preserve.StateSealed {
		t.Errorf("put back: %+v, %v", got, err)
	}
}

// What is sealed depends on the Policy, and on nothing that was remembered.
func TestJudgeFollowsThePolicy(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	o := n.MustSeal(n.Batch(0, 1, 10))
	n.Quorum.Close()
	good := *n.Trust.Policy()
	judge := func(change func(p *holdfast.Policy)) preserve.Outcome {
		t.Helper()
		p := good
		p.Authorities, p.Nodes = slices.Clone(good.Authorities), slices.Clone(good.Nodes)
		change(&p)
		n.Trust.Set(&p, n.Trust.Material().Certs)
		got, err := n.Judge.State(t.Context(), o.Seal)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := judge(func(p *holdfast.Policy) { p.Quorum = 4 }); got.State != preserve.StateSigned || !strings.Contains(got.Reason, "of 4 operators") {
		t.Errorf("larger quorum: %+v", got)
	}
	if got := judge(func(p *holdfast.Policy) { p.Authorities = p.Authorities[:1] }); got.State != preserve.StateSigned {
		t.Errorf("fewer authorities: %+v", got)
	}
	past := holdfast.At(time.Now().Add(-time.Hour))
	if got := judge(func(p *holdfast.Policy) {
		for i := range p.Authorities {
			p.Authorities[i].Until = &past
		}
	}); got.State != preserve.StateSigned {
		t.Errorf("authorities of the past: %+v", got)
	}
	if got := judge(func(p *holdfast.Policy) { p.Nodes = []holdfast.PolicyNode{} }); got.State == preserve.StateSealed {
		t.Errorf("no node: %+v", got)
	}
	if got := judge(func(p *holdfast.Policy) {}); got.State != preserve.StateSealed {
		t.Errorf("as before: %+v", got)
	}
	if _, err := n.Judge.State(t.Context(), holdfast.SealID(sealtest.Queue, 0, 99)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("unknown seal: %v", err)
	}
}

// Every capture of a plan must be in the statement: one that only says the same
// Seal ID is not enough.
func TestStatementOfOtherManifestsIsRefused(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	a, b := n.MustSeal(n.Batch(0, 2, 10)), n.MustSeal(n.Batch(2, 2, 10))
	var foreign []byte
	rewrite(t, n, "seals/"+a.Seal+"/statement.dsse.json", func(x []byte) []byte { foreign = slices.Clone(x); return x })
	rewrite(t, n, "seals/"+b.Seal+"/statement.dsse.json", func([]byte) []byte { return foreign })
	if got, err := n.Judge.State(t.Context(), b.Seal); err != nil || got.State != preserve.StatePending {
		t.Errorf("%+v, %v", got, err)
	}
	p, err := n.Sealer.Find(t.Context(), sealtest.Queue, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Sealer.Carry(t.Context(), p, nil); !errors.Is(err, preserve.ErrPlan) {
		t.Errorf("carried on over it: %v", err)
	}
}
