package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

const (
	rootYears  = 20
	unitYears  = 10
	renewYears = 2
	maxUnits   = 1000
	// slack dates certificates back, for partners whose clocks are behind.
	slack = time.Hour
)

// A holder is a certificate with its private key.
type holder struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// load reads or makes the root and the unit. Order matters for a crash: a root
// without a unit or without roots.pem is completed by the next Open.
func (a *Authority) load(dir string) error {
	if err := sweep(dir, a.opt.Now()); err != nil {
		return err
	}
	root, err := a.adopt(filepath.Join(dir, "ca.pem"), a.newRoot)
	if err != nil {
		return err
	}
	if got, want := root.cert.Subject.Organization, a.organization(); len(got) != 1 || got[0] != want {
		return fmt.Errorf("it was made for %q, not for %q: use another directory", got, want)
	}
	if err := publish(filepath.Join(dir, "roots.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.cert.Raw})); err != nil {
		return err
	}
	if a.opt.Now().Before(root.cert.NotBefore) {
		a.opt.Log.Error("no token of this authority is good before its root begins; the clock was ahead when it was made, or is behind now", "root", root.cert.NotBefore.Format(time.DateOnly))
	}
	if a.opt.Now().After(root.cert.NotAfter) {
		return fmt.Errorf("the root ran out on %s: start a new authority in another directory", root.cert.NotAfter.Format(time.DateOnly))
	}
	unit, err := a.currentUnit(dir, root)
	if err != nil {
		return err
	}
	a.root, a.unit, a.key = root.cert, unit.cert, unit.key
	return nil
}

// currentUnit returns the newest unit that is valid now, after adding one if
// that is running out. A clock that was years ahead, once, has left a unit of
// the future: it is passed over until its time has come, and never destroyed.
func (a *Authority) currentUnit(dir string, root holder) (best holder, err error) {
	for n := 1; n <= maxUnits; n++ {
		path := filepath.Join(dir, fmt.Sprintf("unit-%d.pem", n))
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			if best.cert != nil && a.fresh(best.cert, root.cert) {
				return best, nil
			}
		}
		unit, err := a.adopt(path, func() (holder, error) { return a.newUnit(root) })
		if err != nil {
			return unit, err
		}
		if err := unit.cert.CheckSignatureFrom(root.cert); err != nil {
			return unit, fmt.Errorf("unit-%d.pem is not of this root: %w", n, err)
		}
		if now := a.opt.Now(); !now.Before(unit.cert.NotBefore) && !now.After(unit.cert.NotAfter) {
			best = unit
		}
	}
	return holder{}, fmt.Errorf("more than %d units", maxUnits)
}

// fresh reports whether a unit needs no successor yet.
func (a *Authority) fresh(unit, root *x509.Certificate) bool {
	return a.opt.Now().AddDate(renewYears, 0, 0).Before(unit.NotAfter) || unit.NotAfter.Equal(root.NotAfter)
}

func (a *Authority) organization() string {
	if a.opt.Training {
		return "TRAINING " + a.opt.Operator
	}
	return a.opt.Operator
}

func (a *Authority) subject(role string) pkix.Name {
	if a.opt.Training {
		role = "TRAINING " + role
	}
	return pkix.Name{Organization: []string{a.organization()}, CommonName: role}
}

func (a *Authority) newRoot() (holder, error) {
	now := a.opt.Now().UTC()
	return certify(&x509.Certificate{
		Subject: a.subject("time-stamping root"), NotBefore: now.Add(-slack), NotAfter: now.AddDate(rootYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
}

func (a *Authority) newUnit(root holder) (holder, error) {
	now := a.opt.Now().UTC()
	until := now.AddDate(unitYears, 0, 0)
	if until.After(root.cert.NotAfter) {
		until = root.cert.NotAfter
	}
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		return holder{}, err
	}
	return certify(&x509.Certificate{
		Subject: a.subject("time-stamping unit"), NotBefore: now.Add(-slack), NotAfter: until,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		// ExtKeyUsage would not be critical, as RFC 3161 section 2.3 wants it.
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}},
	}, &root)
}

// certify draws a key and has it certified by issuer, nil: by itself.
func certify(tpl *x509.Certificate, issuer *holder) (holder, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return holder{}, fmt.Errorf("draw key: %w", err)
	}
	if tpl.SerialNumber, err = randomSerial(); err != nil {
		return holder{}, err
	}
	parent, by := tpl, key
	if issuer != nil {
		parent, by = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, parent, key.Public(), by)
	if err != nil {
		return holder{}, fmt.Errorf("make certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return holder{cert, key}, err
}

// randomSerial draws 128 bits; the top one is set, so that the length is fixed.
func randomSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("draw serial: %w", err)
	}
	b[0] |= 0x80
	return new(big.Int).SetBytes(b), nil
}

func (h holder) encode() ([]byte, error) {
	key, err := x509.MarshalPKCS8PrivateKey(h.key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.cert.Raw})
	return append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), nil
}

func decodeHolder(b []byte) (h holder, err error) {
	first, rest := pem.Decode(b)
	if first == nil || first.Type != "CERTIFICATE" {
		return h, errors.New("no certificate in it")
	}
	second, _ := pem.Decode(rest)
	if second == nil || second.Type != "PRIVATE KEY" {
		return h, errors.New("no private key in it")
	}
	if h.cert, err = x509.ParseCertificate(first.Bytes); err != nil {
		return h, err
	}
	key, err := x509.ParsePKCS8PrivateKey(second.Bytes)
	if err != nil {
		return h, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok || !ec.PublicKey.Equal(h.cert.PublicKey) {
		return h, errors.New("the private key is not that of the certificate")
	}
	h.key = ec
	return h, nil
}
