package holdfast_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/rfc3161"
)

// secondLook are lies that a later reading of the verifier thought of.
func (c *cast) secondLook(add adder) {
	add("export-form--object-withheld-twice", byExport, nil, func(x *holdfast.Export) { x.Withheld = append(x.Withheld, x.Withheld[0]) })
	add("export-form--case-twice", byExport, nil, func(x *holdfast.Export) { x.Cases = append(x.Cases, x.Cases[0]) })
	add("trust-form--key-of-no-node", byExport, func(b *box) {
		spki := must(x509.MarshalPKIXPublicKey(newKey().Public()))
		b.put("data/trust/nodes/"+holdfast.KeyID(spki)+".pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}))
	}, nil)
	add("trust-form--certificate-that-is-none", byExport, func(b *box) {
		junk := []byte("what somebody wants to have carried along")
		b.put("data/trust/certs/"+hashing.Of(junk).Hex()+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: junk}))
	}, nil)
	add("file-extra--among-the-proofs", byLog, func(b *box) {
		b.put("data/tlog/"+c.w.node.Name+"/note.json", []byte(`{"a":1}`))
	}, nil)
	add("file-extra--proof-of-other-sizes", byLog, func(b *box) {
		p := b.find("data/tlog/", ".json")
		b.put(p[:strings.LastIndexByte(p, '/')+1]+"7-9.json", b.get(p))
	}, nil)
	// Two chains of one node, each right in itself, whose lines stand mixed: which
	// line follows which would be the reader's guess.
	for name, order := range map[string]string{"custody-chain--two-mixed": "abaabb", "custody-chain--one-in-two-places": "abba"} {
		var heads []holdfast.Head
		add(name, byCustody, func(b *box) {
			b.rows(func(l [][]byte) [][]byte {
				chains := map[rune][][]byte{'a': l}
				head := map[rune]holdfast.Head{'a': {Chain: c.w.chain}, 'b': {Chain: holdfast.NewID()}}
				for n := range int64(3) {
					o := must(holdfast.ParseLine(bytes.TrimSuffix(l[n%2], []byte("\n"))))
					o.Chain, o.N = head['b'].Chain, n+1
					chains['b'] = append(chains['b'], append(must(o.Encode()), '\n'))
				}
				var out [][]byte
				for _, which := range order {
					h := head[which]
					row := chains[which][h.Length]
					head[which] = holdfast.Head{Chain: h.Chain, Head: holdfast.Next(h.Head, hashing.Of(bytes.TrimSuffix(row, []byte("\n")))), Length: h.Length + 1}
					out = append(out, row)
				}
				heads = []holdfast.Head{head['a'], head['b']}
				return out
			})
		}, func(x *holdfast.Export) { x.Custody = heads })
	}
	var newer []byte
	add("subject-missing--newer-manifest-of-no-seal", "the Seal is over the Manifest", func(b *box) {
		newer = bytes.Replace(c.oneM, []byte(`"version":1`), []byte(`"version":2`), 1)
		b.put(exhibit1+"manifest.json", newer)
	}, func(x *holdfast.Export) { x.Exhibits[0].Manifest = hashing.Of(newer); count(x) })
	add("statement-signature--newer-of-nobody", byForm, func(b *box) {
		c.reseal(b, c.two, sealing{key: newKey(), change: func(s *holdfast.Statement) { s.Predicate.Version = 2 }}, c.twoM)
	}, nil)
	var forged []byte
	add("slice-commitment--not-what-the-object-holds", bySlice, func(b *box) {
		m := must(holdfast.ParseManifest(c.twoM))
		s := &m.Objects[1].Slices[1]
		salt, shown := make([]byte, 32), []byte(strings.Repeat("x", int(s.Length)))
		s.Commitment = sha256.Sum256(append(salt, shown...))
		forged = must(m.Encode())
		b.put("data/exhibits/2/manifest.json", forged)
		b.put("data/exhibits/2/slices/source.html/"+s.Name, shown)
		b.put("data/exhibits/2/slices/source.html/"+s.Name+".salt", salt)
		c.reseal(b, c.two, sealing{}, forged)
	}, func(x *holdfast.Export) { x.Exhibits[1].Manifest = hashing.Of(forged); count(x) })
}

