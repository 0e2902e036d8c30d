package sealtest

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/digitorus/timestamp"
)

// reply answers a request as the modes will have it.
func (a *Authority) reply(request []byte) ([]byte, error) {
	if a.is(Rejecting) {
		return rejection()
	}
	if a.is(Garbage) {
		return []byte("this is no time-stamp reply"), nil
	}
	q, err := timestamp.ParseRequest(request)
	if err != nil {
		return timestamp.CreateErrorResponse(timestamp.Rejection, timestamp.BadDataFormat)
	}
	reply, err := a.sign(q)
	if err != nil {
		return nil, err
	}
	if a.is(BadSignature) {
		reply[len(reply)-1] ^= 1 // the signature stands last
	}
	if a.is(Truncated) {
		reply = reply[:len(reply)/2]
	}
	return reply, nil
}

func (a *Authority) sign(q *timestamp.Request) ([]byte, error) {
	u, err := a.unit()
	if err != nil {
		return nil, err
	}
	ts := timestamp.Timestamp{
		HashAlgorithm: q.HashAlgorithm, HashedMessage: bytes.Clone(q.HashedMessage), Time: time.Now().UTC().Add(a.offset()),
		Accuracy: time.Second, Nonce: q.Nonce, Policy: asn1.ObjectIdentifier{2, 999, 3161, 9},
		Certificates: []*x509.Certificate{u.issuer}, AddTSACertificate: q.Certificates && !a.is(NoCertificate),
	}
	if a.is(WrongImprint) {
		ts.HashedMessage[0] ^= 1
	}
	if a.is(WrongNonce) && q.Nonce != nil {
		ts.Nonce = new(big.Int).Add(q.Nonce, big.NewInt(1))
	}
	if a.is(NoNonce) {
		ts.Nonce = nil
	}
	if a.is(WrongPolicy) {
		ts.Policy = asn1.ObjectIdentifier{2, 999, 3161, 8}
	}
	reply, err := ts.CreateResponseWithOpts(u.cert, u.key, a.hash())
	if err != nil {
		return nil, fmt.Errorf("make reply: %w", err)
	}
	return sortBag(reply, u), nil
}

// sortBag puts the two embedded certificates into the order of DER, which the
// encoder does not keep and strict readers want. They are under no signature.
func sortBag(reply []byte, u *unit) []byte {
	if bytes.Compare(u.cert.Raw, u.issuer.Raw) <= 0 {
		return reply
	}
	return bytes.Replace(reply, append(bytes.Clone(u.cert.Raw), u.issuer.Raw...), append(bytes.Clone(u.issuer.Raw), u.cert.Raw...), 1)
}

// offset returns what the modes say of the clock.
func (a *Authority) offset() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.modes {
		if by, ok := strings.CutPrefix(string(m), clockPrefix); ok {
			n, err := strconv.ParseInt(by, 10, 64)
			if err != nil {
				panic(fmt.Sprintf("sealtest: mode %q is not of Clock", m))
			}
			return time.Duration(n)
		}
	}
	return 0
}

// rejection is a reply of status 2 with a text and systemFailure.
func rejection() ([]byte, error) {
	type info struct {
		Status int
		Text   []asn1.RawValue
		Fail   asn1.BitString
	}
	return asn1.Marshal(struct{ Info info }{info{
		2, []asn1.RawValue{{Tag: asn1.TagUTF8String, Bytes: []byte("quota exceeded")}},
		asn1.BitString{Bytes: []byte{0, 0, 0, 0x40}, BitLength: 26},
	}})
}
