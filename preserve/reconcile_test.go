package preserve_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// down makes a node that only signs: one of its two authorities is away.
func down(t *testing.T) (*sealtest.Node, *sealtest.Authority) {
	t.Helper()
	away := sealtest.NewAuthority(t, "beta", sealtest.ServerError)
	return sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{sealtest.NewAuthority(t, "alpha"), away}}), away
}

func sign(t *testing.T, n *sealtest.Node, first int64) string {
	t.Helper()
	o, err := n.Sealer.Seal(t.Context(), n.Batch(first, 2, 10))
	if err != nil || o.State != preserve.StateSigned {
		t.Fatalf("%+v, %v", o, err)
	}
	return o.Seal
}

// A new process, told of nothing, finds what was only signed and publishes it,
// once the authority is back; whole Seals are left alone.
func TestReconcilerFindsSignedSeals(t *testing.T) {
	t.Parallel()
	n, away := down(t)
	signed := []string{sign(t, n, 0), sign(t, n, 2), sign(t, n, 4)}
	away.SetMode()
	time.Sleep(150 * time.Millisecond) // the back-off's longest
	for i := int64(10); ; i++ {
		if o, err := n.Sealer.Seal(t.Context(), n.Batch(i, 1, 10)); err != nil {
			t.Fatal(err)
		} else if o.State == preserve.StateSealed {
			break
		} else {
			signed = append(signed, o.Seal)
		}
	}
	away.SetMode(sealtest.ServerError)
	n = n.Again()
	r, published := reconciler(n)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	time.Sleep(300 * time.Millisecond)
	away.SetMode()
	for end := time.Now().Add(20 * time.Second); len(published()) < 3 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	var got []string
	for _, o := range published() {
		if o.State != preserve.StateSealed || o.T.IsZero() || len(o.Captures) == 0 {
			t.Errorf("%+v", o)
		}
		got = append(got, o.Seal)
	}
	slices.Sort(got)
	slices.Sort(signed)
	for _, s := range got {
		if !slices.Contains(signed, s) {
			t.Errorf("%s was sealed already", s)
		}
	}
	if len(slices.Compact(got)) < 3 {
		t.Errorf("published %v of %v", got, signed)
	}
}

// After an outage, and with nothing flowing that would ask, the first answer has all that
// waits sealed, however rare the passes had become. A second authority that is back later
// counts in the same way.
func TestReconcilerSealsWhenAnAuthorityIsBack(t *testing.T) {
	t.Parallel()
	alpha, beta := sealtest.NewAuthority(t, "alpha", sealtest.ServerError), sealtest.NewAuthority(t, "beta", sealtest.ServerError)
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{alpha, beta}})
	signed := []string{sign(t, n, 0), sign(t, n, 2), sign(t, n, 4)}
	r, published := reconciler(n)
	r.Retry, r.MaxRetry = time.Hour, time.Hour
	for _, s := range signed {
		r.Add(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	time.Sleep(500 * time.Millisecond) // the passes that were asked for are over
	alpha.SetMode()
	until(t, "alpha's tokens are parts of all", func() bool { return stamped(t, n, "alpha") == len(signed) })
	alpha.SetMode(sealtest.ServerError)
	beta.SetMode()
	for end := time.Now().Add(20 * time.Second); len(published()) < len(signed) && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := published(); len(got) != len(signed) {
		t.Errorf("published %d of %d", len(got), len(signed))
	}
}

func TestReconcilerRepeatsWhatWasNotPublished(t *testing.T) {
	t.Parallel()
	n, away := down(t)
	seal := sign(t, n, 0)
	away.SetMode()
	r, published := reconciler(n)
	good := r.Publish
	r.Publish = func(context.Context, preserve.Outcome) error { return errInjected }
	r.Add(seal)
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if p, err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		} else if len(p.Bad) == 1 {
			break
		}
	}
	r.Publish = good
	wait(t, r, seal)
	if len(published()) != 1 {
		t.Errorf("published %+v", published())
	}
	if p, err := r.Pass(t.Context()); err != nil || len(p.Sealed) > 0 {
		t.Errorf("published twice: %+v, %v", p, err)
	}
}

