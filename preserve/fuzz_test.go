package preserve

import (
	"bytes"
	"testing"

	"holdfast"
	"holdfast/hashing"
)

// For every envelope that a verifier can read, the short way and the long way
// to notBefore agree; for the others, the short way must only not panic.
func FuzzNamesNone(f *testing.F) {
	for _, nb := range []*holdfast.NotBefore{nil, {Digest: hashing.Of(nil)}} {
		st, err := holdfast.NewStatement(holdfast.Predicate{
			Checkpoint: holdfast.Tree{Origin: "n.0123456789abcdef", Size: 1}, Node: "n.0123456789abcdef", NotBefore: nb,
			Seal: holdfast.SealID("0123456789abcdef", 0, 1), Software: holdfast.Software{Name: `x","notBefore":null,"`},
		}, []hashing.Digest{hashing.Of([]byte("m"))})
		if err != nil {
			f.Fatal(err)
		}
		payload, err := st.Encode()
		if err != nil {
			f.Fatal(err)
		}
		raw, err := (&holdfast.Envelope{Payload: payload, PayloadType: holdfast.PayloadStatement, Signatures: []holdfast.EnvelopeSignature{{Sig: []byte{1}}}}).Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"payload":"bm90QmVmb3Jl"`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		short := namesNone(raw)
		e, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, maxEnvelope)
		if err != nil {
			return
		}
		st, err := holdfast.ParseStatement(e.Payload)
		if err == nil && short != (st.Predicate.NotBefore == nil) {
			t.Errorf("short way %t, notBefore %v", short, st.Predicate.NotBefore)
		}
	})
}

// Roots come from a file that a user was sent.
func FuzzParseRoots(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, text []byte) {
		certs, err := ParseRoots(text)
		if (err == nil) != (len(certs) > 0) || len(certs) > maxRoots {
			t.Errorf("%d certificates, %v", len(certs), err)
		}
	})
}

// A checkpoint's size is read before it is verified, only to wait; what it says
// must agree with what is verified later.
func FuzzCheckpointSize(f *testing.F) {
	f.Add([]byte("origin\n12\nroot\n"))
	f.Add([]byte("origin\n-1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if n, ok := checkpointSize(text); ok && (n < 0 || bytes.Count(text, []byte("\n")) < 2) {
			t.Errorf("size %d of %q", n, text)
		}
	})
}
