package preserve_test

import (
	"testing"

	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// The listing of each hour begins where the last one ended and finds what is new since;
// what was not whole before is known and is not forgotten.
func TestScanBeginsAtTheLast(t *testing.T) {
	t.Parallel()
	n, away := down(t)
	away.SetMode()
	for i := range int64(12) {
		n.MustSeal(n.Batch(i, 1, 10))
	}
	s := &counted{Store: n.Store}
	r, published := reconciler(n)
	r.Store = s
	names := func() int {
		t.Helper()
		s.names = 0
		if err := r.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s.names
	}
	each := names() / 12
	if each < 5 {
		t.Fatalf("a Seal has %d parts", each)
	}
	if got := names(); got > each+4 {
		t.Errorf("the second scan listed %d names; a Seal has %d", got, each)
	}
	away.SetMode(sealtest.ServerError)
	for next := int64(20); ; next++ { // until it is known to be away
		o, err := n.Sealer.Seal(t.Context(), n.Batch(next, 1, 10))
		if err != nil {
			t.Fatal(err)
		}
		if o.State == preserve.StateSigned {
			break
		}
	}
	for next := int64(40); next < 43; next++ {
		if o, err := n.Sealer.Seal(t.Context(), n.Batch(next, 1, 10)); err != nil || o.State != preserve.StateSigned {
			t.Fatalf("%+v, %v", o, err)
		}
	}
	names()
	if got := names(); got > each+4 {
		t.Errorf("a scan behind some that are only signed listed %d names", got)
	}
	p, err := r.Pass(t.Context())
	if err != nil || len(p.Signed) < 4 {
		t.Fatalf("%+v, %v", p, err)
	}
	away.SetMode()
	until(t, "all are published", func() bool {
		if _, err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		return len(published()) == len(p.Signed)
	})
	names()
	if got := names(); got > each+4 {
		t.Errorf("once all are sealed, a scan listed %d names", got)
	}
}

// What is doubtful for good is judged once, whether the scans look at it again or not.
func TestScanLeavesWhatWasJudged(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	for i := range int64(6) {
		n.MustSeal(n.Batch(i, 1, 10))
	}
	if err := n.Quorum.SetAuthorities([]preserve.Authority{sealtest.NewAuthority(t, "delta").Config(), sealtest.NewAuthority(t, "epsilon").Config()}); err != nil {
		t.Fatal(err) // names of others show no quorum
	}
	s := &counted{Store: n.Store}
	r, _ := reconciler(n)
	r.Store = s
	var first, last int
	for i := range 3 {
		s.names = 0
		if err := r.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if p, err := r.Pass(t.Context()); err != nil || i == 0 && len(p.Sealed) != 6 || i > 0 && len(p.Sealed) > 0 {
			t.Fatalf("pass %d: %+v, %v", i, p, err)
		}
		if last = s.names; i == 0 {
			first = last
		}
	}
	if last > first/3 {
		t.Errorf("the first scan listed %d names, the third %d", first, last)
	}
}
