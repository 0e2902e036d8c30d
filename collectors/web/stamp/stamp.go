// Package stamp puts a band with lines of text above a picture, and joins pictures that
// are parts of one, without changing a pixel of them.
//
// A picture is not even decoded: the band is deflated in front of its own compressed rows.
// Its last row is of zeros, as what PNG takes to stand above a first row; so the rows
// below it mean what they meant. Of pictures below that the first 32 KiB or so are deflated
// anew, since their first row may say nothing of the one above, and the rest is put behind
// them as it is. What is read is bounded by the pictures' own size; nothing is held in
// memory but a row.
package stamp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
)

// ErrForm is wrapped by the error for a picture that is no PNG of 8 bits a channel in
// RGB or RGBA, not interlaced, or that differs from the first in width or channels.
var ErrForm = errors.New("picture has another form")

// Write writes a PNG to w: the lines, then the pictures, one below the other, each read
// from its beginning. Lines are printable ASCII (see [ASCII]); longer ones than the
// picture is wide are broken. Errors: [ErrForm], and those of w and of the pictures.
func Write(w io.Writer, lines []string, pictures ...io.ReadSeeker) error {
	list := make([]*picture, len(pictures))
	height := 0
	for i, in := range pictures {
		p, err := open(in)
		if err != nil {
			return fmt.Errorf("stamp picture %d: %w", i+1, err)
		}
		if p.width != list0(list, p).width || p.colour != list0(list, p).colour {
			return fmt.Errorf("stamp picture %d: %w: width or colours differ", i+1, ErrForm)
		}
		list[i] = p
		height += p.height
	}
	if len(list) == 0 {
		return fmt.Errorf("stamp: %w: there is none", ErrForm)
	}
	first := list[0]
	b := band(lines, first.width)
	out := &chunks{w: w}
	out.begin(first, height+b.Rect.Dy())
	rows := rowsOf(b, first.channels())
	if len(list) == 1 {
		out.spliced(rows, first)
	} else {
		out.joined(rows, list)
	}
	out.chunk("IEND", nil)
	if out.err != nil {
		return fmt.Errorf("stamp: %w", out.err)
	}
	return nil
}

func list0(list []*picture, p *picture) *picture {
	if list[0] == nil {
		return p
	}
	return list[0]
}

// chunks writes those of a PNG; the first error stays.
type chunks struct {
	w   io.Writer
	err error
}

const signature = "\x89PNG\r\n\x1a\n"

func (c *chunks) begin(p *picture, height int) {
	_, c.err = io.WriteString(c.w, signature)
	head := binary.BigEndian.AppendUint32(nil, uint32(p.width))
	head = binary.BigEndian.AppendUint32(head, uint32(height))
	c.chunk("IHDR", append(head, 8, p.colour, 0, 0, 0))
	for _, a := range p.before {
		c.chunk(a.name, a.data)
	}
}

func (c *chunks) chunk(name string, data []byte) {
	if c.err != nil {
		return
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(data)))
	b = append(append(b, name...), data...)
	b = binary.BigEndian.AppendUint32(b, checksum(b[4:]))
	_, c.err = c.w.Write(b)
}

// Write makes a chunk of picture data of each call.
func (c *chunks) Write(p []byte) (int, error) {
	c.chunk("IDAT", p)
	return len(p), c.err
}

// spliced puts the band's rows, deflated, before those of the picture as they are.
func (c *chunks) spliced(rows []byte, p *picture) {
	c.chunk("IDAT", append([]byte{0x78, 0x01}, deflated(rows)...))
	sum, err := p.compressed(c)
	if c.err == nil {
		c.err = err
	}
	c.chunk("IDAT", binary.BigEndian.AppendUint32(nil, combine(adler(rows), sum, p.size())))
}

// deflated ends at a byte and is not the last of its stream.
func deflated(rows []byte) []byte {
	var b sink
	w, _ := flate.NewWriter(&b, flate.BestSpeed) // the level is good
	w.Write(rows)                                // a sink takes all
	w.Flush()
	return b
}

type sink []byte

func (s *sink) Write(p []byte) (int, error) { *s = append(*s, p...); return len(p), nil }

// buffered gathers small writes into chunks.
type buffered struct {
	w   io.Writer
	buf []byte
}

func (b *buffered) Write(p []byte) (int, error) {
	b.buf = append(b.buf, p...)
	if len(b.buf) < 64<<10 {
		return len(p), nil
	}
	return len(p), b.flush()
}

func (b *buffered) flush() error {
	if len(b.buf) == 0 {
		return nil
	}
	_, err := b.w.Write(b.buf)
	b.buf = b.buf[:0]
	return err
}
