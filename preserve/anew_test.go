package preserve_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// pass lists the store and walks over what was found, once.
func pass(t *testing.T, r *preserve.Reconciler) preserve.Pass {
	t.Helper()
	if err := r.Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	p, err := r.Pass(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A policy that was lost and pinned anew may begin after a stored token. Its
// authority is asked for a further one, and the old one stays.
func TestTokenThatCountsNoMoreIsAskedAnew(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta")}})
	o := n.MustSeal(n.Batch(0, 1, 10))
	before := contents(t, n.Files, "seals/"+o.Seal+"/timestamps/")
	p := *n.Trust.Policy()
	p.Authorities = slices.Clone(p.Authorities)
	for i := range p.Authorities {
		p.Authorities[i].From = holdfast.At(o.T.Add(time.Second))
	}
	n.Trust.Set(&p, n.Trust.Material().Certs)
	time.Sleep(time.Until(o.T.Add(2 * time.Second))) // T has the accuracy in it, and tokens whole seconds
	r, published := reconciler(n)
	r.Add(o.Seal)
	wait(t, r, o.Seal)
	if got := published(); len(got) != 1 || got[0].State != preserve.StateSealed || !got[0].T.After(o.T.Time) {
		t.Errorf("published %+v", got)
	}
	after := contents(t, n.Files, "seals/"+o.Seal+"/timestamps/")
	for name, old := range before {
		if after[name] != old {
			t.Errorf("%s is gone", name)
		}
	}
	if len(after) < len(before)+2 {
		t.Errorf("%d tokens, were %d", len(after), len(before))
	}
}

// What never comes to count fills no Seal: an authority has a bound there.
func TestStaleTokensAreBounded(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta")}})
	o := n.MustSeal(n.Batch(0, 1, 10))
	p := *n.Trust.Policy()
	p.Authorities = []holdfast.Authority{} // pinned again at each token, below forgotten again
	r, _ := reconciler(n)
	for range 8 {
		n.Trust.Set(&p, nil)
		r.Add(o.Seal)
		if _, err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n.Quorum.Close()
	if got := contents(t, n.Files, "seals/"+o.Seal+"/timestamps/alpha/"); len(got) > 4 {
		t.Errorf("%d tokens of one authority", len(got))
	}
}

// Who gave up in the row before a public authority has taken no turn: the next
// Seal finds it idle.
func TestTurnsThatWereNotUsed(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Offline: true})
	as := []preserve.Authority{n.Authorities[0].Config(), n.Authorities[1].Config()}
	as[0].Public, as[1].Public = true, true
	asked := &asking{Stamper: client(), at: map[string][]time.Time{}}
	q, err := preserve.NewQuorum(preserve.QuorumOptions{Authorities: as, Client: asked, Trust: n.Trust, Store: n.Store, Pause: 2 * time.Second, Wait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	s := preserve.NewSealer(preserve.Options{Node: n.Name, Training: true, Signer: n.Signer, Tlog: n.Tlog, Store: n.Store, Quorum: q})
	var g sync.WaitGroup
	for i := range int64(6) {
		b := n.Batch(10*i, 1, 10)
		g.Go(func() {
			if _, err := s.Seal(t.Context(), b); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	time.Sleep(2500 * time.Millisecond)
	asked.mu.Lock()
	before := len(asked.at[as[0].Name])
	asked.mu.Unlock()
	if _, err := s.Seal(t.Context(), n.Batch(100, 1, 10)); err != nil {
		t.Fatal(err)
	}
	asked.mu.Lock()
	defer asked.mu.Unlock()
	if got := len(asked.at[as[0].Name]); got != before+1 {
		t.Errorf("asked %d times, then %d: it was idle and was not asked", before, got)
	}
}

// A Seal of authorities that are asked no more is judged once, not at each
// listing.
func TestSealsOfRemovedAuthorities(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta")}})
	o := n.MustSeal(n.Batch(0, 1, 10))
	if err := n.Quorum.SetAuthorities([]preserve.Authority{sealtest.NewAuthority(t, "gamma").Config()}); err != nil {
		t.Fatal(err)
	}
	r, published := reconciler(n)
	if p := pass(t, r); !slices.Equal(p.Sealed, []string{o.Seal}) {
		t.Errorf("%+v", p)
	}
	if p := pass(t, r); len(p.Sealed) > 0 || len(published()) != 1 {
		t.Errorf("judged again: %+v, %+v", p, published())
	}
}

// A Seal that is contradicted is asked nothing: no token helps it.
func TestVoidSealHasNoQueries(t *testing.T) {
	t.Parallel()
	n, q, us, _ := offline(t, sealtest.NodeOptions{})
	for i, u := range us[:2] {
		if _, err := q.Take(t.Context(), u.Name(), n.Authorities[i].Issue(t.Context(), u.DER)); err != nil {
			t.Fatal(err)
		}
	}
	end(n, time.Now().Add(-time.Hour))
	if o, err := n.Judge.State(t.Context(), us[0].Seal); err != nil || o.State != preserve.StateSigned || !strings.HasPrefix(o.Reason, "contradicted: ") {
		t.Fatalf("%+v, %v", o, err)
	}
	if left, err := q.Of(t.Context(), us[0].Seal); err != nil || len(left) != 0 {
		t.Errorf("%d queries, %v", len(left), err)
	}
}

// An inclusion without its checkpoint is what a crash may leave; it proves
// nothing, speaks against nothing, and the Seal is logged anew.
func TestInclusionWithoutCheckpoint(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{})
	b := n.Batch(0, 1, 10)
	o := n.MustSeal(b)
	gone := contents(t, n.Files, "seals/"+o.Seal+"/checkpoint/")
	if len(gone) != 1 {
		t.Fatalf("%d checkpoints", len(gone))
	}
	for name := range gone {
		if err := os.Remove(filepath.Join(n.Dir, "store", filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	got, err := n.Judge.State(t.Context(), o.Seal)
	if err != nil || got.State != preserve.StatePending || strings.Contains(got.Reason, "contradicted") {
		t.Errorf("%+v, %v", got, err)
	}
	p, err := n.Sealer.Plan(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := n.Sealer.Carry(t.Context(), p, b.Items); err != nil || got.State != preserve.StateSealed {
		t.Errorf("%+v, %v", got, err)
	}
}

// An authority that is pinned while the Policy is read anew stays pinned.
func TestPinWhileThePolicyIsReadAnew(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Unpinned: true, Offline: true})
	a := n.Authorities[0].Config()
	ts, err := client().Stamp(t.Context(), a, []byte("signature"))
	if err != nil {
		t.Fatal(err)
	}
	pinned := make(chan error, 1)
	err = n.Trust.Change(func() (*holdfast.Policy, []*x509.Certificate, error) {
		p := n.Trust.Policy()
		go func() { pinned <- n.Trust.Pin(context.Background(), a, ts) }()
		time.Sleep(100 * time.Millisecond)
		return p, n.Trust.Material().Certs, nil
	})
	if err := <-pinned; err != nil {
		t.Fatal(err)
	}
	if err != nil || len(n.Trust.Policy().Authorities) != 1 {
		t.Errorf("%d authorities are pinned, %v", len(n.Trust.Policy().Authorities), err)
	}
}

// newerStatement is a store whose Seals were signed by a later program.
type newerStatement struct {
	preserve.PartReader
	raw []byte
}

func (s newerStatement) ReadName(ctx context.Context, name string, limit int64) ([]byte, error) {
	if strings.HasSuffix(name, "/statement.dsse.json") {
		return s.raw, nil
	}
	return s.PartReader.ReadName(ctx, name, limit)
}

// A Seal of a newer program, in the hands of an older one, is less than sealed
// and says why; it is not contradicted, and stops nobody.
func TestNewerSealIsNotSealed(t *testing.T) {
	t.Parallel()
	n := sealtest.NewNode(t, sealtest.NodeOptions{Authorities: []*sealtest.Authority{sealtest.NewAuthority(t, "alpha"), sealtest.NewAuthority(t, "beta")}})
	o := n.MustSeal(n.Batch(0, 1, 10))
	raw, err := n.Files.ReadName(t.Context(), "seals/"+o.Seal+"/statement.dsse.json", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	env, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	env.Payload = bytes.Replace(env.Payload, []byte(`"version":1`), []byte(`"version":2`), 1)
	if env.Signatures[0].Sig, err = n.Signer.Sign(t.Context(), holdfast.PAE(env.PayloadType, env.Payload)); err != nil {
		t.Fatal(err)
	}
	if raw, err = env.Encode(); err != nil {
		t.Fatal(err)
	}
	j := preserve.Judge{Store: newerStatement{n.Files, raw}, Trust: n.Trust}
	got, err := j.State(t.Context(), o.Seal)
	if err != nil || got.State == preserve.StateSealed || !strings.Contains(got.Reason, "newer holdfast") || strings.HasPrefix(got.Reason, "contradicted") {
		t.Errorf("%+v, %v", got, err)
	}
}
