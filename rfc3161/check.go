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
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

const (
	oidSignedData    = "1.2.840.113549.1.7.2"
	oidTSTInfo       = "1.2.840.113549.1.9.16.1.4"
	oidContentType   = "1.2.840.113549.1.9.3"
	oidMessageDigest = "1.2.840.113549.1.9.4"
	oidSigningCert   = "1.2.840.113549.1.9.16.2.12" // RFC 2634, SHA-1
	oidSigningCertV2 = "1.2.840.113549.1.9.16.2.47" // RFC 5816
	oidEKU           = "2.5.29.37"
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
	hash, err := hashOf(t.digestAlg.oid)
	if err != nil {
		return k, err
	}
	k.Hash = hash
	sigHash, bare := hash, t.sigAlg.params == nil
	switch t.sigAlg.oid {
	case "1.2.840.113549.1.1.1": // rsaEncryption
		k.Key, bare = "RSA", t.sigAlg.nullOrAbsent()
	case "1.2.840.113549.1.1.11", "1.2.840.113549.1.1.12", "1.2.840.113549.1.1.13": // sha*WithRSAEncryption
		k.Key, bare = "RSA", t.sigAlg.nullOrAbsent()
		sigHash = crypto.SHA256 + crypto.Hash(t.sigAlg.oid[len(t.sigAlg.oid)-1]-'1')
	case "1.2.840.10045.4.3.2", "1.2.840.10045.4.3.3", "1.2.840.10045.4.3.4": // ecdsa-with-SHA*
		k.Key = "ECDSA"
		sigHash = crypto.SHA256 + crypto.Hash(t.sigAlg.oid[len(t.sigAlg.oid)-1]-'2')
	case "1.2.840.113549.1.1.10": // RSASSA-PSS, RFC 4055
		k.Key, bare = "RSA-PSS", hex.EncodeToString(t.sigAlg.params) == pssParams(hash)
	case "1.2.840.113549.1.1.4", "1.2.840.113549.1.1.5", "1.2.840.10045.4.1": // MD5, SHA-1
		return k, fmt.Errorf("%w: signature algorithm %s", ErrWeak, t.sigAlg.oid)
	default:
		return k, fmt.Errorf("%w: unknown signature algorithm %.80s", ErrSignature, t.sigAlg.oid)
	}
	if !bare || sigHash != hash || !t.digestAlg.nullOrAbsent() {
		return k, fmt.Errorf("%w: algorithm parameters do not fit", ErrSignature)
	}
	return k, nil
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

// Signer returns the certificate that both the SignerInfo and the
// signing-certificate attribute name, from the token or from extra; it must be
// for time-stamping only. Errors wrap [ErrSigner].
func (t *Token) Signer(extra ...*x509.Certificate) (*x509.Certificate, error) {
	err := errors.New("certificate not found")
	for _, c := range append(t.Certificates[:len(t.Certificates):len(t.Certificates)], extra...) {
		if !t.sid.names(c) {
			continue
		}
		if err = t.essName(c); err != nil {
			continue
		}
		if err = forTimestamping(c); err == nil {
			return c, nil
		}
	}
	return nil, fmt.Errorf("find signer: %w: %w", ErrSigner, err)
}

func (id signerID) names(c *x509.Certificate) bool {
	if id.serial == nil {
		return len(id.keyID) > 0 && bytes.Equal(id.keyID, c.SubjectKeyId)
	}
	return bytes.Equal(id.issuer, c.RawIssuer) && id.serial.Cmp(c.SerialNumber) == 0
}

// essName checks the signing-certificate attributes that are present, at least
// one: the first certificate of each must be c, and no other one.
func (t *Token) essName(c *x509.Certificate) error {
	v1, v2 := t.attrs[oidSigningCert], t.attrs[oidSigningCertV2]
	if v1 == nil && v2 == nil {
		return errors.New("no signing-certificate attribute")
	}
	if err := essNames(v1, c, false); err != nil {
		return err
	}
	return essNames(v2, c, true)
}

// essNames reads SigningCertificate or SigningCertificateV2; nil is neither.
func essNames(attr []byte, c *x509.Certificate, v2 bool) error {
	if attr == nil {
		return nil
	}
	outer := &reader{b: attr}
	r := outer.inside(tagSequence)
	list, named := r.inside(tagSequence), []bool(nil)
	for list.err == nil && len(list.b) > 0 && len(named) < maxCertificates {
		id := list.inside(tagSequence)
		named = append(named, essID(id, c, v2))
		list.adopt(id)
	}
	r.adopt(list)
	if r.peek() == tagSequence { // policies: stated, not judged here
		r.element(tagSequence)
	}
	outer.adopt(r)
	if err := outer.end(); err != nil {
		return fmt.Errorf("signing-certificate attribute: %w", err)
	}
	if len(named) == 0 || !named[0] || slices.Contains(named[1:], true) {
		return errors.New("signing-certificate attribute does not name it once and first")
	}
	return nil
}

// essID reports whether one ESSCertID(v2) is of c. Version 1 has SHA-1: it only
// picks among certificates, whose own signatures never rest on SHA-1.
func essID(r *reader, c *x509.Certificate, v2 bool) bool {
	h := crypto.SHA1
	if v2 {
		h = crypto.SHA256
		if r.peek() == tagSequence {
			var err error
			if h, err = hashOf(r.algorithm().oid); err != nil {
				r.failf("hash of a certificate")
				return false
			}
		}
	}
	_, digest := r.element(tagOctets)
	same := bytes.Equal(digest, sum(h, c.Raw))
	if r.peek() == tagSequence {
		is := r.inside(tagSequence)
		names := is.inside(tagSequence)
		directory := names.inside(tagContext4)
		same = same && bytes.Equal(directory.b, c.RawIssuer)
		directory.b = nil
		names.adopt(directory)
		is.adopt(names)
		same = is.integer(tagInt).Cmp(c.SerialNumber) == 0 && same
		r.adopt(is)
	}
	return same
}

// forTimestamping checks RFC 3161 section 2.3: one extended key usage, critical,
// timeStamping; and a key usage, where there is one, for signatures only.
func forTimestamping(c *x509.Certificate) error {
	const sign = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	if len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageTimeStamping || len(c.UnknownExtKeyUsage) > 0 {
		return errors.New("extended key usage is not timeStamping alone")
	}
	critical := slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool {
		return e.Id.String() == oidEKU && e.Critical
	})
	if !critical {
		return errors.New("extended key usage is not critical")
	}
	if c.KeyUsage&^sign != 0 {
		return errors.New("key usage is not for signatures alone")
	}
	return nil
}
