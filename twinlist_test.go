package holdfast_test

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// twin is a Bundle that is wrong in one way. Its name is the Finding that it
// must produce, `--`, and what was done.
type twin struct {
	name string
	base string // in good/
	why  string // what looks at it, and so why others who do not look pass it

	change func(b *box)          // inside the ZIP
	bytes  func(b []byte) []byte // of the whole file

	liar    *ecdsa.PrivateKey      // signs the export statement anew; nil: whoever only holds the file
	restate func(*holdfast.Export) // what the liar says in it
	policy  func(*holdfast.Policy) // a twin of the Policy; change may be nil
	whole   func() []byte          // a Bundle that another world made
	exit    int                    // default 1
	mended  string                 // the Finding of the mended form if it is another one
	pass    bool                   // no signature covers it: the mended form passes
	once    bool                   // raw and mended are the same
}

const (
	byExport  = "the export statement lists every file under data/ by its digest; no other tool reads it"
	bySeal    = "no other tool binds the parts of a Seal to each other"
	byZip     = "a strict reader of ZIP: other readers take what they find, and two may find two things"
	byForm    = "documents have one canonical form here; other readers take any JSON, or do not read these"
	byBag     = "only the bag covers it, and whoever changes the file mends the bag: listed `unsigned`"
	byObject  = "the Manifest lists every Object by its digest; other tools look at one Object alone"
	bySlice   = "commitments of slices are read by no other tool"
	byCustody = "Custody is read by no other tool"
	byTime    = "which operators count, and how many must, stands in the Policy; other tools want one good token, or none"
	byPolicy  = "periods and pins stand in the Policy; other tools have none of their own"
	byLog     = "other tools check one inclusion against one checkpoint, and no growth of the log"
)

const exhibit1 = "data/exhibits/1/"

// outsiders change a file that they hold, with no key at all.
func outsiders() []twin {
	list := slices.Concat(bits(), swaps(), forms(), structures())
	for i := range list {
		if list[i].base == "" {
			list[i].base = "slim"
		}
	}
	return list
}

// bits flips one bit in each kind of file.
func bits() []twin {
	bit := func(name, prefix, suffix string, at int, why string) twin {
		return twin{name: name + "-bit", why: why, change: func(b *box) { b.flip(b.find(prefix, suffix), at) }}
	}
	seal := "data/seals/"
	list := []twin{
		bit("file-digest--manifest", exhibit1, "manifest.json", 300, "the Seal and the export statement are over its bytes"),
		bit("file-digest--statement", seal, "statement.dsse.json", 200, bySeal),
		bit("file-digest--checkpoint", seal+"", "", 0, bySeal),
		bit("file-digest--inclusion", seal, "", 0, bySeal),
		bit("seal-parts--token", seal, ".tst", -9, "a token's name is its digest, and its signature is checked even above the quorum"),
		bit("file-digest--notbefore", seal, "notbefore.tst", -9, bySeal),
		bit("seal-parts--sigstore-bundle", seal, "seal.sigstore.json", -60, "it is assembled again from the parts and compared byte for byte"),
		bit("export-form--export", exportDSSE, "", 1, byExport),
		bit("file-digest--custody", "data/custody.jsonl", "", 100, byCustody),
		bit("file-digest--node-entry", "data/trust/nodes/", ".json", 40, byExport),
		bit("file-digest--key-pem", "data/trust/nodes/", ".pem", 60, byExport),
		bit("trust-form--certificate", "data/trust/certs/", ".pem", 300, byExport),
		bit("file-digest--trusted-root", "data/trust/trusted_root.json", "", 900, byExport),
		bit("file-digest--consistency", "data/tlog/", ".json", 30, byLog),
		bit("file-digest--log-checkpoint", "data/tlog/", "/checkpoint", -20, byLog),
	}
	for i := range list {
		switch list[i].name {
		case "file-digest--checkpoint-bit":
			list[i].change = func(b *box) { b.flip(b.holding(seal, "/checkpoint/"), -20) }
		case "file-digest--inclusion-bit":
			list[i].change = func(b *box) { b.flip(b.holding(seal, "/inclusion/"), 20) }
		case "seal-parts--token-bit":
			list[i].change = func(b *box) { b.flip(b.holding(seal, "/timestamps/alpha/"), -9) }
		}
	}
	for _, o := range []string{"dom.html", "page.json", "page.mhtml", "page.wacz", "screenshot.png", "source.html", "text.txt"} {
		list = append(list, bit("object-digest--"+strings.ReplaceAll(o, ".", "-"), exhibit1+o, "", -10, byObject))
	}
	list = append(list, twin{name: "object-digest--warc-payload-bit", why: byObject, change: func(b *box) {
		w := exhibit1 + "page.wacz" // in the first member of the archive that is stored in it
		b.flip(w, bytes.Index(b.get(w), []byte("archive/"))+300)
	}})
	for _, o := range []string{holdfast.ReadMe, "verify.sh", "bag-info.txt"} {
		short := map[string]string{holdfast.ReadMe: "read-me", "verify.sh": "verify-sh", "bag-info.txt": "bag-info"}[o]
		list = append(list, twin{name: "bag--" + short + "-bit", why: byBag, pass: true, mended: "unsigned", change: func(b *box) { b.inflate(o); b.flip(o, 20) }})
	}
	return append(list, twin{name: "bag--list-bit", why: "the list is of no use to who has a signed one", once: true, change: func(b *box) { b.flip("manifest-sha256.txt", 3) }})
}

