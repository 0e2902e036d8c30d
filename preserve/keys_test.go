package preserve_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms/fake"

	"holdfast"
	"holdfast/preserve"
	"holdfast/wholefile"
)

func TestKeyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seal.pem")
	text, err := preserve.NewKey(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := wholefile.Create(path, text); err != nil {
		t.Fatal(err)
	}
	info, _ := os.Stat(path)
	if info.Mode() != 0o600 || !strings.HasPrefix(string(text), "TRAINING") {
		t.Errorf("mode %v, text %.40q", info.Mode(), text)
	}
	if err := wholefile.Create(path, []byte("another")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second key: %v", err)
	}
	if again, _ := os.ReadFile(path); string(again) != string(text) {
		t.Error("the key was overwritten")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".new-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	s, err := openKey(path)
	if err != nil {
		t.Fatal(err)
	}
	verifies(t, s)
	if out, err := exec.Command("openssl", "pkey", "-in", path, "-noout").CombinedOutput(); err != nil && !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("openssl cannot read it: %s", out)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openKey(path); err == nil || !strings.Contains(err.Error(), "chmod go=") {
		t.Errorf("a key that others can read: %v", err)
	}
}

// openKey reads a key file as a node does.
func openKey(path string) (preserve.Signer, error) {
	text, err := wholefile.ReadSecret(path)
	if err != nil {
		return nil, err
	}
	return preserve.ParseKey(path, text)
}

// verifies signs a payload and checks it as a verifier will.
func verifies(t *testing.T, s preserve.Signer) {
	t.Helper()
	payload := []byte(`{"a":1}`)
	sig, err := s.Sign(t.Context(), holdfast.PAE(holdfast.PayloadStatement, payload))
	if err != nil {
		t.Fatal(err)
	}
	e := holdfast.Envelope{Payload: payload, PayloadType: holdfast.PayloadStatement, Signatures: []holdfast.EnvelopeSignature{{Sig: sig}}}
	if err := e.Verify(s.SPKI()); err != nil {
		t.Error(err)
	}
}

func TestOtherKeysAreRefused(t *testing.T) {
	t.Parallel()
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	small, _ := rsa.GenerateKey(rand.Reader, 2048)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	for name, key := range map[string]crypto.Signer{"P-384": p384, "RSA": small, "Ed25519": ed} {
		t.Run(name, func(t *testing.T) {
			der, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			for from, open := range map[string]func() (preserve.Signer, error){
				"file": func() (preserve.Signer, error) { return openKey(path) },
				"kms": func() (preserve.Signer, error) {
					return preserve.OpenKMS(context.WithValue(t.Context(), fake.KmsCtxKey{}, key), "fakekms://key")
				},
			} {
				if _, err := open(); !errors.Is(err, preserve.ErrKey) || !strings.Contains(err.Error(), "P-256") {
					t.Errorf("%s: %v", from, err)
				}
			}
		})
	}
}

func TestKMS(t *testing.T) {
	t.Parallel()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s, err := preserve.OpenKMS(context.WithValue(t.Context(), fake.KmsCtxKey{}, key), "fakekms://key")
	if err != nil {
		t.Fatal(err)
	}
	verifies(t, s)
	if _, err := preserve.OpenKMS(t.Context(), "nokms://key"); err == nil {
		t.Error("an unknown scheme was opened")
	}
}

// faulty signs with another key than it shows, as after a fault in a device.
type faulty struct{ shown, used *ecdsa.PrivateKey }

func (f faulty) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return f.shown.Public(), nil
}

func (f faulty) SignMessage(_ io.Reader, opts ...signature.SignOption) ([]byte, error) {
	var digest []byte
	for _, o := range opts {
		o.ApplyDigest(&digest)
	}
	return ecdsa.SignASN1(rand.Reader, f.used, digest)
}

func TestWrongSignatureNeverLeaves(t *testing.T) {
	t.Parallel()
	a, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	b, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s, err := preserve.SigstoreSigner(t.Context(), "faulty", faulty{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if sig, err := s.Sign(t.Context(), []byte("x")); !errors.Is(err, preserve.ErrKey) || sig != nil {
		t.Errorf("%x, %v", sig, err)
	}
}

func TestLogKey(t *testing.T) {
	t.Parallel()
	for range 64 { // about half of all keys have a + in their base64
		name, skey, vkey, err := preserve.NewLogKey("node")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := preserve.LogVKey(skey); err != nil || got != vkey {
			t.Fatalf("%s is not %s: %v", got, vkey, err)
		}
		if got, _, err := holdfast.VKeyEd25519(vkey); err != nil || got != name {
			t.Fatalf("%s is not of %s: %v", vkey, name, err)
		}
	}
}
