package stamp

import (
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"
	"slices"
)

// picture is a PNG whose chunks have been looked through.
type picture struct {
	in            io.ReadSeeker
	width, height int
	colour        byte
	before        []ancillary // between head and picture data
	data          []span      // of the picture data, in order
}

type ancillary struct {
	name string
	data []byte
}

type span struct{ offset, length int64 }

// Bounds of a picture, far above what a browser makes.
const (
	maxSide      = 1 << 20
	maxAncillary = 1 << 20 // bytes in all
	maxChunks    = 1 << 20
)

func checksum(b []byte) uint32 { return crc32.ChecksumIEEE(b) }

func (p *picture) channels() int {
	if p.colour == 6 {
		return 4
	}
	return 3
}

// row is the size of one, with its filter byte; size that of all.
func (p *picture) row() int64  { return 1 + int64(p.width)*int64(p.channels()) }
func (p *picture) size() int64 { return int64(p.height) * p.row() }

// open reads the chunks' heads, and where the picture data lie.
func open(in io.ReadSeeker) (*picture, error) {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	head := make([]byte, 8+8+13+4)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if string(head[:8]) != signature || binary.BigEndian.Uint32(head[8:]) != 13 || string(head[12:16]) != "IHDR" {
		return nil, fmt.Errorf("%w: no PNG", ErrForm)
	}
	p := &picture{in: in, width: int(binary.BigEndian.Uint32(head[16:])), height: int(binary.BigEndian.Uint32(head[20:])), colour: head[25]}
	if head[24] != 8 || p.colour != 2 && p.colour != 6 || head[26] != 0 || head[27] != 0 || head[28] != 0 {
		return nil, fmt.Errorf("%w: depth %d, colour type %d, interlace %d", ErrForm, head[24], p.colour, head[28])
	}
	if p.width < 1 || p.height < 1 || p.width > maxSide || p.height > maxSide {
		return nil, fmt.Errorf("%w: %d x %d", ErrForm, p.width, p.height)
	}
	return p, p.chunks(int64(len(head)))
}

func (p *picture) chunks(at int64) error {
	room := int64(maxAncillary)
	for range maxChunks {
		var b [8]byte
		if _, err := p.in.Seek(at, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.ReadFull(p.in, b[:]); err != nil {
			return fmt.Errorf("%w: %w", ErrForm, err)
		}
		n, name := int64(binary.BigEndian.Uint32(b[:])), string(b[4:])
		switch {
		case name == "IEND" && len(p.data) > 0:
			return nil
		case name == "IEND" || n > 1<<31-1:
			return fmt.Errorf("%w: no picture data", ErrForm)
		case name == "IDAT":
			p.data = append(p.data, span{at + 8, n})
		case len(p.data) == 0:
			if room -= n; room < 0 {
				return fmt.Errorf("%w: too much before the picture data", ErrForm)
			}
			a := ancillary{name, make([]byte, n)}
			if _, err := io.ReadFull(p.in, a.data); err != nil {
				return fmt.Errorf("%w: %w", ErrForm, err)
			}
			p.before = append(p.before, a)
		}
		at += 8 + n + 4
	}
	return fmt.Errorf("%w: too many chunks", ErrForm)
}

// from reads the picture data behind the first at bytes of them. One such reader at a
// time: they share the picture's place.
func (p *picture) from(at int64) io.Reader {
	left := slices.Clone(p.data)
	for i := range left {
		n := min(at, left[i].length)
		left[i].offset, left[i].length, at = left[i].offset+n, left[i].length-n, at-n
	}
	return &spans{in: p.in, left: left}
}

// deflate reads the picture data without what zlib puts around them (RFC 1950), and gives
// the sum that is behind them.
func (p *picture) deflate() (stream io.Reader, sum uint32, err error) {
	total := int64(0)
	for _, d := range p.data {
		total += d.length
	}
	if total < 6 {
		return nil, 0, fmt.Errorf("%w: picture data are not zlib's", ErrForm)
	}
	var head, tail [4]byte
	if _, err := io.ReadFull(p.from(0), head[:2]); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrForm, err)
	}
	if head[0]&0x0f != 8 || head[0]>>4 > 7 || head[1]&0x20 != 0 || (int(head[0])<<8|int(head[1]))%31 != 0 {
		return nil, 0, fmt.Errorf("%w: picture data are not zlib's", ErrForm)
	}
	if _, err := io.ReadFull(p.from(total-4), tail[:]); err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrForm, err)
	}
	return io.LimitReader(p.from(2), total-6), binary.BigEndian.Uint32(tail[:]), nil
}

// spans reads one span behind the other.
type spans struct {
	in   io.ReadSeeker
	left []span
	open bool
}

func (s *spans) Read(b []byte) (int, error) {
	for len(s.left) > 0 && s.left[0].length == 0 {
		s.left, s.open = s.left[1:], false
	}
	if len(s.left) == 0 {
		return 0, io.EOF
	}
	d := &s.left[0]
	if !s.open {
		if _, err := s.in.Seek(d.offset, io.SeekStart); err != nil {
			return 0, err
		}
		s.open = true
	}
	n, err := s.in.Read(b[:min(int64(len(b)), d.length)])
	d.offset += int64(n)
	d.length -= int64(n)
	if err == io.EOF && d.length > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// compressed writes the deflated rows, and gives their sum.
func (p *picture) compressed(w io.Writer) (sum uint32, err error) {
	stream, sum, err := p.deflate()
	if err != nil {
		return 0, err
	}
	_, err = io.CopyBuffer(onlyWriter{w}, stream, make([]byte, 64<<10))
	return sum, err
}

type onlyWriter struct{ io.Writer }

// alone rewrites a first row, whose row above is of zeros, for any row above.
func alone(row []byte, channels int) error {
	switch row[0] {
	case 0, 1: // none, sub: look at the left only
	case 2: // up: of zeros
		row[0] = 0
	case 4: // Paeth: of the left, where all above is zero
		row[0] = 1
	case 3: // average: half of the left
		row[0] = 0
		for i := 1 + channels; i < len(row); i++ {
			row[i] += row[i-channels] / 2
		}
	default:
		return fmt.Errorf("%w: filter %d", ErrForm, row[0])
	}
	return nil
}

func adler(b []byte) uint32 { return adler32.Checksum(b) }

// combine gives the Adler-32 of two pieces from those of each, and the length of the
// second: the first one's sums run on over it.
func combine(a, b uint32, length int64) uint32 {
	const base = 65521
	n := uint32(length % base)
	a1, a2, b1, b2 := a&0xffff, a>>16, b&0xffff, b>>16
	low := (a1 + b1 + base - 1) % base
	high := (uint64(n)*uint64((a1+base-1)%base) + uint64(a2) + uint64(b2)) % base
	return uint32(high)<<16 | low
}

// without gives the Adler-32 of the second of two pieces, of this length, from that of
// both and of the first.
func without(both, first uint32, length int64) uint32 {
	const base = 65521
	n := uint64(length % base)
	low := (both&0xffff + base - first&0xffff + 1) % base
	before := n*uint64((first&0xffff+base-1)%base)%base + uint64(first>>16)
	high := (uint64(both>>16) + 2*base - before%base) % base
	return uint32(high)<<16 | low
}
