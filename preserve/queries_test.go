package preserve_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/rfc3161"
)

// offline is a node that asks nobody, one Seal of it that is signed, and the
// Seal's queries.
func offline(t *testing.T, o sealtest.NodeOptions) (n *sealtest.Node, q *preserve.Queries, us []preserve.Unanswered, told *[]preserve.Outcome) {
	t.Helper()
	o.Offline = true
	n = sealtest.NewNode(t, o)
	begin := time.Now()
	out, err := n.Sealer.Seal(t.Context(), n.Batch(0, 3, 10))
	if err != nil || out.State != preserve.StateSigned {
		t.Fatalf("%+v, %v", out, err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("signing without a line took %v", d)
	}
	told = new([]preserve.Outcome)
	q = &preserve.Queries{Dir: filepath.Join(n.Dir, "queries"), Recon: &preserve.Reconciler{Store: n.Store, Quorum: n.Quorum,
		Publish: func(_ context.Context, o preserve.Outcome) error { *told = append(*told, o); return nil }}}
	if us, err = q.Of(t.Context(), out.Seal); err != nil || len(us) != len(n.Authorities) {
		t.Fatalf("%d queries, %v", len(us), err)
	}
	for _, a := range n.Authorities {
		if a.Requests() != 0 {
			t.Errorf("%s was asked", a.Operator)
		}
	}
	return n, q, us, told
}

// Queries travel, replies come back one by one, twice, and make a Seal sealed.
func TestQueriesJourney(t *testing.T) {
	t.Parallel()
	n, q, us, told := offline(t, sealtest.NodeOptions{Unpinned: true})
	again, err := q.Of(t.Context(), us[0].Seal)
	if err != nil || string(again[0].DER) != string(us[0].DER) || string(again[0].DER) == string(again[1].DER) {
		t.Fatalf("a query is drawn anew, or two are equal: %v", err)
	}
	for i, u := range us[:2] {
		reply := n.Authorities[i].Issue(t.Context(), u.DER)
		for try, want := range []bool{true, false} {
			r, err := q.Take(t.Context(), u.Name(), reply)
			if err != nil || (r.Stamp != nil) != want || r.Seal != u.Seal || r.Authority.Name != u.Authority.Name {
				t.Fatalf("%s, try %d: %+v, %v", u.Name(), try, r, err)
			}
		}
		o, err := q.Settle(t.Context(), u.Seal)
		if want := []string{preserve.StateSigned, preserve.StateSealed}[i]; err != nil || o.State != want {
			t.Fatalf("after %d replies: %+v, %v", i+1, o, err)
		}
	}
	if len(*told) != 2 || (*told)[1].State != preserve.StateSealed || len((*told)[1].Captures) != 3 {
		t.Errorf("published %+v", *told)
	}
	if len(n.Trust.Policy().Authorities) != 2 {
		t.Errorf("%d authorities are pinned", len(n.Trust.Policy().Authorities))
	}
	if left, err := os.ReadDir(q.Dir); err != nil || len(left) != 1 {
		t.Errorf("%d queries are left, %v", len(left), err)
	}
	// One more than the quorum is taken too; a query about it is none any more.
	if us2, err := q.Of(t.Context(), us[2].Seal); err != nil || len(us2) != 0 {
		t.Errorf("%d queries about a Seal that is sealed, %v", len(us2), err)
	}
	if r, err := q.Take(t.Context(), us[2].Name(), n.Authorities[2].Issue(t.Context(), us[2].DER)); err != nil || r.Stamp == nil {
		t.Errorf("third reply: %+v, %v", r, err)
	}
}

// What the online client refuses is refused here, for the same reason, and
// leaves the query to be answered.
func TestQueriesRefuse(t *testing.T) {
	t.Parallel()
	n, q, us, _ := offline(t, sealtest.NodeOptions{})
	a, u := n.Authorities[0], us[0]
	for mode, want := range map[sealtest.Mode]error{
		sealtest.WrongImprint: rfc3161.ErrImprint, sealtest.WrongNonce: preserve.ErrNonce, sealtest.NoNonce: preserve.ErrNonce,
		sealtest.BadSignature: rfc3161.ErrSignature, sealtest.WrongEKU: rfc3161.ErrSigner, sealtest.TwoEKUs: rfc3161.ErrSigner,
		sealtest.LooseEKU: rfc3161.ErrSigner, sealtest.NoCertificate: rfc3161.ErrSigner, sealtest.Expired: rfc3161.ErrExpired,
		sealtest.OtherRoot: rfc3161.ErrUnknownRoot, sealtest.Rejecting: rfc3161.ErrRejected, sealtest.Truncated: rfc3161.ErrSyntax,
		sealtest.Garbage: rfc3161.ErrSyntax, sealtest.OtherIssuer: preserve.ErrIssuer, sealtest.WrongPolicy: preserve.ErrPolicy,
	} {
		a.SetMode(mode)
		if r, err := q.Take(t.Context(), u.Name(), a.Issue(t.Context(), u.DER)); !errors.Is(err, want) || r.Stamp != nil {
			t.Errorf("%s: %v, want %v", mode, err, want)
		}
	}
	a.SetMode()
	good := a.Issue(t.Context(), u.DER)
	foreign, err := preserve.NewQuery(u.Authority, []byte("another signature"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		name  string
		reply []byte
		want  error
	}{
		"swapped":            {us[1].Name(), good, preserve.ErrNonce},
		"of another query":   {u.Name(), a.Issue(t.Context(), foreign.DER()), preserve.ErrNonce},
		"no name":            {"reply", good, preserve.ErrNoQuery},
		"a path":             {"../" + u.Name(), good, preserve.ErrNoQuery},
		"another Seal":       {"00000000000000aa-0-00000000000000000099.alpha", good, preserve.ErrNoQuery},
		"unknown authority":  {u.Seal + ".delta", good, preserve.ErrNotAsked},
		"the node's own":     {u.Seal + ".own", good, preserve.ErrNotAsked},
		"with more after it": {u.Name(), append(good[:len(good):len(good)], 0), rfc3161.ErrSyntax},
		"too long":           {u.Name(), append(good[:len(good):len(good)], make([]byte, rfc3161.MaxSize)...), rfc3161.ErrSyntax},
		"empty":              {u.Name(), nil, rfc3161.ErrSyntax},
	} {
		if r, err := q.Take(t.Context(), c.name, c.reply); !errors.Is(err, c.want) || r.Stamp != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	parts, err := preserve.Parts(t.Context(), n.Files, u.Seal)
	if err != nil {
		t.Fatal(err)
	}
	for part := range parts {
		if len(part) > 16 && part[:16] == "timestamps/alpha" {
			t.Errorf("a refused reply became %s", part)
		}
	}
	if r, err := q.Take(t.Context(), u.Name(), good); err != nil || r.Stamp == nil {
		t.Errorf("the right one after all: %v", err)
	}
	// A reply of another query that comes when none is needed is still named.
	if _, err := q.Take(t.Context(), u.Name(), a.Issue(t.Context(), foreign.DER())); !errors.Is(err, rfc3161.ErrImprint) {
		t.Errorf("a reply about something else, when none is needed: %v", err)
	}
}

// A query whose file is lost or damaged is drawn anew; a reply to the lost one
// counts for nothing.
func TestQueriesLost(t *testing.T) {
	t.Parallel()
	n, q, us, _ := offline(t, sealtest.NodeOptions{})
	file := filepath.Join(q.Dir, us[0].Name()+".tsq")
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	late := n.Authorities[0].Issue(t.Context(), us[0].DER)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Take(t.Context(), us[0].Name(), late); !errors.Is(err, preserve.ErrNoQuery) {
		t.Errorf("reply to a query that is not known: %v", err)
	}
	var again []preserve.Unanswered
	for _, damage := range []string{"", "damaged", string(us[1].DER[:40]), string(us[0].DER) + "x"} {
		if err := os.WriteFile(file, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if again, err = q.Of(t.Context(), us[0].Seal); err != nil || string(again[0].DER) == string(us[0].DER) {
			t.Fatalf("%q: %v", damage, err)
		}
		if _, err := q.Take(t.Context(), us[0].Name(), late); !errors.Is(err, preserve.ErrNonce) {
			t.Errorf("%q: reply to the lost query: %v", damage, err)
		}
	}
	if r, err := q.Take(t.Context(), us[0].Name(), n.Authorities[0].Issue(t.Context(), again[0].DER)); err != nil || r.Stamp == nil {
		t.Errorf("reply to the new query: %v", err)
	}
}
