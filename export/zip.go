package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"

	"holdfast/hashing"
)

// Limits and constants of the container (PKWARE APPNOTE 6.3, narrowed by
// docs/bundle.md section 11).
const (
	maxEntries = 4_194_304
	max32      = math.MaxUint32
	max16      = math.MaxUint16

	version20  = 20
	version45  = 45 // ZIP64
	unixHost   = 3 << 8
	modeFile   = 0o100644 << 16
	bufferSize = 1 << 20

	localSize   = 30
	local64     = 20 // extra field 0x0001 with both sizes
	offsetCRC   = 14
	signLocal   = 0x04034b50
	signCentral = 0x02014b50
	signEnd     = 0x06054b50
	signEnd64   = 0x06064b50
	signLoc64   = 0x07064b50
)

// errSize says that an Object has not the size that its Manifest gives.
var errSize = errors.New("size is not the one stated")

// archive writes a ZIP of stored entries, one after the other from byte 0. It
// keeps one record per entry and one buffer. It is not for concurrent use.
type archive struct {
	dst  Target
	buf  []byte // not yet written
	base int64  // where buf begins in dst
	when [4]byte
	list []entry
	seen map[string]struct{}
	done func(entries int, bytes int64) // may be nil

	listed  int64 // bytes that the list of files has so far, at least
	maxList int64
}

// entry is what must be remembered of a file until the end.
type entry struct {
	path   string
	digest hashing.Digest
	size   int64
	offset int64
	crc    uint32
}

func newArchive(dst Target, when time.Time) *archive {
	a := &archive{dst: dst, buf: make([]byte, 0, bufferSize), seen: make(map[string]struct{})}
	date, clock := dosTime(when)
	binary.LittleEndian.PutUint16(a.when[0:], clock)
	binary.LittleEndian.PutUint16(a.when[2:], date)
	return a
}

// dosTime is the MS-DOS form of a UTC time, two seconds fine, 1980 at earliest.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	if t.Year() < 1980 || t.Year() > 2107 {
		return 1<<5 | 1, 0
	}
	date = uint16((t.Year()-1980)<<9 | int(t.Month())<<5 | t.Day())
	return date, uint16(t.Hour()<<11 | t.Minute()<<5 | t.Second()/2)
}

func (a *archive) pos() int64 { return a.base + int64(len(a.buf)) }

