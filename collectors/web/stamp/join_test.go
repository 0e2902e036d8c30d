package stamp

import (
	"bytes"
	stdflate "compress/flate"
	stdzlib "compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"image/png"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zlib"
)

// raw makes a PNG whose rows all have the filter, deflated by one of two libraries at one
// of their levels, and flushed now and then, which makes small and empty blocks.
func raw(t testing.TB, r *rand.Rand, width, height, channels int, filter byte, level int, flushes bool) []byte {
	t.Helper()
	var data bytes.Buffer
	var z interface {
		io.WriteCloser
		Flush() error
	}
	var err error
	if level%2 == 0 {
		z, err = zlib.NewWriterLevel(&data, level/2-2)
	} else {
		z, err = stdzlib.NewWriterLevel(&data, level/2-2)
	}
	if err != nil {
		t.Fatal(err)
	}
	row := make([]byte, 1+width*channels)
	for range height {
		row[0] = filter
		switch r.IntN(4) {
		case 0: // as the last one: what refers to it takes the filter too
		case 1:
			for i := 1; i < len(row); i++ {
				row[i] = byte(r.Uint32())
			}
		case 2:
			clear(row[1:])
		case 3:
			row[1+r.IntN(len(row)-1)]++
		}
		z.Write(row)
		if flushes && r.IntN(5) == 0 {
			z.Flush()
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := &chunks{w: &out}
	c.begin(&picture{width: width, height: height, colour: map[int]byte{3: 2, 4: 6}[channels]}, height)
	for b := data.Bytes(); len(b) > 0; b = b[min(len(b), 50_000):] { // a few chunks, cut anywhere
		c.chunk("IDAT", b[:min(len(b), 50_000)])
	}
	c.chunk("IEND", nil)
	if c.err != nil {
		t.Fatal(c.err)
	}
	return out.Bytes()
}

// joins joins pictures of this seed and compares each pixel.
func joins(t testing.TB, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	width, channels, n := 1+r.IntN(400), 3+r.IntN(2), 2+r.IntN(3)
	var in []io.ReadSeeker
	var all [][]byte
	for range n {
		b := raw(t, r, width, 1+r.IntN(700), channels, byte(r.IntN(5)), r.IntN(24), r.IntN(2) == 0)
		all, in = append(all, b), append(in, bytes.NewReader(b))
	}
	var out bytes.Buffer
	if err := Write(&out, []string{"https://host.test/"}, in...); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	got, err := png.Decode(&out)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	top := got.Bounds().Dy()
	for _, b := range all {
		c, err := png.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		top -= c.Height
	}
	for i, b := range all {
		m, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := same(got, m, top); err != nil {
			t.Fatalf("seed %d, picture %d of %d: %v", seed, i+1, n, err)
		}
		top += m.Bounds().Dy()
	}
}

// TestJoined: whatever compressed the pictures, and however, the joined one has their
// pixels.
func TestJoined(t *testing.T) {
	for seed := range uint64(60) {
		joins(t, seed)
	}
}

func FuzzJoined(f *testing.F) {
	f.Add(uint64(60))
	f.Fuzz(func(t *testing.T, seed uint64) { joins(t, seed) })
}

// FuzzScan: what is a deflate stream to other people's reader is one to ours, of the same
// size, and nothing else is.
func FuzzScan(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for level := -2; level <= 9; level++ {
		var b bytes.Buffer
		w, _ := stdflate.NewWriter(&b, level)
		for range 3000 {
			fmt.Fprintf(w, "%d words ", r.IntN(50))
		}
		w.Close()
		f.Add(b.Bytes())
	}
	f.Add([]byte{0x03, 0x00})
	f.Add([]byte{0x01, 0x00, 0x00, 0xff, 0xff})
	const most = 1 << 20
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := io.Copy(io.Discard, io.LimitReader(stdflate.NewReader(bytes.NewReader(b)), most+1))
		got, gotErr := scan(bytes.NewReader(b), 100, most)
		if n > most || gotErr != nil && got.size > most {
			return // one of the two looks at the end of a block, the other at once
		}
		if (err == nil) != (gotErr == nil) || gotErr == nil && got.size != n {
			t.Errorf("%d bytes (%v), they say %d (%v)", got.size, gotErr, n, err)
		}
		if gotErr != nil && !errors.Is(gotErr, ErrForm) {
			t.Error(gotErr)
		}
		if gotErr == nil && (got.last.bit > got.end || got.cut.bit > got.last.bit || got.end > int64(len(b))*8) {
			t.Errorf("%+v of %d bits", got, len(b)*8)
		}
	})
}

// TestStreamThatLies: picture data that are longer or shorter than the head says.
func TestStreamThatLies(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 2))
	for _, by := range []int{-1, 1} {
		good, bad := raw(t, r, 30, 200, 3, 2, 6, false), raw(t, r, 30, 200, 3, 2, 6, false)
		binary.BigEndian.PutUint32(bad[20:], uint32(200+by))
		for _, list := range [][]io.ReadSeeker{{bytes.NewReader(good), bytes.NewReader(bad)}, {bytes.NewReader(bad), bytes.NewReader(good)}} {
			if err := Write(io.Discard, nil, list...); !errors.Is(err, ErrForm) {
				t.Errorf("%d rows more: %v", by, err)
			}
		}
	}
}

func TestWithout(t *testing.T) {
	b := bytes.Repeat([]byte{255, 254, 1, 0, 77}, 40_000)
	for _, at := range []int{0, 1, 65520, 65521, 65522, 131043, len(b)} {
		if got := without(adler32.Checksum(b), adler32.Checksum(b[:at]), int64(len(b)-at)); got != adler32.Checksum(b[at:]) {
			t.Errorf("at %d: %x, want %x", at, got, adler32.Checksum(b[at:]))
		}
	}
}

func BenchmarkJoined(b *testing.B) {
	one, two := encode(b, noise(2, 1366, 6000, true), png.BestSpeed), encode(b, noise(1, 1366, 6000, true), png.BestSpeed)
	b.SetBytes(int64(len(one) + len(two)))
	for b.Loop() {
		if err := Write(io.Discard, []string{"https://host.test/"}, bytes.NewReader(one), bytes.NewReader(two)); err != nil {
			b.Fatal(err)
		}
	}
}
