package holdfast

import (
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"sync"

	"holdfast/hashing"
)

// ErrNotBundle says that the first bytes are not those of a ZIP file.
var ErrNotBundle = errors.New("not a bundle: the file does not begin like a ZIP")

// ReadMe is the one entry whose name has capital letters.
const ReadMe = "00-READ-ME-FIRST.html"

// MaxExport is the most bytes that are read of an export statement, as a file,
// and of custody.jsonl: both are held in memory, about a million files.
const MaxExport = 256 << 20

// Limits of docs/bundle.md sections 1 and 11.
const (
	maxEntries   = 4 << 20
	maxEntryName = 512
	maxRatio     = 1032 // DEFLATE cannot do better, so more is a lie
)

// bundle is a ZIP file whose structure was checked, not its content.
type bundle struct {
	entries []*entry // in file order
	byName  map[string]*entry
}

// entry is one file in the ZIP. digest is known after its bytes were read.
type entry struct {
	name   string
	meta   [10]byte // version needed, flags, method, time, date: equal in both headers
	in     *faults
	method uint16
	crc    uint32
	data   int64 // where the stored bytes begin
	csize  int64
	size   int64
	digest hashing.Digest
}

// zipError carries the Finding that names what is wrong.
type zipError struct {
	finding string
	err     error
}

func (e *zipError) Error() string { return e.err.Error() }
func (e *zipError) Unwrap() error { return e.err }

func zipErr(finding, format string, a ...any) error {
	return &zipError{finding, malformed(format, a...)}
}

// faults reads the file and keeps what is wrong with the disk, or with a file
// that changes while it is read: that is no property of the Bundle, so it ends
// Verify without a verdict. Safe for several goroutines.
type faults struct {
	r    io.ReaderAt
	size int64 // that the file had
	mu   sync.Mutex
	err  error
}

func (f *faults) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.r.ReadAt(p, off)
	if err != nil && (err != io.EOF || off+int64(n) < f.size) { // an end before the end: it was cut meanwhile
		f.note(err)
	}
	return n, err
}

func (f *faults) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = fmt.Errorf("read bundle: %w", err)
	}
}

func (f *faults) first() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// openBundle checks the whole structure: every byte of the file belongs to one
// local header, one entry's data, the central directory or the end record, so
// two readers cannot see two different files. Errors are [ErrNotBundle] or a
// *zipError.
func openBundle(r *faults, size int64) (*bundle, error) {
	var magic [4]byte
	if _, err := r.ReadAt(magic[:], 0); err != nil || magic[0] != 'P' || magic[1] != 'K' {
		return nil, ErrNotBundle
	}
	dir, err := findDirectory(r, size)
	if err != nil {
		return nil, err
	}
	b := &bundle{byName: make(map[string]*entry, dir.count)}
	in := bufio.NewReaderSize(io.NewSectionReader(r, dir.start, dir.size), 64<<10)
	at := int64(0)
	for i := range dir.count {
		e, local, read, err := readCentral(in)
		if err != nil {
			return nil, err
		}
		if dir.size -= read; dir.size < 0 || local != at {
			return nil, zipErr("zip", "entry %d: directory and data do not follow each other without a gap", i)
		}
		if at, err = e.readLocal(r, at, dir.start); err != nil {
			return nil, err
		}
		if err := b.add(e); err != nil {
			return nil, err
		}
	}
	if dir.size != 0 || at != dir.start {
		return nil, zipErr("zip", "bytes that belong to no entry")
	}
	return b, nil
}

func (b *bundle) add(e *entry) error {
	if b.byName[e.name] != nil {
		return zipErr("entry-duplicate", "%.120q is there twice", e.name)
	}
	if !validEntry(e.name) {
		return zipErr("entry-name", "entry name %.120q is not allowed", e.name)
	}
	b.entries, b.byName[e.name] = append(b.entries, e), e
	return nil
}

type directory struct{ start, size, count int64 }

