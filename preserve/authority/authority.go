// Package authority is an RFC 3161 time-stamping authority of an office's own,
// for partner offices, for training and for a node's own tokens.
//
// It is a real authority with a modest claim: its key lies in a file, its time
// is this machine's clock. What it stamps is as good as the office that runs it
// is trusted by whoever verifies; a node's own authority is never counted
// towards its own quorum.
//
// # Directory
//
//	ca.pem        0600  root certificate (P-256, 20 years) and its key, used only to issue units
//	unit-1.pem    0600  certificate and key that sign tokens (P-256, 10 years, critical
//	unit-2.pem          extended key usage timeStamping alone); the highest that is valid now is in use
//	roots.pem     0644  the root certificate, for those who verify
//
// Every file is written whole under a temporary name, synced and then linked to
// its own, so a crash leaves it absent or complete, and of two processes that
// begin in one directory the second adopts what the first has linked.
//
// # Tokens
//
// genTime is the clock's time cut to whole seconds and the accuracy is stated
// as one second, so genTime + accuracy is never before the true instant of
// signing. There is no fraction because some readers know only fractions of
// exactly three digits, which DER forbids when the last is zero.
package authority

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
	"unicode"
	"unicode/utf8"
)

// Policy is the policy OID of every token unless the office sets its own: an
// arc under 2.999, which ITU-T X.660 leaves to examples. It says honestly that
// no registered policy stands behind the token. An OID made from a UUID (2.25)
// would be unique, but has an arc of 128 bits, and several readers of tokens,
// encoding/asn1 among them, refuse arcs above 31 bits.
const Policy = "2.999.3161.1"

// MaxRequest bounds a request, in bytes.
const MaxRequest = 64 << 10

// maxOperator bounds an operator's name, in characters: with what is put before
// it, it must fit X.520's 64 for an organisation.
const maxOperator = 50

// Options say who runs an authority. Operator and Training are written into its
// certificates and cannot change later.
type Options struct {
	Operator string           // legal entity, 1 to 50 printable characters
	Training bool             // certificates say TRAINING
	Policy   string           // OID that the office has registered, e.g. "1.3.6.1.4.1.N.1". Optional, default [Policy]
	Now      func() time.Time // Optional, default time.Now
	Log      *slog.Logger     // Optional, default: nothing is logged
	Secrets  Secrets          // Optional, default: keys lie in clear
}

// Secrets keeps the files with private keys encrypted.
type Secrets interface {
	// Open returns the text of a file: decrypted, or as it is if it is not
	// encrypted.
	Open(file []byte) (text []byte, err error)
	// Seal returns what a new file shall hold.
	Seal(text []byte) (file []byte, err error)
}

// clear is Secrets that keeps nothing secret.
type clear struct{}

func (clear) Open(file []byte) ([]byte, error) { return file, nil }
func (clear) Seal(text []byte) ([]byte, error) { return text, nil }

// An Authority signs tokens. It is safe for concurrent use and holds nothing
// that must be closed.
type Authority struct {
	opt    Options
	policy asn1.ObjectIdentifier
	root   *x509.Certificate
	unit   *x509.Certificate
	key    *ecdsa.PrivateKey
	fixed  fixed
}

// Open loads the authority in dir, or makes it on first use. It issues a new
// unit when the newest has less than two years left, so restart an authority
// at least that often. A file that cannot be read is an error and never
// replaced: with another root, nobody could verify the tokens given so far.
func Open(dir string, opt Options) (*Authority, error) {
	if err := opt.fill(); err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	a := &Authority{opt: opt}
	var err error
	if a.policy, err = parseOID(opt.Policy); err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open authority: %w", err)
	}
	if err := a.load(dir); err != nil {
		return nil, fmt.Errorf("open authority in %s: %w", dir, err)
	}
	if a.fixed, err = newFixed(a.unit); err != nil {
		return nil, fmt.Errorf("open authority in %s: %w", dir, err)
	}
	return a, nil
}

func (o *Options) fill() error {
	if n := utf8.RuneCountInString(o.Operator); n < 1 || n > maxOperator || !utf8.ValidString(o.Operator) {
		return fmt.Errorf("operator's name has %d characters; give 1 to %d", n, maxOperator)
	}
	for _, c := range o.Operator {
		if !unicode.IsPrint(c) {
			return errors.New("operator's name has characters that cannot be printed")
		}
	}
	if o.Policy == "" {
		o.Policy = Policy
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Secrets == nil {
		o.Secrets = clear{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

func parseOID(s string) (asn1.ObjectIdentifier, error) {
	id, err := x509.ParseOID(s)
	if err != nil {
		return nil, fmt.Errorf("policy %.80q is not an object identifier such as %s", s, Policy)
	}
	der, err := id.MarshalBinary()
	if err != nil {
		return nil, err
	}
	var out asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(append([]byte{asn1.TagOID, byte(len(der))}, der...), &out); err != nil {
		return nil, fmt.Errorf("policy %.80q has an arc above 2^31, which several readers of tokens refuse", s)
	}
	return out, nil
}

// Root returns the certificate that a verifier must trust.
func (a *Authority) Root() *x509.Certificate { return a.root }

// Unit returns the certificate whose key signs the tokens.
func (a *Authority) Unit() *x509.Certificate { return a.unit }

// PolicyOID returns the policy of every token, dotted.
func (a *Authority) PolicyOID() string { return a.policy.String() }

// Issue answers one TimeStampReq with a TimeStampResp, both DER. It always
// gives an answer: what is wrong with a request stands in the answer's status.
// It does no input or output, so ctx is used for the log only.
func (a *Authority) Issue(ctx context.Context, request []byte) []byte {
	req, refusal := parseRequest(request)
	if refusal == nil && len(req.policy) > 0 && !req.wants(a.policy) {
		refusal = &rejection{unacceptedPolicy, "this authority has one policy: " + a.policy.String()}
	}
	now := a.opt.Now().UTC().Truncate(time.Second)
	if refusal == nil && (now.Before(a.unit.NotBefore) || now.After(a.unit.NotAfter)) {
		refusal = &rejection{timeNotAvailable, "the clock is outside the validity of the unit's certificate"}
	}
	if refusal != nil {
		a.opt.Log.WarnContext(ctx, "timestamp refused", "reason", refusal.text)
		return refusal.response()
	}
	response, err := a.sign(req, now)
	if err != nil {
		a.opt.Log.ErrorContext(ctx, "timestamp failed", "err", err)
		return (&rejection{systemFailure, "internal error"}).response()
	}
	return response
}
