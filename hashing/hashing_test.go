package hashing_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	"holdfast/hashing"
)

func TestParse(t *testing.T) {
	d := hashing.Of([]byte("x"))
	if want := fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("x"))); d.String() != want {
		t.Errorf("%s, want %s", d, want)
	}
	if got, err := hashing.Parse(d.String()); err != nil || got != d {
		t.Errorf("Parse gives %s, %v", got, err)
	}
	for _, s := range []string{"", d.Hex(), strings.ToUpper(d.String()), "sha256:" + strings.ToUpper(d.Hex()), d.String() + " ", "sha1:" + d.Hex(), d.String()[:70], "sha256:" + strings.Repeat("g", 64)} {
		if _, err := hashing.Parse(s); !errors.Is(err, hashing.ErrSyntax) {
			t.Errorf("Parse(%q) = %v, want ErrSyntax", s, err)
		}
	}
}

// shortWriter takes n bytes and then fails, as a full disk does.
type shortWriter struct{ n int }

func (w *shortWriter) Write(p []byte) (int, error) {
	k := min(w.n, len(p))
	w.n -= k
	if k < len(p) {
		return k, io.ErrShortWrite
	}
	return k, nil
}

func TestWriterNamesWhatWasTaken(t *testing.T) {
	w := hashing.NewWriter(&shortWriter{n: 5})
	n, err := w.Write([]byte("hello world"))
	if n != 5 || err == nil {
		t.Fatalf("%d, %v", n, err)
	}
	if w.Digest() != hashing.Of([]byte("hello")) || w.Size() != 5 {
		t.Error("the digest is not that of the bytes that were taken")
	}
}

func TestReaderRefusesOtherBytes(t *testing.T) {
	good := []byte("the bytes that were named")
	d := hashing.Of(good)
	for name, c := range map[string]struct {
		in   []byte
		size int64
		ok   bool
	}{
		"the bytes":             {good, int64(len(good)), true},
		"size not known":        {good, -1, true},
		"largest size":          {good, math.MaxInt64, false},
		"one bit":               {append([]byte{good[0] ^ 1}, good[1:]...), int64(len(good)), false},
		"one bit, size unknown": {append([]byte{good[0] ^ 1}, good[1:]...), -1, false},
		"cut":                   {good[:5], int64(len(good)), false},
		"cut, size unknown":     {good[:5], -1, false},
		"longer":                {append(bytes.Clone(good), 'x'), int64(len(good)), false},
		"empty":                 {nil, int64(len(good)), false},
	} {
		for how, r := range map[string]io.Reader{"whole": bytes.NewReader(c.in), "byte by byte": iotest.OneByteReader(bytes.NewReader(c.in)), "error with data": iotest.DataErrReader(bytes.NewReader(c.in))} {
			got, err := io.ReadAll(hashing.NewReader(r, d, c.size))
			if c.ok && (err != nil || !bytes.Equal(got, good)) || !c.ok && !errors.Is(err, hashing.ErrMismatch) {
				t.Errorf("%s, %s: %v", name, how, err)
			}
		}
	}
	broken := errors.New("broken")
	if _, err := io.ReadAll(hashing.NewReader(iotest.ErrReader(broken), d, -1)); !errors.Is(err, broken) {
		t.Error("an I/O error is hidden")
	}
}

// countReader counts how far a hostile, endless stream is read.
type countReader struct{ n int64 }

func (r *countReader) Read(p []byte) (int, error) {
	r.n += int64(len(p))
	return len(p), nil
}

func TestReaderStopsBehindTheSize(t *testing.T) {
	r := &countReader{}
	if _, err := io.Copy(io.Discard, hashing.NewReader(r, hashing.Digest{}, 1000)); !errors.Is(err, hashing.ErrMismatch) {
		t.Error(err)
	}
	if r.n > 1001 {
		t.Errorf("%d bytes were read of a stream of 1,000", r.n)
	}
}

func TestCopyAllocatesNothingPerByte(t *testing.T) {
	var size int64 = 8 << 20
	allocs := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			if _, n, err := hashing.Copy(io.Discard, io.LimitReader(&countReader{}, size)); n != size || err != nil {
				b.Fatal(n, err)
			}
		}
	}).AllocedBytesPerOp()
	if allocs > 256<<10 {
		t.Errorf("copying 8 MiB allocates %d bytes", allocs)
	}
}

func BenchmarkCopy(b *testing.B) {
	buf := make([]byte, 8<<20)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if _, _, err := hashing.Copy(io.Discard, bytes.NewReader(buf)); err != nil {
			b.Fatal(err)
		}
	}
}
