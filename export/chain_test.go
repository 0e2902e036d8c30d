package export_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"io"
	"io/fs"
	"iter"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
)

// commercial is an authority as the large ones are: RSA, a CA between root and
// unit, and a unit whose certificate has expired since.
type commercial struct {
	root, ca, unit *x509.Certificate
	key            crypto.Signer
	at             time.Time
}

func newCommercial(at time.Time) *commercial {
	c := &commercial{at: at}
	serial := int64(100)
	sign := func(name string, until time.Duration, parent *x509.Certificate, by crypto.Signer) (*x509.Certificate, crypto.Signer) {
		key := must(rsa.GenerateKey(rand.Reader, 2048))
		serial++
		t := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Commercial CA"}},
			NotBefore: at.Add(-24 * time.Hour), NotAfter: at.Add(until), BasicConstraintsValid: true,
		}
		if until > 24*time.Hour {
			t.IsCA, t.KeyUsage = true, x509.KeyUsageCertSign
		} else {
			t.KeyUsage = x509.KeyUsageDigitalSignature
			eku := must(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}))
			t.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: eku}}
		}
		if parent == nil {
			parent, by = t, key
		}
		return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, t, parent, key.Public(), by)))), key
	}
	root, rootKey := sign("Commercial root", 9000*time.Hour, nil, nil)
	ca, caKey := sign("Commercial timestamping CA", 8000*time.Hour, root, rootKey)
	c.root, c.ca = root, ca
	c.unit, c.key = sign("Unit 7", 10*time.Second, ca, caKey)
	return c
}

func (c *commercial) Issue(_ context.Context, request []byte) []byte {
	req := must(timestamp.ParseRequest(request))
	ts := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: req.HashedMessage, Time: c.at, Policy: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 7},
		Nonce: req.Nonce, AddTSACertificate: true, Certificates: []*x509.Certificate{c.ca},
	}
	return must(ts.CreateResponseWithOpts(c.unit, c.key, crypto.SHA256))
}

// A token under an intermediate CA, of a unit that has expired, counts for Verify
// and verify.sh, and Sigstore's verifiers read it.
func TestIntermediateAndExpiredUnit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := newCommercial(time.Now().Add(-30 * time.Second).Truncate(time.Second))
	w.extra = map[string]issuer{"commercial": c}
	ca := hashing.Of(c.ca.RawSubjectPublicKeyInfo)
	w.policy.Authorities = append(w.policy.Authorities, holdfast.Authority{
		Operator: "Commercial CA", Root: hashing.Of(c.root.RawSubjectPublicKeyInfo), Issuer: &ca, From: w.policy.Authorities[0].From,
	})
	id := w.page("https://example.org/a")
	w.seal(1, id)
	o := w.options(id)
	o.Certificates = append(o.Certificates, c.root)
	path, _ := write(t, o)
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictProven)
	f := files(entries(t, path))
	var root struct {
		Timestamps []struct {
			CertChain struct{ Certificates []any } `json:"certChain"`
		} `json:"timestampAuthorities"`
	}
	if err := json.Unmarshal(f["data/trust/trusted_root.json"], &root); err != nil {
		t.Fatal(err)
	}
	longest := 0
	for _, a := range root.Timestamps {
		longest = max(longest, len(a.CertChain.Certificates))
	}
	if longest != 3 || f["data/trust/certs/"+hashing.Of(c.ca.Raw).Hex()+".pem"] == nil {
		t.Errorf("longest chain in trusted_root.json has %d certificates", longest)
	}
	dir := t.TempDir()
	sh, _ := script(t, newWorld(t))
	if err := export.WritePolicyDir(filepath.Join(dir, "trust"), w.policy, o.Certificates); err != nil {
		t.Fatal(err)
	}
	out, code := offline(t, "/", "bash", sh, "--trust", filepath.Join(dir, "trust"), path)
	if code != 0 || !strings.Contains(out, "Commercial CA says") {
		t.Errorf("verify.sh: %d\n%s", code, out)
	}
	seal := f.find(t, "data/seals/", "/seal.sigstore.json")
	args := []string{seal, "data/trust/trusted_root.json", "data/trust/nodes/" + holdfast.KeyID(w.SPKI()) + ".pem", "data/exhibits/1/manifest.json"}
	for _, name := range []string{"sigstore-verify", "sigstorego"} {
		if out, code := offline(t, f.unpacked(t), append([]string{judge(t, name)}, args...)...); code != 0 {
			t.Errorf("%s: %d\n%s", name, code, out)
		}
	}
}