const exportDSSE = "data/export.dsse.json"

// swaps exchange, drop and add whole files.
func swaps() []twin {
	return []twin{
		{name: "timestamp-imprint--token-of-another-seal", base: "world", why: "our seal.sigstore.json still holds the right tokens; the part is checked too", change: func(b *box) {
			one, two := b.seals()
			b.retoken(b.find(one+"timestamps/alpha/", ""), b.get(b.find(two+"timestamps/alpha/", "")))
		}},
		{name: "timestamp-signature--token-changed-and-renamed", why: "our seal.sigstore.json still holds the right tokens; the part is checked too", change: func(b *box) {
			p := b.holding("data/seals/", "/timestamps/beta/")
			token := bytes.Clone(b.get(p))
			token[len(token)-9] ^= 1
			b.retoken(p, token)
		}},
		{name: "statement-form--seals-swapped", base: "world", why: bySeal, change: func(b *box) {
			one, two := b.seals()
			for i := range b.entries {
				if rest, ok := strings.CutPrefix(b.entries[i].name, one); ok {
					b.entries[i].name = two + rest
				} else if rest, ok := strings.CutPrefix(b.entries[i].name, two); ok {
					b.entries[i].name = one + rest
				}
			}
		}},
		{name: "seal-parts--sigstore-of-another-seal", base: "world", why: "it is assembled again from the parts and compared byte for byte", change: func(b *box) {
			one, two := b.seals()
			b.put(one+"seal.sigstore.json", b.get(two+"seal.sigstore.json"))
		}},
		{name: "seal-missing--seal-dropped", base: "world", why: byExport, change: func(b *box) {
			_, two := b.seals()
			b.entries = slices.DeleteFunc(b.entries, func(e zipEntry) bool { return strings.HasPrefix(e.name, two) })
		}},
		{name: "manifest-missing--capture-dropped", base: "world", why: byExport, change: func(b *box) {
			b.entries = slices.DeleteFunc(b.entries, func(e zipEntry) bool { return strings.HasPrefix(e.name, "data/exhibits/2/") })
		}},
		{name: "manifest-digest--exhibits-swapped", base: "world", why: byExport, change: func(b *box) {
			for i := range b.entries {
				if rest, ok := strings.CutPrefix(b.entries[i].name, exhibit1); ok {
					b.entries[i].name = "data/exhibits/2/" + rest
				} else if rest, ok := strings.CutPrefix(b.entries[i].name, "data/exhibits/2/"); ok {
					b.entries[i].name = exhibit1 + rest
				}
			}
		}},
		{name: "object-missing--object-dropped", why: byObject, change: func(b *box) { b.drop(exhibit1 + "screenshot.png") }},
		{name: "file-extra--file-added", why: byExport, change: func(b *box) { b.put(exhibit1+"note.txt", []byte("added")) }},
		{name: "file-extra--file-beside", why: "nothing but the bag's own files lies beside data/", change: func(b *box) { b.put("note.txt", []byte("added")) }},
		{name: "file-missing--cert-dropped", why: byExport, change: func(b *box) { b.drop(b.find("data/trust/certs/", "")) }},
		{name: "export-missing--export-dropped", why: byExport, change: func(b *box) { b.drop(exportDSSE) }},
		{name: "export-signature--count-edited", base: "world", why: byExport, change: func(b *box) {
			env := must(holdfast.ParseEnvelope(b.get(exportDSSE), holdfast.PayloadExport, 1<<30))
			x := must(holdfast.ParseExport(env.Payload))
			x.Cases[0].Captures = x.Cases[0].Captures[:1]
			env.Payload = must(x.Encode())
			b.put(exportDSSE, must(env.Encode()))
		}},
		{name: "not-before-token--dropped", why: bySeal, change: func(b *box) { b.drop(b.find("data/seals/", "notbefore.tst")) }},
		{name: "not-before-token--other", base: "world", why: bySeal, change: func(b *box) {
			_, two := b.seals()
			b.put(two+"notbefore.tst", b.get(b.find(two+"timestamps/alpha/", "")))
		}},
		{name: "trust-form--cert-misnamed", why: byExport, change: func(b *box) {
			p := b.find("data/trust/certs/", "")
			b.rename(p, "data/trust/certs/"+strings.Repeat("0", 64)+".pem")
		}},
		{name: "slice-commitment--salt-wrong", base: "slice", why: bySlice, change: func(b *box) { b.spoil(b.find("data/exhibits/", ".salt"), 3) }},
		{name: "slice-commitment--slice-wrong", base: "slice", why: bySlice, change: func(b *box) { b.spoil("data/exhibits/2/slices/source.html/message-2", 3) }},
		{name: "slice-form--salt-dropped", base: "slice", why: bySlice, change: func(b *box) { b.drop(b.find("data/exhibits/", ".salt")) }},
		{name: "slice-commitment--secret-wrong", base: "whole", why: bySlice, change: func(b *box) { b.spoil(exhibit1+"source.html.secret", 3) }},
		{name: "custody-chain--line-dropped", base: "world", why: byCustody, change: func(b *box) { b.rows(func(l [][]byte) [][]byte { return l[1:] }) }},
		{name: "custody-chain--lines-swapped", base: "world", why: byCustody, change: func(b *box) { b.rows(func(l [][]byte) [][]byte { l[0], l[1] = l[1], l[0]; return l }) }},
		{name: "custody-head--line-changed", base: "world", why: byCustody, change: func(b *box) {
			b.rows(func(l [][]byte) [][]byte { l[0] = bytes.Replace(l[0], []byte(`"test"`), []byte(`"tent"`), 1); return l })
		}},
		{name: "custody-form--last-row-cut", base: "world", why: byCustody, change: func(b *box) { c := b.get(custodyFile); b.put(custodyFile, c[:len(c)-1]) }},
	}
}

