package holdfast_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/ecdsa"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/canon"
	"holdfast/hashing"
)

// zipEntry is one entry as it will be written, right or wrong.
type zipEntry struct {
	name          string
	body          []byte // stored bytes
	crc, size     uint32 // of the content
	madeBy, needs uint16
	flags, method uint16
	time, date    uint16
	attr          uint32

	local  func(header []byte) // spoils the local header, whose name is at 30
	before []byte              // bytes before the local header that belong to nobody
	after  []byte              // bytes after the data, as a data descriptor
	at     int                 // 1 + index of the entry whose data this one shares
}

// box is a Bundle taken apart.
type box struct {
	t       testing.TB
	entries []zipEntry
	comment string
}

func readZip(t testing.TB, b []byte) []zipEntry {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var es []zipEntry
	for _, f := range z.File {
		r, err := f.OpenRaw()
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		es = append(es, zipEntry{name: f.Name, body: body, crc: f.CRC32, size: uint32(f.UncompressedSize64), madeBy: f.CreatorVersion, needs: f.ReaderVersion,
			flags: f.Flags, method: f.Method, time: f.ModifiedTime, date: f.ModifiedDate, attr: f.ExternalAttrs})
	}
	return es
}

func open(t testing.TB, b []byte) *box { return &box{t: t, entries: readZip(t, b)} }

// pack writes the ZIP as its entries say.
func (b *box) pack() []byte {
	le := binary.LittleEndian
	var out, dir []byte
	starts := make([]int, len(b.entries))
	for i, e := range b.entries {
		out = append(out, e.before...)
		starts[i] = len(out)
		if e.at > 0 {
			starts[i] = starts[e.at-1]
		}
		common := le.AppendUint16(nil, e.needs)
		for _, v := range []uint16{e.flags, e.method, e.time, e.date} {
			common = le.AppendUint16(common, v)
		}
		for _, v := range []uint32{e.crc, uint32(len(e.body)), e.size} {
			common = le.AppendUint32(common, v)
		}
		common = le.AppendUint16(common, uint16(len(e.name)))
		common = le.AppendUint16(common, 0)
		if e.at == 0 {
			h := append(append([]byte("PK\x03\x04"), common...), e.name...)
			if e.local != nil {
				e.local(h)
			}
			out = append(append(append(out, h...), e.body...), e.after...)
		}
		dir = le.AppendUint16(append(dir, "PK\x01\x02"...), e.madeBy)
		dir = append(append(dir, common...), make([]byte, 6)...)
		dir = le.AppendUint32(dir, e.attr)
		dir = append(le.AppendUint32(dir, uint32(starts[i])), e.name...)
	}
	n := uint16(len(b.entries))
	end := le.AppendUint16(le.AppendUint16(append([]byte("PK\x05\x06"), 0, 0, 0, 0), n), n)
	end = le.AppendUint32(le.AppendUint32(end, uint32(len(dir))), uint32(len(out)))
	end = append(le.AppendUint16(end, uint16(len(b.comment))), b.comment...)
	return slices.Concat(out, dir, end)
}

func (b *box) index(name string) int {
	return slices.IndexFunc(b.entries, func(e zipEntry) bool { return e.name == name })
}

func (b *box) entry(name string) *zipEntry {
	b.t.Helper()
	i := b.index(name)
	if i < 0 {
		b.t.Fatalf("no entry %s", name)
	}
	return &b.entries[i]
}

func (b *box) get(name string) []byte { b.t.Helper(); return b.entry(name).body }

// find returns the first name, in the order of names, that begins and ends so.
func (b *box) find(prefix, suffix string) string {
	b.t.Helper()
	var names []string
	for _, e := range b.entries {
		if strings.HasPrefix(e.name, prefix) && strings.HasSuffix(e.name, suffix) {
			names = append(names, e.name)
		}
	}
	if len(names) == 0 {
		b.t.Fatalf("no entry %s…%s", prefix, suffix)
	}
	return slices.Min(names)
}

// over writes content over that of an entry and leaves the CRC as it was.
func (b *box) over(name string, body []byte) {
	b.t.Helper()
	e := b.entry(name)
	if len(e.body) != len(body) {
		b.t.Fatalf("%s: %d bytes over %d", name, len(body), len(e.body))
	}
	e.body = body
}

// flip changes one bit in place; at < 0 counts from the end.
func (b *box) flip(name string, at int) {
	b.t.Helper()
	body := bytes.Clone(b.get(name))
	if at < 0 {
		at += len(body)
	}
	body[at] ^= 1
	b.over(name, body)
}

// put adds a file, or exchanges its content, as any ZIP program would.
func (b *box) put(name string, body []byte) {
	if i := b.index(name); i >= 0 {
		e := &b.entries[i]
		e.body, e.size, e.crc = body, uint32(len(body)), crc32.ChecksumIEEE(body)
		return
	}
	e := b.entries[0]
	e.name, e.body, e.size, e.crc = name, body, uint32(len(body)), crc32.ChecksumIEEE(body)
	b.entries = append(b.entries, e)
}

func (b *box) drop(name string) {
	b.t.Helper()
	i := b.index(name)
	if i < 0 {
		b.t.Fatalf("no entry %s", name)
	}
	b.entries = slices.Delete(b.entries, i, i+1)
}