// findDirectory reads the end record, which must be the last 22 bytes, and the
// ZIP64 records if it points to them.
func findDirectory(r io.ReaderAt, size int64) (directory, error) {
	le := binary.LittleEndian
	var b [22]byte
	if _, err := r.ReadAt(b[:], max(size-22, 0)); size < 22 || err != nil || le.Uint32(b[:]) != 0x06054b50 || le.Uint16(b[20:]) != 0 || le.Uint32(b[4:]) != 0 {
		return directory{}, zipErr("zip", "no end record in the last 22 bytes: the file is cut short or something was appended")
	}
	if le.Uint16(b[8:]) != le.Uint16(b[10:]) {
		return directory{}, zipErr("zip", "end record counts differ")
	}
	d := directory{int64(le.Uint32(b[16:])), int64(le.Uint32(b[12:])), int64(le.Uint16(b[8:]))}
	end := size - 22
	if d.start == 0xffffffff || d.size == 0xffffffff || d.count == 0xffff {
		var l [20]byte
		var z [56]byte
		end -= 20 + 56
		_, err1 := r.ReadAt(z[:], max(end, 0))
		_, err2 := r.ReadAt(l[:], max(end, 0)+56)
		if end < 0 || err1 != nil || err2 != nil || le.Uint32(l[:]) != 0x07064b50 || le.Uint32(l[4:]) != 0 || le.Uint64(l[8:]) != uint64(end) || le.Uint32(l[16:]) != 1 ||
			le.Uint32(z[:]) != 0x06064b50 || le.Uint64(z[4:]) != 44 || le.Uint64(z[16:]) != 0 || le.Uint64(z[24:]) != le.Uint64(z[32:]) {
			return directory{}, zipErr("zip", "ZIP64 end record")
		}
		z64 := directory{int64(le.Uint64(z[48:])), int64(le.Uint64(z[40:])), int64(le.Uint64(z[24:]))}
		if d.start != 0xffffffff && d.start != z64.start || d.size != 0xffffffff && d.size != z64.size || d.count != 0xffff && d.count != z64.count {
			return directory{}, zipErr("zip", "end records differ")
		}
		d = z64
	}
	if d.start < 0 || d.size < 0 || d.count < 1 || d.count > maxEntries || d.start+d.size != end || d.size < d.count*46 {
		return directory{}, zipErr("zip", "directory of %d entries does not end where the end record begins", d.count)
	}
	return d, nil
}

// readCentral reads one header of the central directory.
func readCentral(in *bufio.Reader) (e *entry, local, read int64, err error) {
	le := binary.LittleEndian
	var h [46]byte
	if _, err := io.ReadFull(in, h[:]); err != nil || le.Uint32(h[:]) != 0x02014b50 {
		return nil, 0, 0, zipErr("zip", "central directory is cut short or not one")
	}
	n, x := int(le.Uint16(h[28:])), int(le.Uint16(h[30:]))
	if n == 0 || n > maxEntryName || x > 28 || le.Uint16(h[32:]) != 0 || le.Uint16(h[34:]) != 0 {
		return nil, 0, 0, zipErr("zip", "central header: name, extra field, comment or disk")
	}
	rest := make([]byte, n+x)
	if _, err := io.ReadFull(in, rest); err != nil {
		return nil, 0, 0, zipErr("zip", "central directory is cut short")
	}
	e = &entry{name: string(rest[:n]), method: le.Uint16(h[10:]), crc: le.Uint32(h[16:]), csize: int64(le.Uint32(h[20:])), size: int64(le.Uint32(h[24:]))}
	copy(e.meta[:], h[6:])
	local = int64(le.Uint32(h[42:]))
	if err := zip64(rest[n:], &e.size, &e.csize, &local); err != nil {
		return nil, 0, 0, err
	}
	mode := le.Uint32(h[38:]) >> 16 & 0o170000
	if (mode != 0 && mode != 0o100000) || le.Uint32(h[38:])&0x10 != 0 || strings.HasSuffix(e.name, "/") {
		return nil, 0, 0, zipErr("entry-type", "%.120q is a link, a directory or another special file", e.name)
	}
	if f := le.Uint16(h[8:]); f != 0 && f != 1<<11 || e.method != 0 && e.method != 8 || e.method == 0 && e.size != e.csize ||
		e.size < 0 || e.csize < 0 || e.size > e.csize*maxRatio+maxRatio {
		return nil, 0, 0, zipErr("zip", "%.120q: flags, method, or sizes that no compression gives", e.name)
	}
	return e, local, int64(46 + n + x), nil
}

// zip64 takes the 64-bit values for those fields that are at their 32-bit
// maximum; nothing else may be in the extra field.
func zip64(extra []byte, fields ...*int64) error {
	le := binary.LittleEndian
	want := 0
	for _, f := range fields {
		if *f == 0xffffffff {
			want += 8
		}
	}
	if want == 0 && len(extra) == 0 {
		return nil
	}
	if want == 0 || len(extra) != 4+want || le.Uint16(extra) != 1 || int(le.Uint16(extra[2:])) != want {
		return zipErr("zip", "extra field other than the ZIP64 one that is needed")
	}
	extra = extra[4:]
	for _, f := range fields {
		if *f == 0xffffffff {
			*f, extra = int64(le.Uint64(extra)), extra[8:]
		}
	}
	return nil
}

