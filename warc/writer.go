package warc

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Writer appends records to one WARC file. It is not safe for concurrent use.
// After an error the file ends in a broken member and must be thrown away.
type Writer struct {
	out  counter
	gz   *gzip.Writer
	info string // ID of the last warcinfo record, named by all that follow
	n    int
}

// NewWriter returns a Writer onto w. The fastest compression is used: most of
// what the web sends is compressed already.
func NewWriter(w io.Writer) *Writer {
	gz, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed) // a constant level is never refused
	return &Writer{out: counter{w: w}, gz: gz}
}

// Size is the number of bytes written, Count that of records.
func (w *Writer) Size() int64 { return w.out.n }
func (w *Writer) Count() int  { return w.n }

// Write appends one record and says where it lies. A Block that is shorter or
// longer than Length is an error: the header was written before it.
func (w *Writer) Write(r Record) (Span, error) {
	if r.ID == "" {
		r.ID = NewID()
	}
	head, err := w.header(r)
	if err != nil {
		return Span{}, fmt.Errorf("write %s record: %w", r.Type, err)
	}
	start := w.out.n
	w.gz.Reset(&w.out)
	if err := w.member(head, r); err != nil {
		return Span{}, fmt.Errorf("write %s record %s: %w", r.Type, r.ID, err)
	}
	if r.Type == Warcinfo {
		w.info = r.ID
	}
	w.n++
	return Span{start, w.out.n - start}, nil
}

func (w *Writer) member(head []byte, r Record) error {
	if _, err := w.gz.Write(head); err != nil {
		return err
	}
	n, err := io.Copy(w.gz, io.LimitReader(r.Block, r.Length))
	if err != nil {
		return err
	}
	if extra, _ := r.Block.Read(make([]byte, 1)); n != r.Length || extra != 0 {
		return fmt.Errorf("block is not the %d bytes announced: %w", r.Length, ErrFormat)
	}
	if _, err := io.WriteString(w.gz, "\r\n\r\n"); err != nil {
		return err
	}
	return w.gz.Close()
}

// WriteBytes appends a record whose block is small and at hand; it fills in
// Block, Length and the digests.
func (w *Writer) WriteBytes(r Record, block []byte) (Span, error) {
	r.Block, r.Length, r.BlockDigest = bytes.NewReader(block), int64(len(block)), Digest(block)
	if r.Type == Resource || r.Type == Metadata {
		r.PayloadDigest = r.BlockDigest
	}
	return w.Write(r)
}

// header renders the fields in a fixed order. A value that would break the
// line is refused: URLs and addresses come from outside.
func (w *Writer) header(r Record) ([]byte, error) {
	f := Fields{{"WARC-Type", r.Type}, {"WARC-Record-ID", r.ID}, {"WARC-Date", r.Date.UTC().Format(TimeFormat)}}
	add := func(name, value string) {
		if value != "" {
			f = append(f, Field{name, value})
		}
	}
	add("WARC-Filename", r.Filename)
	add("WARC-Target-URI", r.TargetURI)
	add("WARC-Warcinfo-ID", w.info)
	for _, id := range r.ConcurrentTo {
		add("WARC-Concurrent-To", id)
	}
	add("WARC-Refers-To", r.RefersTo)
	add("WARC-IP-Address", r.IP)
	for _, p := range r.Protocols {
		add("WARC-Protocol", p)
	}
	add("WARC-Cipher-Suite", r.Cipher)
	add("WARC-Truncated", r.Truncated)
	add("WARC-Block-Digest", r.BlockDigest)
	add("WARC-Payload-Digest", r.PayloadDigest)
	add("Holdfast-Label", r.Label)
	add("Holdfast-Asked-By", r.AskedBy)
	add("Content-Type", r.ContentType)
	add("Content-Length", strconv.FormatInt(r.Length, 10))
	var b bytes.Buffer
	b.WriteString("WARC/1.1\r\n")
	for _, x := range f {
		if strings.ContainsAny(x.Value, "\r\n\x00") {
			return nil, fmt.Errorf("field %s holds a line break: %w", x.Name, ErrFormat)
		}
		b.WriteString(x.Name + ": " + x.Value + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes(), nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
