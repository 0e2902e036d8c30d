package rfc3161

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
)

// SelfSigned reports whether a certificate is signed with its own key. A
// verifier that pins roots by key asks this, because anybody can write another
// certificate, with other dates, around a public key. SHA-1 is accepted here
// and nowhere else: old roots have it, and to abuse it one must find a second
// preimage of the root's own signature, which SHA-1 still resists.
func SelfSigned(c *x509.Certificate) bool {
	if c.SignatureAlgorithm == x509.SHA1WithRSA {
		pub, ok := c.PublicKey.(*rsa.PublicKey)
		h := sha1.Sum(c.RawTBSCertificate)
		return ok && pub.N.BitLen() <= maxRSA && rsa.VerifyPKCS1v15(pub, crypto.SHA1, h[:], c.Signature) == nil
	}
	return c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}