const custodyFile = "data/custody.jsonl"

// forms spell documents otherwise.
func forms() []twin {
	doc := func(name, find, old, now, why string) twin {
		return twin{name: name, why: why, change: func(b *box) {
			p := b.holding("data/", find)
			if !bytes.Contains(b.get(p), []byte(old)) {
				b.t.Fatalf("%s lacks %q", p, old)
			}
			b.put(p, bytes.Replace(b.get(p), []byte(old), []byte(now), 1))
		}}
	}
	m := "/manifest.json"
	return []twin{
		doc("manifest-form--white-space", m, `{"agent"`, `{ "agent"`, byForm),
		doc("manifest-form--newline-at-end", m, `"version":1`, `"version":1`, byForm).with(func(b *box) {
			b.put(exhibit1+"manifest.json", append(bytes.Clone(b.get(exhibit1+"manifest.json")), '\n'))
		}),
		doc("manifest-form--member-twice", m, `"kind":"capture"`, `"kind":"capture","kind":"capture"`, byForm),
		doc("manifest-form--member-unknown", m, `"nonce":`, `"name":"x","nonce":`, byForm),
		doc("manifest-form--case-variant", m, `"nonce":`, `"Nonce":`, byForm),
		doc("manifest-form--members-reordered", m, ``, ``, byForm).with(func(b *box) {
			raw := b.get(exhibit1 + "manifest.json")
			i := bytes.Index(raw, []byte(`"training":`))
			b.put(exhibit1+"manifest.json", slices.Concat([]byte(`{"training":true,`), raw[1:i], bytes.TrimPrefix(raw[i:], []byte(`"training":true,`))))
		}),
		doc("file-digest--version-newer", m, `"version":1,"web"`, `"version":2,"web"`, "who only holds the file cannot turn a refusal into a newer format"),
		doc("inclusion--index", "/inclusion/", `"index":`, `"index":1`, bySeal),
		doc("inclusion--size", "/inclusion/", `"size":`, `"size":1`, bySeal),
		doc("statement-form--envelope-with-keyid", "statement.dsse.json", `{"sig":`, `{"keyid":"x","sig":`, byForm),
		doc("statement-form--two-signatures", "statement.dsse.json", `"signatures":[`, `"signatures":[{"sig":"MAA="},`, byForm),
		doc("checkpoint-signature--size", "/checkpoint/", "\n", "\n1", bySeal),
	}
}

