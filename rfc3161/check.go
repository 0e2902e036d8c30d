package rfc3161

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha1" // for ESSCertID only, see essID
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"fmt"
)

const (
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidTSTInfo       = "1.2.840.113549.1.9.16.1.4"
	oidContentType   = "1.2.840.113549.1.9.3"
	oidMessageDigest = "1.2.840.113549.1.9.4"
	oidSigningCert   = "1.2.840.113549.1.9.16.2.12" // RFC 2634, SHA-1
	oidSigningCertV2 = "1.2.840.113549.1.9.16.2.47" // RFC 5816
	oidSHA256        = "2.16.840.1.101.3.4.2.1"
)

// RSA moduli accepted, in bits: below, they are weak; above, a hostile
// certificate could make one verification take seconds.
const (
	minRSA = 2048
	maxRSA = 8192
)

// A Kind says how a token is signed, for readers that know only some kinds.
type Kind struct {
	Key  string      // "ECDSA", "RSA" (PKCS #1 v1.5) or "RSA-PSS"
	Bits int         // of the curve or modulus
	Hash crypto.Hash // over the signed attributes
}

// String returns for example "ECDSA-256 SHA-256".
func (k Kind) String() string { return fmt.Sprintf("%s-%d %s", k.Key, k.Bits, k.Hash) }

// Check proves that the signer stated imprint, a SHA-256 of 32 bytes, at
// GenTime: the imprint is equal, the signed attributes bind the TSTInfo and
// name the signer's certificate (RFC 2634, RFC 5816), that certificate is for
// time-stamping only, and the signature is its key's. The certificate is
// looked for in the token and in extra. Errors wrap [ErrImprint],
// [ErrSignature], [ErrSigner] or [ErrWeak].
func (t *Token) Check(imprint []byte, extra ...*x509.Certificate) error {
	if t.ImprintAlg != oidSHA256 || len(imprint) != 32 || subtle.ConstantTimeCompare(t.Imprint, imprint) != 1 {
		return fmt.Errorf("check token: %w", ErrImprint)
	}
	kind, err := t.scheme()
	if err != nil {
		return fmt.Errorf("check token: %w", err)
	}
	if err := t.bound(kind.Hash); err != nil {
		return fmt.Errorf("check token: %w", err)
	}
	signer, err := t.Signer(extra...)
	if err != nil {
		return err
	}
	if err := t.verify(kind, signer); err != nil {
		return fmt.Errorf("check token: %w", err)
	}
	return nil
}

// Kind returns how the token is signed. Errors as of [Token.Signer], and
// [ErrWeak] and [ErrSignature] for algorithms that are refused or unknown.
func (t *Token) Kind(extra ...*x509.Certificate) (Kind, error) {
	kind, err := t.scheme()
	if err != nil {
		return kind, fmt.Errorf("classify token: %w", err)
	}
	signer, err := t.Signer(extra...)
	if err != nil {
		return kind, err
	}
	kind.Bits, err = keyBits(signer.PublicKey)
	return kind, err
}

// bound checks that the signed attributes bind the TSTInfo: else the signature
// would be over something else.
func (t *Token) bound(h crypto.Hash) error {
	r := &reader{b: t.attrs[oidContentType]}
	if id := r.oid(); r.end() != nil || id != oidTSTInfo {
		return fmt.Errorf("%w: content-type attribute", ErrSignature)
	}
	r = &reader{b: t.attrs[oidMessageDigest]}
	if _, d := r.element(tagOctets); r.end() != nil || !bytes.Equal(d, sum(h, t.content)) {
		return fmt.Errorf("%w: message-digest attribute", ErrSignature)
	}
	return nil
}

