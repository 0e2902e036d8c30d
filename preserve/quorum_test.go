package preserve_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/rfc3161"
)

// Every way to misbehave keeps a Seal from being sealed when the quorum needs
// that authority, names it, and leaves nothing of it among the parts.
func TestMisbehavingAuthorityDoesNotCount(t *testing.T) {
	t.Parallel()
	modes := []sealtest.Mode{
		sealtest.WrongImprint, sealtest.WrongNonce, sealtest.NoNonce, sealtest.WrongPolicy, sealtest.BadSignature, sealtest.WrongEKU,
		sealtest.TwoEKUs, sealtest.LooseEKU, sealtest.Expired, sealtest.NoCertificate, sealtest.OtherRoot, sealtest.OtherIssuer,
		sealtest.Rejecting, sealtest.ServerError, sealtest.HTML, sealtest.Hanging, sealtest.Drip, sealtest.Truncated, sealtest.Garbage, sealtest.Huge,
		sealtest.Clock(-10 * time.Minute),
	}
	good, bad := sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta")
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{good, bad}, Wait: 500 * time.Millisecond})
	n.MustSeal(n.Batch(0, 1, 10)) // so that a clock that is behind contradicts notBefore
	for i, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			bad.SetMode(mode)
			o, err := n.Sealer.Seal(t.Context(), n.Batch(int64(i+1), 1, 10))
			alpha := strings.Contains(o.Reason, "1 of 2 operators") || strings.Contains(o.Reason, "0 of 2 operators") && strings.Contains(o.Reason, "alpha: its answer is on its way")
			if err != nil || o.State != preserve.StateSigned || !alpha || !strings.Contains(o.Reason, "beta: ") || !o.T.IsZero() {
				t.Fatalf("%+v, %v", o, err)
			}
			t.Log(o.Reason)
			if left := contents(t, n.Files, "seals/"+o.Seal+"/timestamps/beta/"); len(left) > 0 {
				t.Errorf("kept: %v", left)
			}
			bad.SetMode()
			r, published := reconciler(n)
			r.Add(o.Seal)
			wait(t, r, o.Seal)
			if got := published(); len(got) != 1 || got[0].State != preserve.StateSealed || got[0].T.IsZero() || len(got[0].Captures) != 1 {
				t.Errorf("published %+v", got)
			}
		})
	}
}

// reconciler returns one that remembers what it publishes.
func reconciler(n *sealtest.Node) (*preserve.Reconciler, func() []preserve.Outcome) {
	var mu sync.Mutex
	var all []preserve.Outcome
	r := &preserve.Reconciler{Store: n.Store, Quorum: n.Quorum, Retry: 10 * time.Millisecond, MaxRetry: 50 * time.Millisecond}
	r.Publish = func(_ context.Context, o preserve.Outcome) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, o)
		return nil
	}
	return r, func() []preserve.Outcome {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// wait makes passes until a Seal is sealed.
func wait(t *testing.T, r *preserve.Reconciler, seal string) {
	t.Helper()
	var p preserve.Pass
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var err error
		if p, err = r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(p.Sealed) == 1 && p.Sealed[0] == seal {
			return
		}
	}
	t.Fatalf("seal %s was not reconciled: %+v", seal, p)
}

// Kinds of token that are sound and rare still count.
func TestOtherKindsOfTokenCount(t *testing.T) {
	t.Parallel()
	for _, mode := range []sealtest.Mode{sealtest.P384, sealtest.RSA256, sealtest.RSA512, sealtest.Clock(10 * time.Minute)} {
		a := sealtest.NewAuthority(t, "alpha", mode)
		n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{a, sealtest.NewAuthority(t, "beta")}})
		n.MustSeal(n.Batch(0, 1, 10))
	}
}

// An authority whose clock is ahead must not raise notBefore: later Seals would
// be contradicted by the right ones.
func TestClockAheadDoesNotPoisonNotBefore(t *testing.T) {
	t.Parallel()
	ahead := sealtest.NewAuthority(t, "alpha", sealtest.Clock(10*time.Minute))
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{ahead, sealtest.NewAuthority(t, "beta"), sealtest.NewAuthority(t, "gamma")}})
	for i := range 6 { // T may be the late one: with two answers, the second smallest is
		n.MustSeal(n.Batch(int64(i), 1, 10))
	}
}

// While too many are down nobody waits for them; when they are back, the Seal
// after the next is sealed at once again.
func TestDownIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	a, b := sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta")
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{a, b}, Wait: 2 * time.Second})
	b.SetMode(sealtest.Hanging)
	took := func(first int64) (preserve.Outcome, time.Duration) {
		begin := time.Now()
		o, err := n.Sealer.Seal(t.Context(), n.Batch(first, 1, 10))
		if err != nil {
			t.Fatal(err)
		}
		return o, time.Since(begin)
	}
	if o, d := took(0); o.State != preserve.StateSigned || d < 2*time.Second {
		t.Errorf("first: %s after %s", o.State, d)
	}
	for i := range 3 {
		if o, d := took(int64(i) + 1); o.State != preserve.StateSigned || d > 1500*time.Millisecond || !strings.Contains(o.Reason, "down: beta: ") {
			t.Errorf("known to be down: %s after %s: %s", o.State, d, o.Reason)
		}
	}
	b.SetMode()
	deadline := time.Now().Add(15 * time.Second)
	for i := int64(10); ; i++ {
		if o, _ := took(i); o.State == preserve.StateSealed {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("never sealed again")
		}
	}
}

