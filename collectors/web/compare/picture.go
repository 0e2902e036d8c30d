package compare

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"image"
	"image/draw"
	"image/png"
	"io"
)

// Region is a part of a picture that differs, in pixels.
type Region struct{ X, Y, W, H int }

// Pictures are the regions of two pictures that differ. They are marked on each; one may
// have a region where the other has none.
type Pictures struct {
	WidthA, HeightA int
	WidthB, HeightB int
	A, B            []Region
}

// Same says whether every pixel is equal.
func (p Pictures) Same() bool { return len(p.A)+len(p.B) == 0 }

// MaxPicture is how many bytes of a PNG are read.
const MaxPicture = 32 << 20

// Bounds of pictures.
const (
	maxPixels  = 30_000_000
	maxRegions = 400
	joinRows   = 24 // equal rows between two regions that make one of them
)

// ErrPicture is wrapped by the error for what is no PNG, or too large to be compared.
var ErrPicture = errors.New("the picture cannot be compared")

// PNG compares two pictures: rows of pixels that are equal lie beside each other, however
// far the page has moved down; what lies between them differs.
func PNG(a, b io.Reader) (p Pictures, err error) {
	ia, err := decode(a)
	if err != nil {
		return p, err
	}
	ib, err := decode(b)
	if err != nil {
		return p, err
	}
	sa, sb := ia.Bounds(), ib.Bounds()
	p = Pictures{WidthA: sa.Dx(), HeightA: sa.Dy(), WidthB: sb.Dx(), HeightB: sb.Dy()}
	ids := map[uint64]rune{}
	seed := maphash.MakeSeed() // of no row of the result: which rows are equal does not hang on it
	all := align(rows(ia, seed, ids), rows(ib, seed, ids))
	for _, d := range joined(all) {
		x, w := span(ia, ib, d)
		if d.a1 > d.a0 {
			p.A = append(p.A, Region{x, d.a0, min(w, sa.Dx()-x), d.a1 - d.a0})
		}
		if d.b1 > d.b0 {
			p.B = append(p.B, Region{x, d.b0, min(w, sb.Dx()-x), d.b1 - d.b0})
		}
	}
	return p, nil
}

// decode reads a picture whose size its head says before it is unpacked.
func decode(r io.Reader) (*image.RGBA, error) {
	body, err := io.ReadAll(io.LimitReader(r, MaxPicture+1))
	if err != nil {
		return nil, fmt.Errorf("read picture: %w", err)
	}
	if len(body) > MaxPicture {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrPicture, MaxPicture)
	}
	c, err := png.DecodeConfig(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	if c.Width <= 0 || c.Height <= 0 || c.Width > maxPixels/c.Height {
		return nil, fmt.Errorf("%w: %d by %d pixels, of %d in all at most", ErrPicture, c.Width, c.Height, maxPixels)
	}
	img, err := png.Decode(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPicture, err)
	}
	if rgba, ok := img.(*image.RGBA); ok {
		return rgba, nil
	}
	out := image.NewRGBA(image.Rect(0, 0, c.Width, c.Height))
	draw.Draw(out, out.Bounds(), img, img.Bounds().Min, draw.Src)
	return out, nil
}

func rows(m *image.RGBA, seed maphash.Seed, ids map[uint64]rune) []rune {
	out := make([]rune, m.Rect.Dy())
	for y := range out {
		h := maphash.Bytes(seed, rowOf(m, y))
		id, ok := ids[h]
		if !ok {
			id = rune(len(ids))
			ids[h] = id
		}
		out[y] = id
	}
	return out
}

func rowOf(m *image.RGBA, y int) []byte { return m.Pix[y*m.Stride : y*m.Stride+4*m.Rect.Dx()] }

// joined makes one region of those that lie close to each other, and of more than
// maxRegions as many as may be.
func joined(all []replaced) []replaced {
	for gap := joinRows; ; gap *= 2 {
		var out []replaced
		for _, d := range all {
			if n := len(out); n > 0 && d.a0-out[n-1].a1 <= gap && d.b0-out[n-1].b1 <= gap {
				out[n-1].a1, out[n-1].b1 = d.a1, d.b1
				continue
			}
			out = append(out, d)
		}
		if len(out) <= maxRegions {
			return out
		}
	}
}

// span is where the columns of a region begin, and how wide they are: of rows that lie
// beside each other, those that differ; else all.
func span(a, b *image.RGBA, d replaced) (x, w int) {
	width := max(a.Rect.Dx(), b.Rect.Dx())
	if a.Rect.Dx() != b.Rect.Dx() || d.a1-d.a0 != d.b1-d.b0 {
		return 0, width
	}
	first, last := width, 0
	for i := range d.a1 - d.a0 {
		ra, rb := rowOf(a, d.a0+i), rowOf(b, d.b0+i)
		if bytes.Equal(ra, rb) {
			continue
		}
		l, r := 0, width-1
		for l < first && bytes.Equal(ra[4*l:4*l+4], rb[4*l:4*l+4]) {
			l++
		}
		for r > last && bytes.Equal(ra[4*r:4*r+4], rb[4*r:4*r+4]) {
			r--
		}
		first, last = min(first, l), max(last, r)
	}
	if first > last {
		return 0, width
	}
	return first, last - first + 1
}
