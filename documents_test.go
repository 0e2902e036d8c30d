package holdfast_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/mod/sumdb/note"

	"holdfast"
	"holdfast/canon"
	"holdfast/hashing"
)

func sampleManifest() *holdfast.Manifest {
	at := holdfast.At(time.Date(2026, 11, 25, 8, 0, 0, 123e6, time.UTC))
	chain := holdfast.NewID()
	secret := bytes.Repeat([]byte{7}, 32)
	body := []byte("<html>hello</html>")
	commit := sha256.Sum256(append(holdfast.SliceSalt(secret, "record-1"), body[6:11]...))
	return &holdfast.Manifest{
		Kind: holdfast.KindCapture, ID: holdfast.CaptureID(holdfast.NewID(), 0, 0), Case: holdfast.NewID(), Nonce: holdfast.NewNonce(),
		Source: "https://example.org/\u2028é", Started: at, Ended: at, Found: holdfast.Found{How: "command"},
		Custody: holdfast.Head{Chain: chain, Length: 1, Head: hashing.Of(nil)},
		Collection: holdfast.Collection{Node: "node.0123456789abcdef", Egress: "unknown", Identity: "none", Clock: holdfast.Clock{Source: "node"},
			Software: holdfast.Software{Name: "holdfast", Version: "test", Digest: hashing.Of([]byte("x"))},
			Browser:  &holdfast.Browser{Name: "Chromium"}, Server: &holdfast.Server{Peer: "192.0.2.1:443", TLS: &holdfast.TLS{Verdict: "ok"}}},
		Completeness: holdfast.Completeness{Asked: 3, Outcome: "partial", Failed: []holdfast.Missing{{URL: "http://x/\xff", Reason: "gone"}}},
		Objects: []holdfast.Object{
			{Name: "dom.html", Role: "dom", Type: "text/html", Digest: hashing.Of(body), Size: int64(len(body)),
				Slices: []holdfast.Slice{{Name: "record-1", Offset: 6, Length: 5, Commitment: commit}}},
			{Name: "text.txt", Role: "text", Type: "text/plain", Digest: hashing.Of([]byte("hello")), Size: 5},
		},
		Transformations: []holdfast.Transformation{{Output: "text.txt", Inputs: []string{"dom.html"}, Action: "extract text", Tool: "t"}},
		Web:             &holdfast.Web{Asked: "https://example.org/", Final: "https://example.org/"},
	}
}

func TestManifestRoundTrip(t *testing.T) {
	m := sampleManifest()
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	// The direct encoder against the general one.
	if j, err := jcs.Transform(b); err != nil || !bytes.Equal(j, b) {
		t.Errorf("not RFC 8785:\n%s\n%s\n%v", b, j, err)
	}
	again, err := holdfast.ParseManifest(b)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := again.Encode(); err != nil || !bytes.Equal(c, b) {
		t.Errorf("second encoding differs (%v)", err)
	}
	if again.Completeness.Failed[0].URL != "http://x/\xff" {
		t.Error("bytes that are not UTF-8 were not kept")
	}
}

func TestManifestSchema(t *testing.T) {
	c := jsonschema.NewCompiler()
	s, err := c.Compile("docs/manifest.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	b, err := sampleManifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	v, _ := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err := s.Validate(v); err != nil {
		t.Error(err)
	}
	v, _ = jsonschema.UnmarshalJSON(bytes.NewReader(bytes.Replace(b, []byte(`"nonce"`), []byte(`"nance"`), 1)))
	if s.Validate(v) == nil {
		t.Error("the schema accepts an unknown member")
	}
}

