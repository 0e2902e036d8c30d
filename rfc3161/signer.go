package rfc3161

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"slices"
)

const oidEKU = "2.5.29.37"

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
