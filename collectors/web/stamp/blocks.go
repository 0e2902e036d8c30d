package stamp

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// window is how far back a deflate stream refers (RFC 1951 section 2).
const window = 32 << 10

// blocks is where the blocks of a deflate stream lie, as far as it matters to who takes
// it apart.
type blocks struct {
	cut  boundary // a block behind which nothing refers to the stream's first bytes; zero: there is none
	last boundary // the final block
	end  int64    // bits, up to the end of the final block's code
	size int64    // bytes that it holds
}

// boundary is where a block begins.
type boundary struct{ bit, size int64 }

// scan reads a stream that holds at most most bytes, and decodes nothing: it goes from
// code to code. What it reads is bounded by what the stream has. The cut is the first
// block that begins more than a window behind the first bytes, and at an even bit: so far
// blocks of nothing, of ten bits each, can bring who puts it behind another stream; and
// a stored block begins at a byte, wherever it is put. Errors: [ErrForm].
func scan(r io.Reader, first, most int64) (blocks, error) {
	s := &scanner{in: bufio.NewReaderSize(r, 64<<10)}
	var b blocks
	for final := false; !final; {
		at := boundary{s.at, s.size}
		if b.cut.bit == 0 && s.size >= first+window && s.at%2 == 0 {
			b.cut = at
		}
		head := s.take(3)
		if final = head&1 == 1; final {
			b.last = at
		}
		s.block(head >> 1)
		if s.size > most {
			s.fail("more than the picture")
		}
		if s.err != nil {
			return blocks{}, s.err
		}
	}
	b.end, b.size = s.at, s.size
	return b, nil
}

// scanner goes through the bits of a deflate stream. Its first error stays, and what it
// takes then is zero.
type scanner struct {
	in          *bufio.Reader
	held        uint64 // bits that were read and not taken
	n           uint
	at          int64 // bits taken
	size        int64 // bytes that they hold
	err         error
	long, short codes // of literals and lengths, of distances
}

func (s *scanner) fail(why string) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: picture data: %s", ErrForm, why)
	}
}

// fill holds 48 bits at least, as long as there are any. What stands in held above those
// is what comes next, or zero.
func (s *scanner) fill() {
	if b, _ := s.in.Peek(8); len(b) == 8 && s.in.Buffered() >= 8 {
		s.held |= binary.LittleEndian.Uint64(b) << s.n
		n := (63 - s.n) / 8
		s.in.Discard(int(n)) //nolint:errcheck // peeked above
		s.n += 8 * n
		return
	}
	for s.n < 48 {
		c, err := s.in.ReadByte()
		if err != nil {
			return
		}
		s.held = s.held&(1<<s.n-1) | uint64(c)<<s.n
		s.n += 8
	}
}

func (s *scanner) take(n uint) uint64 {
	if s.n < n {
		if s.fill(); s.n < n {
			s.fail("they end too early")
			return 0
		}
	}
	v := s.held & (1<<n - 1)
	s.drop(n)
	return v
}

func (s *scanner) drop(n uint) { s.held >>= n; s.n -= n; s.at += int64(n) }

func (s *scanner) block(kind uint64) {
	switch kind {
	case 0:
		s.stored()
	case 1:
		s.fixed()
		s.codes()
	case 2:
		s.dynamic()
		s.codes()
	default:
		s.fail("a block of no kind")
	}
}

func (s *scanner) stored() {
	s.take(uint(-s.at & 7))
	n, not := s.take(16), s.take(16)
	if n != ^not&0xffff {
		s.fail("a stored block's length")
		return
	}
	for range n {
		s.take(8)
	}
	s.size += int64(n)
}

// codes goes through those of a block.
func (s *scanner) codes() {
	for s.err == nil {
		if s.n < 48 {
			s.fill() // a length and a distance with their bits: 15+5+15+13
		}
		c := s.code(&s.long)
		switch {
		case c < 256:
			s.size++
		case c == 256:
			return
		case c > 285:
			s.fail("a length of none")
		default:
			n := s.length(c - 257)
			s.distance()
			s.size += n
		}
	}
}

