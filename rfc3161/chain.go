package rfc3161

import (
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
)

// A Chain leads from the signer's certificate to one of the roots given. With
// a root that signs tokens itself all three are the same certificate.
type Chain struct {
	Leaf   *x509.Certificate
	Issuer *x509.Certificate // the CA whose key signed Leaf
	Root   *x509.Certificate
}

// Chains returns every chain from the signer to roots that was valid at
// GenTime, whatever the time is now: signatures, CA and path constraints,
// validity, time-stamping usage all the way, no SHA-1, no short key. The
// token's own certificates help to build chains and are never roots.
// Call [Token.Check] first: Chains says nothing of the signature.
//
// Errors wrap [ErrSigner], [ErrExpired], [ErrUnknownRoot] or [ErrWeak]; the
// system's own roots are never consulted.
func (t *Token) Chains(roots, intermediates []*x509.Certificate) ([]Chain, error) {
	signer, err := t.Signer(append(intermediates[:len(intermediates):len(intermediates)], roots...)...)
	if err != nil {
		return nil, err
	}
	found, err := signer.Verify(x509.VerifyOptions{
		Roots:         pool(roots),
		Intermediates: pool(intermediates, t.Certificates),
		CurrentTime:   t.GenTime,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return nil, fmt.Errorf("build chain: %w: %w", chainError(err), err)
	}
	var chains []Chain
	for _, path := range found {
		if err = strong(path); err == nil {
			chains = append(chains, Chain{Leaf: signer, Issuer: path[min(1, len(path)-1)], Root: path[len(path)-1]})
		}
	}
	if len(chains) == 0 {
		return nil, fmt.Errorf("build chain: %w", err)
	}
	return chains, nil
}

func pool(sets ...[]*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, set := range sets {
		for _, c := range set {
			if key, ok := c.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() <= maxRSA {
				p.AddCert(c)
			}
		}
	}
	return p
}

func chainError(err error) error {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ErrExpired
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return ErrSigner
	}
	return ErrUnknownRoot
}

// strong refuses short keys. SHA-1 signatures crypto/x509 refuses itself; that
// of a root is not looked at, since a root is trusted as it is.
func strong(path []*x509.Certificate) error {
	for _, c := range path {
		if _, err := keyBits(c.PublicKey); err != nil {
			return fmt.Errorf("%q: %w", c.Subject.CommonName, err)
		}
	}
	return nil
}
