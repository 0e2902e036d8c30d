package holdfast_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/rfc3161"
	"holdfast/storage"
)

// tsa is an authority that signs whatever it is told, with any certificate.
type tsa struct {
	operator string
	root     *x509.Certificate
	rootKey  *ecdsa.PrivateKey
	unit     *x509.Certificate
	key      crypto.Signer
	hash     crypto.Hash
	accuracy time.Duration
}

type tsaOptions struct {
	rootUntil, unitUntil time.Time // zero: in ten years
	key                  crypto.Signer
	hash                 crypto.Hash
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newKey() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) }

func certificate(name string, until time.Time, ca bool, pub any, parent *x509.Certificate, key crypto.Signer) *x509.Certificate {
	tpl := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))), Subject: pkix.Name{Organization: []string{name}, CommonName: name},
		NotBefore: time.Now().AddDate(-3, 0, 0), NotAfter: until, BasicConstraintsValid: true, IsCA: ca, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if ca {
		tpl.KeyUsage = x509.KeyUsageCertSign
	} else {
		usage := must(asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}}))
		tpl.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}
	}
	if parent == nil {
		parent = tpl
	}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, tpl, parent, pub, key))))
}

func newTSA(operator string, o tsaOptions) *tsa {
	for _, at := range []*time.Time{&o.rootUntil, &o.unitUntil} {
		if at.IsZero() {
			*at = time.Now().AddDate(10, 0, 0)
		}
	}
	if o.key == nil {
		o.key = newKey()
	}
	if o.hash == 0 {
		o.hash = crypto.SHA256
	}
	a := &tsa{operator: operator, rootKey: newKey(), key: o.key, hash: o.hash, accuracy: time.Second}
	a.root = certificate(operator+" root", o.rootUntil, true, a.rootKey.Public(), nil, a.rootKey)
	a.unit = certificate(operator+" unit", o.unitUntil, false, a.key.Public(), a.root, a.rootKey)
	return a
}

// stamp gives a token over a signature that says at.
func (a *tsa) stamp(sig []byte, at time.Time) []byte {
	imprint := sha256.Sum256(sig)
	ts := timestamp.Timestamp{
		HashAlgorithm: crypto.SHA256, HashedMessage: imprint[:], Time: at.UTC().Truncate(time.Second), Accuracy: a.accuracy,
		Nonce: must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 60))), Policy: asn1.ObjectIdentifier{2, 999, 3161, 5}, AddTSACertificate: true,
	}
	return must(rfc3161.UnwrapResponse(must(ts.CreateResponseWithOpts(a.unit, a.key, a.hash))))
}

func (a *tsa) entry() holdfast.Authority {
	return holdfast.Authority{From: holdfast.At(time.Now().AddDate(-2, 0, 0)), Operator: a.operator, Root: hashing.Of(a.root.RawSubjectPublicKeyInfo)}
}

// world is a node with everything that signs, in memory. Whoever holds one can
// lie as its office can.
type world struct {
	t      testing.TB
	node   holdfast.PolicyNode
	key    *ecdsa.PrivateKey
	log    *sealtest.Log
	skey   string // of the log
	tsas   []*tsa
	policy *holdfast.Policy
	now    time.Time
	parts  map[string][]byte // seals/…
	home   holdfast.ID
	chain  holdfast.ID
	lines  [][]byte
	hide   int // the line that is shown as a digest
	head   holdfast.Head
	made   map[holdfast.ID]*exhibit
	order  []holdfast.ID
	first  int64
	newest []byte
}

type exhibit struct {
	manifest []byte
	m        *holdfast.Manifest
	objects  map[string][]byte
	seal     string
}

func newWorld(t testing.TB, now time.Time, tsas ...*tsa) *world {
	t.Helper()
	_, skey, _, err := preserve.NewLogKey("world")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, key: newKey(), skey: skey, log: sealtest.NewLog(t, skey), tsas: tsas, now: now, parts: map[string][]byte{}, home: holdfast.NewID(), chain: holdfast.NewID(), made: map[holdfast.ID]*exhibit{}}
	from := holdfast.At(time.Now().AddDate(-1, 0, 0))
	w.node = holdfast.PolicyNode{Name: w.log.Origin, Log: holdfast.PolicyLog{Key: w.log.VKey, Origin: w.log.Origin}, Keys: []holdfast.PolicyKey{{SPKI: w.SPKI(), From: from}}}
	w.policy = &holdfast.Policy{Quorum: 2, Nodes: []holdfast.PolicyNode{w.node}, Training: true}
	for _, a := range tsas {
		w.policy.Authorities = append(w.policy.Authorities, a.entry())
	}
	w.line("opened", json.RawMessage(`{"name":"World"}`))
	return w
}

