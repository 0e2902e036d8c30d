package hashing

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math"
)

// Writer passes bytes on to an underlying writer and digests exactly what that
// writer took. It is not safe for concurrent use.
type Writer struct {
	w io.Writer
	h hash.Hash
	n int64
}

// NewWriter returns a Writer onto w; io.Discard makes it a plain digester.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, h: sha256.New()} }

// Write hands p on and digests the part that was taken: after a short write
// the Digest still names what lies behind the underlying writer.
func (w *Writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	if n < 0 || n > len(p) {
		return 0, fmt.Errorf("write: underlying writer took %d of %d bytes", n, len(p))
	}
	w.h.Write(p[:n])
	w.n += int64(n)
	return n, err
}

// Digest names the bytes written so far; writing may go on.
func (w *Writer) Digest() Digest { return sum(w.h) }

// Size is the number of bytes written so far.
func (w *Writer) Size() int64 { return w.n }

// Reader reads a stream whose name is known and refuses to end well unless the
// bytes are the named ones: instead of io.EOF, Read returns an error wrapping
// [ErrMismatch]. A caller that stops before the end has verified nothing.
// It is not safe for concurrent use.
type Reader struct {
	r    io.Reader
	h    hash.Hash
	want Digest
	size int64
	n    int64
}

// NewReader returns a Reader over r that must turn out to be want. A size of
// zero or more must match too, and no more than size+1 bytes are read from r;
// a negative size means "not known".
func NewReader(r io.Reader, want Digest, size int64) *Reader {
	if size >= 0 && size < math.MaxInt64 {
		r = io.LimitReader(r, size+1)
	}
	return &Reader{r: r, h: sha256.New(), want: want, size: size}
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.h.Write(p[:n])
	r.n += int64(n)
	if r.size >= 0 && r.n > r.size {
		return n, fmt.Errorf("read %s: longer than %d bytes: %w", r.want, r.size, ErrMismatch)
	}
	if err != io.EOF {
		return n, err
	}
	if r.size >= 0 && r.n != r.size {
		return n, fmt.Errorf("read %s: %d bytes, want %d: %w", r.want, r.n, r.size, ErrMismatch)
	}
	if got := sum(r.h); got != r.want {
		return n, fmt.Errorf("read %s: bytes are %s: %w", r.want, got, ErrMismatch)
	}
	return n, io.EOF
}

// Copy copies src to dst with one 128 KiB buffer and returns the Digest
// and size of what dst took. On error the Digest names the part that was taken.
func Copy(dst io.Writer, src io.Reader) (Digest, int64, error) {
	w := NewWriter(dst)
	// The struct hides WriterTo/ReaderFrom: every byte must pass Write.
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{src}, make([]byte, 128<<10))
	return w.Digest(), w.Size(), err
}

func sum(h hash.Hash) (d Digest) {
	h.Sum(d[:0])
	return d
}
