package export

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/rfc3161"
)

// token is a timestamp of a Seal. CheckSeal has proven it sound before.
type token struct {
	name     string // of the part
	at       int64  // genTime, Unix seconds
	raw      []byte
	digest   hashing.Digest
	operator string // for whom it counts by the node's Policy, "" for nobody
	readable bool   // by the Sigstore verifiers of others
	path     []*x509.Certificate
}

// tsa is what trusted_root.json says about one signer of tokens.
type tsa struct {
	operator string
	path     []*x509.Certificate // leaf first, root last
}

// anchors picks the self-signed certificates whose key the Policy names as a
// root.
func anchors(p *holdfast.Policy, certs []*x509.Certificate) (roots []*x509.Certificate) {
	for _, c := range certs {
		d := hashing.Of(c.RawSubjectPublicKeyInfo)
		for _, a := range p.Authorities {
			if a.Root == d && rfc3161.SelfSigned(c) {
				roots = append(roots, c)
				break
			}
		}
	}
	return roots
}

func (w *writer) tokens(parts holdfast.SealParts) (ts []token, err error) {
	for _, name := range sortedNames(parts) {
		if !strings.HasPrefix(name, dirTimestamps) && name != partNotBefore {
			continue
		}
		parsed, err := rfc3161.Parse(parts[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		t := token{name: name, at: parsed.GenTime.Unix(), raw: parts[name], digest: hashing.Of(parts[name])}
		t.operator, t.path = w.judge(parsed)
		for _, c := range t.path[min(1, len(t.path)):] {
			w.certs[hashing.Of(c.Raw)] = c
		}
		kind, err := parsed.Kind(w.Certificates...)
		t.readable = err == nil && kind.Hash == crypto.SHA256 && (kind.Key == "ECDSA" || kind.Key == "RSA")
		if name != partNotBefore && !strings.HasPrefix(name, dirTimestamps+"own/") {
			ts = append(ts, t)
		}
	}
	return ts, nil
}

// judge finds the chain that makes a token count. It only chooses what other
// tools get to see; what a token proves is for Verify and the reader's Policy.
func (w *writer) judge(t *rfc3161.Token) (operator string, path []*x509.Certificate) {
	chains, err := t.Chains(w.anchors, w.Certificates)
	if err != nil {
		return "", nil
	}
	for _, ch := range chains {
		for _, a := range w.Policy.Authorities {
			if hashing.Of(ch.Root.RawSubjectPublicKeyInfo) == a.Root &&
				(a.Issuer == nil || hashing.Of(ch.Issuer.RawSubjectPublicKeyInfo) == *a.Issuer) &&
				(a.Policy == "" || a.Policy == t.Policy) &&
				!t.GenTime.Before(a.From.Time) && (a.Until == nil || t.GenTime.Before(a.Until.Time)) {
				return a.Operator, w.path(t, ch)
			}
		}
	}
	return "", nil
}

// path fills in the certificates between a chain's three known ones.
func (w *writer) path(t *rfc3161.Token, ch rfc3161.Chain) []*x509.Certificate {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(ch.Root)
	for _, c := range append(t.Certificates[:len(t.Certificates):len(t.Certificates)], w.Certificates...) {
		between.AddCert(c)
	}
	found, err := ch.Leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: t.GenTime,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil || len(found) == 0 {
		return []*x509.Certificate{ch.Leaf, ch.Issuer, ch.Root}
	}
	best := found[0]
	for _, f := range found {
		if len(f) < len(best) {
			best = f
		}
	}
	return best
}