func (w *world) SPKI() []byte { return must(x509.MarshalPKIXPublicKey(w.key.Public())) }

func (w *world) SignDigest(_ context.Context, d hashing.Digest) ([]byte, error) {
	sig, err := ecdsa.SignASN1(rand.Reader, w.key, d[:])
	if err != nil {
		return nil, err
	}
	return holdfast.LowS(sig)
}

func (w *world) line(action string, x json.RawMessage, objects ...string) {
	l := holdfast.Line{Action: action, At: holdfast.At(w.now), Case: w.home, Chain: w.chain, N: w.head.Length + 1, Node: w.node.Name, Objects: objects, Training: true, Why: "test", X: x}
	b := must(l.Encode())
	w.lines = append(w.lines, b)
	w.head = holdfast.Head{Chain: w.chain, Head: holdfast.Next(w.head.Head, hashing.Of(b)), Length: l.N}
}

const worldHTML = "<!doctype html><title>World</title><p>first message</p><p>second message</p>"

// capture accepts a small Capture with an Object in two slices.
func (w *world) capture(change func(*holdfast.Manifest)) holdfast.ID {
	w.t.Helper()
	secret := must(io.ReadAll(io.LimitReader(rand.Reader, 32)))
	objects := map[string][]byte{"requests.warc": []byte("cookie: secret"), "source.html": []byte(worldHTML), "source.html.secret": secret, "text.txt": []byte("first message second message")}
	m := &holdfast.Manifest{
		Agent: holdfast.Agent{Office: "Office", Pseudonym: "agent-7", Role: "investigator"}, Case: w.home, Kind: holdfast.KindCapture, ID: holdfast.CaptureID(holdfast.NewID(), 0, 0),
		Nonce: holdfast.NewNonce(), Source: holdfast.Source(fmt.Sprintf("https://example.org/%d", len(w.order))), Started: holdfast.At(w.now), Ended: holdfast.At(w.now.Add(time.Second)),
		Custody: w.head, Training: true, Found: holdfast.Found{How: "command"},
		Collection: holdfast.Collection{Node: w.node.Name, Egress: "unknown", Identity: "none", Clock: holdfast.Clock{Source: "node"}, Config: hashing.Of([]byte("config")),
			Software: holdfast.Software{Name: "holdfast", Version: "0.1.0", Digest: hashing.Of([]byte("program"))}},
		Completeness: holdfast.Completeness{Asked: 1, Outcome: "complete"},
	}
	for _, o := range [][3]string{{"requests.warc", "requests", "application/warc"}, {"source.html", "source", "text/html"}, {"source.html.secret", "slice-secret", "application/octet-stream"}, {"text.txt", "text", "text/plain"}} {
		b := objects[o[0]]
		m.Objects = append(m.Objects, holdfast.Object{Name: o[0], Role: o[1], Type: o[2], Digest: hashing.Of(b), Size: int64(len(b)), Restricted: o[1] == "requests" || o[1] == "slice-secret"})
	}
	for _, s := range []holdfast.Slice{{Name: "message-1", Offset: 35, Length: 20}, {Name: "message-2", Offset: 55, Length: 21}} {
		s.Commitment = sha256.Sum256(append(holdfast.SliceSalt(secret, s.Name), worldHTML[s.Offset:s.Offset+s.Length]...))
		m.Objects[1].Slices = append(m.Objects[1].Slices, s)
	}
	m.Transformations = []holdfast.Transformation{{Action: "extract visible text", Inputs: []string{"source.html"}, Output: "text.txt", Tool: "holdfast"}}
	if change != nil {
		change(m)
	}
	w.made[m.ID] = &exhibit{manifest: must(m.Encode()), m: m, objects: objects}
	w.order = append(w.order, m.ID)
	return m.ID
}

// sealing is how a Seal is made; the zero value makes a right one.
type sealing struct {
	id        string                    // default: the next
	at        time.Time                 // what the authorities say; default the world's now + 2 s
	by        []*tsa                    // default all
	names     []string                  // of the authorities; default alpha, beta, …
	notBefore []byte                    // default the newest token
	change    func(*holdfast.Statement) // before it is signed
	key       *ecdsa.PrivateKey
	log       *sealtest.Log
}