func TestOwnTokenIsBesideAndNeverCounts(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{sealtest.NewAuthority(t, "alpha")}})
	o, err := n.Sealer.Seal(t.Context(), n.Batch(0, 1, 10))
	if err != nil || o.State != preserve.StateSigned || !strings.Contains(o.Reason, "1 of 2 operators: alpha") {
		t.Fatalf("%+v, %v", o, err)
	}
	parts, err := preserve.Parts(t.Context(), n.Files, o.Seal)
	if err != nil {
		t.Fatal(err)
	}
	own := 0
	for name, raw := range parts {
		if strings.HasPrefix(name, "timestamps/own/") {
			own++
			env, err := holdfast.ParseEnvelope(parts["statement.dsse.json"], holdfast.PayloadStatement, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			token, err := rfc3161.Parse(raw)
			imprint := sha256.Sum256(env.Signatures[0].Sig)
			if err != nil || token.Check(imprint[:]) != nil {
				t.Errorf("own token: %v", err)
			}
		}
	}
	if own != 1 {
		t.Errorf("%d own tokens", own)
	}
}

// Two services of one operator are one witness.
func TestOneOperatorCountsOnce(t *testing.T) {
	t.Parallel()
	a := sealtest.NewAuthority(t, "alpha")
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{a}})
	second := a.Config()
	second.Name = "alpha-2"
	q, err := preserve.NewQuorum(preserve.QuorumOptions{Authorities: []preserve.Authority{a.Config(), second}, Client: &preserve.Client{HTTP: httpClient()}, Trust: n.Trust, Store: n.Store})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	s := preserve.NewSealer(preserve.Options{Node: n.Name, Training: true, Signer: n.Signer, Tlog: n.Tlog, Store: n.Store, Quorum: q})
	o, err := s.Seal(t.Context(), n.Batch(0, 1, 10))
	if err != nil || o.State != preserve.StateSigned || !strings.Contains(o.Reason, "1 of 2 operators") {
		t.Errorf("%+v, %v", o, err)
	}
}

// The first valid token pins issuing CA and policy; another CA is then refused.
func TestFirstTokenPins(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Unpinned: true, Wait: time.Second})
	n.MustSeal(n.Batch(0, 1, 10))
	n.Quorum.Close() // so that the third one is pinned too
	p := n.Trust.Policy()
	if len(p.Authorities) != 3 {
		t.Fatalf("%d authorities are pinned", len(p.Authorities))
	}
	for _, a := range p.Authorities {
		if a.Issuer == nil || a.Policy != sealtest.Policy {
			t.Errorf("pin of %s: %+v", a.Operator, a)
		}
	}
	if _, err := p.Encode(); err != nil {
		t.Error(err)
	}
	pinned := preserve.Pinned(p, n.Authorities[0].Config())
	if pinned.PolicyPin != sealtest.Policy || pinned.IssuerPin == "" {
		t.Errorf("%+v", pinned)
	}
	ts, err := (&preserve.Client{HTTP: httpClient()}).Stamp(t.Context(), n.Authorities[0].Config(), []byte("signature"))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Trust.Pin(t.Context(), n.Authorities[0].Config(), ts); err != nil {
		t.Errorf("the pinned one: %v", err)
	}
	n.Authorities[0].SetMode(sealtest.OtherIssuer)
	if ts, err = (&preserve.Client{HTTP: httpClient()}).Stamp(t.Context(), n.Authorities[0].Config(), []byte("signature")); err != nil {
		t.Fatal(err)
	}
	if err := n.Trust.Pin(t.Context(), n.Authorities[0].Config(), ts); !errors.Is(err, preserve.ErrIssuer) {
		t.Errorf("another issuing CA: %v", err)
	}
}

// A pin that cannot be saved is not used: after a restart it would be gone, and
// the Seal no more sealed than before.
func TestPinIsSavedBeforeItCounts(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Unpinned: true})
	trust := preserve.NewTrust(n.Trust.Policy(), nil, func(context.Context, *holdfast.Policy) error { return errInjected })
	ts, err := (&preserve.Client{HTTP: httpClient()}).Stamp(t.Context(), n.Authorities[0].Config(), []byte("signature"))
	if err != nil {
		t.Fatal(err)
	}
	if err := trust.Pin(t.Context(), n.Authorities[0].Config(), ts); !errors.Is(err, errInjected) || len(trust.Policy().Authorities) != 0 {
		t.Errorf("%v, %+v", err, trust.Policy().Authorities)
	}
}

// The first Seal of a new run names a token of the run before; a damaged hint
// is as good as none.
func TestNewestTokenSurvivesARestart(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	n.MustSeal(n.Batch(0, 1, 10))
	n = n.Again()
	o := n.MustSeal(n.Batch(1, 1, 10))
	if !n.HasPart(o.Seal, "notbefore.tst") {
		t.Error("no notBefore after a restart")
	}
	if err := os.WriteFile(filepath.Join(n.Dir, "newest.tst"), []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	n = n.Again()
	if o := n.MustSeal(n.Batch(2, 1, 10)); n.HasPart(o.Seal, "notbefore.tst") {
		t.Error("a damaged token was named")
	}
}

// The JSON of an Outcome is what pipeline reads as a result message.
func TestOutcomeIsAResultMessage(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	b, err := canon.Marshal(n.MustSeal(n.Batch(0, 2, 10)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.ParseOutcome(b); err != nil {
		t.Errorf("%s: %v", b, err)
	}
	b, err = canon.Marshal(preserve.Outcome{Captures: []holdfast.ID{}, Seal: holdfast.SealID(sealtest.Queue, 0, 1), State: preserve.StateSigned, Reason: "why"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pipeline.ParseOutcome(b); err != nil {
		t.Errorf("%s: %v", b, err)
	}
}
