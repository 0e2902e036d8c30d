package rfc3161

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
)

// minNonce is the least size of a nonce, in bits.
const minNonce = 64

// NewRequest returns the DER of a TimeStampReq (RFC 3161 section 2.4.1) for a
// SHA-256 imprint of 32 bytes: with the nonce, which must have at least 64
// bits, with certReq, and for one policy (a dotted OID) unless that is empty.
func NewRequest(imprint []byte, nonce *big.Int, policy string) ([]byte, error) {
	if len(imprint) != 32 {
		return nil, fmt.Errorf("make request: %d bytes: %w", len(imprint), ErrImprint)
	}
	if nonce == nil || nonce.Sign() <= 0 || nonce.BitLen() < minNonce || nonce.BitLen() >= 8*maxInteger {
		return nil, fmt.Errorf("make request: nonce must have between %d and %d bits", minNonce, 8*maxInteger)
	}
	number, err := asn1.Marshal(nonce)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	hash, err := oidDER(oidSHA256)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	var want []byte
	if policy != "" {
		if want, err = oidDER(policy); err != nil {
			return nil, fmt.Errorf("make request: policy %.80q: %w", policy, err)
		}
	}
	return tlv(tagSequence,
		[]byte{tagInt, 1, 1},
		tlv(tagSequence, tlv(tagSequence, hash, []byte{tagNull, 0}), tlv(tagOctets, imprint)),
		want, number, []byte{tagBool, 1, 0xff}), nil
}

// ParseRequest is the exact inverse of [NewRequest]: a request of any other
// form, even one that asks the same, is [ErrSyntax].
func ParseRequest(der []byte) (imprint []byte, nonce *big.Int, policy string, err error) {
	r := &reader{b: der}
	in := r.inside(tagSequence)
	in.small(tagInt)
	hash := in.inside(tagSequence)
	hash.element(tagSequence)
	_, imprint = hash.element(tagOctets)
	in.adopt(hash)
	if in.peek() == tagOID {
		policy = in.oid()
	}
	nonce = in.integer(tagInt)
	in.element(tagBool)
	r.adopt(in)
	if err := r.end(); err != nil {
		return nil, nil, "", fmt.Errorf("parse request: %w", err)
	}
	again, err := NewRequest(imprint, nonce, policy)
	if err != nil || !bytes.Equal(again, der) {
		return nil, nil, "", fmt.Errorf("parse request: %w: not of the form that is asked here", ErrSyntax)
	}
	return imprint, nonce, policy, nil
}

// ParseResponse reads a TimeStampResp (RFC 3161 section 2.4.2) and the token
// in it. Errors wrap [ErrSyntax], or [ErrRejected] with the authority's own
// words when its status is not granted (0) or grantedWithMods (1): authorities
// refuse with HTTP 200.
func ParseResponse(der []byte) (*Token, error) {
	if len(der) > MaxSize {
		return nil, fmt.Errorf("parse reply of %d bytes, limit %d: %w", len(der), MaxSize, ErrSyntax)
	}
	outer := &reader{b: der}
	r := outer.inside(tagSequence)
	status, words := pkiStatus(r)
	token := r.b
	r.b = nil
	outer.adopt(r)
	if err := outer.end(); err != nil {
		return nil, fmt.Errorf("parse reply: %w", err)
	}
	if status > 1 {
		return nil, fmt.Errorf("parse reply: %w: status %d%s", ErrRejected, status, words)
	}
	return Parse(token)
}

// pkiStatus takes a PKIStatusInfo; words are safe to show.
func pkiStatus(r *reader) (status int64, words string) {
	info := r.inside(tagSequence)
	status = info.small(tagInt)
	if info.peek() == tagSequence {
		text := info.inside(tagSequence)
		for text.err == nil && len(text.b) > 0 && len(words) < 1000 {
			_, s := text.element(tagUTF8)
			words += fmt.Sprintf(" %.200q", s)
		}
		info.adopt(text)
	}
	if info.peek() == tagBits {
		full, _ := info.element(tagBits)
		words += failInfo(info, full)
	}
	r.adopt(info)
	return status, words
}

func failInfo(r *reader, full []byte) (names string) {
	var bits asn1.BitString
	if _, err := asn1.Unmarshal(full, &bits); err != nil || bits.BitLength > 64 {
		r.failf("failInfo")
		return ""
	}
	known := map[int]string{
		0: "badAlg", 2: "badRequest", 5: "badDataFormat", 14: "timeNotAvailable", 15: "unacceptedPolicy",
		16: "unacceptedExtension", 17: "addInfoNotAvailable", 25: "systemFailure",
	}
	for i := range bits.BitLength {
		if bits.At(i) == 1 {
			names += " " + known[i]
		}
	}
	return strings.TrimRight(names, " ")
}

// WrapResponse puts a bare token into a TimeStampResp with status granted and
// nothing else, the form that Sigstore bundles carry.
func WrapResponse(token []byte) []byte {
	return tlv(tagSequence, tlv(tagSequence, []byte{tagInt, 1, 0}), token)
}

// UnwrapResponse is the exact inverse of [WrapResponse]: any other reply, even
// one that says the same, is [ErrSyntax]. The token is not parsed.
func UnwrapResponse(der []byte) ([]byte, error) {
	r := &reader{b: der}
	in := r.inside(tagSequence)
	in.element(tagSequence)
	token, _ := in.element(tagSequence)
	r.adopt(in)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("unwrap reply: %w", err)
	}
	if !bytes.Equal(WrapResponse(token), der) {
		return nil, fmt.Errorf("unwrap reply: %w: more than a granted token", ErrSyntax)
	}
	return token, nil
}