// length is what a code of one stands for, with the bits behind it (section 3.2.5).
func (s *scanner) length(c int) int64 {
	if c == 28 {
		return 258
	}
	if c < 8 {
		return int64(3 + c)
	}
	extra := uint(c/4 - 1)
	return int64(3+(4+c%4)<<extra) + int64(s.take(extra))
}

func (s *scanner) distance() {
	c := s.code(&s.short)
	if c > 29 {
		s.fail("a distance of none")
		return
	}
	far := int64(1 + c)
	if c >= 4 {
		extra := uint(c/2 - 1)
		far = int64(1+(2+c%2)<<extra) + int64(s.take(extra))
	}
	if far > s.size {
		s.fail("a distance before the beginning")
	}
}

// codes is a table from the next bits to the code that they begin with: what it stands
// for, times 16, and its length; 0 is none.
type codes struct {
	bits  uint
	table [1 << 15]uint16
}

func (s *scanner) code(c *codes) int {
	e := c.table[s.held&(1<<c.bits-1)]
	if n := uint(e & 15); n > 0 && n <= s.n {
		s.drop(n)
		return int(e >> 4)
	}
	s.fail("a code of none")
	return 256
}

// set makes the table of the codes with these lengths (section 3.2.2): as many as there is
// room for, or one of one bit, or none.
func (s *scanner) set(c *codes, lengths []uint8) {
	var count, next [16]int
	c.bits = 1
	for _, n := range lengths {
		count[n]++
		c.bits = max(c.bits, uint(n))
	}
	count[0] = 0
	given, room := 0, 1<<15
	for n := 1; n < 16; n++ {
		next[n] = (next[n-1] + count[n-1]) << 1
		given += count[n]
		room -= count[n] << (15 - n)
	}
	if room != 0 && given > 0 && (given != 1 || count[1] != 1) || room < 0 {
		s.fail("codes that overlap, or leave room")
		return
	}
	table := c.table[:1<<c.bits]
	clear(table)
	for what, n := range lengths {
		if n == 0 {
			continue
		}
		begins := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
		next[n]++
		for i := begins; i < len(table); i += 1 << n {
			table[i] = uint16(what)<<4 | uint16(n)
		}
	}
}

func (s *scanner) fixed() {
	var l [288]uint8
	for i := range l {
		l[i] = 8
		switch {
		case i >= 256 && i < 280:
			l[i] = 7
		case i >= 144 && i < 256:
			l[i] = 9
		}
	}
	s.set(&s.long, l[:])
	var d [32]uint8
	for i := range d {
		d[i] = 5
	}
	s.set(&s.short, d[:])
}

// dynamic reads the lengths of a block's own codes (section 3.2.7).
func (s *scanner) dynamic() {
	long, short, few := int(s.take(5))+257, int(s.take(5))+1, int(s.take(4))+4
	if long > 286 || short > 30 {
		s.fail("more codes than there are")
		return
	}
	var own [19]uint8
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:few] {
		own[i] = uint8(s.take(3))
	}
	s.set(&s.long, own[:])
	var l [286 + 30]uint8
	for i := 0; i < long+short && s.err == nil; {
		i = s.repeat(l[:long+short], i)
	}
	if s.err == nil {
		s.set(&s.short, l[long:long+short])
		s.set(&s.long, l[:long])
	}
}

// repeat reads what stands at i of the lengths, once or several times, and gives where
// the next one stands.
func (s *scanner) repeat(l []uint8, i int) int {
	s.fill()
	c, n, v := s.code(&s.long), 1, uint8(0)
	switch {
	case c < 16:
		v = uint8(c)
	case c == 16 && i > 0:
		n, v = 3+int(s.take(2)), l[i-1]
	case c == 17:
		n = 3 + int(s.take(3))
	case c == 18:
		n = 11 + int(s.take(7))
	default:
		s.fail("a length that repeats none")
		return i
	}
	if i+n > len(l) {
		s.fail("too many lengths")
		return i
	}
	for range n {
		l[i] = v
		i++
	}
	return i
}
