package sealtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"testing"
	"time"
)

// A holder is a certificate with its key.
type holder struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// A hierarchy holds the CAs of one operator, good ones and two that are not.
type hierarchy struct{ root, issuer, otherIssuer, falseIssuer holder }

// A unit signs tokens.
type unit struct {
	holder
	issuer *x509.Certificate
}

func newHierarchy(t testing.TB, operator string) *hierarchy {
	t.Helper()
	root := mustCA(t, operator, "root", nil)
	falseRoot := mustCA(t, operator, "root", nil)
	return &hierarchy{
		root: root, issuer: mustCA(t, operator, "time-stamping CA", &root),
		otherIssuer: mustCA(t, operator, "time-stamping CA 2", &root),
		falseIssuer: mustCA(t, operator, "time-stamping CA", &falseRoot),
	}
}

func mustCA(t testing.TB, operator, name string, by *holder) holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h, err := certify(&x509.Certificate{
		Subject:               pkix.Name{Organization: []string{operator}, CommonName: operator + " " + name},
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
		NotAfter: time.Now().AddDate(20, 0, 0),
	}, key, by)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// certify has key certified by another holder, nil: by itself. Certificates
// begin five years back, so that clocks may be behind.
func certify(tpl *x509.Certificate, key crypto.Signer, by *holder) (holder, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return holder{}, err
	}
	tpl.SerialNumber, tpl.NotBefore = serial, time.Now().AddDate(-5, 0, 0)
	if by == nil {
		by = &holder{tpl, key}
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, by.cert, key.Public(), by.key)
	if err != nil {
		return holder{}, fmt.Errorf("make certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return holder{cert, key}, err
}

// unit returns the unit for the present modes; each is made once.
func (a *Authority) unit() (*unit, error) {
	var name string
	for _, m := range []Mode{RSA256, RSA512, P384, WrongEKU, TwoEKUs, LooseEKU, Expired, OtherRoot, OtherIssuer} {
		if a.is(m) {
			name += string(m) + " "
		}
	}
	issuer := a.ca.issuer
	if a.is(OtherIssuer) {
		issuer = a.ca.otherIssuer
	}
	if a.is(OtherRoot) {
		issuer = a.ca.falseIssuer
	}
	tpl, err := a.template()
	if err != nil {
		return nil, err
	}
	curve, rsaKey := elliptic.P256(), a.is(RSA256) || a.is(RSA512)
	if a.is(P384) {
		curve = elliptic.P384()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.units[name]; u != nil {
		return u, nil
	}
	key, err := newKey(curve, rsaKey)
	if err != nil {
		return nil, err
	}
	h, err := certify(tpl, key, &issuer)
	if err != nil {
		return nil, err
	}
	a.units[name] = &unit{h, issuer.cert}
	return a.units[name], nil
}

func newKey(curve elliptic.Curve, isRSA bool) (crypto.Signer, error) {
	if isRSA {
		return rsa.GenerateKey(rand.Reader, 2048)
	}
	return ecdsa.GenerateKey(curve, rand.Reader)
}

// template is a unit's certificate as the modes will have it.
func (a *Authority) template() (*x509.Certificate, error) {
	timeStamping, serverAuth := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}
	usages := []asn1.ObjectIdentifier{timeStamping}
	switch {
	case a.is(WrongEKU):
		usages = []asn1.ObjectIdentifier{serverAuth}
	case a.is(TwoEKUs):
		usages = append(usages, serverAuth)
	}
	value, err := asn1.Marshal(usages)
	if err != nil {
		return nil, err
	}
	until := time.Now().AddDate(10, 0, 0)
	if a.is(Expired) {
		until = time.Now().Add(-time.Hour)
	}
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{a.Operator}, CommonName: a.Operator + " time-stamping unit"},
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, NotAfter: until,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: !a.is(LooseEKU), Value: value}},
	}, nil
}
