package stamp

import (
	"fmt"
	"image"
	"image/draw"
	"net/url"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
	"golang.org/x/net/idna"
)

// The band, in pixels: letters are drawn at twice their size.
const (
	letterWidth  = 7
	letterHeight = 13
	scale        = 2
	margin       = 8
	maxLines     = 40 // what is behind is not drawn, and the last line says so
)

// band draws the lines black on white; its last row is 0.
func band(lines []string, width int) *image.Gray {
	lines = wrap(lines, max(1, (width-2*margin)/(scale*letterWidth)))
	small := image.NewGray(image.Rect(0, 0, (width-2*margin)/scale+1, len(lines)*letterHeight))
	draw.Draw(small, small.Rect, image.White, image.Point{}, draw.Src)
	for i, l := range lines {
		d := font.Drawer{Dst: small, Src: image.Black, Face: basicfont.Face7x13, Dot: fixed.P(0, i*letterHeight+11)}
		d.DrawString(l)
	}
	b := image.NewGray(image.Rect(0, 0, width, small.Rect.Dy()*scale+2*margin+1))
	for y := range b.Rect.Dy() - 1 {
		for x := range width {
			c := byte(255)
			if p := image.Pt((x-margin)/scale, (y-margin)/scale); x >= margin && y >= margin && p.In(small.Rect) {
				c = small.GrayAt(p.X, p.Y).Y
			}
			b.Pix[y*b.Stride+x] = c
		}
	}
	return b // the row of zeros is there already
}

// wrap breaks lines at columns.
func wrap(lines []string, columns int) (out []string) {
	for _, l := range lines {
		for len(l) > columns {
			out, l = append(out, l[:columns]), l[columns:]
		}
		out = append(out, l)
	}
	if len(out) > maxLines {
		out = append(out[:maxLines-1:maxLines-1], "(cut)")
	}
	return out
}

// rowsOf gives the rows of b with a filter byte of 0 each. The last one is all zeros, the
// alpha with it.
func rowsOf(b *image.Gray, channels int) []byte {
	width, height := b.Rect.Dx(), b.Rect.Dy()
	out := make([]byte, 0, height*(1+width*channels))
	for y := range height {
		out = append(out, 0)
		for x := range width {
			c := b.Pix[y*b.Stride+x]
			out = append(out, c, c, c)
			if channels == 4 && y < height-1 {
				out = append(out, 255)
			} else if channels == 4 {
				out = append(out, 0)
			}
		}
	}
	return out
}

// ASCII writes an address with printable ASCII alone: a name in other letters as it is
// asked for (xn--…), what else is none as %XX of its UTF-8. It never fails: a name that
// has no such form is written with %XX too.
func ASCII(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		if host, err := idna.Lookup.ToASCII(u.Hostname()); err == nil && host != u.Hostname() {
			address = strings.Replace(address, u.Hostname(), host, 1)
		}
	}
	var b strings.Builder
	for i := range len(address) {
		if c := address[i]; c > ' ' && c < 0x7f {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
