// Package sealtest provides what seals are tested against: time-stamping
// authorities of several operators that answer over HTTP like real ones and
// misbehave on demand. Their tokens are written by another encoder than that of
// package authority, so that two writers meet the one reader.
package sealtest

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/preserve"
)

// Policy is the policy OID of every token, unless the mode is [WrongPolicy]. It
// lies under 2.999, the arc for examples.
const Policy = "2.999.3161.9"

// A Mode is one way to misbehave, or one kind of key. Modes combine.
type Mode string

// The modes. Without any, an authority is right: P-256, certificates of the
// unit and of the CA that issued it, whole seconds, accuracy one second.
const (
	WrongImprint  Mode = "wrong imprint"
	WrongNonce    Mode = "wrong nonce"
	NoNonce       Mode = "no nonce"
	WrongPolicy   Mode = "wrong policy"
	BadSignature  Mode = "bad signature"
	WrongEKU      Mode = "wrong EKU"
	TwoEKUs       Mode = "two EKUs"
	LooseEKU      Mode = "EKU not critical"
	Expired       Mode = "expired certificate"
	NoCertificate Mode = "no certificate"
	OtherRoot     Mode = "other root"      // a chain that leads to a root of the same name
	OtherIssuer   Mode = "other issuer"    // another issuing CA under the right root
	Rejecting     Mode = "rejecting"       // status 2, with HTTP status 200
	ServerError   Mode = "server error"    // HTTP status 500
	HTML          Mode = "HTML"            // a captive portal: HTTP status 200, text/html
	Hanging       Mode = "hanging"         // until the client goes away
	Drip          Mode = "slow drip"       // a right reply, one byte in a tenth of a second
	Truncated     Mode = "truncated DER"   // half a reply, complete as HTTP
	Garbage       Mode = "garbage"         // no DER at all
	Huge          Mode = "huge reply"      // a right reply and a megabyte of zeros
	P384          Mode = "P-384"           // with SHA-384
	RSA256        Mode = "RSA-2048/SHA256" // PKCS #1 v1.5
	RSA512        Mode = "RSA-2048/SHA512"
)

const clockPrefix = "clock "

// Clock makes genTime differ from the true time: ahead when by is positive.
func Clock(by time.Duration) Mode { return Mode(clockPrefix + strconv.FormatInt(int64(by), 10)) }

// An Authority is an RFC 3161 authority on loopback. It is safe for concurrent
// use and closed by the test's cleanup.
type Authority struct {
	Operator string
	URL      string
	Roots    []*x509.Certificate
	RootsPEM []byte

	t        testing.TB
	requests atomic.Int64
	closing  chan struct{}
	ca       *hierarchy

	mu    sync.Mutex
	modes []Mode
	units map[string]*unit
}

// NewAuthority starts an authority with keys of its own.
func NewAuthority(t testing.TB, operator string, modes ...Mode) *Authority {
	t.Helper()
	ca := newHierarchy(t, operator)
	a := &Authority{
		Operator: operator, Roots: []*x509.Certificate{ca.root.cert},
		RootsPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.cert.Raw}),
		t:        t, closing: make(chan struct{}), ca: ca, units: map[string]*unit{},
	}
	a.SetMode(modes...)
	s := httptest.NewServer(http.HandlerFunc(a.serve))
	a.URL = s.URL
	t.Cleanup(func() {
		close(a.closing) // first, since Close waits for what hangs
		s.Close()
	})
	return a
}

// Handler answers as the server does, for tests that carry HTTP in the process.
func (a *Authority) Handler() http.Handler { return http.HandlerFunc(a.serve) }

// SetMode replaces all modes from the next request on; none: right again.
func (a *Authority) SetMode(modes ...Mode) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.modes = slices.Clone(modes)
}

// Requests returns how many requests came over HTTP.
func (a *Authority) Requests() int { return int(a.requests.Load()) }

// Issuer returns the CA that certifies the units, which is not the root.
func (a *Authority) Issuer() *x509.Certificate { return a.ca.issuer.cert }

// Config returns the authority as a client would configure it: nothing pinned,
// not public, named like its operator.
func (a *Authority) Config() preserve.Authority {
	return preserve.Authority{Name: a.Operator, Operator: a.Operator, URL: a.URL, Roots: a.Roots}
}

// Issue answers in process, under the same modes save those of the transport.
func (a *Authority) Issue(_ context.Context, request []byte) []byte {
	reply, err := a.reply(request)
	if err != nil {
		a.t.Errorf("sealtest: issue token: %v", err)
	}
	return reply
}

// is reports whether a mode is set.
func (a *Authority) is(m Mode) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.modes, m)
}

func (a *Authority) serve(w http.ResponseWriter, r *http.Request) {
	a.requests.Add(1)
	request, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return // the client is gone
	}
	switch {
	case a.is(Hanging):
		a.wait(r.Context(), time.Hour)
		return
	case a.is(ServerError):
		http.Error(w, "out of order", http.StatusInternalServerError)
		return
	case a.is(HTML):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<title>Welcome to our network</title>")
		return
	}
	reply := a.Issue(r.Context(), request)
	w.Header().Set("Content-Type", "application/timestamp-reply")
	switch {
	case a.is(Drip):
		a.drip(w, r, reply)
	case a.is(Huge):
		_, _ = w.Write(append(reply, make([]byte, 1<<20)...))
	default:
		_, _ = w.Write(reply)
	}
}

// wait returns false when the client or the test ended before d was over.
func (a *Authority) wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
	case <-a.closing:
	case <-time.After(d):
		return true
	}
	return false
}

func (a *Authority) drip(w http.ResponseWriter, r *http.Request, reply []byte) {
	for i := range reply {
		if _, err := w.Write(reply[i : i+1]); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		if !a.wait(r.Context(), 100*time.Millisecond) {
			return
		}
	}
}

// hash returns what tokens are signed with in the present modes.
func (a *Authority) hash() crypto.Hash {
	switch {
	case a.is(P384):
		return crypto.SHA384
	case a.is(RSA512):
		return crypto.SHA512
	}
	return crypto.SHA256
}
