package catalog

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"holdfast/hashing"
	"holdfast/storage"
)

// Limits of a pack. A batch is 1,024 captures and 16 MiB of inline Objects, so
// what preserve writes is far below both.
const (
	MaxPackEntries = 1 << 20
	maxPackSize    = math.MaxUint32 // of entries and offsets: packs never need their ZIP64 forms
)

// ErrPack is wrapped by every error that says "this is not a pack" (bundle.md,
// sections 6 and 11).
var ErrPack = errors.New("damaged pack")

func badPack(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrPack, fmt.Errorf(format, a...))
}

// ZIP record sizes and signatures (APPNOTE 4.3).
const (
	sizeLocal, sizeCentral, sizeEnd, sizeEnd64, sizeLocator = 30, 46, 22, 56, 20
	sigCentral, sigEnd, sigEnd64, sigLocator                = 0x02014b50, 0x06054b50, 0x06064b50, 0x07064b50
	nameLen                                                 = 2 * hashing.Size
	sizeExtra64                                             = 20 // two sizes in a ZIP64 field of a local header
)

// directory is where a pack's central directory lies and what it counts.
type directory struct {
	start, size, count int64
}

// ReadPack reads a pack's central directory and returns the place of each
// entry, sorted by Digest. It reads no entry: [Ref.Read] compares the bytes.
// Memory is 80 bytes for each entry, of which there are at most MaxPackEntries.
// Errors wrap [ErrPack], or are those of reading f.
func ReadPack(f storage.File, name string) ([]Placed, error) {
	dir, err := readEnd(f)
	if err != nil {
		return nil, fmt.Errorf("read pack %s: %w", name, err)
	}
	out := make([]Placed, 0, dir.count)
	r := bufio.NewReaderSize(io.NewSectionReader(f, dir.start, dir.size), 64<<10)
	for range dir.count {
		p, err := readCentral(r)
		if err == nil && len(out) > 0 && out[len(out)-1].Digest.Compare(p.Digest) >= 0 {
			err = badPack("entry %s repeats or is out of order", p.Digest.Hex())
		}
		if err != nil {
			return nil, fmt.Errorf("read pack %s: entry %d: %w", name, len(out), err)
		}
		p.Ref.Name = name
		out = append(out, p)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return nil, fmt.Errorf("read pack %s: %w", name, badPack("bytes behind the last entry of the directory"))
	}
	if err := place(out, dir.start); err != nil {
		return nil, fmt.Errorf("read pack %s: %w", name, err)
	}
	return out, nil
}

// readEnd reads the end record, and the ZIP64 one if there are more than 65,534
// entries. They must end the file and follow the directory at once.
func readEnd(f storage.File) (directory, error) {
	end, err := readAt(f, f.Size()-sizeEnd, sizeEnd)
	if err != nil {
		return directory{}, err
	}
	le := binary.LittleEndian
	d := directory{start: int64(le.Uint32(end[16:])), size: int64(le.Uint32(end[12:])), count: int64(le.Uint16(end[10:]))}
	behind := f.Size() - sizeEnd
	if le.Uint32(end) != sigEnd || le.Uint32(end[4:]) != 0 || le.Uint16(end[8:]) != le.Uint16(end[10:]) || le.Uint16(end[20:]) != 0 {
		return d, badPack("no plain end record at the end of %d bytes", f.Size())
	}
	if d.count == math.MaxUint16 {
		behind -= sizeLocator + sizeEnd64
		if d, err = readEnd64(f, behind); err != nil {
			return d, err
		}
	}
	if d.count > MaxPackEntries || d.start > maxPackSize || d.size > maxPackSize || d.start+d.size != behind || d.count*(sizeCentral+nameLen) > d.size {
		return d, badPack("directory of %d entries in %d bytes at %d does not fit a file of %d", d.count, d.size, d.start, f.Size())
	}
	return d, nil
}