// A plan without a proof is reported with what it needs; a plan of skipped
// positions needs nothing.
func TestReconcilerReportsUnfinishedPlans(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	b := n.Batch(0, 2, 10)
	p, err := n.Sealer.Plan(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	empty := preserve.Batch{Queue: b.Queue, First: 2, Last: 2, Skipped: []holdfast.Skipped{{ID: b.Items[0].ID, Position: 2, Reason: "duplicate"}}}
	if o, err := n.Sealer.Seal(t.Context(), empty); err != nil || o.Seal != "" {
		t.Errorf("nothing to seal: %+v, %v", o, err)
	}
	r, _ := reconciler(n)
	if err := r.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	pass, err := r.Pass(t.Context())
	if err != nil || !slices.Equal(pass.Unfinished, []string{p.Seal}) || len(pass.Bad) > 0 {
		t.Fatalf("%+v, %v", pass, err)
	}
	if p, err = n.Sealer.Find(t.Context(), b.Queue, b.Partition, b.First); err != nil || p == nil {
		t.Fatalf("%+v, %v", p, err)
	}
	if o, err := n.Judge.State(t.Context(), p.Seal); err != nil || o.State != preserve.StatePending {
		t.Errorf("only planned: %+v, %v", o, err)
	}
	if _, err := n.Sealer.Carry(t.Context(), p, nil); !errors.Is(err, preserve.ErrItems) {
		t.Errorf("without items: %v", err)
	}
	if o, err := n.Sealer.Carry(t.Context(), p, b.Items); err != nil || o.State != preserve.StateSealed {
		t.Errorf("with them: %+v, %v", o, err)
	}
}

func TestPlanRules(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	b := n.Batch(7, 4, 10)
	b.Items[2].ID, b.Items[3].Manifest = b.Items[0].ID, b.Items[1].Manifest
	p, err := n.Sealer.Plan(t.Context(), b)
	if err != nil || len(p.Captures) != 2 || len(p.Skipped) != 2 || p.Skipped[0].Reason != "duplicate" {
		t.Fatalf("%+v, %v", p, err)
	}
	found, err := n.Sealer.Find(t.Context(), b.Queue, 0, 7)
	if err != nil || found.Seal != p.Seal || found.Planned != p.Planned {
		t.Errorf("%+v, %v", found, err)
	}
	if none, err := n.Sealer.Find(t.Context(), b.Queue, 0, 8); none != nil || err != nil {
		t.Errorf("%+v, %v", none, err)
	}
	other := slices.Clone(b.Items)
	other[1] = n.Item(8, 10)
	if _, err := n.SealerOf(n.Tlog).Carry(t.Context(), p, other); !errors.Is(err, preserve.ErrPlan) {
		t.Errorf("other items at the plan's positions: %v", err)
	}
	swapped := slices.Clone(b.Items)
	swapped[0].Small = n.Item(7, 10).Small
	if _, err := n.SealerOf(n.Tlog).Carry(t.Context(), p, swapped); !errors.Is(err, preserve.ErrPlan) {
		t.Errorf("other small objects: %v", err)
	}
	gap := preserve.Batch{Queue: b.Queue, First: 20, Last: 25, Items: n.Batch(20, 2, 10).Items}
	if _, err := n.Sealer.Plan(t.Context(), gap); !errors.Is(err, holdfast.ErrForm) {
		t.Errorf("positions without items: %v", err)
	}
	if _, err := n.Sealer.Plan(t.Context(), n.Batch(100, 1025, 10)); !errors.Is(err, holdfast.ErrForm) {
		t.Errorf("1,025 captures: %v", err)
	}
	for i := range int64(3) {
		n.MustSeal(n.Batch(200+i, 1, 10))
	}
	plans, err := preserve.Newest(t.Context(), n.Files, b.Queue, 0, 207, 2)
	if err != nil || len(plans) != 4 || plans[0].First != 202 || plans[3].First != 7 { // all of the last hour
		t.Errorf("%d plans, %v", len(plans), err)
	}
}

// A found pack is compared, not trusted.
func TestForeignPackIsRefused(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	b := n.Batch(0, 1, 10)
	if err := n.Files.Create(t.Context(), holdfast.PackName(n.Case, holdfast.SealID(b.Queue, 0, 0)), bytes.NewReader([]byte("PK"))); err != nil {
		t.Fatal(err)
	}
	if o, err := n.Sealer.Seal(t.Context(), b); err == nil {
		t.Errorf("sealed over a foreign pack: %+v", o)
	}
	if n.HasPart(holdfast.SealID(b.Queue, 0, 0), "statement.dsse.json") {
		t.Error("it was signed")
	}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	as, err := preserve.Defaults()
	if err != nil {
		t.Fatal(err)
	}
	operators := make(map[string]bool)
	for _, a := range as {
		operators[a.Operator] = true
		if !a.Public || len(a.Roots) == 0 || a.URL == "" || !holdfast.ValidAuthorityName(a.Name) {
			t.Errorf("%+v", a)
		}
	}
	if len(operators) < 5 {
		t.Errorf("only %d operators", len(operators))
	}
}

// Who is woken looks at once, however long the pause between two passes was to be:
// an authority was added, and what waits for it must not wait for the clock.
func TestReconcilerWakes(t *testing.T) {
	t.Parallel()
	n, away := down(t)
	sign(t, n, 0)
	n = n.Again() // which knows of no outage
	r, published := reconciler(n)
	r.Retry = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	time.Sleep(500 * time.Millisecond) // the first pass has found it down
	away.SetMode()
	for end := time.Now().Add(20 * time.Second); len(published()) == 0 && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		r.Wake()
	}
	cancel()
	<-done
	if len(published()) != 1 {
		t.Errorf("published %+v", published())
	}
}
