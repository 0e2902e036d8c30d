package stamp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/adler32"
	"io"

	"github.com/klauspost/compress/flate"
)

// joined puts the rows of all behind those of the band. What is compressed stays so: a
// deflate stream is a row of blocks, and where no block is the final one but the last,
// streams behind each other are one. Only what refers to a picture's first byte, the
// filter of its first row, is deflated anew: of what stands above that row, which now is
// another picture's, it may say nothing.
func (c *chunks) joined(rows []byte, list []*picture) {
	buf := &buffered{w: c}
	out := &bitWriter{w: buf}
	out.Write([]byte{0x78, 0x01})
	out.Write(deflated(rows))
	sum := adler(rows)
	for i, p := range list {
		part, err := p.behind(out, i == 0, i == len(list)-1)
		if err != nil && out.err == nil {
			out.err = err
		}
		if out.err != nil {
			break
		}
		sum = combine(sum, part, p.size())
	}
	out.align()
	out.Write(binary.BigEndian.AppendUint32(nil, sum))
	if err := buf.flush(); out.err == nil {
		out.err = err
	}
	if c.err == nil {
		c.err = out.err
	}
}

// behind writes the picture's stream behind others, and gives the sum of its bytes.
func (p *picture) behind(out *bitWriter, first, last bool) (sum uint32, err error) {
	stream, sum, err := p.deflate()
	if err != nil {
		return 0, err
	}
	b, err := scan(stream, p.row(), p.size())
	if err != nil {
		return 0, err
	}
	if b.size != p.size() {
		return 0, fmt.Errorf("%w: the picture data are of %d bytes, and not of %d", ErrForm, b.size, p.size())
	}
	from := boundary{}
	if !first {
		if from = b.cut; from.bit == 0 { // all of it refers to its beginning, or may
			from = boundary{b.end, b.size}
		}
		if sum, err = p.anew(out, from.size, sum); err != nil {
			return 0, err
		}
	}
	if stream, _, err = p.deflate(); err != nil {
		return 0, err
	}
	in := &bitReader{in: bufio.NewReaderSize(stream, 64<<10)}
	in.skip(from.bit)
	for !first && out.n != uint(from.bit&7) && from.bit <= b.last.bit {
		out.put(0b010, 10) // a block of nothing
	}
	if from.bit <= b.last.bit && !last {
		out.copy(in, b.last.bit-from.bit)
		in.skip(1)
		out.put(0, 1) // it is not the final one
		out.copy(in, b.end-b.last.bit-1)
	} else {
		out.copy(in, b.end-from.bit)
	}
	if in.err != nil && out.err == nil {
		out.err = fmt.Errorf("%w: %w", ErrForm, in.err)
	}
	if last && from.bit > b.last.bit {
		out.put(0b011, 10) // a final block of nothing
	}
	return sum, out.err
}

// anew deflates the first bytes of the picture, with another filter of its first row, and
// gives the sum of all of it as it is then.
func (p *picture) anew(out *bitWriter, size int64, sum uint32) (uint32, error) {
	stream, _, err := p.deflate()
	if err != nil {
		return 0, err
	}
	z := flate.NewReader(bufio.NewReaderSize(stream, 64<<10))
	defer z.Close()
	row := make([]byte, p.row())
	if _, err := io.ReadFull(z, row); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrForm, err)
	}
	was, is := adler32.New(), adler32.New()
	was.Write(row) // a hash takes all
	if err := alone(row, p.channels()); err != nil {
		return 0, err
	}
	out.put(0, 3) // a stored block of nothing: what follows begins at a byte
	out.align()
	out.Write([]byte{0, 0, 0xff, 0xff})           // its first error stays
	w, _ := flate.NewWriter(out, flate.BestSpeed) // the level is good
	both := io.MultiWriter(w, is)
	if _, err := both.Write(row); err != nil {
		return 0, err
	}
	if _, err := io.CopyN(io.MultiWriter(both, was), z, size-int64(len(row))); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrForm, err)
	}
	rest := p.size() - size
	return combine(is.Sum32(), without(sum, was.Sum32(), rest), rest), w.Flush()
}

// bitWriter writes bits, the lowest of each byte first. The first error stays.
type bitWriter struct {
	w    io.Writer
	held uint64
	n    uint
	out  []byte
	err  error
}

func (b *bitWriter) put(v uint64, n uint) {
	b.held |= v << b.n
	for b.n += n; b.n >= 8; b.n -= 8 {
		b.out = append(b.out, byte(b.held))
		b.held >>= 8
	}
	if len(b.out) >= 32<<10 {
		b.flush()
	}
}

func (b *bitWriter) flush() {
	if b.err == nil {
		_, b.err = b.w.Write(b.out)
	}
	b.out = b.out[:0]
}

func (b *bitWriter) align() { b.put(0, -b.n&7) }

func (b *bitWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		b.put(uint64(c), 8)
	}
	b.flush()
	return len(p), b.err
}

// copy copies n bits. Both stand at the same bit of a byte (see [scan]), so what lies
// between is copied by whole bytes.
func (b *bitWriter) copy(in *bitReader, n int64) {
	for ; n > 0 && in.n > 0; n-- {
		b.put(in.take(1), 1)
	}
	b.flush()
	if whole := n / 8; whole > 0 && b.err == nil && in.err == nil {
		_, b.err = io.CopyN(b.w, in.in, whole)
	}
	n %= 8
	b.put(in.take(uint(n)), uint(n))
}

// bitReader reads them. Its first error stays, and what it takes then is zero.
type bitReader struct {
	in   *bufio.Reader
	held uint64
	n    uint
	err  error
}

func (b *bitReader) take(n uint) uint64 {
	for b.n < n && b.err == nil {
		var c byte
		c, b.err = b.in.ReadByte()
		b.held |= uint64(c) << b.n
		b.n += 8
	}
	v := b.held & (1<<n - 1)
	b.held >>= n
	b.n -= n
	return v
}

func (b *bitReader) skip(n int64) {
	for b.n > 0 && n > 0 {
		b.take(1)
		n--
	}
	if _, err := b.in.Discard(int(n / 8)); err != nil && b.err == nil {
		b.err = err
	}
	b.take(uint(n % 8))
}