// readLocal compares the local header with the central one and returns where
// the next entry begins.
func (e *entry) readLocal(r *faults, at, limit int64) (int64, error) {
	le := binary.LittleEndian
	h := make([]byte, 30+len(e.name)+20)
	n, err := r.ReadAt(h, at)
	if err != nil && err != io.EOF || n < 30+len(e.name) || le.Uint32(h) != 0x04034b50 {
		return 0, zipErr("zip", "%.120q: no local header", e.name)
	}
	size, csize, x := int64(le.Uint32(h[22:])), int64(le.Uint32(h[18:])), int(le.Uint16(h[28:]))
	if x > 20 || n < 30+len(e.name)+x {
		return 0, zipErr("zip", "%.120q: local extra field", e.name)
	}
	if err := zip64(h[30+len(e.name):30+len(e.name)+x], &size, &csize); err != nil {
		return 0, err
	}
	if [10]byte(h[4:14]) != e.meta || le.Uint32(h[14:]) != e.crc || size != e.size || csize != e.csize ||
		int(le.Uint16(h[26:])) != len(e.name) || string(h[30:30+len(e.name)]) != e.name {
		return 0, zipErr("zip", "%.120q: local header and directory differ", e.name)
	}
	e.in, e.data = r, at+30+int64(len(e.name)+x)
	if e.csize > limit-e.data {
		return 0, zipErr("zip", "%.120q: data runs into the directory", e.name)
	}
	return e.data + e.csize, nil
}

// validPath reports whether s may name a file under data/.
func validPath(s string) bool { return strings.HasPrefix(s, "data/") && validEntry(s) }

// validEntry is the rule for entry names (bundle.md, section 11).
func validEntry(s string) bool {
	if s == ReadMe {
		return true
	}
	if !validName(s, maxEntryName, "._-/") {
		return false
	}
	for seg := range strings.SplitSeq(s, "/") {
		if seg == "" || seg == "." || seg == ".." || seg[0] == '-' {
			return false
		}
	}
	return true
}

// validExhibit accepts `7` and `2-7`, numbers from 1 without leading zeros.
func validExhibit(s string) bool {
	k, n, two := strings.Cut(s, "-")
	number := func(s string) bool { return digits(s, 1, 9) && s[0] != '0' }
	return number(k) && (!two || number(n))
}

// copyTo streams the content and checks size and CRC.
func (e *entry) copyTo(w io.Writer, buf []byte) error {
	raw := io.NewSectionReader(e.in, e.data, e.csize)
	crc := crc32.NewIEEE()
	dst := struct{ io.Writer }{io.MultiWriter(crc, w)} // hides ReaderFrom: buf is used
	var n int64
	var err error
	if e.method == 0 {
		n, err = io.CopyBuffer(dst, struct{ io.Reader }{raw}, buf)
	} else {
		in := bufio.NewReader(raw)
		n, err = io.CopyBuffer(dst, io.LimitReader(flate.NewReader(in), e.size+1), buf)
		if _, left := in.ReadByte(); err == nil && left != io.EOF {
			err = errors.New("bytes after the compressed data")
		}
	}
	if err == nil && (n != e.size || crc.Sum32() != e.crc) {
		err = fmt.Errorf("%d bytes with CRC %08x, stated %d with %08x", n, crc.Sum32(), e.size, e.crc)
	}
	if err != nil {
		return zipErr("zip", "%s: %w", e.name, err)
	}
	return nil
}

// hash reads the content once and keeps its Digest.
func (e *entry) hash(buf []byte) error {
	w := hashing.NewWriter(io.Discard)
	err := e.copyTo(w, buf)
	e.digest = w.Digest()
	return err
}

// read returns the content of an entry of at most limit bytes.
func (e *entry) read(limit int64) ([]byte, error) {
	if e.size > limit {
		return nil, malformed("%s has %d bytes, at most %d are read", e.name, e.size, limit)
	}
	b := &sliceWriter{b: make([]byte, 0, e.size)}
	err := e.again(b, make([]byte, 32<<10))
	return b.b, err
}

// again streams content that hash has read before to w, which must not fail.
// Other bytes than then mean that the file was changed meanwhile; a CRC can be
// made to fit, a Digest cannot.
func (e *entry) again(w io.Writer, buf []byte) error {
	d := hashing.NewWriter(w)
	err := e.copyTo(d, buf)
	if d.Digest() != e.digest { // w never fails, so all of it was seen, or as much as then
		err = malformed("%s changed while the file was read", e.name)
		e.in.note(err)
	}
	return err
}

type sliceWriter struct{ b []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}
