package stamp

import (
	"bytes"
	"errors"
	"fmt"
	"hash/adler32"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// noise is a picture that uses every filter: noise, ramps and plain.
func noise(seed uint64, w, h int, opaque bool) image.Image {
	r := rand.New(rand.NewPCG(seed, 1))
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{byte(x), byte(y * 3), byte(x + y), 255}
			if (y/7)%3 == int(seed)%3 {
				c = color.NRGBA{byte(r.Uint32()), byte(r.Uint32()), 7, 255}
			}
			if !opaque {
				c.A = byte(r.Uint32()) | 1
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return m
}

func encode(t testing.TB, m image.Image, level png.CompressionLevel) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: level}).Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// same compares from's pixels with those of in below top, as they are written: not
// multiplied.
func same(in, from image.Image, top int) error {
	at := func(m image.Image, x, y int) color.NRGBA { return color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA) }
	for y := range from.Bounds().Dy() {
		for x := range from.Bounds().Dx() {
			if a, b := at(in, x, y+top), at(from, x, y); a != b {
				return fmt.Errorf("pixel %d,%d is %v, was %v", x, y, a, b)
			}
		}
	}
	return nil
}

// TestPixelsStay: one picture or several, with and without alpha, whatever filters and
// compression they have: below the band each pixel is what it was, and the band is not
// empty.
func TestPixelsStay(t *testing.T) {
	for _, level := range []png.CompressionLevel{png.NoCompression, png.BestSpeed, png.BestCompression} {
		for _, opaque := range []bool{true, false} {
			for n := 1; n <= 3; n++ {
				var in []io.ReadSeeker
				var was []image.Image
				for i := range n {
					m := noise(uint64(i), 301, 40+i, opaque)
					was = append(was, m)
					in = append(in, bytes.NewReader(encode(t, m, level)))
				}
				var out bytes.Buffer
				if err := Write(&out, []string{"https://host.test/", "sha256:00"}, in...); err != nil {
					t.Fatal(err)
				}
				got, err := png.Decode(&out) // checks every sum
				if err != nil {
					t.Fatalf("level %d, opaque %v, %d pictures: %v", level, opaque, n, err)
				}
				top := got.Bounds().Dy()
				for _, m := range was {
					top -= m.Bounds().Dy()
				}
				if top < 2*scale*letterHeight {
					t.Errorf("the band has %d rows", top)
				}
				black := 0
				for y := range top - 1 {
					for x := range 301 {
						if c := color.GrayModel.Convert(got.At(x, y)).(color.Gray); c.Y < 128 {
							black++
						}
					}
				}
				if black < 500 {
					t.Errorf("the band has %d dark pixels", black)
				}
				for i, m := range was {
					if err := same(got, m, top); err != nil {
						t.Errorf("level %d, opaque %v, picture %d of %d: %v", level, opaque, i+1, n, err)
					}
					top += m.Bounds().Dy()
				}
			}
		}
	}
}

// Each filter of a first row is read as if nothing stood above, whatever does.
func TestFirstRow(t *testing.T) {
	for _, channels := range []int{3, 4} {
		want := make([]byte, channels*9)
		for i := range want {
			want[i] = byte(i*i*7 + 13)
		}
		left := func(i int) byte {
			if i < channels {
				return 0
			}
			return want[i-channels]
		}
		for filter := range byte(5) {
			row := []byte{filter}
			for i, v := range want {
				row = append(row, v-[]byte{0, left(i), 0, left(i) / 2, left(i)}[filter])
			}
			if err := alone(row, channels); err != nil {
				t.Fatal(err)
			}
			for i := range want {
				got := row[1+i]
				if row[0] == 1 {
					if got += left(i); i >= channels && got != want[i] {
						t.Errorf("filter %d: byte %d", filter, i)
					}
				} else if row[0] != 0 {
					t.Errorf("filter %d became %d", filter, row[0])
				}
				if got != want[i] {
					t.Errorf("filter %d: byte %d is %d, was %d", filter, i, got, want[i])
				}
			}
		}
	}
	if err := alone([]byte{5, 0, 0, 0}, 3); !errors.Is(err, ErrForm) {
		t.Errorf("filter 5: %v", err)
	}
}

func TestCombine(t *testing.T) {
	b := bytes.Repeat([]byte{255, 254, 1, 0, 77}, 40_000)
	for _, at := range []int{0, 1, 65520, 65521, 65522, 131043, len(b)} {
		if got := combine(adler32.Checksum(b[:at]), adler32.Checksum(b[at:]), int64(len(b)-at)); got != adler32.Checksum(b) {
			t.Errorf("at %d: %x, want %x", at, got, adler32.Checksum(b))
		}
	}
}

// What is no such picture is refused, at any byte, and never a panic.
func TestRefused(t *testing.T) {
	good := encode(t, noise(1, 20, 20, true), png.BestSpeed)
	gray := encode(t, image.NewGray(image.Rect(0, 0, 5, 5)), png.BestSpeed)
	wide := encode(t, noise(1, 21, 20, true), png.BestSpeed)
	lines := []string{"x"}
	for name, list := range map[string][][]byte{"none": nil, "gray": {gray}, "two widths": {good, wide}, "text": {[]byte(strings.Repeat("GIF89a", 20))}, "cut": {good[:60]}} {
		var in []io.ReadSeeker
		for _, b := range list {
			in = append(in, bytes.NewReader(b))
		}
		if err := Write(io.Discard, lines, in...); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x41
		Write(io.Discard, lines, bytes.NewReader(bad))
		Write(io.Discard, lines, bytes.NewReader(bad), bytes.NewReader(bad))
		Write(io.Discard, lines, bytes.NewReader(good[:i]))
	}
}

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{
		"https://host.test/a?b=c#d":       "https://host.test/a?b=c#d",
		"https://приклад.укр/шлях":        "https://xn--80aikifvh.xn--j1amh/%D1%88%D0%BB%D1%8F%D1%85",
		"https://例え.テスト:8443/":            "https://xn--r8jz45g.xn--zckzah:8443/",
		"https://host.test/a b\u202e\x00": "https://host.test/a%20b%E2%80%AE%00",
		"http://[::1]:80/\xff":            "http://[::1]:80/%FF",
	} {
		if got := ASCII(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// A line is broken, not lost; too many are said to be cut.
func TestWrap(t *testing.T) {
	if got := wrap([]string{"abcdef", "g"}, 4); strings.Join(got, "|") != "abcd|ef|g" {
		t.Errorf("%q", got)
	}
	if got := wrap([]string{strings.Repeat("x", 1000)}, 4); len(got) != maxLines || got[maxLines-1] != "(cut)" {
		t.Errorf("%d lines, the last %q", len(got), got[len(got)-1])
	}
	a, b := band([]string{"one"}, 300), image.NewGray(image.Rect(0, 0, 1, 1))
	draw.Draw(b, b.Rect, a, image.Pt(0, a.Rect.Dy()-1), draw.Src)
	if b.Pix[0] != 0 || a.Pix[0] != 255 {
		t.Error("the band is not white with a last row of zeros")
	}
}

func BenchmarkSpliced(b *testing.B) {
	picture := encode(b, noise(2, 1366, 6000, true), png.BestSpeed)
	b.SetBytes(int64(len(picture)))
	for b.Loop() {
		if err := Write(io.Discard, []string{"https://host.test/"}, bytes.NewReader(picture)); err != nil {
			b.Fatal(err)
		}
	}
}
