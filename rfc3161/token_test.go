package rfc3161

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

func readCert(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func golden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".tst"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGolden(t *testing.T) {
	root, inter := readCert(t, "root.pem"), readCert(t, "inter.pem")
	for _, c := range []struct {
		name, kind string
		certs      int
		ordering   bool
	}{
		{"p256", "ECDSA-256 SHA-256", 1, false},
		{"p384", "ECDSA-384 SHA-384", 1, false},
		{"p256-sha512", "ECDSA-256 SHA-512", 1, true},
		{"rsa2048", "RSA-2048 SHA-256", 1, false}, // ESSCertID, version 1
		{"rsa3072", "RSA-3072 SHA-256", 1, false},
		{"rsa3072-sha512", "RSA-3072 SHA-512", 1, false},
		{"p256-chain", "ECDSA-256 SHA-256", 2, false}, // certificates out of DER order
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := golden(t, c.name)
			tok, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := tok.Check(forgeImprint[:]); err != nil {
				t.Fatal(err)
			}
			if k, err := tok.Kind(); err != nil || k.String() != c.kind {
				t.Errorf("kind %v %v, want %s", k, err, c.kind)
			}
			if len(tok.Certificates) != c.certs || tok.Ordering != c.ordering || tok.Policy != "1.3.6.1.4.1.99999.1" {
				t.Errorf("token %+v", tok)
			}
			if tok.Nonce.BitLen() < 32 || len(tok.Serial) == 0 || len(tok.TSA) == 0 || !bytes.Equal(tok.Raw, raw) {
				t.Errorf("token %+v", tok)
			}
			if want := 1500*time.Millisecond + 100*time.Microsecond; !tok.HasAccuracy || tok.Accuracy != want || tok.Latest() != tok.GenTime.Add(want) {
				t.Errorf("accuracy %v, latest %v", tok.Accuracy, tok.Latest())
			}
			var inters []*x509.Certificate
			if c.certs == 1 {
				if _, err := tok.Chains([]*x509.Certificate{root}, nil); !errors.Is(err, ErrUnknownRoot) {
					t.Errorf("chain without its intermediate: %v", err)
				}
				inters = append(inters, inter)
			}
			chains, err := tok.Chains([]*x509.Certificate{root}, inters)
			if err != nil || len(chains) != 1 || !chains[0].Root.Equal(root) || !chains[0].Issuer.Equal(inter) || chains[0].Leaf.Subject.CommonName != c.name {
				t.Errorf("chains %+v %v", chains, err)
			}
		})
	}
}

