// Package rfc3161 reads and checks the tokens of RFC 3161 time-stamping
// authorities, and speaks their requests and replies.
//
// It is the part of the verifier that decides what a token proves, so it is
// small, uses the standard library only, and is strict: DER and nothing else,
// no byte unaccounted for, one signer, no SHA-1, no RSA below 2048 bits. Input
// is hostile: sizes and counts are bounded, nothing recurses, nothing panics.
//
// What each step proves: [Parse], that the bytes have the form of a token;
// [Token.Check], that the holder of the signer's key stated this imprint and
// time; [Token.Chains], that the signer's certificate was valid under a given
// root at that time. Whether that root is trusted is for the caller to say.
// Revocation is not looked at.
package rfc3161

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// MaxSize bounds a token, a request and a reply, in bytes.
const MaxSize = 64 << 10

const (
	maxCertificates = 16
	maxAttributes   = 32
)

// The findings a verifier can name; every error of this package wraps one.
var (
	ErrSyntax      = errors.New("not a DER time-stamp token")
	ErrImprint     = errors.New("imprint is not the SHA-256 asked about")
	ErrSignature   = errors.New("signature does not verify")
	ErrSigner      = errors.New("no acceptable signer certificate")
	ErrWeak        = errors.New("algorithm or key too weak")
	ErrExpired     = errors.New("certificate not valid at the time stated")
	ErrUnknownRoot = errors.New("no chain to a given root")
	ErrRejected    = errors.New("authority rejected the request")
)

// A Token is a parsed TimeStampToken (RFC 3161 section 2.4.2). Nothing in it
// is proven before [Token.Check] returned nil. It is read-only: methods may be
// called concurrently.
type Token struct {
	Raw          []byte // the bare token, as given to Parse
	Policy       string // dotted OID
	ImprintAlg   string // dotted OID of the hash
	Imprint      []byte
	Serial       string        // lowercase hex, minimal, "-" before a negative one
	GenTime      time.Time     // UTC
	Accuracy     time.Duration // as stated; see HasAccuracy
	HasAccuracy  bool          // false: the token states none
	Ordering     bool
	Nonce        *big.Int            // nil: none
	TSA          []byte              // DER of the GeneralName, nil: none
	Certificates []*x509.Certificate // as embedded, in their order; may be empty

	content   []byte // DER of the TSTInfo
	digestAlg algorithm
	sigAlg    algorithm
	sid       signerID
	signed    []byte            // the signed attributes as a DER SET OF
	attrs     map[string][]byte // OID -> the one value
	signature []byte
}

type algorithm struct {
	oid    string
	params []byte
}

// signerID names the signer: issuer and serial, or a subject key identifier.
type signerID struct {
	issuer []byte
	serial *big.Int
	keyID  []byte
}

// DefaultAccuracy stands in where a token states no accuracy.
const DefaultAccuracy = time.Second

// Latest returns the end of the interval in which the token was made: GenTime
// plus its accuracy, or plus [DefaultAccuracy] where it states none.
func (t *Token) Latest() time.Time {
	if !t.HasAccuracy {
		return t.GenTime.Add(DefaultAccuracy)
	}
	return t.GenTime.Add(t.Accuracy)
}

// Parse reads a bare token: ContentInfo, SignedData version 3, one SignerInfo,
// TSTInfo version 1. Every error wraps [ErrSyntax]. der must not be changed
// while the Token is in use.
//
// One order is not enforced: that of the embedded certificates, which openssl
// and others write unsorted.
func Parse(der []byte) (*Token, error) {
	if len(der) > MaxSize {
		return nil, fmt.Errorf("parse token of %d bytes, limit %d: %w", len(der), MaxSize, ErrSyntax)
	}
	t := &Token{Raw: der}
	r := &reader{b: der}
	info := r.inside(tagSequence)
	info.literal("content type", info.oid(), oidSignedData)
	explicit := info.inside(tagContext0)
	t.signedData(explicit.inside(tagSequence), explicit)
	info.adopt(explicit)
	r.adopt(info)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("parse token: %w", err)
	}
	if err := t.tstInfo(); err != nil {
		return nil, fmt.Errorf("parse token: TSTInfo: %w", err)
	}
	return t, nil
}