func (w twin) with(change func(*box)) twin { w.change = change; return w }

// structures are ZIP files that two readers could read in two ways.
func structures() []twin {
	z := func(name string, change func(*box)) twin {
		return twin{name: name, base: "world", why: byZip, change: change, once: true}
	}
	whole := func(name string, f func([]byte) []byte) twin {
		return twin{name: name, base: "world", why: byZip, bytes: f, once: true}
	}
	victim := exhibit1 + "text.txt"
	local := func(at int, v byte) func(*box) {
		return func(b *box) { b.entry(victim).local = func(h []byte) { h[at] ^= v } }
	}
	le := binary.LittleEndian
	return []twin{
		z("entry-duplicate--twice", func(b *box) { e := *b.entry(victim); b.entries = append(b.entries, e) }),
		z("entry-duplicate--twice-and-different", func(b *box) {
			e := *b.entry(victim)
			b.entries = append(b.entries, e)
			b.entries[len(b.entries)-1].body = bytes.ToUpper(e.body)
		}),
		z("entry-name--case-variant", func(b *box) { b.put(exhibit1+"Text.txt", []byte("x")) }),
		z("entry-name--dot-dot", func(b *box) { b.put("data/../../x", []byte("x")) }),
		z("entry-name--absolute", func(b *box) { b.put("/etc/x", []byte("x")) }),
		z("entry-name--backslash", func(b *box) { b.put(`data\x`, []byte("x")) }),
		z("entry-name--dash", func(b *box) { b.put("data/-rf", []byte("x")) }),
		z("entry-name--control", func(b *box) { b.put("data/x\x1b[2j", []byte("x")) }),
		z("entry-type--symlink", func(b *box) { b.put("data/link", []byte("/etc/passwd")); b.entry("data/link").attr = 0o120777 << 16 }),
		z("entry-type--directory", func(b *box) { b.put("data/dir/", nil); b.entry("data/dir/").attr = 0o040755<<16 | 0x10 }),
		z("zip--local-name", local(30, 2)),
		z("zip--local-crc", local(14, 1)),
		z("zip--local-size", local(22, 1)),
		z("zip--local-method", local(8, 8)),
		z("zip--encrypted", func(b *box) { b.entry(victim).flags |= 1 }),
		z("zip--data-descriptor", func(b *box) {
			e := b.entry(victim)
			e.flags |= 8
			e.after = le.AppendUint32(le.AppendUint32(le.AppendUint32([]byte("PK\x07\x08"), e.crc), uint32(len(e.body))), e.size)
		}),
		z("zip--gap", func(b *box) { b.entry(victim).before = []byte("hidden") }),
		z("zip--method-unknown", func(b *box) { b.entry(victim).method = 12 }),
		z("zip--comment", func(b *box) { b.comment = "hello" }),
		z("zip--bomb", func(b *box) { e := b.entry(victim); bomb(e, 64<<20); e.size = 4096 }),
		z("zip--bomb-ratio", func(b *box) { e := b.entry(victim); bomb(e, 1<<20); e.size = 0xfffffff0 }),
		z("zip--overlap", func(b *box) {
			i := b.index(victim)
			for k := range 64 {
				e := b.entries[i]
				e.name, e.at = fmt.Sprintf("data/exhibits/1/x%d.txt", k), i+1
				b.entries = append(b.entries, e)
			}
		}),
		whole("zip--appended", func(b []byte) []byte { return append(b, "<html>"...) }),
		whole("zip--prepended", func(b []byte) []byte { return append([]byte("PK\x03\x04"), b...) }),
		whole("zip--cut-short", func(b []byte) []byte { return b[:len(b)-100] }),
		whole("zip--cut-in-half", func(b []byte) []byte { return b[:len(b)/2] }),
		whole("zip--two-in-one", func(b []byte) []byte { return slices.Concat(b, b) }),
	}
}