// two joins two worlds: a Bundle of two Cases, sealed by two nodes, where the
// second node's log cannot be proven by the exporter.
type two struct {
	*world
	other *world
}

func (w *two) of(id holdfast.ID) *world {
	if w.other.captures[id] != nil || w.other.home == id {
		return w.other
	}
	return w.world
}

func (w *two) Facts(ctx context.Context, id holdfast.ID) (export.Facts, error) {
	return w.of(id).Facts(ctx, id)
}
func (w *two) Numbers(ctx context.Context, id holdfast.ID, ids []holdfast.ID) ([]string, error) {
	return w.of(id).Numbers(ctx, id, ids)
}
func (w *two) Custody(ctx context.Context, id holdfast.ID) iter.Seq2[export.CustodyRow, error] {
	x := w.of(id)
	return func(yield func(export.CustodyRow, error) bool) {
		for i, l := range x.custody {
			row := export.CustodyRow{Line: l}
			if i == 1 { // not to be shown
				row = export.CustodyRow{Chain: x.chain, N: 2, Withheld: hashing.Of(l)}
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

func (w *two) Consistency(ctx context.Context, origin string, from, to int64) ([][]byte, error) {
	if origin == w.other.node.Name {
		return nil, fs.ErrNotExist
	}
	return w.world.Consistency(ctx, origin, from, to)
}

func TestTwoCasesOfTwoNodes(t *testing.T) {
	t.Parallel()
	a, b := newWorld(t), newWorld(t)
	b.store, b.operators = a.store, a.operators
	b.batches = 500
	one, other := a.page("https://example.org/a"), b.page("https://example.org/b")
	a.seal(2, one)
	b.seal(2, other)
	w := &two{a, b}
	a.policy.Nodes = append(a.policy.Nodes, b.node)
	a.policy.Nodes[0].Log.Checkpoint = &holdfast.PinnedTree{Root: hashing.Digest(a.roots[2]), Size: 2}
	o := a.options(one)
	o.Cases = append(o.Cases, export.Selection{Case: b.home, Captures: []holdfast.ID{other}})
	o.CaseFacts, o.Logs = w, w
	o.Captures = captures{a, b}
	path, sum := write(t, o)
	if sum.Exhibits[0].Number != "1-1" || sum.Exhibits[1].Number != "2-1" || len(sum.Notes) != 2 {
		t.Errorf("%+v", sum)
	}
	r := verify(t, path, a.policy)
	wantVerdict(t, r, holdfast.VerdictProven)
	unlinked := 0
	for _, f := range r.Findings {
		if f.Finding == "log-unlinked" {
			unlinked++
			if !strings.Contains(f.Subject, b.node.Name) {
				t.Errorf("%+v", f)
			}
		}
	}
	if unlinked != 1 {
		t.Errorf("%d times log-unlinked, want 1", unlinked)
	}
	sh, _ := script(t, newWorld(t))
	dir := filepath.Join(t.TempDir(), "trust")
	if err := export.WritePolicyDir(dir, a.policy, o.Certificates); err != nil {
		t.Fatal(err)
	}
	out, code := offline(t, "/", "bash", sh, "--trust", dir, path)
	if code != 0 || strings.Count(out, "log-unlinked") != 1 {
		t.Errorf("verify.sh: %d\n%s", code, out)
	}
}

type captures []*world

func (c captures) Manifest(ctx context.Context, id holdfast.ID) ([]byte, string, error) {
	for _, w := range c {
		if w.captures[id] != nil {
			return w.Manifest(ctx, id)
		}
	}
	return nil, "", fs.ErrNotExist
}

func (c captures) OpenObject(ctx context.Context, id holdfast.ID, o holdfast.Object) (io.ReadCloser, error) {
	for _, w := range c {
		if w.captures[id] != nil {
			return w.OpenObject(ctx, id, o)
		}
	}
	return nil, fs.ErrNotExist
}
