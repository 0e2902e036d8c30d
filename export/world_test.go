package export_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"iter"
	"math/big"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/preserve/authority"
	"holdfast/rfc3161"
	"holdfast/storage"
	"holdfast/storage/file"
)

// world is a node with a log, three authorities of three operators, a store and
// one Case, made from the parts that the real node is made from.
type world struct {
	t     testing.TB
	ctx   context.Context
	store *file.Store
	node  holdfast.PolicyNode
	key   *ecdsa.PrivateKey
	notes note.Signer

	log    []tlog.Hash // stored hashes of the tree
	leaves int64
	roots  map[int64]tlog.Hash

	operators []*authority.Authority
	extra     map[string]issuer // more authorities, by name
	own       *authority.Authority
	policy    *holdfast.Policy
	last      []byte // newest token of the quorum
	now       time.Time

	home     holdfast.ID
	chain    holdfast.ID
	custody  [][]byte
	head     holdfast.Head
	captures map[holdfast.ID]*captured
	order    []holdfast.ID
	batches  int64
	numbers  map[holdfast.ID]string
	why      string                      // of custody lines; "" is "test"
	opened   map[string]func() io.Reader // overrides by Object name
}

type captured struct {
	manifest []byte
	m        *holdfast.Manifest
	objects  map[string][]byte
	seal     string
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, ctx: context.Background(), now: time.Now().Add(-time.Minute), home: holdfast.NewID(), chain: holdfast.NewID(),
		captures: map[holdfast.ID]*captured{}, roots: map[int64]tlog.Hash{}, numbers: map[holdfast.ID]string{}, opened: map[string]func() io.Reader{},
	}
	w.store = must(file.Open(t.TempDir(), file.Options{}))
	t.Cleanup(func() { w.store.Close() })
	w.key = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	pub, priv, _ := ed25519.GenerateKey(rand.Reader)
	name := must(holdfast.NodeName("training-office", pub))
	vkey := must(note.NewEd25519VerifierKey(name, pub))
	v := must(note.NewVerifier(vkey))
	skey := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, v.KeyHash(), base64.StdEncoding.EncodeToString(append([]byte{1}, priv.Seed()...)))
	w.notes = must(note.NewSigner(skey))
	from := holdfast.At(w.now.Add(-time.Hour))
	w.node = holdfast.PolicyNode{
		Name: name, Log: holdfast.PolicyLog{Key: vkey, Origin: name},
		Keys: []holdfast.PolicyKey{{SPKI: w.SPKI(), From: from}},
	}
	w.policy = &holdfast.Policy{Quorum: 2, Nodes: []holdfast.PolicyNode{w.node}, Training: true}
	for i, op := range []string{"Alpha Notaries", "Beta Timestamping Ltd", "Gamma & Sons <clocks>"} {
		a := must(authority.Open(t.TempDir(), authority.Options{Operator: op, Training: true}))
		w.operators = append(w.operators, a)
		root := hashing.Of(a.Root().RawSubjectPublicKeyInfo)
		entry := holdfast.Authority{Operator: op, Root: root, Policy: a.PolicyOID(), From: from}
		if i == 1 { // the other kind of pin
			entry.Policy, entry.Issuer = "", &root
		}
		w.policy.Authorities = append(w.policy.Authorities, entry)
	}
	w.own = must(authority.Open(t.TempDir(), authority.Options{Operator: "the node itself", Training: true}))
	w.appendLog([]byte(`{"kind":"birth"}`))
	w.line("opened", nil, json.RawMessage(`{"name":"Harbour fire"}`))
	return w
}

func (w *world) SPKI() []byte { return must(x509.MarshalPKIXPublicKey(&w.key.PublicKey)) }

func (w *world) SignDigest(_ context.Context, d hashing.Digest) ([]byte, error) {
	sig, err := ecdsa.SignASN1(rand.Reader, w.key, d[:])
	if err != nil {
		return nil, err
	}
	return holdfast.LowS(sig)
}

// The log.

func (w *world) ReadHashes(ix []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(ix))
	for i, k := range ix {
		out[i] = w.log[k]
	}
	return out, nil
}