func (a *archive) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		k := copy(a.buf[len(a.buf):cap(a.buf)], p)
		a.buf, p = a.buf[:len(a.buf)+k], p[k:]
		if len(a.buf) == cap(a.buf) {
			if err := a.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

func (a *archive) flush() error {
	if len(a.buf) == 0 {
		return nil
	}
	if _, err := a.dst.WriteAt(a.buf, a.base); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	a.base += int64(len(a.buf))
	a.buf = a.buf[:0]
	return nil
}

// patch overwrites bytes behind the end: in the buffer, in dst, or in both.
func (a *archive) patch(at int64, p []byte) error {
	if behind := a.base - at; behind > 0 {
		k := min(behind, int64(len(p)))
		if _, err := a.dst.WriteAt(p[:k], at); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		if at, p = at+k, p[k:]; len(p) == 0 {
			return nil
		}
	}
	copy(a.buf[at-a.base:], p)
	return nil
}

// add writes a file of bytes at hand.
func (a *archive) add(path string, data []byte) error {
	return a.stream(path, int64(len(data)), func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// stream writes a file whose bytes fill gives. A negative size is "not known,
// below 4 GiB"; otherwise another size than the one given is an error. After an
// error the archive is of no use.
func (a *archive) stream(path string, size int64, fill func(io.Writer) error) error {
	if err := a.admit(path); err != nil {
		return err
	}
	e := entry{path: path, offset: a.pos()}
	big := size >= max32
	if _, err := a.Write(a.header(e, size, big)); err != nil {
		return err
	}
	sum := crc32.NewIEEE()
	w := hashing.NewWriter(io.MultiWriter(a, sum))
	if err := fill(w); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	e.digest, e.size, e.crc = w.Digest(), w.Size(), sum.Sum32()
	if size >= 0 && e.size != size || size < 0 && e.size >= max32 {
		return fmt.Errorf("write %s: %d bytes, want %d: %w", path, e.size, size, errSize)
	}
	a.list = append(a.list, e)
	if a.done != nil {
		a.done(len(a.list), a.pos())
	}
	return a.patch(e.offset+offsetCRC, sums(e, big))
}

// skip is stream for a file that is only to be counted: dst keeps nothing.
func (a *archive) skip(path string, size int64) error {
	if err := a.admit(path); err != nil {
		return err
	}
	e := entry{path: path, size: size, offset: a.pos()}
	if _, err := a.Write(a.header(e, size, size >= max32)); err != nil {
		return err
	}
	if err := a.flush(); err != nil {
		return err
	}
	a.base += size
	a.list = append(a.list, e)
	return nil
}

func (a *archive) admit(path string) error {
	if !validPath(path) {
		return fmt.Errorf("write %.200q: name not allowed in a bundle", path)
	}
	if _, taken := a.seen[path]; taken {
		return fmt.Errorf("write %s: name given twice", path)
	}
	if len(a.list) >= maxEntries {
		return fmt.Errorf("write %s: more than %d files: export fewer captures at a time: %w", path, maxEntries, ErrOptions)
	}
	if isData(path) {
		if a.listed += listed(len(path)); envelopeSize(a.listed) > a.maxList {
			return tooMuch("the list of its files", a.maxList)
		}
	}
	a.seen[path] = struct{}{}
	return nil
}

// header is the local header with the checksum still zero.
func (a *archive) header(e entry, size int64, big bool) []byte {
	h := make([]byte, 0, localSize+len(e.path)+local64)
	h = binary.LittleEndian.AppendUint32(h, signLocal)
	h = binary.LittleEndian.AppendUint16(h, need(big || e.offset >= max32)) // the same as in the directory
	h = append(h, 0, 0, 0, 0)                                               // flags, method: stored
	h = append(h, a.when[:]...)
	e.size = size
	h = append(h, sums(e, big)...)
	h = binary.LittleEndian.AppendUint16(h, uint16(len(e.path)))
	if !big {
		h = append(h, 0, 0)
		return append(h, e.path...)
	}
	h = binary.LittleEndian.AppendUint16(h, local64)
	h = append(h, e.path...)
	h = append(h, 1, 0, 16, 0)
	h = binary.LittleEndian.AppendUint64(h, uint64(size))
	return binary.LittleEndian.AppendUint64(h, uint64(size))
}

// sums is checksum and both sizes, as they stand in either header.
func sums(e entry, big bool) []byte {
	size := uint32(max32)
	if !big {
		size = uint32(e.size)
	}
	b := binary.LittleEndian.AppendUint32(nil, e.crc)
	b = binary.LittleEndian.AppendUint32(b, size)
	return binary.LittleEndian.AppendUint32(b, size)
}

func need(big bool) uint16 {
	if big {
		return version45
	}
	return version20
}

// central is an entry's header in the directory.
func (a *archive) central(b []byte, e entry) []byte {
	var extra []byte
	big, far := e.size >= max32, e.offset >= max32
	if big {
		extra = binary.LittleEndian.AppendUint64(extra, uint64(e.size))
		extra = binary.LittleEndian.AppendUint64(extra, uint64(e.size))
	}
	offset := uint32(max32)
	if far {
		extra = binary.LittleEndian.AppendUint64(extra, uint64(e.offset))
	} else {
		offset = uint32(e.offset)
	}
	b = binary.LittleEndian.AppendUint32(b, signCentral)
	b = binary.LittleEndian.AppendUint16(b, unixHost|need(big || far))
	b = binary.LittleEndian.AppendUint16(b, need(big || far))
	b = append(b, 0, 0, 0, 0)
	b = append(b, a.when[:]...)
	b = append(b, sums(e, big)...)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.path)))
	if len(extra) > 0 {
		b = binary.LittleEndian.AppendUint16(b, uint16(len(extra)+4))
	} else {
		b = append(b, 0, 0)
	}
	b = append(b, 0, 0, 0, 0, 0, 0) // comment, disk, internal attributes
	b = binary.LittleEndian.AppendUint32(b, modeFile)
	b = binary.LittleEndian.AppendUint32(b, offset)
	b = append(b, e.path...)
	if len(extra) > 0 {
		b = binary.LittleEndian.AppendUint16(append(b, 1, 0), uint16(len(extra)))
	}
	return append(b, extra...)
}

// close writes the directory and the end record; dst then holds the whole ZIP.
func (a *archive) close() error {
	start := a.pos()
	var b []byte
	for _, e := range a.list {
		b = a.central(b[:0], e)
		if _, err := a.Write(b); err != nil {
			return err
		}
	}
	if _, err := a.Write(a.end(start, a.pos()-start)); err != nil {
		return err
	}
	return a.flush()
}

func (a *archive) end(start, size int64) []byte {
	n, le := uint64(len(a.list)), binary.LittleEndian
	var b []byte
	if n >= max16 || start >= max32 || size >= max32 {
		at := uint64(start + size)
		b = le.AppendUint64(le.AppendUint32(b, signEnd64), 44) // size of the rest of this record
		b = le.AppendUint16(le.AppendUint16(b, unixHost|version45), version45)
		b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // disks
		b = le.AppendUint64(le.AppendUint64(b, n), n)
		b = le.AppendUint64(le.AppendUint64(b, uint64(size)), uint64(start))
		b = le.AppendUint32(le.AppendUint32(b, signLoc64), 0)
		b = le.AppendUint32(le.AppendUint64(b, at), 1)
	}
	n16, size32, start32 := uint16(min(n, max16)), uint32(min(size, max32)), uint32(min(start, max32))
	b = append(le.AppendUint32(b, signEnd), 0, 0, 0, 0)
	b = le.AppendUint16(le.AppendUint16(b, n16), n16)
	b = le.AppendUint32(le.AppendUint32(b, size32), start32)
	return append(b, 0, 0)
}
