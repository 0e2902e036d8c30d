package holdfast_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"holdfast"
	"holdfast/hashing"
)

const (
	flipTable  = "testdata/bundles/flips.txt"
	flipBundle = "key-retired-since" // small, with every kind of file
)

// region is a run of bytes of a ZIP file that are one thing.
type region struct {
	start int
	class string
}

// regions names every byte of a strict ZIP file.
func regions(b []byte) (rs []region) {
	le := binary.LittleEndian
	fields := func(at int, what string, fs ...any) {
		for i := 0; i < len(fs); i += 2 {
			rs = append(rs, region{at, what + ": " + fs[i].(string)})
			at += fs[i+1].(int)
		}
	}
	at := 0
	for bytes.HasPrefix(b[at:], []byte("PK\x03\x04")) {
		n := int(le.Uint16(b[at+26:]))
		name := string(b[at+30 : at+30+n])
		fields(at, "local header", "signature", 4, "version needed", 2, "flags", 2, "method", 2, "time", 2, "date", 2, "crc", 4, "sizes", 8, "lengths", 4, "name", n)
		rs = append(rs, region{at + 30 + n, "content: " + kindOf(name)})
		at += 30 + n + int(le.Uint32(b[at+18:]))
	}
	for bytes.HasPrefix(b[at:], []byte("PK\x01\x02")) {
		n := int(le.Uint16(b[at+28:]))
		fields(at, "central directory", "signature", 4, "version made by", 2, "version needed", 2, "flags", 2, "method", 2, "time", 2, "date", 2, "crc", 4, "sizes", 8,
			"lengths", 6, "disk", 2, "internal attributes", 2, "external attributes", 4, "offset", 4, "name", n)
		at += 46 + n
	}
	fields(at, "end record", "all of it", 22)
	return rs
}

// kindOf leaves out what differs from node to node.
func kindOf(name string) string {
	s := strings.Split(name, "/")
	switch {
	case len(s) > 3 && s[1] == "seals":
		return "seal: " + s[3]
	case len(s) > 2 && s[1] == "exhibits":
		return "exhibit: " + strings.Join(s[3:], "/")
	case len(s) > 2 && (s[1] == "trust" || s[1] == "tlog"):
		return s[1] + ": " + strings.TrimRight(s[2], ".0123456789")
	}
	return name
}

func classAt(rs []region, at int) string {
	i, ok := slices.BinarySearchFunc(rs, at, func(r region, at int) int { return r.start - at })
	if !ok {
		i--
	}
	for i+1 < len(rs) && rs[i+1].start <= at { // an empty region lies before a full one
		i++
	}
	return rs[i].class
}

func extracted(b []byte) (map[string]string, error) {
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files[f.Name] = string(body)
	}
	return files, nil
}

// flipper tries changes of one Bundle on all cores, and keeps the classes of
// those that pass.
type flipper struct {
	t     testing.TB
	good  []byte
	files map[string]string
	p     *holdfast.Policy
	tried atomic.Int64
	mu    sync.Mutex
	pass  map[string]int
}

func (f *flipper) each(n int, try func(i int, b []byte)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			b := bytes.Clone(f.good)
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				try(i, b)
			}
		})
	}
	wg.Wait()
}