// holding returns the first name under prefix that has part in it.
func (b *box) holding(prefix, part string) string {
	b.t.Helper()
	var names []string
	for _, e := range b.entries {
		if strings.HasPrefix(e.name, prefix) && strings.Contains(e.name, part) {
			names = append(names, e.name)
		}
	}
	if len(names) == 0 {
		b.t.Fatalf("no entry %s…%s", prefix, part)
	}
	return slices.Min(names)
}

// seals returns the folders of the two Seals of a world.
func (b *box) seals() (one, two string) {
	b.t.Helper()
	var dirs []string
	for _, e := range b.entries {
		if s := strings.Split(e.name, "/"); len(s) > 3 && s[1] == "seals" {
			dirs = append(dirs, "data/seals/"+s[2]+"/")
		}
	}
	slices.Sort(dirs)
	if dirs = slices.Compact(dirs); len(dirs) != 2 {
		b.t.Fatalf("%d seals", len(dirs))
	}
	return dirs[0], dirs[1]
}

// spoil is flip with a right CRC.
func (b *box) spoil(name string, at int) {
	b.t.Helper()
	body := bytes.Clone(b.get(name))
	body[at] ^= 1
	b.put(name, body)
}

func (b *box) rows(change func([][]byte) [][]byte) {
	b.t.Helper()
	l := bytes.SplitAfter(b.get(custodyFile), []byte("\n"))
	b.put(custodyFile, bytes.Join(change(l[:len(l)-1]), nil))
}

// head returns h(n) of the rows of one chain.
func (b *box) heads() (chain holdfast.ID, h []hashing.Digest) {
	h = []hashing.Digest{{}}
	for l := range bytes.Lines(b.get(custodyFile)) {
		l = bytes.TrimSuffix(l, []byte("\n"))
		chain = must(holdfast.ParseLine(l)).Chain
		h = append(h, holdfast.Next(h[len(h)-1], hashing.Of(l)))
	}
	return chain, h
}