// edit replaces one occurrence of a text.
func (b *box) edit(name, old, now string) {
	b.t.Helper()
	body := b.get(name)
	if !bytes.Contains(body, []byte(old)) {
		b.t.Fatalf("%s lacks %q", name, old)
	}
	body = bytes.Replace(body, []byte(old), []byte(now), 1)
	if len(old) == len(now) {
		b.over(name, body)
	} else {
		b.put(name, body)
	}
}

// rename gives a file another name.
func (b *box) rename(old, now string) { b.t.Helper(); b.entry(old).name = now }

// retoken exchanges a token and names the part by the new one.
func (b *box) retoken(part string, token []byte) {
	b.t.Helper()
	b.put(part, token)
	b.rename(part, part[:strings.LastIndexByte(part, '/')+1]+hashing.Of(token).Hex()+".tst")
}

// crcs makes every CRC right.
func (b *box) crcs() {
	for i := range b.entries {
		if e := &b.entries[i]; e.method == 0 {
			e.crc, e.size = crc32.ChecksumIEEE(e.body), uint32(len(e.body))
		}
	}
}

// mend recomputes everything that no signature covers: CRCs and the bag.
func (b *box) mend() {
	b.crcs()
	b.oxum()
	b.put("manifest-sha256.txt", b.list(func(n string) bool { return strings.HasPrefix(n, "data/") }))
	b.put("tagmanifest-sha256.txt", b.list(func(n string) bool { return !strings.HasPrefix(n, "data/") && n != "tagmanifest-sha256.txt" }))
}

// oxum writes the number and size of the payload's files into bag-info.txt.
func (b *box) oxum() {
	var size, n int
	for _, e := range b.entries {
		if strings.HasPrefix(e.name, "data/") {
			size, n = size+int(e.size), n+1
		}
	}
	line := regexp.MustCompile(`(?m)^Payload-Oxum: .*$`)
	if i := b.index("bag-info.txt"); i >= 0 {
		b.put("bag-info.txt", line.ReplaceAll(b.entries[i].content(b.t), fmt.Appendf(nil, "Payload-Oxum: %d.%d", size, n)))
		b.entries[i].method = 0
	}
}

func (b *box) list(want func(string) bool) []byte {
	var lines []string
	for _, e := range b.entries {
		if want(e.name) {
			lines = append(lines, e.name+"\x00"+hashing.Of(e.content(b.t)).Hex()+"  "+e.name+"\n")
		}
	}
	slices.Sort(lines)
	var out bytes.Buffer
	for _, l := range lines {
		_, l, _ = strings.Cut(l, "\x00")
		out.WriteString(l)
	}
	return out.Bytes()
}

func (e *zipEntry) content(t testing.TB) []byte {
	if e.method == 0 {
		return e.body
	}
	out, _ := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(e.body)), 1<<20)) // what can be had of it
	return out
}

// deflate compresses every entry, as an ordinary program would.
func (b *box) deflate() {
	for i := range b.entries {
		b.entries[i].press()
	}
}

// resign lets whoever holds the node's key write the export statement anew, so
// that it fits the files.
func (b *box) resign(key *ecdsa.PrivateKey, change func(*holdfast.Export)) {
	b.t.Helper()
	const name = "data/export.dsse.json"
	b.crcs()
	env, err := holdfast.ParseEnvelope(b.get(name), holdfast.PayloadExport, 1<<30)
	if err != nil {
		b.t.Fatal(err)
	}
	x, err := holdfast.ParseExport(env.Payload)
	if err != nil {
		b.t.Fatal(err)
	}
	x.Files = nil
	for _, e := range b.entries {
		if strings.HasPrefix(e.name, "data/") && e.name != name {
			x.Files = append(x.Files, holdfast.File{Digest: hashing.Of(e.body), Path: e.name, Size: int64(len(e.body))})
		}
	}
	slices.SortFunc(x.Files, func(a, c holdfast.File) int { return strings.Compare(a.Path, c.Path) })
	if change != nil {
		change(x)
	}
	payload, err := canon.Append(nil, x) // a liar is not held back by our encoder
	if err != nil {
		b.t.Fatal(err)
	}
	b.put(name, signed(b.t, key, holdfast.PayloadExport, payload))
}

func signed(t testing.TB, key *ecdsa.PrivateKey, payloadType string, payload []byte) []byte {
	t.Helper()
	sig := sign(t, key, payloadType, payload)
	return fmt.Appendf(nil, `{"payload":"%s","payloadType":"%s","signatures":[{"sig":"%s"}]}`,
		base64.StdEncoding.EncodeToString(payload), payloadType, base64.StdEncoding.EncodeToString(sig))
}

// slim compresses the two files that people read, which are most of a small
// Bundle: a good Bundle too, and the base of the twins, which are many.
func (b *box) slim() {
	for i := range b.entries {
		if e := &b.entries[i]; e.name == holdfast.ReadMe || e.name == "verify.sh" {
			e.press()
		}
	}
}

func (e *zipEntry) press() {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 9)
	w.Write(e.body)
	w.Close()
	e.body, e.method = out.Bytes(), 8
}

// inflate stores an entry uncompressed, its CRC is that of the content anyway.
func (b *box) inflate(name string) {
	b.t.Helper()
	e := b.entry(name)
	e.body, e.method = e.content(b.t), 0
}

// bomb makes an entry expand to n zeros; its headers are the caller's lie.
func bomb(e *zipEntry, n int64) {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 9)
	io.CopyN(w, zeros{}, n)
	w.Close()
	e.body, e.method = out.Bytes(), 8
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