// literal fails unless a field has the only value allowed.
func (r *reader) literal(name, got, want string) {
	if got != want {
		r.failf("%s is %.40q, not %q", name, got, want)
	}
}

// signedData reads RFC 5652 section 5.1.
func (t *Token) signedData(r, outer *reader) {
	r.literal("SignedData version", r.integer(tagInt).String(), "3")
	digests := t.digestSet(r)
	encap := r.inside(tagSequence)
	encap.literal("content", encap.oid(), oidTSTInfo)
	octets := encap.inside(tagContext0)
	_, t.content = octets.element(tagOctets)
	encap.adopt(octets)
	r.adopt(encap)
	if r.peek() == tagContext0 {
		t.certificates(r)
	}
	if r.peek() == tagContext1 { // revocation lists: nobody checks them here
		r.element(tagContext1)
	}
	signers := r.inside(tagSet)
	info := signers.inside(tagSequence)
	t.signerInfo(info)
	signers.adopt(info)
	r.adopt(signers)
	if !digests[t.digestAlg.oid] {
		r.failf("digest algorithm of the signer is not announced")
	}
	outer.adopt(r)
}

func (t *Token) digestSet(r *reader) map[string]bool {
	set, seen := r.inside(tagSet), map[string]bool{}
	for set.err == nil && len(set.b) > 0 {
		a := set.algorithm()
		if seen[a.oid] || !a.nullOrAbsent() {
			set.failf("digest algorithms")
		}
		seen[a.oid] = true
	}
	r.adopt(set)
	return seen
}

func (t *Token) certificates(r *reader) {
	bag := r.inside(tagContext0)
	for bag.err == nil && len(bag.b) > 0 {
		full, _ := bag.element(tagSequence)
		if bag.err != nil {
			break
		}
		c, err := x509.ParseCertificate(full)
		if err != nil || len(t.Certificates) == maxCertificates {
			bag.failf("certificate %d: %v", len(t.Certificates), err)
			break
		}
		t.Certificates = append(t.Certificates, c)
	}
	r.adopt(bag)
}

// signerInfo reads RFC 5652 section 5.3.
func (t *Token) signerInfo(r *reader) {
	version := r.integer(tagInt).String()
	if r.peek() == tagSequence {
		r.literal("SignerInfo version", version, "1")
		sid := r.inside(tagSequence)
		t.sid.issuer, _ = sid.element(tagSequence)
		t.sid.serial = sid.integer(tagInt)
		r.adopt(sid)
	} else {
		r.literal("SignerInfo version", version, "3")
		_, t.sid.keyID = r.element(0x80)
	}
	t.digestAlg = r.algorithm()
	attrs, content := r.element(tagContext0)
	if r.err == nil {
		t.signed = append([]byte{tagSet}, attrs[1:]...)
		t.attributes(r, content)
	}
	t.sigAlg = r.algorithm()
	_, t.signature = r.element(tagOctets)
	if r.peek() == tagContext1 { // unsigned attributes prove nothing
		r.element(tagContext1)
	}
}

// attributes keeps the signed attributes, which must be in DER order, each
// type once and with one value.
func (t *Token) attributes(r *reader, content []byte) {
	set, last := &reader{b: content}, []byte(nil)
	t.attrs = map[string][]byte{}
	for set.err == nil && len(set.b) > 0 && len(t.attrs) < maxAttributes {
		rest := set.b
		attr := set.inside(tagSequence)
		id := attr.oid()
		values := attr.inside(tagSet)
		value, _ := values.element(values.peek())
		attr.adopt(values)
		set.adopt(attr)
		full := rest[:len(rest)-len(set.b)]
		if t.attrs[id] != nil || bytes.Compare(last, full) >= 0 {
			set.failf("signed attribute %s repeated or out of order", id)
		}
		t.attrs[id], last = value, full
	}
	r.adopt(set)
}

func (a algorithm) nullOrAbsent() bool {
	return a.params == nil || bytes.Equal(a.params, []byte{tagNull, 0})
}
