package rfc3161

import (
	"bytes"
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/digitorus/timestamp"
)

// verdict is what a verifier would do: Parse, Check, Chains.
func verdict(der []byte, f *forge, extra ...*x509.Certificate) error {
	tok, err := Parse(der)
	if err != nil {
		return err
	}
	if err := tok.Check(forgeImprint[:], extra...); err != nil {
		return err
	}
	_, err = tok.Chains([]*x509.Certificate{f.root}, append(extra, f.inter))
	return err
}

func TestForgeIsRight(t *testing.T) {
	f := newForge(t, nil)
	if err := verdict(f.token(t), f); err != nil {
		t.Fatal(err)
	}
	f.certs = []*x509.Certificate{f.root, f.inter, f.leaf, f.leaf}
	tok, err := Parse(f.token(t))
	if err != nil {
		t.Fatal(err)
	}
	chains, err := tok.Chains([]*x509.Certificate{f.root}, nil)
	if err != nil || len(chains) == 0 || !chains[0].Issuer.Equal(f.inter) || !chains[0].Root.Equal(f.root) {
		t.Errorf("root and intermediate inside the token: %v %v", chains, err)
	}
}

func TestLeafRefused(t *testing.T) {
	const serverAuth, private = "1.3.6.1.5.5.7.3.1", "1.3.6.1.4.1.99999.9"
	for name, c := range map[string]struct {
		edit func(*x509.Certificate)
		want error
	}{
		"no EKU":           {func(c *x509.Certificate) { c.ExtraExtensions = nil }, ErrSigner},
		"wrong EKU":        {func(c *x509.Certificate) { c.ExtraExtensions[0] = ekuExt(t, true, serverAuth) }, ErrSigner},
		"two EKUs":         {func(c *x509.Certificate) { c.ExtraExtensions[0] = ekuExt(t, true, oidTimeStamping, serverAuth) }, ErrSigner},
		"unknown EKU too":  {func(c *x509.Certificate) { c.ExtraExtensions[0] = ekuExt(t, true, oidTimeStamping, private) }, ErrSigner},
		"the same twice":   {func(c *x509.Certificate) { c.ExtraExtensions[0] = ekuExt(t, true, oidTimeStamping, oidTimeStamping) }, ErrSigner},
		"EKU not critical": {func(c *x509.Certificate) { c.ExtraExtensions[0] = ekuExt(t, false, oidTimeStamping) }, ErrSigner},
		"key usage":        {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyEncipherment }, ErrSigner},
		"expired":          {func(c *x509.Certificate) { c.NotAfter = c.NotBefore.AddDate(0, 11, 0) }, ErrExpired},
		"not yet valid":    {func(c *x509.Certificate) { c.NotBefore = c.NotAfter.AddDate(0, -11, 0) }, ErrExpired},
		"unknown critical extension": {func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}, ErrUnknownRoot},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForge(t, c.edit)
			if err := verdict(f.token(t), f); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// The certificate has run out since, but was valid when the token was made.
func TestValidAtGenTimeNotNow(t *testing.T) {
	f := newForge(t, nil)
	f.genTime = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	f.tpl.NotBefore, f.tpl.NotAfter = f.genTime.Add(-time.Hour), f.genTime.Add(time.Hour)
	if time.Now().Before(f.tpl.NotAfter) {
		t.Fatal("the clock of this machine is in the past")
	}
	f = f.reissue(t, f.leafKey)
	if err := verdict(f.token(t), f); err != nil {
		t.Error(err)
	}
	f.genTime = f.tpl.NotAfter.Add(time.Second)
	if err := verdict(f.token(t), f); !errors.Is(err, ErrExpired) {
		t.Errorf("a second later: %v", err)
	}
}

