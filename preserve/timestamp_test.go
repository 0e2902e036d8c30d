package preserve_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"holdfast/preserve"
	"holdfast/preserve/authority"
	"holdfast/preserve/sealtest"
	"holdfast/rfc3161"
)

func client() *preserve.Client {
	return &preserve.Client{HTTP: &http.Client{}, Timeout: 5 * time.Second}
}

func TestStampModes(t *testing.T) {
	a := sealtest.NewAuthority(t, "Operator A")
	for _, c := range []struct {
		mode sealtest.Mode
		want error
		kind string
	}{
		{"", nil, "ECDSA-256 SHA-256"},
		{sealtest.P384, nil, "ECDSA-384 SHA-384"},
		{sealtest.RSA256, nil, "RSA-2048 SHA-256"},
		{sealtest.RSA512, nil, "RSA-2048 SHA-512"},
		{sealtest.OtherIssuer, nil, "ECDSA-256 SHA-256"}, // nothing is pinned here
		{sealtest.WrongPolicy, nil, "ECDSA-256 SHA-256"},
		{sealtest.WrongImprint, rfc3161.ErrImprint, ""},
		{sealtest.WrongNonce, preserve.ErrNonce, ""},
		{sealtest.NoNonce, preserve.ErrNonce, ""},
		{sealtest.BadSignature, rfc3161.ErrSignature, ""},
		{sealtest.WrongEKU, rfc3161.ErrSigner, ""},
		{sealtest.TwoEKUs, rfc3161.ErrSigner, ""},
		{sealtest.LooseEKU, rfc3161.ErrSigner, ""},
		{sealtest.NoCertificate, rfc3161.ErrSigner, ""},
		{sealtest.Expired, rfc3161.ErrExpired, ""},
		{sealtest.OtherRoot, rfc3161.ErrUnknownRoot, ""},
		{sealtest.Rejecting, rfc3161.ErrRejected, ""},
		{sealtest.Truncated, rfc3161.ErrSyntax, ""},
		{sealtest.Garbage, rfc3161.ErrSyntax, ""},
		{sealtest.Huge, preserve.ErrReply, ""},
		{sealtest.HTML, preserve.ErrReply, ""},
		{sealtest.ServerError, preserve.ErrReply, ""},
		{sealtest.Hanging, context.DeadlineExceeded, ""},
		{sealtest.Drip, context.DeadlineExceeded, ""},
	} {
		t.Run(string(c.mode), func(t *testing.T) {
			a.SetMode(c.mode)
			cl := client()
			if errors.Is(c.want, context.DeadlineExceeded) {
				cl.Timeout = 300 * time.Millisecond
			}
			before := a.Requests()
			ts, err := cl.Stamp(t.Context(), a.Config(), []byte("signature"))
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("%v, want %v", err, c.want)
			}
			if a.Requests() != before+1 {
				t.Errorf("%d requests", a.Requests()-before)
			}
			if c.want != nil {
				if ts != nil {
					t.Error("a timestamp beside an error")
				}
				return
			}
			if k, err := ts.Token.Kind(); err != nil || k.String() != c.kind {
				t.Errorf("kind %v %v", k, err)
			}
			if !ts.Chain.Root.Equal(a.Roots[0]) || ts.Chain.Issuer.Equal(a.Roots[0]) {
				t.Errorf("chain %+v", ts.Chain)
			}
			if _, err := rfc3161.Parse(ts.Token.Raw); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStampPins(t *testing.T) {
	a := sealtest.NewAuthority(t, "Operator A")
	first, err := client().Stamp(t.Context(), a.Config(), []byte("signature"))
	if err != nil {
		t.Fatal(err)
	}
	pinned := a.Config()
	pinned.IssuerPin, pinned.PolicyPin = first.IssuerPin, first.Token.Policy
	if !first.Chain.Issuer.Equal(a.Issuer()) || pinned.PolicyPin != sealtest.Policy {
		t.Fatalf("pins %q %q", pinned.IssuerPin, pinned.PolicyPin)
	}
	for mode, want := range map[sealtest.Mode]error{
		"": nil, sealtest.P384: nil, sealtest.OtherIssuer: preserve.ErrIssuer, sealtest.WrongPolicy: preserve.ErrPolicy,
	} {
		a.SetMode(mode)
		if _, err := client().Stamp(t.Context(), pinned, []byte("signature")); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%q: %v, want %v", mode, err, want)
		}
	}
}

// Clocks may disagree: the token is kept and the offset told.
func TestStampOffset(t *testing.T) {
	a := sealtest.NewAuthority(t, "Operator A")
	for _, by := range []time.Duration{0, 90 * time.Second, -90 * time.Second, 48 * time.Hour, -400 * 24 * time.Hour} {
		a.SetMode(sealtest.Clock(by))
		ts, err := client().Stamp(t.Context(), a.Config(), []byte("signature"))
		if err != nil {
			t.Fatal(err)
		}
		if d := ts.Offset - by; d.Abs() > 3*time.Second {
			t.Errorf("clock %v: offset %v", by, ts.Offset)
		}
		cl := client()
		cl.Now = func() time.Time { return time.Now().Add(by) } // now both agree
		if ts, err = cl.Stamp(t.Context(), a.Config(), []byte("signature")); err != nil || ts.Offset.Abs() > 3*time.Second {
			t.Errorf("clock %v: offset %v %v", by, ts.Offset, err)
		}
	}
}

func TestStampUnreachable(t *testing.T) {
	a := sealtest.NewAuthority(t, "Operator A")
	for name, url := range map[string]string{"nobody there": "http://127.0.0.1:1/", "no URL": "", "no scheme": "tsa.example"} {
		cfg := a.Config()
		cfg.URL = url
		if _, err := client().Stamp(t.Context(), cfg, []byte("signature")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The node's own authority is asked in process and checked like any other.
func TestStampInProcess(t *testing.T) {
	own, err := authority.Open(t.TempDir(), authority.Options{Operator: "Own office"})
	if err != nil {
		t.Fatal(err)
	}
	cfg := preserve.Authority{Name: "own", Operator: "Own office", Roots: sealtest.NewAuthority(t, "x").Roots, Issue: own.Issue, PolicyPin: own.PolicyOID()}
	if _, err := client().Stamp(t.Context(), cfg, []byte("signature")); !errors.Is(err, rfc3161.ErrUnknownRoot) {
		t.Errorf("another root: %v", err)
	}
	cfg.Roots[0] = own.Root()
	ts, err := client().Stamp(t.Context(), cfg, []byte("signature"))
	if err != nil {
		t.Fatal(err)
	}
	if !ts.Chain.Issuer.Equal(own.Root()) || ts.Token.Latest().Before(time.Now().Add(-2*time.Second)) {
		t.Errorf("%+v", ts)
	}
}