// judge notes a changed Bundle that passes. Whatever passes must hold the same
// files with the same bytes, save those under no signature.
func (f *flipper) judge(b []byte, class, where string) {
	f.tried.Add(1)
	r, err := holdfast.Verify(f.t.Context(), bytes.NewReader(b), int64(len(b)), f.p, holdfast.VerifyOptions{})
	if err != nil || r.Verdict != holdfast.VerdictProven {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pass[class]++
	files, err := extracted(b)
	if err != nil {
		f.t.Errorf("%s: %s: proven, yet another reader says %v", where, class, err)
		return
	}
	for name := range files {
		if files[name] != f.files[name] && !slices.Contains(r.Unsigned, name) {
			f.t.Errorf("%s: %s: proven, yet %s has changed", where, class, name)
		}
	}
	if len(files) != len(f.files) {
		f.t.Errorf("%s: %s: proven, yet there are %d files", where, class, len(files))
	}
}

// TestFlips changes every byte of a small Bundle, one at a time: raw, and with
// CRCs and bag mended. The changes that pass are those of flips.txt.
func TestFlips(t *testing.T) {
	good, err := os.ReadFile(goodDir + flipBundle + ".zip")
	if err != nil {
		t.Fatal(err)
	}
	f := &flipper{t: t, good: good, p: readPolicy(t, goodDir+flipBundle+".policy.json"), pass: map[string]int{}}
	if f.files, err = extracted(good); err != nil {
		t.Fatal(err)
	}
	// All of it takes minutes. By default every byte of the ZIP's own fields is
	// changed, and every so many bytes of the contents.
	all := os.Getenv("HOLDFAST_LONG") != "" || os.Getenv("HOLDFAST_JUDGES") != "" || *update
	rs := regions(good)
	f.each(len(good), func(i int, b []byte) {
		class := classAt(rs, i)
		if !all && strings.HasPrefix(class, "content: ") && i%17 != 0 {
			return
		}
		for k, mask := range []byte{0x01, 0x80, 0x20, 0xff} {
			if k > 0 && (i+k)%17 != 0 {
				continue
			}
			b[i] ^= mask
			f.judge(b, "raw, "+class, fmt.Sprintf("byte %d ^ %02x", i, mask))
			b[i] ^= mask
		}
	})
	raw := f.tried.Load()
	places := places(t, good)
	for _, name := range slices.Sorted(maps.Keys(places)) {
		at := places[name]
		step := 1
		if !all {
			step = 29
		}
		f.each((at.size+step-1)/step, func(i int, b []byte) {
			at.mended(b, places, i*step, func() { f.judge(b, "mended, content: "+kindOf(name), fmt.Sprintf("%s[%d]", name, i*step)) })
		})
	}
	t.Logf("%d bytes, %d changes raw, %d mended; %d passed", len(good), raw, f.tried.Load()-raw, sumOf(f.pass))
	f.compare(all)
}

func sumOf(m map[string]int) (n int) {
	for _, k := range m {
		n += k
	}
	return n
}

// reasons says of each class why a change of it may pass.
func flipReason(class string) string {
	switch {
	case strings.HasSuffix(class, "version made by"), strings.HasSuffix(class, "internal attributes"):
		return "says who wrote the ZIP; no reader extracts other bytes for it"
	case strings.HasSuffix(class, "external attributes"):
		return "permissions of the extracted file; its kind (link, directory) is checked"
	case class == "raw, content: verify.sh", class == "raw, content: "+holdfast.ReadMe:
		return "unused bits of the compressed form: the file is the same"
	case strings.HasPrefix(class, "mended, content: "):
		return "under no signature, and listed as such: only the bag covers it, and the bag was mended"
	}
	return ""
}

// compare holds what passed against the table: the same when all was tried,
// else a part of it.
func (f *flipper) compare(all bool) {
	var out strings.Builder
	out.WriteString("# Changes of one byte after which a bundle is still proven: where, and why that is right.\n# Every other byte, changed, is noticed. Made by go test -run TestFlips -update\n")
	for _, class := range slices.Sorted(maps.Keys(f.pass)) {
		why := flipReason(class)
		if why == "" {
			f.t.Errorf("%s: %d changes pass, and no reason is known", class, f.pass[class])
		}
		fmt.Fprintf(&out, "%s\t%s\n", class, why)
	}
	if *update {
		write(f.t, flipTable, []byte(out.String()))
	}
	want, err := os.ReadFile(flipTable)
	if !all {
		for l := range strings.Lines(out.String()) {
			if !strings.Contains(string(want), l) {
				f.t.Errorf("%s lacks: %s", flipTable, l)
			}
		}
		return
	}
	if err != nil || string(want) != out.String() {
		f.t.Errorf("%s (%v) differs from what passed:\n%s", flipTable, err, &out)
	}
}

// place is where the bytes, the CRCs and the digest of a file lie.
type place struct {
	data, size int
	crc        [2]int
	digest     int    // of its hex in list
	list       string // that names it
	stored     bool
}

func places(t testing.TB, b []byte) map[string]place {
	le := binary.LittleEndian
	ps := map[string]place{}
	at := 0
	for bytes.HasPrefix(b[at:], []byte("PK\x03\x04")) {
		n := int(le.Uint16(b[at+26:]))
		name := string(b[at+30 : at+30+n])
		p := place{data: at + 30 + n, size: int(le.Uint32(b[at+18:])), stored: b[at+8] == 0, list: "tagmanifest-sha256.txt"}
		p.crc[0] = at + 14
		if strings.HasPrefix(name, "data/") {
			p.list = "manifest-sha256.txt"
		}
		ps[name] = p
		at = p.data + p.size
	}
	for bytes.HasPrefix(b[at:], []byte("PK\x01\x02")) {
		n := int(le.Uint16(b[at+28:]))
		name := string(b[at+46 : at+46+n])
		p := ps[name]
		p.crc[1] = at + 16
		ps[name] = p
		at += 46 + n
	}
	for name, p := range ps {
		l := ps[p.list]
		p.digest = bytes.Index(b[l.data:l.data+l.size], []byte("  "+name+"\n"))
		if p.digest >= 0 {
			p.digest += l.data - 64
		}
		if !p.stored { // only its compressed bytes are at hand
			delete(ps, name)
			continue
		}
		ps[name] = p
	}
	return ps
}

// mended changes one byte and what no signature covers, runs f, and undoes it.
func (p place) mended(b []byte, all map[string]place, i int, f func()) {
	type old struct {
		at int
		b  []byte
	}
	var undo []old
	set := func(at int, v []byte) {
		undo = append(undo, old{at, bytes.Clone(b[at : at+len(v)])})
		copy(b[at:], v)
	}
	set(p.data+i, []byte{b[p.data+i] ^ 1})
	for {
		content := b[p.data : p.data+p.size]
		crc := binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(content))
		set(p.crc[0], crc)
		set(p.crc[1], crc)
		if p.digest < 0 {
			break
		}
		set(p.digest, []byte(hashing.Of(content).Hex()))
		p = all[p.list]
	}
	f()
	for _, o := range slices.Backward(undo) {
		copy(b[o.at:], o.b)
	}
}