func TestGoldenSHA1Refused(t *testing.T) {
	tok, err := Parse(golden(t, "p256-sha1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := tok.Check(forgeImprint[:]); !errors.Is(err, ErrWeak) {
		t.Errorf("check: %v", err)
	}
	if _, err := tok.Kind(); !errors.Is(err, ErrWeak) {
		t.Errorf("kind: %v", err)
	}
}

func TestImprint(t *testing.T) {
	tok, err := Parse(golden(t, "p256"))
	if err != nil {
		t.Fatal(err)
	}
	other := forgeImprint
	other[31] ^= 1
	for _, imprint := range [][]byte{other[:], forgeImprint[:31], nil} {
		if err := tok.Check(imprint); !errors.Is(err, ErrImprint) {
			t.Errorf("%x: %v", imprint, err)
		}
	}
}

// A token made by another implementation, without and with its certificate.
func TestOtherMaker(t *testing.T) {
	f := newForge(t, nil)
	for _, embed := range []bool{true, false} {
		for _, acc := range []time.Duration{0, 20 * time.Millisecond} {
			ts := &timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: forgeImprint[:], Time: f.genTime, Policy: []int{1, 2, 3}, AddTSACertificate: embed, Accuracy: acc}
			resp, err := ts.CreateResponseWithOpts(f.leaf, f.leafKey, crypto.SHA256)
			if err != nil {
				t.Fatal(err)
			}
			tok, err := ParseResponse(resp)
			if err != nil {
				t.Fatal(err)
			}
			if embed {
				err = tok.Check(forgeImprint[:])
			} else {
				if err := tok.Check(forgeImprint[:]); !errors.Is(err, ErrSigner) {
					t.Errorf("without certificate: %v", err)
				}
				err = tok.Check(forgeImprint[:], f.inter, f.leaf)
			}
			if err != nil {
				t.Error(err)
			}
			if want := max(acc, time.Duration(0)); tok.Accuracy != want || tok.HasAccuracy != (acc > 0) {
				t.Errorf("accuracy %v %v", tok.Accuracy, tok.HasAccuracy)
			}
			if acc == 0 && tok.Latest() != tok.GenTime.Add(time.Second) {
				t.Errorf("no accuracy: latest %v", tok.Latest())
			}
			if _, err := tok.Chains([]*x509.Certificate{f.root}, []*x509.Certificate{f.inter, f.leaf}); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestTruncatedAndTrailing(t *testing.T) {
	raw := golden(t, "p256")
	for n := range raw {
		if _, err := Parse(raw[:n]); !errors.Is(err, ErrSyntax) {
			t.Fatalf("%d of %d bytes: %v", n, len(raw), err)
		}
	}
	if _, err := Parse(append(bytes.Clone(raw), 0)); !errors.Is(err, ErrSyntax) {
		t.Errorf("trailing byte: %v", err)
	}
	if _, err := Parse(make([]byte, MaxSize+1)); !errors.Is(err, ErrSyntax) {
		t.Errorf("too long: %v", err)
	}
}

// TestEveryBitMatters flips each bit of a token: Parse, Check or Chains must
// fail. Excepted is only what carries no statement: see unchecked.
func TestEveryBitMatters(t *testing.T) {
	root, inter := readCert(t, "root.pem"), readCert(t, "inter.pem")
	for _, name := range []string{"p256", "rsa2048", "p256-chain"} {
		raw := golden(t, name)
		for i := range 8 * len(raw) {
			flipped := bytes.Clone(raw)
			flipped[i/8] ^= 1 << (i % 8)
			tok, err := Parse(flipped)
			if err == nil {
				err = tok.Check(forgeImprint[:])
			}
			if err == nil {
				_, err = tok.Chains([]*x509.Certificate{root}, []*x509.Certificate{inter})
			}
			if err == nil && !unchecked(raw, i/8, inter) {
				t.Errorf("%s: bit %d of byte %d (%#02x) passes unnoticed; around %s", name, i%8, i/8, raw[i/8], hex.EncodeToString(raw[max(0, i/8-8):i/8+8]))
			}
		}
	}
}

// unchecked reports the one place where a flip may pass: an embedded
// certificate other than the signer's, when the chain can be built from a good
// copy given by the caller. It helps to build chains and states nothing.
func unchecked(raw []byte, at int, extra *x509.Certificate) bool {
	start := bytes.Index(raw, extra.Raw)
	return start >= 0 && at >= start && at < start+len(extra.Raw)
}

func FuzzToken(f *testing.F) {
	for _, name := range []string{"p256", "rsa2048", "p256-chain", "p256-sha1"} {
		f.Add(golden(f, name))
		f.Add(WrapResponse(golden(f, name)))
	}
	root, inter := readCert(f, "root.pem"), readCert(f, "inter.pem")
	f.Fuzz(func(t *testing.T, b []byte) {
		if tok, err := ParseResponse(b); err == nil {
			b = tok.Raw
		}
		if inner, err := UnwrapResponse(b); err == nil && !bytes.Equal(WrapResponse(inner), b) {
			t.Error("unwrap is not the inverse of wrap")
		}
		tok, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		if tok.Check(forgeImprint[:]) == nil && tok.Policy != "1.3.6.1.4.1.99999.1" {
			t.Error("a forged token verifies")
		}
		_, _ = tok.Chains([]*x509.Certificate{root}, []*x509.Certificate{inter})
	})
}
