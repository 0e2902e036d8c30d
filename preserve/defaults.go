package preserve

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve/public"
)

// DefaultQuorum is how many operators must have stamped a Seal, unless the node
// is configured otherwise.
const DefaultQuorum = 2

// Defaults returns the public authorities that a node asks until the first one
// is configured. Nothing is pinned in them: issuing CA and policy of each are
// pinned in the node's Policy by its first valid token ([Trust.Pin]). Who asks
// them tells these companies that, and when, something was sealed, and nothing
// about what.
func Defaults() ([]Authority, error) {
	list, err := public.List()
	if err != nil {
		return nil, fmt.Errorf("read default authorities: %w", err)
	}
	all := make([]Authority, len(list))
	for i, a := range list {
		all[i] = Authority{Name: a.Name, Operator: a.Operator, URL: a.URL, Roots: a.Roots, Public: true}
	}
	return all, nil
}

// maxRoots bounds a file of roots.
const maxRoots = 64

// ParseRoots reads the certificates of a PEM file, 1 to 64, and nothing else.
func ParseRoots(text []byte) (certs []*x509.Certificate, err error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" || len(certs) == maxRoots {
			return nil, fmt.Errorf("parse roots: a block %q, or more than %d: give the authority's root certificates only", b.Type, maxRoots)
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse roots: %w", err)
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("parse roots: no certificate in it: give a PEM file")
	}
	return certs, nil
}

// Pinned returns a with the pins that a Policy has for its operator and roots,
// so that the client asks for that policy and refuses another issuing CA before
// the token is looked at further. With more than one entry nothing is pinned
// here; the Policy decides then.
func Pinned(p *holdfast.Policy, a Authority) Authority {
	var fits []holdfast.Authority
	for _, e := range p.Authorities {
		mine := func(c *x509.Certificate) bool { return hashing.Of(c.RawSubjectPublicKeyInfo) == e.Root }
		if e.Operator == a.Operator && e.Until == nil && slices.ContainsFunc(a.Roots, mine) {
			fits = append(fits, e)
		}
	}
	if len(fits) == 1 {
		a.PolicyPin = fits[0].Policy
		if fits[0].Issuer != nil {
			a.IssuerPin = fits[0].Issuer.Hex()
		}
	}
	return a
}
