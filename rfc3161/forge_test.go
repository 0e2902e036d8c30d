package rfc3161

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"
	"time"
)

// A forge makes tokens that may be wrong in one chosen place; the rest is
// right, so that only the check under test can refuse them.
type forge struct {
	root, inter, leaf, tpl     *x509.Certificate
	rootKey, interKey, leafKey crypto.Signer
	genTime                    time.Time
	certs                      []*x509.Certificate
	attrs                      func([][]byte) [][]byte // after sorting
	tst                        func([]byte) []byte
}

func mustOID(t testing.TB, s string) []byte {
	t.Helper()
	b, err := oidDER(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ekuExt writes the extended key usage extension.
func ekuExt(t testing.TB, critical bool, oids ...string) pkix.Extension {
	var list []byte
	for _, o := range oids {
		list = append(list, mustOID(t, o)...)
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: tlv(tagSequence, list)}
}

const oidTimeStamping = "1.3.6.1.5.5.7.3.8"

func newKey(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func issue(t testing.TB, tpl, parent *x509.Certificate, pub crypto.PublicKey, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tpl, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ca(name string, at time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: at.AddDate(-2, 0, 0), NotAfter: at.AddDate(2, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
}

// newForge makes root, intermediate and leaf; edit may change the leaf.
func newForge(t testing.TB, edit func(*x509.Certificate)) *forge {
	f := &forge{genTime: time.Date(2026, 3, 1, 12, 0, 0, 120e6, time.UTC)}
	root, inter, leaf := newKey(t, elliptic.P256()), newKey(t, elliptic.P256()), newKey(t, elliptic.P256())
	f.rootKey, f.interKey, f.leafKey = root, inter, leaf
	f.root = issue(t, ca("root", f.genTime), ca("root", f.genTime), root.Public(), root)
	f.inter = issue(t, ca("inter", f.genTime), f.root, inter.Public(), root)
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: f.genTime.AddDate(-1, 0, 0), NotAfter: f.genTime.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtraExtensions: []pkix.Extension{ekuExt(t, true, oidTimeStamping)},
	}
	if edit != nil {
		edit(tpl)
	}
	f.tpl = tpl
	return f.reissue(t, leaf)
}

// reissue gives the leaf another key or, for its own, other bytes.
func (f *forge) reissue(t testing.TB, key crypto.Signer) *forge {
	g := *f
	g.leafKey = key
	g.leaf = issue(t, f.tpl, f.inter, key.Public(), f.interKey)
	g.certs = []*x509.Certificate{g.leaf}
	return &g
}

var forgeImprint = sha256.Sum256([]byte("holdfast")) // the data of the golden tokens, too

func (f *forge) attr(t testing.TB, oid string, values ...[]byte) []byte {
	return tlv(tagSequence, mustOID(t, oid), tlv(tagSet, values...))
}

func (f *forge) ess(t testing.TB, certs ...*x509.Certificate) []byte {
	var ids []byte
	for _, c := range certs {
		h := sha256.Sum256(c.Raw)
		ids = append(ids, tlv(tagSequence, tlv(tagOctets, h[:]))...)
	}
	return f.attr(t, oidSigningCertV2, tlv(tagSequence, tlv(tagSequence, ids)))
}

func sortedSet(parts [][]byte) [][]byte {
	slices.SortFunc(parts, bytes.Compare)
	return parts
}

func (f *forge) token(t testing.TB) []byte {
	sha := tlv(tagSequence, mustOID(t, oidSHA256))
	tst := tlv(tagSequence, []byte{tagInt, 1, 1}, mustOID(t, "1.2.3"), tlv(tagSequence, sha, tlv(tagOctets, forgeImprint[:])),
		[]byte{tagInt, 1, 5}, tlv(tagTime, []byte(f.genTime.Format("20060102150405.99Z"))))
	if f.tst != nil {
		tst = f.tst(tst)
	}
	digest := sha256.Sum256(tst)
	attrs := sortedSet([][]byte{
		f.attr(t, oidContentType, mustOID(t, oidTSTInfo)),
		f.attr(t, oidMessageDigest, tlv(tagOctets, digest[:])),
		f.ess(t, f.leaf),
	})
	if f.attrs != nil {
		attrs = f.attrs(attrs)
	}
	signedDigest := sha256.Sum256(tlv(tagSet, attrs...))
	sig, err := f.leafKey.Sign(rand.Reader, signedDigest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := asn1.Marshal(f.leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	var certs []byte
	for _, c := range f.certs {
		certs = append(certs, c.Raw...)
	}
	signer := tlv(tagSequence, []byte{tagInt, 1, 1}, tlv(tagSequence, f.leaf.RawIssuer, serial), sha,
		tlv(tagContext0, attrs...), tlv(tagSequence, mustOID(t, "1.2.840.10045.4.3.2")), tlv(tagOctets, sig))
	signed := tlv(tagSequence, []byte{tagInt, 1, 3}, tlv(tagSet, sha),
		tlv(tagSequence, mustOID(t, oidTSTInfo), tlv(tagContext0, tlv(tagOctets, tst))),
		tlv(tagContext0, certs), tlv(tagSet, signer))
	return tlv(tagSequence, mustOID(t, oidSignedData), tlv(tagContext0, signed))
}