// TestLiars makes the lies anew and judges them, mended and signed.
func TestLiars(t *testing.T) {
	c := newCast(t)
	for _, w := range slices.Concat(c.liars(), c.unproven()) {
		b := c.form(w, true)
		p := clonePolicy(c.policy[w.base])
		if w.policy != nil {
			w.policy(p)
		}
		finding, _, _ := strings.Cut(w.name, "--")
		r, err := judge(t, b, p)
		if got := exitCode(t, r, err); got != max(w.exit, 1) {
			t.Errorf("%s: exit %d, want %d: %v %s", w.name, got, max(w.exit, 1), err, sum(r))
		}
		if r != nil && !slices.ContainsFunc(r.Findings, func(f holdfast.Finding) bool { return f.Finding == finding && f.Outcome != holdfast.OK }) {
			t.Errorf("%s: no such finding: %s", w.name, sum(r))
		}
	}
}

func contradicts(r *holdfast.Report, finding string) bool {
	return r != nil && slices.ContainsFunc(r.Findings, func(f holdfast.Finding) bool {
		return f.Finding == finding && f.Outcome == holdfast.Contradicted
	})
}

// TestNewerIsSignedOrNothing: "a newer program must read it" is no way out for
// who changed an export statement, and none where something is contradicted.
func TestNewerIsSignedOrNothing(t *testing.T) {
	c := newCast(t)
	renew := func(key func(payload []byte) []byte) []byte {
		b := open(t, c.bundles["world"])
		env := must(holdfast.ParseEnvelope(b.get(exportDSSE), holdfast.PayloadExport, 1<<20))
		b.put(exportDSSE, key(bytes.Replace(env.Payload, []byte(`"version":1`), []byte(`"version":2`), 1)))
		b.mend()
		return b.pack()
	}
	unsigned := renew(func(p []byte) []byte { return signed(t, newKey(), holdfast.PayloadExport, p) })
	if r, err := judge(t, unsigned, c.policy["world"]); !contradicts(r, "export-signature") {
		t.Errorf("signed by nobody: %v %s", err, sum(r))
	}
	byOffice := renew(func(p []byte) []byte { return signed(t, c.w.key, holdfast.PayloadExport, p) })
	if r, err := judge(t, byOffice, c.policy["world"]); !errors.Is(err, holdfast.ErrNewer) {
		t.Errorf("signed by the office: %v %s", err, sum(r))
	}
	b := open(t, byOffice)
	b.put("stray.txt", []byte("x"))
	b.mend()
	if r, err := judge(t, b.pack(), c.policy["world"]); !contradicts(r, "file-extra") {
		t.Errorf("with a stray file: %v %s", err, sum(r))
	}
	// An envelope has no version: one that says so is not of this form, nor a panic.
	for name, finding := range map[string]string{exportDSSE: "export-form", "data/seals/" + c.two + "/statement.dsse.json": "statement-form"} {
		b := open(t, c.bundles["world"])
		b.put(name, []byte(`{"payload":"","payloadType":"x","signatures":[],"version":2}`))
		b.mend()
		if r, err := judge(t, b.pack(), c.policy["world"]); !contradicts(r, finding) {
			t.Errorf("%s: %v %s", name, err, sum(r))
		}
	}
	// A Seal of a newer program may have members that this one does not know.
	st := must(holdfast.NewStatement(holdfast.Predicate{Node: c.w.node.Name, Seal: c.one, Checkpoint: holdfast.Tree{Origin: c.w.node.Name, Size: 1}}, []hashing.Digest{hashing.Of(nil)}))
	raw := bytes.Replace(must(st.Encode()), []byte(`"version":1`), []byte(`"version":2,"witness":"x"`), 1)
	if _, err := holdfast.ParseStatement(raw); !errors.Is(err, holdfast.ErrNewer) {
		t.Errorf("newer statement: %v", err)
	}
}

// failing is a disk that breaks after some reads, or a file that changes.
// Several readers may ask it at once.
type failing struct {
	*bytes.Reader
	left  atomic.Int64
	spoil bool
	cut   bool
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	if f.left.Add(-1) >= 0 {
		return f.Reader.ReadAt(p, off)
	}
	if f.cut {
		return 0, io.EOF
	}
	if !f.spoil {
		return 0, errors.New("input/output error")
	}
	n, err := f.Reader.ReadAt(p, off)
	for i := range p[:n] {
		p[i] ^= 1
	}
	return n, err
}

