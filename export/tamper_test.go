package export_test

import (
	"archive/zip"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
)

type files map[string][]byte

// find returns the only path that begins and ends so.
func (f files) find(t *testing.T, prefix, suffix string) string {
	t.Helper()
	for _, p := range slices.Sorted(maps.Keys(f)) {
		if strings.HasPrefix(p, prefix) && strings.HasSuffix(p, suffix) {
			return p
		}
	}
	t.Fatalf("no file %s…%s", prefix, suffix)
	return ""
}

func (f files) flip(path string, at int) {
	b := bytes.Clone(f[path])
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	f[path] = b
}

// bag recomputes everything that no signature covers.
func (f files) bag() {
	var manifest, tags bytes.Buffer
	size, n := 0, 0
	for _, p := range slices.Sorted(maps.Keys(f)) {
		if strings.HasPrefix(p, "data/") {
			fmt.Fprintf(&manifest, "%s  %s\n", hashing.Of(f[p]).Hex(), p)
			size, n = size+len(f[p]), n+1
		}
	}
	f["manifest-sha256.txt"] = manifest.Bytes()
	oxum := regexp.MustCompile(`(?m)^Payload-Oxum: .*$`)
	f["bag-info.txt"] = oxum.ReplaceAll(f["bag-info.txt"], fmt.Appendf(nil, "Payload-Oxum: %d.%d", size, n))
	for _, p := range slices.Sorted(maps.Keys(f)) {
		if !strings.HasPrefix(p, "data/") && p != "tagmanifest-sha256.txt" {
			fmt.Fprintf(&tags, "%s  %s\n", hashing.Of(f[p]).Hex(), p)
		}
	}
	f["tagmanifest-sha256.txt"] = tags.Bytes()
}

// resign lets the node itself lie: the export statement fits the files again.
func (f files) resign(w *world, change func(*holdfast.Export)) {
	const path = "data/export.dsse.json"
	env := must(holdfast.ParseEnvelope(f[path], holdfast.PayloadExport, 1<<30))
	x := must(holdfast.ParseExport(env.Payload))
	x.Files = nil
	for _, p := range slices.Sorted(maps.Keys(f)) {
		if strings.HasPrefix(p, "data/") && p != path {
			x.Files = append(x.Files, holdfast.File{Digest: hashing.Of(f[p]), Path: p, Size: int64(len(f[p]))})
		}
	}
	if change != nil {
		change(x)
	}
	env.Payload = must(x.Encode())
	f[path] = sign(w.key, env)
}

func sign(k *ecdsa.PrivateKey, env *holdfast.Envelope) []byte {
	h := sha256.Sum256(holdfast.PAE(env.PayloadType, env.Payload))
	env.Signatures[0].Sig = must(holdfast.LowS(must(ecdsa.SignASN1(rand.Reader, k, h[:]))))
	return must(env.Encode())
}