func TestManifestRefuses(t *testing.T) {
	good, err := sampleManifest().Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(m *holdfast.Manifest){
		"event with a URL":        func(m *holdfast.Manifest) { m.Kind = holdfast.KindEvent },
		"no nonce":                func(m *holdfast.Manifest) { m.Nonce = "" },
		"object order":            func(m *holdfast.Manifest) { m.Objects[0], m.Objects[1] = m.Objects[1], m.Objects[0] },
		"object name":             func(m *holdfast.Manifest) { m.Objects[0].Name = "../x" },
		"reserved name":           func(m *holdfast.Manifest) { m.Objects[1].Name = "manifest.json" },
		"slice outside":           func(m *holdfast.Manifest) { m.Objects[0].Slices[0].Length = 1 << 40 },
		"negative slice":          func(m *holdfast.Manifest) { m.Objects[0].Slices[0].Offset = -1 },
		"negative size":           func(m *holdfast.Manifest) { m.Objects[1].Size = -1 },
		"transformation of none":  func(m *holdfast.Manifest) { m.Transformations[0].Output = "no" },
		"transformation of self":  func(m *holdfast.Manifest) { m.Transformations[0].Inputs = []string{"text.txt"} },
		"source without a scheme": func(m *holdfast.Manifest) { m.Source = "example.org" },
		"outcome":                 func(m *holdfast.Manifest) { m.Completeness.Outcome = "fine" },
		"node":                    func(m *holdfast.Manifest) { m.Collection.Node = "node" },
		"custody head":            func(m *holdfast.Manifest) { m.Custody.Length = 0 },
		"x not an object":         func(m *holdfast.Manifest) { m.X = json.RawMessage(`[1]`) },
	} {
		m := sampleManifest()
		change(m)
		if _, err := m.Encode(); !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%s: Encode gives %v", name, err)
		}
	}
	for name, b := range map[string]string{
		"newer":     strings.Replace(string(good), `"version":1,"web"`, `"version":2,"web"`, 1),
		"null list": strings.Replace(string(good), `"commitments":[]`, `"commitments":null`, 1),
		"space":     string(good) + " ",
		"case":      strings.Replace(string(good), `"nonce"`, `"Nonce"`, 1),
		"float":     strings.Replace(string(good), `"asked":3`, `"asked":3.0`, 1),
		"twice":     strings.Replace(string(good), `"asked":3`, `"asked":3,"asked":3`, 1),
		"time":      strings.Replace(string(good), `.123Z`, `.1230Z`, 1),
	} {
		_, err := holdfast.ParseManifest([]byte(b))
		if name == "newer" && !errors.Is(err, holdfast.ErrNewer) || name != "newer" && !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSources(t *testing.T) {
	for _, s := range []string{"http://a/", "https://a.example:8443/x?y#z", "holdfast:case/00ff", "received:000102030405060708090a0b0c0d0e0f",
		"telegram:@harbour_news", "telegram:@abc1/1", "telegram:@harbour/2147483647"} {
		if _, err := holdfast.ParseSource(s); err != nil {
			t.Error(err)
		}
	}
	for _, s := range []string{"", "a.example/x", "file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "https://", "holdfast:", "holdfast:a/../b", "ftp://a/", "received:", "received:maria", "received:000102030405060708090A0b0c0d0e0f", "received:000102030405060708090a0b0c0d0e0f/x", strings.Repeat("x", 9000),
		"telegram:", "telegram:harbour", "telegram:@abc", "telegram:@Harbour", "telegram:@harbour/", "telegram:@harbour/0", "telegram:@harbour/01", "telegram:@harbour/1/2", "telegram:@harbour/-1",
		"telegram:@harbour/12345678901", "telegram:@harbour.news", "telegram:@" + strings.Repeat("x", 33)} {
		if _, err := holdfast.ParseSource(s); !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%.60q: %v", s, err)
		}
	}
}

func TestPlanFillsItsPositions(t *testing.T) {
	p := &holdfast.Plan{Queue: "0123456789abcdef", First: 5, Last: 7, Seal: holdfast.SealID("0123456789abcdef", 0, 5), Planned: holdfast.At(time.Now()),
		Captures: []holdfast.Planned{{ID: holdfast.NewID(), Manifest: hashing.Of(nil), Position: 5}, {ID: holdfast.NewID(), Manifest: hashing.Of(nil), Position: 7}},
		Skipped:  []holdfast.Skipped{{ID: holdfast.NewID(), Position: 6, Reason: "duplicate"}}}
	b, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holdfast.ParsePlan(b); err != nil {
		t.Fatal(err)
	}
	p.Skipped[0].Position = 7
	if _, err := p.Encode(); !errors.Is(err, holdfast.ErrForm) {
		t.Error("a position twice and one missing, accepted")
	}
}

func TestEnvelope(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	h := sha256.Sum256(holdfast.PAE(holdfast.PayloadStatement, []byte("{}")))
	sig, _ := ecdsa.SignASN1(rand.Reader, k, h[:])
	sig, _ = holdfast.LowS(sig)
	e := &holdfast.Envelope{Payload: []byte("{}"), PayloadType: holdfast.PayloadStatement, Signatures: []holdfast.EnvelopeSignature{{Sig: sig}}}
	b, err := e.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := holdfast.ParseEnvelope(b, holdfast.PayloadStatement, 1000)
	if err != nil || got.Verify(spki) != nil {
		t.Fatal(err, got.Verify(spki))
	}
	if _, err := holdfast.ParseEnvelope(b, holdfast.PayloadExport, 1000); !errors.Is(err, holdfast.ErrForm) {
		t.Error("an envelope of another type passes")
	}
	got.Payload = []byte("[]")
	if got.Verify(spki) == nil {
		t.Error("another payload passes")
	}
	if !json.Valid(e.Leaf(spki)) || canon.Check(e.Leaf(spki)) != nil {
		t.Error("leaf is not canonical")
	}
}

func sampleNode(t testing.TB) (holdfast.PolicyNode, ed25519.PrivateKey) {
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	name, err := holdfast.NodeName("office-7", pub)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := note.NewEd25519VerifierKey(name, pub)
	if err != nil {
		t.Fatal(err)
	}
	k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	spki, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	return holdfast.PolicyNode{Name: name, Log: holdfast.PolicyLog{Key: vkey, Origin: name}, Keys: []holdfast.PolicyKey{{SPKI: spki, From: holdfast.At(time.Now())}}}, priv
}