func readEnd64(f storage.File, at int64) (directory, error) {
	b, err := readAt(f, at, sizeEnd64+sizeLocator)
	if err != nil {
		return directory{}, err
	}
	le := binary.LittleEndian
	loc := b[sizeEnd64:]
	if le.Uint32(b) != sigEnd64 || le.Uint32(loc) != sigLocator || le.Uint64(loc[8:]) != uint64(at) || le.Uint64(b[24:]) != le.Uint64(b[32:]) ||
		max(le.Uint64(b[32:]), le.Uint64(b[40:]), le.Uint64(b[48:])) > maxPackSize {
		return directory{}, badPack("ZIP64 end record at %d", at)
	}
	return directory{start: int64(le.Uint64(b[48:])), size: int64(le.Uint64(b[40:])), count: int64(le.Uint64(b[32:]))}, nil
}

// readCentral reads one entry of the directory; Offset is that of its header.
func readCentral(r io.Reader) (p Placed, err error) {
	var b [sizeCentral + nameLen]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return p, badPack("directory ends early: %w", err)
	}
	le := binary.LittleEndian
	sizes := le.Uint32(b[20:]) == le.Uint32(b[24:])
	plain := le.Uint16(b[30:]) == 0 && le.Uint16(b[32:]) == 0 && le.Uint16(b[34:]) == 0 // no extra field, comment, other disk
	if le.Uint32(b[:]) != sigCentral || le.Uint16(b[8:])&^(1<<11) != 0 || le.Uint16(b[10:]) != 0 || !sizes || !plain || le.Uint16(b[28:]) != nameLen {
		return p, badPack("not a stored entry named by 64 hex digits")
	}
	if p.Digest, err = hashing.ParseHex(string(b[sizeCentral:])); err != nil {
		return p, badPack("name: %w", err)
	}
	p.Ref.Size, p.Ref.Offset = int64(le.Uint32(b[24:])), int64(le.Uint32(b[42:]))
	return p, nil
}

// place turns offsets of headers into offsets of bytes. Entries lie one after
// the other from byte 0, so what stands between two headers is known without
// reading them; a header that lies about it yields bytes of another Digest.
func place(ps []Placed, end int64) error {
	next := end
	for i := len(ps) - 1; i >= 0; i-- {
		header, data := ps[i].Ref.Offset, next-ps[i].Ref.Size
		if gap := data - header - sizeLocal - nameLen; gap != 0 && gap != sizeExtra64 {
			return badPack("entry %s does not end where the next begins", ps[i].Digest.Hex())
		}
		ps[i].Ref.Offset, next = data, header
	}
	if next != 0 {
		return badPack("%d bytes before the first entry", next)
	}
	return nil
}

func readAt(f storage.File, off int64, n int) ([]byte, error) {
	if off < 0 {
		return nil, badPack("only %d bytes", f.Size())
	}
	b := make([]byte, n)
	if _, err := f.ReadAt(b, off); err != nil && err != io.EOF {
		return nil, err
	}
	return b, nil
}

// Read returns the bytes of d from the pack, at most limit, or an error that
// wraps hashing.ErrMismatch if they are others, fs.ErrNotExist if there is no
// such pack.
func (r Ref) Read(ctx context.Context, s storage.Reader, d hashing.Digest, limit int64) ([]byte, error) {
	f, err := s.OpenName(ctx, r.Name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", d, err)
	}
	defer f.Close()
	return r.readFrom(f, d, limit)
}

func (r Ref) readFrom(f storage.File, d hashing.Digest, limit int64) ([]byte, error) {
	if r.Size < 0 || r.Size > limit || r.Offset < 0 || r.Size > f.Size()-r.Offset {
		return nil, fmt.Errorf("read %s: %d bytes at %d of pack %s (at most %d are read, it has %d): %w", d, r.Size, r.Offset, r.Name, limit, f.Size(), ErrPack)
	}
	b := make([]byte, r.Size)
	if n, err := f.ReadAt(b, r.Offset); n < len(b) {
		return nil, fmt.Errorf("read %s in pack %s: %w", d, r.Name, err)
	}
	if got := hashing.Of(b); got != d {
		return nil, fmt.Errorf("read %s in pack %s: bytes are %s: %w", d, r.Name, got, hashing.ErrMismatch)
	}
	return b, nil
}