// TestDiskIsNoContradiction: what is wrong with the disk says nothing about the
// Bundle; at whatever read it fails, the answer is an error, not a verdict.
func TestDiskIsNoContradiction(t *testing.T) {
	c := newCast(t)
	b := c.bundles["world"]
	breaks := func(after int) *failing {
		f := &failing{Reader: bytes.NewReader(b)}
		f.left.Store(int64(after))
		return f
	}
	count := breaks(1 << 30)
	if _, err := holdfast.Verify(t.Context(), count, int64(len(b)), c.policy["world"], holdfast.VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	reads := 1<<30 - int(count.left.Load())
	for at := 1; at < reads; at += 1 + reads/60 {
		for _, cut := range []bool{false, true} {
			f := breaks(at)
			f.cut = cut
			if r, err := holdfast.Verify(t.Context(), f, int64(len(b)), c.policy["world"], holdfast.VerifyOptions{}); err == nil || errors.Is(err, holdfast.ErrNewer) {
				t.Errorf("read %d of %d failed, cut %v: %v %s", at, reads, cut, err, sum(r))
			}
		}
	}
	for _, n := range []int{4, 20, 21, 22, 60} { // cut short is no fault of the disk
		if r := must(judge(t, b[:n], c.policy["world"])); r.Verdict != holdfast.VerdictContradicted {
			t.Errorf("%d bytes: %s", n, r.Verdict)
		}
	}
	f := breaks(reads - 3)
	f.spoil = true
	if r, err := holdfast.Verify(t.Context(), f, int64(len(b)), c.policy["world"], holdfast.VerifyOptions{}); err == nil {
		t.Errorf("the file changed between two reads: %s", sum(r))
	}
}

// TestOneWitness: a key that issues under two roots is one operator's witness.
func TestOneWitness(t *testing.T) {
	alpha, beta := newTSA("Alpha Notaries", tsaOptions{}), newTSA("Beta Timestamping", tsaOptions{})
	cross := *beta // the same unit key, certified by Alpha's root too
	cross.key, cross.unit = alpha.key, certificate("Cross unit", time.Now().AddDate(9, 0, 0), false, alpha.key.Public(), beta.root, beta.rootKey)
	w := newWorld(t, time.Now().Add(-time.Hour), alpha, &cross)
	w.seal(sealing{}, w.capture(nil))
	r := must(judge(t, w.bundle(nil), w.policy))
	if w.policy.Quorum != 2 || r.Verdict != holdfast.VerdictUnsealed {
		t.Errorf("quorum %d, verdict %s: %s", w.policy.Quorum, r.Verdict, sum(r))
	}
}

// TestBoundRoundsUp: "not later than" never promises more than the tokens do.
func TestBoundRoundsUp(t *testing.T) {
	w := newWorld(t, time.Now().Add(-time.Hour), newTSA("Alpha Notaries", tsaOptions{}), newTSA("Beta Timestamping", tsaOptions{}))
	for _, a := range w.tsas {
		a.accuracy = 1500 * time.Microsecond
	}
	id := w.seal(sealing{}, w.capture(nil))
	parts := holdfast.SealParts{}
	for name, raw := range w.parts {
		if rest, ok := strings.CutPrefix(name, "seals/"+id+"/"); ok {
			parts[rest] = raw
		}
	}
	var certs []*x509.Certificate
	for _, a := range w.tsas {
		certs = append(certs, a.root)
	}
	r := holdfast.CheckSeal(id, parts, w.policy, holdfast.Material{Certs: certs, Nodes: []holdfast.PolicyNode{w.node}})
	for name, raw := range parts {
		if strings.HasPrefix(name, "timestamps/") {
			if latest := must(rfc3161.Parse(raw)).Latest(); r.T.IsZero() || holdfast.At(r.T).Before(latest) {
				t.Errorf("T %s before %s", holdfast.At(r.T), latest)
			}
		}
	}
	if r.T.Nanosecond()%1e6 != 0 {
		t.Errorf("T %s", r.T)
	}
}

// TestAnchorsAreSealed: without a quorum no line is anchored in time.
func TestAnchorsAreSealed(t *testing.T) {
	c := newCast(t)
	p := clonePolicy(c.policy["world"])
	p.Quorum = 4
	r := must(judge(t, c.bundles["world"], p))
	for _, f := range r.Findings {
		if f.Finding == "custody-head" {
			t.Errorf("%+v", f)
		}
	}
	if !slices.ContainsFunc(r.Findings, func(f holdfast.Finding) bool {
		return f.Finding == "custody-unanchored" && strings.HasPrefix(f.Detail, "lines 1 to ")
	}) {
		t.Error(sum(r))
	}
}

// TestPolicyOfDoubtfulKeys: with one key twice, the order of a list would decide.
func TestPolicyOfDoubtfulKeys(t *testing.T) {
	w := newWorld(t, time.Now(), newTSA("Alpha Notaries", tsaOptions{}))
	n := w.node
	n.Keys = append(slices.Clone(n.Keys), n.Keys[0])
	if _, err := n.Encode(); !errors.Is(err, holdfast.ErrForm) {
		t.Errorf("a key twice: %v", err)
	}
	n.Keys = n.Keys[:1]
	for range holdfast.MaxKeys {
		n.Keys = append(n.Keys, holdfast.PolicyKey{SPKI: must(x509.MarshalPKIXPublicKey(newKey().Public())), From: n.Keys[0].From})
	}
	if _, err := n.Encode(); !errors.Is(err, holdfast.ErrForm) {
		t.Errorf("%d keys: %v", len(n.Keys), err)
	}
	if _, err := holdfast.NodeName("-office", make([]byte, 32)); !errors.Is(err, holdfast.ErrForm) {
		t.Errorf("label -office: %v", err)
	}
}

// TestSealsAreLetGo: 200 Seals of 1,024 subjects, each for one exhibit, are not
// kept: what stays in memory is what the exhibits need.
func TestSealsAreLetGo(t *testing.T) {
	w := newWorld(t, time.Now().Add(-time.Hour), newTSA("Alpha Notaries", tsaOptions{}), newTSA("Beta Timestamping", tsaOptions{}))
	big := func(s *holdfast.Statement) {
		ds := []hashing.Digest{must(hashing.Parse("sha256:" + s.Subject[0].Digest.SHA256))}
		for i := range holdfast.MaxSubjects - 1 {
			ds = append(ds, hashing.Of([]byte{byte(i), byte(i >> 8)}))
		}
		*s = *must(holdfast.NewStatement(s.Predicate, ds))
	}
	const seals = 200
	for range seals {
		w.seal(sealing{change: big}, w.capture(nil))
	}
	b := w.bundle(nil)
	w.parts, w.made = nil, nil
	peak := peakHeap(t, func() {
		if r := must(judge(t, b, w.policy)); r.Verdict != holdfast.VerdictProven {
			t.Errorf("%s: %s", r.Verdict, sum(r))
		}
	})
	if limit := uint64(24 << 20); peak > limit {
		t.Errorf("%d MB in use for %d seals, at most %d", peak>>20, seals, limit>>20)
	}
	t.Logf("%d MB in use", peak>>20)
}

// TestPartsAreCounted: a small file cannot fill the memory with parts of one Seal.
func TestPartsAreCounted(t *testing.T) {
	c := newCast(t)
	b := open(t, c.bundles["world"])
	const parts = 4000 // of 64 KiB: 250 MiB
	junk := make([]byte, 64<<10)
	for i := range parts {
		b.put(fmt.Sprintf("data/seals/%s/timestamps/alpha/%064x.tst", c.two, i), junk)
	}
	b.resign(c.w.key, nil)
	b.mend()
	b.deflate()
	raw := b.pack()
	b = nil
	peak := peakHeap(t, func() {
		if r, err := judge(t, raw, c.policy["world"]); !contradicts(r, "seal-parts") {
			t.Error(err)
		}
	})
	if limit := uint64(64 << 20); len(raw) > 8<<20 || peak > limit {
		t.Errorf("%d MB in use for a file of %d MB, at most %d", peak>>20, len(raw)>>20, limit>>20)
	}
	t.Logf("%d MB in use for %d kB", peak>>20, len(raw)>>10)
}

// peakHeap is the most that is in use while f runs, beyond what was before.
func peakHeap(t *testing.T, f func()) uint64 {
	t.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, peak := m.HeapAlloc, uint64(0)
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
				var m runtime.MemStats
				runtime.GC() // what is left is in use, or of this very moment
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	}()
	f()
	close(done)
	<-stopped
	return peak - min(peak, before)
}