func TestChainRefused(t *testing.T) {
	f := newForge(t, nil)
	raw := f.token(t)
	other := newForge(t, nil)
	tok, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	for name, roots := range map[string][]*x509.Certificate{"none": nil, "another": {other.root}} {
		if _, err := tok.Chains(roots, []*x509.Certificate{f.inter}); !errors.Is(err, ErrUnknownRoot) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Run("issuer is no CA", func(t *testing.T) {
		g := newForge(t, nil)
		tpl := ca("inter", g.genTime)
		tpl.IsCA, tpl.KeyUsage = false, x509.KeyUsageDigitalSignature
		g.inter = issue(t, tpl, g.root, g.interKey.Public(), g.rootKey)
		if err := verdict(g.token(t), g); !errors.Is(err, ErrUnknownRoot) {
			t.Error(err)
		}
	})
	t.Run("issuer for another use", func(t *testing.T) {
		g := newForge(t, nil)
		tpl := ca("inter", g.genTime)
		tpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		g.inter = issue(t, tpl, g.root, g.interKey.Public(), g.rootKey)
		if err := verdict(g.token(t), g); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("short issuer key", func(t *testing.T) {
		t.Setenv("GODEBUG", "rsa1024min=0")
		key, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		g := newForge(t, nil)
		g.inter = issue(t, ca("inter", g.genTime), g.root, key.Public(), g.rootKey)
		g.interKey = key
		g = g.reissue(t, g.leafKey)
		if err := verdict(g.token(t), g); !errors.Is(err, ErrWeak) {
			t.Error(err)
		}
	})
}

func TestAttributes(t *testing.T) {
	f := newForge(t, nil)
	twin := f.reissue(t, f.leafKey).leaf // same names and key, other bytes
	find := func(attrs [][]byte, oid string) int {
		for i, a := range attrs {
			if bytes.Contains(a, mustOID(t, oid)) {
				return i
			}
		}
		t.Fatal("no attribute", oid)
		return 0
	}
	replace := func(oid string, with ...[]byte) func([][]byte) [][]byte {
		return func(a [][]byte) [][]byte {
			i := find(a, oid)
			return sortedSet(append(append(a[:i:i], a[i+1:]...), with...))
		}
	}
	digest := tlv(tagOctets, make([]byte, 32))
	for name, c := range map[string]struct {
		attrs func([][]byte) [][]byte
		want  error
	}{
		"right":                {func(a [][]byte) [][]byte { return a }, nil},
		"chain named after it": {replace(oidSigningCertV2, f.ess(t, f.leaf, f.inter)), nil},
		"wrong ESSCertID":      {replace(oidSigningCertV2, f.ess(t, twin)), ErrSigner},
		"named second":         {replace(oidSigningCertV2, f.ess(t, f.inter, f.leaf)), ErrSigner},
		"named twice":          {replace(oidSigningCertV2, f.ess(t, f.leaf, f.leaf)), ErrSigner},
		"names none":           {replace(oidSigningCertV2, f.ess(t)), ErrSigner},
		"no ESSCertID":         {replace(oidSigningCertV2), ErrSigner},
		"duplicate attribute":  {replace(oidMessageDigest, f.attr(t, oidMessageDigest, digest), f.attr(t, oidMessageDigest, tlv(tagOctets, make([]byte, 31)))), ErrSyntax},
		"two values":           {replace(oidMessageDigest, f.attr(t, oidMessageDigest, digest, digest)), ErrSyntax},
		"no value":             {replace(oidMessageDigest, f.attr(t, oidMessageDigest)), ErrSyntax},
		"wrong digest":         {replace(oidMessageDigest, f.attr(t, oidMessageDigest, digest)), ErrSignature},
		"no digest":            {replace(oidMessageDigest), ErrSignature},
		"wrong content type":   {replace(oidContentType, f.attr(t, oidContentType, mustOID(t, "1.2.840.113549.1.7.1"))), ErrSignature},
		"no content type":      {replace(oidContentType), ErrSignature},
		"out of order":         {func(a [][]byte) [][]byte { a[0], a[1] = a[1], a[0]; return a }, ErrSyntax},
		"none at all":          {func([][]byte) [][]byte { return nil }, ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			g := *f
			g.attrs = c.attrs
			if err := verdict(g.token(t), &g); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

func TestTSTInfoRefused(t *testing.T) {
	f := newForge(t, nil)
	extend := func(tail ...[]byte) func([]byte) []byte {
		return func(tst []byte) []byte { return tlv(tagSequence, append([][]byte{tst[2:]}, tail...)...) }
	}
	at := func(s string) func([]byte) []byte {
		return func(tst []byte) []byte {
			i := bytes.Index(tst, []byte{tagTime, 18}) // YYYYMMDDhhmmss.ffZ
			return tlv(tagSequence, tst[2:i], tlv(tagTime, []byte(s)))
		}
	}
	for name, c := range map[string]struct {
		tst func([]byte) []byte
		ok  bool
	}{
		"right":                {extend(), true},
		"empty accuracy":       {extend([]byte{tagSequence, 0}), true},
		"extension":            {extend(tlv(tagContext1, tlv(tagSequence, mustOID(t, "1.2.3"), tlv(tagOctets)))), true},
		"trailing field":       {extend([]byte{tagNull, 0}), false},
		"ordering false":       {extend([]byte{tagBool, 1, 0}), false},
		"accuracy negative":    {extend(tlv(tagSequence, []byte{tagInt, 1, 0xff})), false},
		"accuracy 1000 ms":     {extend(tlv(tagSequence, []byte{0x80, 2, 3, 0xe8})), false},
		"critical extension":   {extend(tlv(tagContext1, tlv(tagSequence, mustOID(t, "1.2.3"), []byte{tagBool, 1, 0xff}, tlv(tagOctets)))), false},
		"long integer":         {extend([]byte{tagInt, 2, 0, 1}), false},
		"time with zone":       {at("20260301120000+0100"), false},
		"time with final zero": {at("20260301120000.10Z"), false},
		"time without seconds": {at("202603011200Z"), false},
		"time with comma":      {at("20260301120000,1Z"), false},
		"time, bare dot":       {at("20260301120000.Z"), false},
		"no such day":          {at("20260230120000Z"), false},
		"year one":             {at("00010101000000Z"), false},
		"whole second":         {at("20260301120000Z"), true},
	} {
		t.Run(name, func(t *testing.T) {
			g := *f
			g.tst = c.tst
			err := verdict(g.token(t), &g)
			if c.ok && err != nil || !c.ok && !errors.Is(err, ErrSyntax) {
				t.Errorf("%v, acceptable %v", err, c.ok)
			}
		})
	}
}

func TestLengthsMustBeMinimal(t *testing.T) {
	raw := golden(t, "p256")
	long := append([]byte{raw[0], 0x83, 0}, raw[2:]...)
	if _, err := Parse(long); !errors.Is(err, ErrSyntax) {
		t.Errorf("padded length: %v", err)
	}
	indefinite := append(append([]byte{raw[0], 0x80}, raw[4:]...), 0, 0)
	if _, err := Parse(indefinite); !errors.Is(err, ErrSyntax) {
		t.Errorf("indefinite length: %v", err)
	}
}

func TestOtherKeys(t *testing.T) {
	f := newForge(t, nil)
	p521, p224 := newKey(t, elliptic.P521()), newKey(t, elliptic.P224())
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key  crypto.Signer
		want error
	}{"P-521": {p521, nil}, "P-224": {p224, ErrWeak}, "RSA": {r, ErrSignature}} { // the forge announces ECDSA
		g := f.reissue(t, c.key)
		if err := verdict(g.token(t), g); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestPSS(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	f := newForge(t, nil)
	leaf := f.reissue(t, key).leaf
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		ts := &timestamp.Timestamp{HashAlgorithm: crypto.SHA256, HashedMessage: forgeImprint[:], Time: f.genTime, Policy: []int{1, 2, 3}, AddTSACertificate: true}
		resp, err := ts.CreateResponseWithOpts(leaf, key, h)
		if err != nil {
			t.Fatal(err)
		}
		tok, err := ParseResponse(resp)
		if err != nil {
			t.Fatal(err)
		}
		if err := tok.Check(forgeImprint[:]); err != nil {
			t.Errorf("PKCS #1 v1.5 with %v: %v", h, err)
		}
		tpl := &x509.Certificate{SerialNumber: big.NewInt(1), SignatureAlgorithm: map[crypto.Hash]x509.SignatureAlgorithm{
			crypto.SHA256: x509.SHA256WithRSAPSS, crypto.SHA384: x509.SHA384WithRSAPSS, crypto.SHA512: x509.SHA512WithRSAPSS}[h]}
		tok.sigAlg = pssAlgorithm(issue(t, tpl, tpl, key.Public(), key).Raw)
		if tok.signature, err = rsa.SignPSS(rand.Reader, key, h, sum(h, tok.signed), &rsa.PSSOptions{SaltLength: h.Size()}); err != nil {
			t.Fatal(err)
		}
		if err := tok.Check(forgeImprint[:]); err != nil {
			t.Errorf("PSS with %v: %v", h, err)
		}
		tok.signature[9] ^= 1
		if err := tok.Check(forgeImprint[:]); !errors.Is(err, ErrSignature) {
			t.Errorf("PSS, changed, with %v: %v", h, err)
		}
	}
}

// pssAlgorithm takes the AlgorithmIdentifier that crypto/x509 wrote.
func pssAlgorithm(cert []byte) algorithm {
	r := &reader{b: cert}
	r = r.inside(tagSequence)
	r.element(tagSequence)
	return r.algorithm()
}

func BenchmarkVerify(b *testing.B) {
	raw := golden(b, "p256")
	root, inter := []*x509.Certificate{readCert(b, "root.pem")}, []*x509.Certificate{readCert(b, "inter.pem")}
	for b.Loop() {
		tok, err := Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		if err := tok.Check(forgeImprint[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := tok.Chains(root, inter); err != nil {
			b.Fatal(err)
		}
	}
}

func TestExchange(t *testing.T) {
	imprint := sha256.Sum256([]byte("x"))
	nonce := new(big.Int).Lsh(big.NewInt(1), 127)
	for _, policy := range []string{"", "1.2.3", "2.25.329800735698586629295641978511506172918"} {
		der, err := NewRequest(imprint[:], nonce, policy)
		if err != nil {
			t.Fatal(err)
		}
		back, number, oid, err := ParseRequest(der)
		if err != nil || !bytes.Equal(back, imprint[:]) || number.Cmp(nonce) != 0 || oid != policy {
			t.Errorf("read back %x %v %q %v", back, number, oid, err)
		}
		for i := range 8 * len(der) {
			bad := bytes.Clone(der)
			bad[i/8] ^= 1 << (i % 8)
			b, n, p, err := ParseRequest(bad)
			if err == nil && bytes.Equal(b, imprint[:]) && n.Cmp(nonce) == 0 && p == policy {
				t.Errorf("policy %q: bit %d does not matter", policy, i)
			}
			if err != nil && !errors.Is(err, ErrSyntax) {
				t.Errorf("bit %d: %v", i, err)
			}
		}
		if _, _, _, err := ParseRequest(append(bytes.Clone(der), 0)); !errors.Is(err, ErrSyntax) {
			t.Errorf("one byte more: %v", err)
		}
		if policy == "2.25.329800735698586629295641978511506172918" {
			continue // more than encoding/asn1 can hold
		}
		q, err := timestamp.ParseRequest(der)
		if err != nil || q.Nonce.Cmp(nonce) != 0 || !q.Certificates || !bytes.Equal(q.HashedMessage, imprint[:]) || q.TSAPolicyOID.String() != policy {
			t.Errorf("request %+v %v", q, err)
		}
	}
	for name, c := range map[string]struct {
		imprint []byte
		nonce   *big.Int
		policy  string
	}{"imprint": {imprint[:31], nonce, ""}, "no nonce": {imprint[:], nil, ""}, "nonce": {imprint[:], big.NewInt(1), ""}, "policy": {imprint[:], nonce, "x"}} {
		if _, err := NewRequest(c.imprint, c.nonce, c.policy); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

func TestWrap(t *testing.T) {
	raw := golden(t, "p256")
	w := WrapResponse(raw)
	if got, err := UnwrapResponse(w); err != nil || !bytes.Equal(got, raw) {
		t.Fatal(err)
	}
	if tok, err := ParseResponse(w); err != nil || !bytes.Equal(tok.Raw, raw) {
		t.Fatal(err)
	}
	mods := bytes.Replace(w, []byte{tagSequence, 3, tagInt, 1, 0}, []byte{tagSequence, 3, tagInt, 1, 1}, 1)
	if _, err := ParseResponse(mods); err != nil {
		t.Errorf("grantedWithMods: %v", err)
	}
	for name, b := range map[string][]byte{"grantedWithMods": mods, "trailing": append(bytes.Clone(w), 0), "bare": raw, "empty": nil} {
		if _, err := UnwrapResponse(b); !errors.Is(err, ErrSyntax) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRejected(t *testing.T) {
	text := tlv(tagSequence, tlv(tagUTF8, []byte("no \x1b[31msuch policy")))
	der := tlv(tagSequence, tlv(tagSequence, []byte{tagInt, 1, 2}, text, []byte{tagBits, 3, 0, 0, 1}))
	_, err := ParseResponse(der)
	if !errors.Is(err, ErrRejected) {
		t.Fatal(err)
	}
	if want := `parse reply: authority rejected the request: status 2 "no \x1b[31msuch policy" unacceptedPolicy`; err.Error() != want {
		t.Errorf("%s, want %s", err, want)
	}
	if _, err := ParseResponse(tlv(tagSequence, tlv(tagSequence, []byte{tagInt, 1, 0}))); !errors.Is(err, ErrSyntax) {
		t.Errorf("granted without a token: %v", err)
	}
	withToken := tlv(tagSequence, tlv(tagSequence, []byte{tagInt, 1, 2}), golden(t, "p256"))
	if _, err := ParseResponse(withToken); !errors.Is(err, ErrRejected) {
		t.Errorf("rejected with a token: %v", err)
	}
}