func (w *world) appendLog(leaf []byte) (index int64) {
	index = w.leaves
	w.log = append(w.log, must(tlog.StoredHashes(index, leaf, w))...)
	w.leaves++
	w.roots[w.leaves] = must(tlog.TreeHash(w.leaves, w))
	return index
}

func (w *world) tree(size int64) holdfast.Tree {
	return holdfast.Tree{Origin: w.node.Name, Root: hashing.Digest(w.roots[size]), Size: size}
}

func (w *world) checkpoint(size int64) []byte {
	root := w.roots[size]
	return must(note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", w.node.Name, size, base64.StdEncoding.EncodeToString(root[:]))}, w.notes))
}

func (w *world) Newest(_ context.Context, origin string) ([]byte, error) {
	if origin != w.node.Name {
		return nil, fs.ErrNotExist
	}
	return w.checkpoint(w.leaves), nil
}

func (w *world) Consistency(_ context.Context, origin string, from, to int64) ([][]byte, error) {
	if origin != w.node.Name {
		return nil, fs.ErrNotExist
	}
	return raw(must(tlog.ProveTree(to, from, w))), nil
}

func raw(hs []tlog.Hash) (out [][]byte) {
	for _, h := range hs {
		out = append(out, bytes.Clone(h[:]))
	}
	return out
}

// Custody and captures.

func (w *world) line(action string, objects []string, x json.RawMessage) {
	l := holdfast.Line{
		Action: action, At: holdfast.At(w.now), Case: w.home, Chain: w.chain, N: w.head.Length + 1, Node: w.node.Name,
		Objects: objects, Training: true, Why: cmp.Or(w.why, "test"), X: x,
	}
	b := must(l.Encode())
	w.custody = append(w.custody, b)
	w.head = holdfast.Head{Chain: w.chain, Head: holdfast.Next(w.head.Head, hashing.Of(b)), Length: l.N}
}

type object struct {
	name, role, kind string
	body             []byte
	restricted       bool
	slices           []holdfast.Slice
}

// capture accepts a Capture that is not sealed yet.
func (w *world) capture(url string, change func(*holdfast.Manifest), objects ...object) holdfast.ID {
	w.t.Helper()
	c := &captured{objects: map[string][]byte{}}
	at := w.now.Add(time.Duration(len(w.order)) * time.Millisecond)
	m := &holdfast.Manifest{
		Agent: holdfast.Agent{Office: "Regional office", Pseudonym: "agent-7", Role: "investigator"},
		Case:  w.home, Kind: holdfast.KindCapture, ID: holdfast.CaptureID(holdfast.NewID(), 0, 0), Nonce: holdfast.NewNonce(),
		Source: holdfast.Source(url), Started: holdfast.At(at), Ended: holdfast.At(at.Add(1800 * time.Millisecond)), Custody: w.head, Training: true,
		Found: holdfast.Found{How: "link in a post", Why: "shows the quay before the fire"},
		Collection: holdfast.Collection{
			Node: w.node.Name, Egress: "unknown", Identity: "none", Clock: holdfast.Clock{Source: "node"},
			Config: hashing.Of([]byte("config")), Software: holdfast.Software{Name: "holdfast", Version: "0.1.0", Digest: hashing.Of([]byte("program"))},
			Browser: &holdfast.Browser{Name: "Chromium", Version: "156.0", Viewport: "1280x800", Locale: "en", Timezone: "UTC", UserAgent: "Mozilla/5.0"},
			Server:  &holdfast.Server{Addresses: []string{"192.0.2.1"}, Peer: "192.0.2.1:443", Protocol: "h2", TLS: &holdfast.TLS{Verdict: "ok", Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256"}},
		},
		Completeness: holdfast.Completeness{Asked: 12, Outcome: "complete"},
		Web:          &holdfast.Web{Asked: "https://example.org/quay", Final: "https://example.org/quay/"},
	}
	for _, o := range objects {
		m.Objects = append(m.Objects, holdfast.Object{
			Digest: hashing.Of(o.body), Name: o.name, Restricted: o.restricted, Role: o.role, Size: int64(len(o.body)), Slices: o.slices, Type: o.kind,
		})
		c.objects[o.name] = o.body
	}
	if change != nil {
		change(m)
	}
	var err error
	if c.manifest, err = m.Encode(); err != nil {
		w.t.Fatal(err)
	}
	c.m = m
	w.captures[m.ID] = c
	w.order = append(w.order, m.ID)
	return m.ID
}

// page accepts a Capture of a web page with the usual Objects.
func (w *world) page(url string) holdfast.ID {
	secret := make([]byte, 32)
	rand.Read(secret)
	html := []byte("<!doctype html><title>The quay</title><p>first message</p><p>second message</p>")
	commit := func(name string, from, n int64) holdfast.Slice {
		c := sha256.Sum256(append(holdfast.SliceSalt(secret, name), html[from:from+n]...))
		return holdfast.Slice{Commitment: c, Length: n, Name: name, Offset: from}
	}
	slices := []holdfast.Slice{commit("message-1", 38, 20), commit("message-2", 58, 21)}
	return w.capture(url, func(m *holdfast.Manifest) {
		m.Transformations = []holdfast.Transformation{{Action: "extract visible text", Inputs: []string{"source.html"}, Output: "text.txt", Tool: "holdfast"}}
	},
		object{name: "page.wacz", role: "wacz", kind: "application/wacz+zip", body: bytes.Repeat([]byte("WACZ"), 5000)},
		object{name: "requests.warc.gz", role: "requests", kind: "application/warc", body: []byte("cookie: secret"), restricted: true},
		object{name: "screenshot.png", role: "screenshot", kind: "image/png", body: picture(len(w.order))},
		object{name: "source.html", role: "source", kind: "text/html", body: html, slices: slices},
		object{name: "source.html.secret", role: "slice-secret", kind: "application/octet-stream", body: secret, restricted: true},
		object{name: "text.txt", role: "text", kind: "text/plain", body: []byte("first message second message")},
	)
}

func picture(seed int) []byte {
	img := image.NewPaletted(image.Rect(0, 0, 640, 400), color.Palette{color.White, color.RGBA{20, 60, 110, 255}, color.RGBA{200, 90, 30, 255}, color.Gray{180}})
	for y := range 400 {
		for x := range 640 {
			switch {
			case y < 50:
				img.SetColorIndex(x, y, 1)
			case x > 40 && x < 300 && y > 90+seed%50 && y < 320:
				img.SetColorIndex(x, y, 2)
			case x > 330 && x < 600 && y%22 < 6 && y > 90:
				img.SetColorIndex(x, y, 3)
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// seal puts one Seal over captures, with the tokens of the first n operators.
func (w *world) seal(n int, ids ...holdfast.ID) string {
	w.t.Helper()
	var digests []hashing.Digest
	for _, c := range ids {
		digests = append(digests, hashing.Of(w.captures[c].manifest))
	}
	id := w.sealDigests(n, digests)
	for _, c := range ids {
		w.captures[c].seal = id
	}
	return id
}

func (w *world) sealDigests(n int, digests []hashing.Digest) string {
	w.t.Helper()
	id := holdfast.SealID("00112233445566aa", 0, w.batches)
	w.batches += int64(len(digests))
	p := holdfast.Predicate{
		Checkpoint: w.tree(w.leaves), Config: hashing.Of([]byte("config")), Node: w.node.Name, Seal: id, Training: true,
		Software: holdfast.Software{Name: "holdfast", Version: "0.1.0", Digest: hashing.Of([]byte("program"))},
	}
	if w.last != nil {
		t := must(rfc3161.Parse(w.last))
		p.NotBefore = &holdfast.NotBefore{Digest: hashing.Of(w.last), Time: holdfast.At(t.GenTime)}
		w.put(id, "notbefore.tst", w.last)
	}
	st, err := holdfast.NewStatement(p, digests)
	if err != nil {
		w.t.Fatal(err)
	}
	payload := must(st.Encode())
	sum := sha256.Sum256(holdfast.PAE(holdfast.PayloadStatement, payload))
	env := &holdfast.Envelope{Payload: payload, PayloadType: holdfast.PayloadStatement, Signatures: []holdfast.EnvelopeSignature{{Sig: must(holdfast.LowS(must(ecdsa.SignASN1(rand.Reader, w.key, sum[:]))))}}}
	w.put(id, "statement.dsse.json", must(env.Encode()))
	index := w.appendLog(env.Leaf(w.SPKI()))
	w.appendLog([]byte("another entry"))
	w.put(id, fmt.Sprintf("checkpoint/%s/%d", w.node.Name, w.leaves), w.checkpoint(w.leaves))
	inc := must(holdfast.NewInclusion(index, w.leaves, raw(must(tlog.ProveRecord(w.leaves, index, w)))))
	w.put(id, fmt.Sprintf("inclusion/%s/%d.json", w.node.Name, w.leaves), must(inc.Encode()))
	w.stamp(id, "own", w.own, env.Signatures[0].Sig)
	for i, a := range w.operators[:n] {
		w.last = w.stamp(id, []string{"alpha", "beta", "gamma"}[i], a, env.Signatures[0].Sig)
	}
	for name, a := range w.extra {
		w.last = w.stamp(id, name, a, env.Signatures[0].Sig)
	}
	w.put(id, "plan.json", []byte("{}"))
	return id
}

// issuer answers a TimeStampReq.
type issuer interface {
	Issue(ctx context.Context, request []byte) []byte
}

func (w *world) stamp(seal, name string, a issuer, sig []byte) []byte {
	imprint := sha256.Sum256(sig)
	req := must(rfc3161.NewRequest(imprint[:], must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))).SetBit(big.NewInt(0), 100, 1), ""))
	token := must(rfc3161.ParseResponse(a.Issue(w.ctx, req))).Raw
	w.put(seal, "timestamps/"+name+"/"+hashing.Of(token).Hex()+".tst", token)
	return token
}

func (w *world) put(seal, part string, b []byte) {
	w.t.Helper()
	if err := w.store.Create(w.ctx, "seals/"+seal+"/"+part, bytes.NewReader(b)); err != nil {
		w.t.Fatal(err)
	}
}

// The interfaces that export asks for.

func (w *world) Manifest(_ context.Context, id holdfast.ID) ([]byte, string, error) {
	c := w.captures[id]
	if c == nil {
		return nil, "", fs.ErrNotExist
	}
	return c.manifest, c.seal, nil
}

func (w *world) OpenObject(_ context.Context, id holdfast.ID, o holdfast.Object) (io.ReadCloser, error) {
	if f := w.opened[o.Name]; f != nil {
		return io.NopCloser(f()), nil
	}
	b, ok := w.captures[id].objects[o.Name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (w *world) Facts(context.Context, holdfast.ID) (export.Facts, error) {
	f := export.Facts{Name: "Harbour fire <2026> \u202egnp"}
	for _, c := range w.captures {
		f.Captures = append(f.Captures, hashing.Of(c.manifest))
	}
	return f, nil
}

func (w *world) Numbers(_ context.Context, _ holdfast.ID, ids []holdfast.ID) (out []string, err error) {
	for _, id := range ids {
		if w.numbers[id] == "" {
			w.numbers[id] = fmt.Sprint(len(w.numbers) + 1)
		}
		out = append(out, w.numbers[id])
	}
	var list []string
	for _, id := range ids {
		list = append(list, string(id))
	}
	w.line("exported", list, nil)
	return out, nil
}

func (w *world) Custody(context.Context, holdfast.ID) iter.Seq2[export.CustodyRow, error] {
	return func(yield func(export.CustodyRow, error) bool) {
		for _, l := range w.custody {
			if !yield(export.CustodyRow{Line: l}, nil) {
				return
			}
		}
	}
}

func (w *world) options(ids ...holdfast.ID) export.Options {
	var certs []*x509.Certificate
	for _, a := range append(w.operators[:3:3], w.own) {
		certs = append(certs, a.Root())
	}
	return export.Options{
		Cases:    []export.Selection{{Case: w.home, Captures: ids}},
		Captures: w, CaseFacts: w, Parts: storage.Store(w.store), Logs: w, Signer: w, Node: w.node.Name, Policy: w.policy, Certificates: certs,
		Agent: holdfast.Agent{Office: "Regional office", Role: "clerk"}, Software: holdfast.Software{Name: "holdfast", Version: "0.1.0"},
		Exported: holdfast.At(time.Now()), Training: true,
	}
}