// sealParts makes the parts of a Seal over Manifests.
func (w *world) sealParts(o sealing, manifests ...[]byte) (string, holdfast.SealParts) {
	w.t.Helper()
	if o.id == "" {
		o.id = holdfast.SealID("00112233445566aa", 0, w.first)
		w.first += int64(len(manifests))
	}
	if o.at.IsZero() {
		o.at = w.now.Add(2 * time.Second)
	}
	if o.by == nil {
		o.by = w.tsas
	}
	if o.key == nil {
		o.key = w.key
	}
	if o.log == nil {
		o.log = w.log
	}
	if o.notBefore == nil {
		o.notBefore = w.newest
	}
	parts := holdfast.SealParts{}
	tree, _ := o.log.Newest()
	p := holdfast.Predicate{Checkpoint: tree, Config: hashing.Of([]byte("config")), Node: w.node.Name, Seal: o.id, Training: true,
		Software: holdfast.Software{Name: "holdfast", Version: "0.1.0", Digest: hashing.Of([]byte("program"))}}
	if o.notBefore != nil {
		p.NotBefore = &holdfast.NotBefore{Digest: hashing.Of(o.notBefore), Time: holdfast.At(must(rfc3161.Parse(o.notBefore)).GenTime)}
		parts["notbefore.tst"] = o.notBefore
	}
	var ds []hashing.Digest
	for _, m := range manifests {
		ds = append(ds, hashing.Of(m))
	}
	st := must(holdfast.NewStatement(p, ds))
	if o.change != nil {
		o.change(st)
	}
	raw := signed(w.t, o.key, holdfast.PayloadStatement, must(st.Encode()))
	parts["statement.dsse.json"] = raw
	env := must(holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, holdfast.MaxDocument))
	spki := must(x509.MarshalPKIXPublicKey(o.key.Public()))
	e := must(o.log.Append(w.t.Context(), env.Leaf(spki)))
	at := fmt.Sprintf("%s/%d", o.log.Origin, e.Tree.Size)
	parts["checkpoint/"+at], parts["inclusion/"+at+".json"] = e.Checkpoint, must(e.Inclusion.Encode())
	names := o.names
	for i, a := range o.by {
		if o.names == nil {
			names = append(names, []string{"alpha", "beta", "gamma", "delta"}[i%4])
		}
		token := a.stamp(env.Signatures[0].Sig, o.at.Add(time.Duration(i/3)*time.Second)) // two of one second are taken for one by a reader
		parts["timestamps/"+names[i]+"/"+hashing.Of(token).Hex()+".tst"] = token
		w.newest = token
	}
	return o.id, parts
}

// seal is sealParts for Captures of the world, kept in its store.
func (w *world) seal(o sealing, ids ...holdfast.ID) string {
	w.t.Helper()
	var ms [][]byte
	for _, id := range ids {
		ms = append(ms, w.made[id].manifest)
	}
	seal, parts := w.sealParts(o, ms...)
	for name, b := range parts {
		w.parts["seals/"+seal+"/"+name] = b
	}
	for _, id := range ids {
		w.made[id].seal = seal
	}
	return seal
}

// sigstore assembles seal.sigstore.json, with the tokens that it may hold.
func sigstore(parts holdfast.SealParts, spki []byte, log *sealtest.Log) []byte {
	var responses [][]byte
	var tokens []hashing.Digest
	by := map[hashing.Digest][]byte{}
	var cp []byte
	var proof *holdfast.Inclusion
	for name, b := range parts {
		switch {
		case strings.HasPrefix(name, "timestamps/"):
			tokens, by[hashing.Of(b)] = append(tokens, hashing.Of(b)), b
		case strings.HasPrefix(name, "checkpoint/"):
			cp = b
		case strings.HasPrefix(name, "inclusion/"):
			proof = must(holdfast.ParseInclusion(b))
		}
	}
	slices.SortFunc(tokens, hashing.Digest.Compare)
	for _, d := range tokens[:min(32, len(tokens))] {
		responses = append(responses, rfc3161.WrapResponse(by[d]))
	}
	env := must(holdfast.ParseEnvelope(parts["statement.dsse.json"], holdfast.PayloadStatement, holdfast.MaxDocument))
	_, logKey, err := holdfast.VKeyEd25519(log.VKey)
	return must(holdfast.Sigstore(env, spki, cp, must(holdfast.OpenCheckpoint(cp, log.VKey)), must(logKey, err), proof, responses))
}