// unpacked writes the files into a folder, for verify.sh.
func (f files) unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for p, b := range f {
		full := filepath.Join(dir, filepath.FromSlash(p))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// packed writes them as a ZIP of the strict form, for Verify.
func (f files) packed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "b.zip")
	out := must(os.Create(path))
	defer out.Close()
	z := zip.NewWriter(out)
	for _, p := range slices.Sorted(maps.Keys(f)) {
		n := uint64(len(f[p]))
		e := must(z.CreateRaw(&zip.FileHeader{Name: p, CRC32: crc32.ChecksumIEEE(f[p]), CompressedSize64: n, UncompressedSize64: n}))
		e.Write(f[p])
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

type forgery struct {
	finding string
	change  func(f files)
	insider bool // the node signs the changed export statement
	code    int  // 0: 1, contradicted
	policy  func(p *holdfast.Policy)
}

func forgeries(t *testing.T, w *world, good files, one, two string) map[string]forgery {
	s1, s2 := "data/seals/"+one+"/", "data/seals/"+two+"/"
	path := func(prefix, suffix string) string { return good.find(t, prefix, suffix) }
	rename := func(f files, old string, b []byte) {
		delete(f, old)
		f[old[:strings.LastIndexByte(old, '/')+1]+hashing.Of(b).Hex()+".tst"] = b
	}
	edit := func(p, old, to string) func(files) {
		return func(f files) {
			if !bytes.Contains(f[p], []byte(old)) {
				t.Errorf("%s lacks %q", p, old)
			}
			f[p] = bytes.Replace(f[p], []byte(old), []byte(to), 1)
		}
	}
	statement := func(change func(s *holdfast.Statement), key *ecdsa.PrivateKey) func(files) {
		return func(f files) {
			env := must(holdfast.ParseEnvelope(f[s1+"statement.dsse.json"], holdfast.PayloadStatement, 1<<24))
			s := must(holdfast.ParseStatement(env.Payload))
			change(s)
			env.Payload = must(s.Encode())
			f[s1+"statement.dsse.json"] = sign(key, env)
		}
	}
	stranger := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	at := holdfast.At(time.Now().Add(-30 * time.Minute))
	return map[string]forgery{
		"object":          {"file-digest", func(f files) { f.flip("data/exhibits/1/page.wacz", 9) }, false, 1, nil},
		"object, insider": {"object-digest", func(f files) { f.flip("data/exhibits/1/page.wacz", 9) }, true, 1, nil},
		"object gone":     {"object-missing", func(f files) { delete(f, "data/exhibits/1/screenshot.png") }, true, 1, nil},
		"manifest":        {"subject-missing", edit("data/exhibits/1/manifest.json", "investigator", "investigat0r"), true, 1, nil},
		"manifests swapped": {"manifest-digest", func(f files) {
			a, b := "data/exhibits/1/manifest.json", "data/exhibits/2/manifest.json"
			f[a], f[b] = f[b], f[a]
		}, true, 1, nil},
		"file added":        {"file-digest", func(f files) { f["data/exhibits/1/note.txt"] = []byte("x") }, false, 1, nil},
		"file added beside": {"file-extra", func(f files) { f["note.txt"] = []byte("x") }, false, 1, nil},
		"export gone":       {"export-missing", func(f files) { delete(f, "data/export.dsse.json") }, false, 1, nil},
		"export edited":     {"export-signature", edit("data/export.dsse.json", `"payload":"eyJhZ2VudCI6`, `"payload":"eyJhZ2VudCI7`), false, 1, nil},
		"export with keyid": {"export-form", edit("data/export.dsse.json", `{"sig":`, `{"keyid":"","sig":`), false, 1, nil},
		"statement edited": {"statement-signature", func(f files) {
			f[s1+"statement.dsse.json"] = bytes.Replace(f[s1+"statement.dsse.json"], []byte(`{"sig":"MEQ`), []byte(`{"sig":"MEU`), 1)
			f.flipB64(s1 + "statement.dsse.json")
		}, true, 1, nil},
		"statement by other key": {"statement-signature", statement(func(*holdfast.Statement) {}, stranger), true, 1, nil},
		"statement signed anew":  {"inclusion", statement(func(s *holdfast.Statement) { s.Predicate.Software.Version = "9" }, w.key), true, 1, nil},
		"token of another seal": {"timestamp-imprint", func(f files) {
			rename(f, path(s1+"timestamps/alpha/", ".tst"), f[path(s2+"timestamps/alpha/", ".tst")])
		}, true, 1, nil},
		"token damaged": {"timestamp-", func(f files) {
			p := path(s1+"timestamps/beta/", ".tst")
			b := bytes.Clone(f[p])
			b[len(b)-5] ^= 1
			rename(f, p, b)
		}, true, 1, nil},
		"token misnamed": {"seal-parts", func(f files) {
			p := path(s1+"timestamps/beta/", ".tst")
			f[strings.Replace(p, "beta", "delta", 1)] = []byte("x")
		}, true, 1, nil},
		"checkpoint":          {"checkpoint-signature", func(f files) { f.flip(path(s1+"checkpoint/", ""), -20) }, true, 1, nil},
		"inclusion":           {"inclusion", edit(path(s1+"inclusion/", ".json"), `"index":1`, `"index":2`), true, 1, nil},
		"inclusion gone":      {"seal-parts", func(f files) { delete(f, path(s1+"inclusion/", ".json")) }, true, 1, nil},
		"other seal's bundle": {"seal-parts", func(f files) { f[s1+"seal.sigstore.json"] = f[s2+"seal.sigstore.json"] }, true, 1, nil},
		"bundle's hint":       {"seal-parts", edit(s1+"seal.sigstore.json", `{"hint":"`, `{"hint":"0`), true, 1, nil},
		"bundle gone":         {"seal-parts", func(f files) { delete(f, s1+"seal.sigstore.json") }, true, 1, nil},
		"seal of nothing": {"seal-parts", func(f files) {
			f["data/seals/00112233445566aa-0-00000000000000000999/statement.dsse.json"] = f[s1+"statement.dsse.json"]
		}, true, 1, nil},
		"older token":      {"not-before-token", func(f files) { f[s2+"notbefore.tst"] = f[path(s2+"timestamps/alpha/", ".tst")] }, true, 1, nil},
		"older token gone": {"not-before-token", func(f files) { delete(f, s2+"notbefore.tst") }, true, 1, nil},
		"consistency":      {"log-fork", func(f files) { p := path("data/tlog/", "3-5.json"); f[p] = f[path("data/tlog/", "1-3.json")] }, true, 1, nil},
		"custody line gone": {"custody-", func(f files) {
			_, rest, _ := bytes.Cut(f["data/custody.jsonl"], []byte("\n"))
			f["data/custody.jsonl"] = rest
		}, true, 1, nil},
		"custody edited":     {"custody-head", edit("data/custody.jsonl", `"why":"test"`, `"why":"tent"`), true, 1, nil},
		"key file":           {"trust-form", func(f files) { f.flip(path("data/trust/nodes/", ".pem"), 60) }, true, 1, nil},
		"slice's salt":       {"slice-commitment", func(f files) { f.flip("data/exhibits/2/slices/source.html/message-2.salt", 3) }, true, 1, nil},
		"slice":              {"slice-commitment", func(f files) { f.flip("data/exhibits/2/slices/source.html/message-2", 3) }, true, 1, nil},
		"bagit":              {"bag", func(f files) { f["bagit.txt"] = []byte("BagIt-Version: 0.97\nTag-File-Character-Encoding: UTF-8\n") }, false, 1, nil},
		"key past its until": {"key-period", func(files) {}, false, 1, func(p *holdfast.Policy) { p.Nodes[0].Keys[0].Until = &at }},
		"pinned fork": {"log-fork", func(files) {}, false, 1, func(p *holdfast.Policy) {
			p.Nodes[0].Log.Checkpoint = &holdfast.PinnedTree{Root: hashing.Of(nil), Size: 3}
		}},
		"authority past its until": {"authority-period", func(files) {}, false, 3, func(p *holdfast.Policy) {
			for i := range p.Authorities {
				p.Authorities[i].Until = &at
			}
		}},
		"other issuer": {"authority-unknown", func(files) {}, false, 3, func(p *holdfast.Policy) {
			d := hashing.Of(nil)
			for i := range p.Authorities {
				p.Authorities[i].Issuer = &d
			}
		}},
		"other policy OID": {"authority-unknown", func(files) {}, false, 3, func(p *holdfast.Policy) {
			for i := range p.Authorities {
				p.Authorities[i].Policy = "1.2.3.4"
			}
		}},
		"one operator only": {"quorum", func(files) {}, false, 3, func(p *holdfast.Policy) {
			for i := range p.Authorities {
				p.Authorities[i].Operator = "The same company"
			}
		}},
	}
}

// flipB64 changes one character of an envelope's signature and keeps its form.
func (f files) flipB64(path string) {
	b := bytes.Clone(f[path])
	i := bytes.LastIndex(b, []byte(`"sig":"`)) + 30
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	f[path] = b
}

// Every forgery is found by verify.sh and by Verify, which agree.
func TestForgeries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.page("https://example.org/a"), w.page("https://example.org/b")
	one, two := w.seal(3, a), w.seal(3, b)
	o := w.options(a, b)
	o.Slices = []export.SliceRef{{Capture: b, Object: "source.html", Slice: "message-2"}}
	path, _ := write(t, o)
	good := files(entries(t, path))
	wantVerdict(t, verify(t, good.packed(t), w.policy), holdfast.VerdictProven)
	sh, trust := script(t, w)
	all := forgeries(t, w, good, one, two)
	for i, name := range slices.Sorted(maps.Keys(all)) {
		c := all[name]
		f := maps.Clone(good)
		c.change(f)
		if c.insider {
			f.resign(w, func(x *holdfast.Export) {
				if c.finding == "subject-missing" {
					x.Exhibits[0].Manifest = hashing.Of(f["data/exhibits/1/manifest.json"])
				}
			})
		}
		if name != "bagit" {
			f.bag()
		}
		p, dir := *w.policy, trust
		if c.policy != nil {
			p.Nodes, p.Authorities = slices.Clone(p.Nodes), slices.Clone(p.Authorities)
			p.Nodes[0].Keys = slices.Clone(p.Nodes[0].Keys)
			c.policy(&p)
			dir = filepath.Join(t.TempDir(), "trust")
			if err := export.WritePolicyDir(dir, &p, w.options().Certificates); err != nil {
				t.Fatal(err)
			}
		}
		r := verify(t, f.packed(t), &p)
		if want := map[int]holdfast.Verdict{1: holdfast.VerdictContradicted, 3: holdfast.VerdictUnsealed}[c.code]; r.Verdict != want && c.finding != "trust-form" {
			t.Errorf("%s: Verify says %s, want %s", name, r.Verdict, want)
		}
		if os.Getenv("HOLDFAST_LONG") == "" && i%12 != 0 {
			continue // a second each
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, code := offline(t, "/", "bash", sh, "--trust", dir, f.unpacked(t))
			if code != c.code || !strings.Contains(out, c.finding) || strings.Contains(out, "verify.sh: line") {
				t.Errorf("verify.sh exits %d, want %d and %s\n%s", code, c.code, c.finding, out)
			}
		})
	}
}