func TestPolicy(t *testing.T) {
	n, _ := sampleNode(t)
	iss := hashing.Of([]byte("issuer"))
	good := func() *holdfast.Policy {
		return &holdfast.Policy{Quorum: 2, Nodes: []holdfast.PolicyNode{n}, Authorities: []holdfast.Authority{
			{Operator: "A", Root: hashing.Of([]byte("a")), Issuer: &iss}, {Operator: "B", Root: hashing.Of([]byte("b")), Policy: "1.2.3"}}}
	}
	b, err := good().Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holdfast.ParsePolicy(b); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(p *holdfast.Policy){
		"one root, two operators": func(p *holdfast.Policy) { p.Authorities[1].Root = p.Authorities[0].Root },
		"quorum 0":                func(p *holdfast.Policy) { p.Quorum = 0 },
		"node twice":              func(p *holdfast.Policy) { p.Nodes = append(p.Nodes, p.Nodes[0]) },
		"another log's name": func(p *holdfast.Policy) {
			other, _ := sampleNode(t)
			p.Nodes = []holdfast.PolicyNode{n}
			p.Nodes[0].Log = other.Log
		},
	} {
		p := good()
		change(p)
		if _, err := p.Encode(); !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := holdfast.ParsePolicy(bytes.Replace(b, []byte(`"nodes":[`), []byte(`"nodes":[],"nodes":[`), 1)); err == nil {
		t.Error("a member twice passes")
	}
}

func FuzzManifest(f *testing.F) {
	b, err := sampleManifest().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	given := sampleManifest()
	given.Source, given.Web = "received:000102030405060708090a0b0c0d0e0f", nil
	given.Commitments = []holdfast.Commitment{{Digest: hashing.Of(nil), Name: "giver"}}
	if b, err = given.Encode(); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := holdfast.ParseManifest(b)
		if err != nil {
			return
		}
		if c, err := m.Encode(); err != nil || !bytes.Equal(b, c) {
			t.Fatalf("accepted %q, encodes as %q (%v)", b, c, err)
		}
	})
}

func FuzzPlan(f *testing.F) {
	f.Add([]byte(`{"captures":[],"first":1,"kind":"plan","last":1,"packs":[],"partition":0,"planned":"2026-11-25T08:00:00.000Z","queue":"0123456789abcdef","seal":"0123456789abcdef-0-00000000000000000001","skipped":[{"id":"00000000000000000000000000000000","position":1,"reason":"poison"}],"training":false,"version":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := holdfast.ParsePlan(b); err == nil {
			if c, err := p.Encode(); err != nil || !bytes.Equal(b, c) {
				t.Fatalf("accepted %q, encodes as %q (%v)", b, c, err)
			}
		}
	})
}

// FuzzPolicy has its seed in testdata/fuzz.
func FuzzPolicy(f *testing.F) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := holdfast.ParsePolicy(b); err == nil {
			if c, err := p.Encode(); err != nil || !bytes.Equal(b, c) {
				t.Fatalf("accepted %q, encodes as %q (%v)", b, c, err)
			}
		}
	})
}

func FuzzBundle(f *testing.F) {
	for _, name := range []string{"testdata/bundles/good/page.zip"} {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b)
		}
	}
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	n, _ := sampleNode(f)
	p := &holdfast.Policy{Quorum: 1, Nodes: []holdfast.PolicyNode{n}}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := holdfast.Verify(t.Context(), bytes.NewReader(b), int64(len(b)), p, holdfast.VerifyOptions{})
		if err == nil && r.Verdict == holdfast.VerdictProven {
			t.Fatal("proven under a policy that names other nodes")
		}
	})
}

func BenchmarkManifestEncode(b *testing.B) {
	m := sampleManifest()
	for b.Loop() {
		if _, err := m.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkManifestParse(b *testing.B) {
	raw, _ := sampleManifest().Encode()
	for b.Loop() {
		if _, err := holdfast.ParseManifest(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSignatureHasOneSpelling(t *testing.T) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, _ := x509.MarshalPKIXPublicKey(&k.PublicKey)
	e := &holdfast.Envelope{Payload: []byte("{}"), PayloadType: holdfast.PayloadExport}
	h := sha256.Sum256(holdfast.PAE(e.PayloadType, e.Payload))
	for seen := 0; seen != 3; {
		sig, err := ecdsa.SignASN1(rand.Reader, k, h[:])
		if err != nil {
			t.Fatal(err)
		}
		low, err := holdfast.LowS(sig)
		if err != nil || !ecdsa.VerifyASN1(&k.PublicKey, h[:], low) {
			t.Fatal("the low spelling does not verify", err)
		}
		e.Signatures = []holdfast.EnvelopeSignature{{Sig: sig}}
		if bytes.Equal(low, sig) != (e.Verify(spki) == nil) {
			t.Fatal("the high spelling passes, or the low one does not")
		}
		if bytes.Equal(low, sig) {
			seen |= 1
		} else {
			seen |= 2
		}
	}
}