// scheme reads the algorithms of the SignerInfo; the digest of the attributes
// and that of the content must be the same.
func (t *Token) scheme() (k Kind, err error) {
	if k.Hash, err = hashOf(t.digestAlg.oid); err != nil {
		return k, err
	}
	var own crypto.Hash // the one in the signature algorithm's name, 0: none
	if k.Key, own, err = signatureOf(t.sigAlg.oid); err != nil {
		return k, err
	}
	fits := t.digestAlg.nullOrAbsent() && (own == 0 || own == k.Hash)
	switch k.Key {
	case "RSA":
		fits = fits && t.sigAlg.nullOrAbsent()
	case "RSA-PSS":
		fits = fits && hex.EncodeToString(t.sigAlg.params) == pssParams(k.Hash)
	case "ECDSA":
		fits = fits && t.sigAlg.params == nil
	}
	if !fits {
		return k, fmt.Errorf("%w: algorithm parameters do not fit", ErrSignature)
	}
	return k, nil
}

func signatureOf(oid string) (key string, own crypto.Hash, err error) {
	switch oid {
	case "1.2.840.113549.1.1.1": // rsaEncryption
		return "RSA", 0, nil
	case "1.2.840.113549.1.1.11": // sha256WithRSAEncryption
		return "RSA", crypto.SHA256, nil
	case "1.2.840.113549.1.1.12":
		return "RSA", crypto.SHA384, nil
	case "1.2.840.113549.1.1.13":
		return "RSA", crypto.SHA512, nil
	case "1.2.840.113549.1.1.10": // RSASSA-PSS, RFC 4055
		return "RSA-PSS", 0, nil
	case "1.2.840.10045.4.3.2": // ecdsa-with-SHA256
		return "ECDSA", crypto.SHA256, nil
	case "1.2.840.10045.4.3.3":
		return "ECDSA", crypto.SHA384, nil
	case "1.2.840.10045.4.3.4":
		return "ECDSA", crypto.SHA512, nil
	case "1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1": // MD5, SHA-1
		return "", 0, fmt.Errorf("%w: signature algorithm %s", ErrWeak, oid)
	}
	return "", 0, fmt.Errorf("%w: unknown signature algorithm %.80s", ErrSignature, oid)
}

// pssParams is the one form used for a hash: MGF1 with the same hash and a
// salt of its length (the same three that crypto/x509 knows).
func pssParams(h crypto.Hash) string {
	id := fmt.Sprintf("300d060960864801650304020%d0500", h-crypto.SHA256+1)
	return "3034a00f" + id + "a11c301a06092a864886f70d010108" + id + fmt.Sprintf("a2030201%02x", h.Size())
}

func hashOf(oid string) (crypto.Hash, error) {
	switch oid {
	case oidSHA256:
		return crypto.SHA256, nil
	case "2.16.840.1.101.3.4.2.2":
		return crypto.SHA384, nil
	case "2.16.840.1.101.3.4.2.3":
		return crypto.SHA512, nil
	case "1.3.14.3.2.26", "1.2.840.113549.2.5":
		return 0, fmt.Errorf("%w: digest algorithm %s", ErrWeak, oid)
	}
	return 0, fmt.Errorf("%w: unknown digest algorithm %.80s", ErrSignature, oid)
}

func sum(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

func (t *Token) verify(k Kind, signer *x509.Certificate) error {
	if _, err := keyBits(signer.PublicKey); err != nil {
		return err
	}
	digest, ok := sum(k.Hash, t.signed), false
	switch key := signer.PublicKey.(type) {
	case *ecdsa.PublicKey:
		ok = k.Key == "ECDSA" && ecdsa.VerifyASN1(key, digest, t.signature)
	case *rsa.PublicKey:
		if k.Key == "RSA-PSS" {
			ok = rsa.VerifyPSS(key, k.Hash, digest, t.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		} else {
			ok = k.Key == "RSA" && rsa.VerifyPKCS1v15(key, k.Hash, digest, t.signature) == nil
		}
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

// keyBits returns the size of a key, or ErrWeak.
func keyBits(key any) (int, error) {
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		if n := key.Curve.Params().BitSize; n >= 256 {
			return n, nil
		}
	case *rsa.PublicKey:
		if n := key.N.BitLen(); n >= minRSA && n <= maxRSA {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%w: key %T", ErrWeak, key)
}
