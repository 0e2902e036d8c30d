package preserve

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/kms"
	"github.com/sigstore/sigstore/pkg/signature/options"

	"holdfast"
	"holdfast/hashing"
)

// ErrKey is wrapped by every error that says "this key cannot seal".
var ErrKey = errors.New("not a usable seal key")

// Signer signs Statements with one ECDSA P-256 key. It may be called
// concurrently.
type Signer interface {
	// Sign returns the ASN.1 DER signature over the SHA-256 of payload.
	Sign(ctx context.Context, payload []byte) (sig []byte, err error)
	// SPKI returns the public key as SubjectPublicKeyInfo, DER.
	SPKI() []byte
}

const (
	pemType      = "PRIVATE KEY"
	trainingLine = "TRAINING: the key of a rehearsal. What it signs is not evidence.\n"
)

// NewKey draws a P-256 key and returns the text of its file: PKCS#8 in PEM. That
// of a training node begins with a line that says so; openssl and cosign skip it.
func NewKey(training bool) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create seal key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("create seal key: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	if training {
		text = append([]byte(trainingLine), text...)
	}
	return text, nil
}

// IsTraining reports whether the text of a key file says that it is the key of a
// rehearsal.
func IsTraining(text []byte) bool { return bytes.HasPrefix(text, []byte(trainingLine)) }

// ParseKey reads the text of a key file, of [NewKey] or of openssl
// (`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`). path is for
// errors; another type of key wraps [ErrKey].
func ParseKey(path string, text []byte) (Signer, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("open seal key %s: %w: want one PEM block %q", path, ErrKey, pemType)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("open seal key %s: %w: %w", path, ErrKey, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("open seal key %s: %w: a %T cannot sign", path, ErrKey, key)
	}
	return cryptoSigner(path, signer)
}

// OpenKMS opens a key by its sigstore KMS URI (awskms://, gcpkms://,
// hashivault://, …). Schemes that are not built in are left to a program
// sigstore-kms-<scheme> on the PATH, as with cosign.
func OpenKMS(ctx context.Context, uri string) (Signer, error) {
	sv, err := kms.Get(ctx, uri, crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("open seal key %s: %w", uri, err)
	}
	return SigstoreSigner(ctx, uri, sv)
}

// SigstoreSigner makes any sigstore signer of a P-256 key a Signer. name is for
// errors.
func SigstoreSigner(ctx context.Context, name string, s signature.Signer) (Signer, error) {
	pub, err := s.PublicKey(options.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("open seal key %s: ask for its public key: %w", name, err)
	}
	return checkedSigner(name, pub, func(ctx context.Context, digest []byte) ([]byte, error) {
		return s.SignMessage(nil, options.WithContext(ctx), options.WithDigest(digest), options.WithCryptoSignerOpts(crypto.SHA256))
	})
}

func cryptoSigner(name string, key crypto.Signer) (Signer, error) {
	return checkedSigner(name, key.Public(), func(_ context.Context, digest []byte) ([]byte, error) {
		return key.Sign(rand.Reader, digest, crypto.SHA256)
	})
}

// checked is a Signer that trusts its key store no further than a verifier
// will: a signature that does not verify never leaves it, so a bit flipped in a
// device, or another key behind the same name, ends as an error and not as a
// Seal that is contradicted for good.
type checked struct {
	name string
	pub  *ecdsa.PublicKey
	spki []byte
	sign func(ctx context.Context, digest []byte) ([]byte, error)
}

func checkedSigner(name string, key crypto.PublicKey, sign func(context.Context, []byte) ([]byte, error)) (Signer, error) {
	pub, ok := key.(*ecdsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("open seal key %s: %w: it is a %T; make an ECDSA P-256 key, other types lose verifiers", name, ErrKey, key)
	}
	if pub.Curve != elliptic.P256() {
		return nil, fmt.Errorf("open seal key %s: %w: it is on curve %s; make an ECDSA P-256 key, other types lose verifiers", name, ErrKey, pub.Params().Name)
	}
	spki, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("open seal key %s: %w: %w", name, ErrKey, err)
	}
	return &checked{name, pub, spki, sign}, nil
}

func (c *checked) SPKI() []byte { return c.spki }

func (c *checked) Sign(ctx context.Context, payload []byte) ([]byte, error) {
	return c.SignDigest(ctx, hashing.Of(payload))
}

// SignDigest signs a payload by its SHA-256 alone, for payloads that are not
// held in memory.
func (c *checked) SignDigest(ctx context.Context, digest hashing.Digest) ([]byte, error) {
	sig, err := c.sign(ctx, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", c.name, err)
	}
	if !ecdsa.VerifyASN1(c.pub, digest[:], sig) {
		return nil, fmt.Errorf("sign with %s: %w: its signature does not verify with its own public key", c.name, ErrKey)
	}
	return holdfast.LowS(sig)
}