// replant puts other parts in the place of a Seal.
func (b *box) replant(id string, parts holdfast.SealParts, w *world, log *sealtest.Log) {
	b.t.Helper()
	dir := "data/seals/" + id + "/"
	b.entries = slices.DeleteFunc(b.entries, func(e zipEntry) bool { return strings.HasPrefix(e.name, dir) })
	parts["seal.sigstore.json"] = sigstore(parts, w.SPKI(), log)
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		b.put(dir+name, parts[name])
	}
}

// bundle exports Captures, all if none is named.
func (w *world) bundle(change func(*export.Options), ids ...holdfast.ID) []byte {
	w.t.Helper()
	if len(ids) == 0 {
		ids = w.order
	}
	var certs []*x509.Certificate
	for _, a := range w.tsas {
		certs = append(certs, a.root)
	}
	o := export.Options{
		Cases: []export.Selection{{Case: w.home, Captures: ids}}, Captures: w, CaseFacts: w, Parts: w, Logs: w, Signer: w, Node: w.node.Name, Policy: w.policy, Certificates: certs,
		Agent: holdfast.Agent{Office: "Office", Role: "clerk"}, Software: holdfast.Software{Name: "holdfast", Version: "0.1.0"}, Exported: holdfast.At(w.now.Add(time.Minute)), Training: true,
	}
	if change != nil {
		change(&o)
	}
	m := new(memory)
	if _, err := export.Write(w.t.Context(), m, o); err != nil {
		w.t.Fatal(err)
	}
	return m.b
}

type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

// What export asks for.

func (w *world) Manifest(_ context.Context, id holdfast.ID) ([]byte, string, error) {
	return w.made[id].manifest, w.made[id].seal, nil
}

func (w *world) OpenObject(_ context.Context, id holdfast.ID, o holdfast.Object) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(w.made[id].objects[o.Name])), nil
}

func (w *world) Facts(context.Context, holdfast.ID) (export.Facts, error) {
	f := export.Facts{Name: "World"}
	for _, c := range w.made {
		f.Captures = append(f.Captures, hashing.Of(c.manifest))
	}
	return f, nil
}

func (w *world) Numbers(_ context.Context, _ holdfast.ID, ids []holdfast.ID) (out []string, err error) {
	for _, id := range ids {
		out = append(out, fmt.Sprint(slices.Index(w.order, id)+1))
	}
	w.line("exported", nil)
	return out, nil
}

func (w *world) Custody(context.Context, holdfast.ID) iter.Seq2[export.CustodyRow, error] {
	return func(yield func(export.CustodyRow, error) bool) {
		for i, l := range w.lines {
			row := export.CustodyRow{Line: l}
			if i+1 == w.hide {
				row = export.CustodyRow{Chain: w.chain, N: int64(w.hide), Withheld: hashing.Of(l)}
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

func (w *world) Newest(context.Context, string) ([]byte, error) {
	_, cp := w.log.Newest()
	return cp, nil
}

func (w *world) Consistency(_ context.Context, _ string, from, to int64) (out [][]byte, err error) {
	for _, h := range w.log.Consistency(from, to).Hashes {
		out = append(out, bytes.Clone(h[:]))
	}
	return out, nil
}

func (w *world) OpenName(context.Context, string) (storage.File, error) { return nil, fs.ErrNotExist }

func (w *world) ReadName(_ context.Context, name string, _ int64) ([]byte, error) {
	if b, ok := w.parts[name]; ok {
		return b, nil
	}
	return nil, fs.ErrNotExist
}

func (w *world) List(_ context.Context, prefix string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		for _, name := range slices.Sorted(maps.Keys(w.parts)) {
			if strings.HasPrefix(name, prefix) && !yield(storage.Entry{Name: name, Size: int64(len(w.parts[name]))}, nil) {
				return
			}
		}
	}
}

func sign(t testing.TB, key *ecdsa.PrivateKey, payloadType string, payload []byte) []byte {
	t.Helper()
	h := sha256.Sum256(holdfast.PAE(payloadType, payload))
	return must(holdfast.LowS(must(ecdsa.SignASN1(rand.Reader, key, h[:]))))
}

func rsa1024() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 1024)) }
