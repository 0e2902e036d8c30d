package warc

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
)

// Limits bound what a Reader takes from a hostile file. Zero means the default.
type Limits struct {
	Head    int   // bytes of one record's header, 512 KiB: an address may be as long as a head
	Block   int64 // bytes of one block, 4 GiB
	Records int   // 1,000,000
}

// Reader reads a .warc or .warc.gz file record by record. It is strict where
// others are lenient: each record its own gzip member, all mandatory fields
// there, a block digest that is `sha256:` must hold, and a file that ends inside
// a record is an error. It is not safe for concurrent use.
type Reader struct {
	in    *bytesIn
	gz    *gzip.Reader
	plain bool
	lim   Limits
	cur   *Entry
	n     int
}

// Entry is one record that was read. Block must be read, if at all, before
// the next call of Next; at its end it reports a wrong digest as [ErrDigest].
type Entry struct {
	Head
	Type   string
	Offset int64 // of its member (or first byte) in the file
	Length int64 // of the block
	Block  io.Reader
	left   int64
	body   *bufio.Reader
	sum    hash.Hash
	want   string
}

// NewReader looks at the first bytes of r to tell gzip from plain. An empty
// file has no records.
func NewReader(r io.Reader, lim Limits) *Reader {
	if lim.Head == 0 {
		lim.Head = 512 << 10
	}
	if lim.Block == 0 {
		lim.Block = 4 << 30
	}
	if lim.Records == 0 {
		lim.Records = 1_000_000
	}
	in := &bytesIn{r: bufio.NewReaderSize(r, 64<<10)}
	magic, _ := in.r.Peek(2)
	return &Reader{in: in, lim: lim, plain: string(magic) != "\x1f\x8b"}
}

// Next skips what is left of the record before, checks its end, and returns
// the next one; io.EOF after the last. Any other error is final.
func (r *Reader) Next() (*Entry, error) {
	if err := r.finish(); err != nil {
		return nil, fmt.Errorf("read record %d: %w", r.n, err)
	}
	if _, err := r.in.r.Peek(1); err != nil {
		return nil, err // io.EOF: the clean end
	}
	if r.n++; r.n > r.lim.Records {
		return nil, fmt.Errorf("read warc: more than %d records: %w", r.lim.Records, ErrLimit)
	}
	e, err := r.open()
	if err != nil {
		return nil, fmt.Errorf("read record %d: %w", r.n, noEOF(err))
	}
	r.cur = e
	return e, nil
}

func (r *Reader) open() (*Entry, error) {
	e := &Entry{Offset: r.in.n, sum: sha256.New()}
	src, err := r.source()
	if err != nil {
		return nil, err
	}
	if e.body, _ = src.(*bufio.Reader); e.body == nil {
		e.body = bufio.NewReader(src)
	}
	if e.Head, err = ReadHead(e.body, r.lim.Head); err != nil {
		return nil, err
	}
	r.in.n += int64(len(e.Raw)) * int64(b2i(r.plain))
	return e, e.check(r.lim)
}

func (r *Reader) source() (io.Reader, error) {
	if r.plain {
		return r.in.r, nil
	}
	var err error
	if r.gz == nil {
		r.gz, err = gzip.NewReader(r.in)
	} else {
		err = r.gz.Reset(r.in)
	}
	if err != nil {
		return nil, fmt.Errorf("open gzip member: %w", err)
	}
	r.gz.Multistream(false)
	return r.gz, nil
}

func (e *Entry) check(lim Limits) (err error) {
	if e.Start != "WARC/1.1" && e.Start != "WARC/1.0" {
		return fmt.Errorf("version line %.40q: %w", e.Start, ErrFormat)
	}
	for _, name := range []string{"WARC-Type", "WARC-Record-ID", "WARC-Date", "Content-Length"} {
		if e.Fields.Get(name) == "" {
			return fmt.Errorf("no %s: %w", name, ErrFormat)
		}
	}
	e.Type = e.Fields.Get("WARC-Type")
	size := e.Fields.Get("Content-Length")
	if e.Length, err = strconv.ParseInt(size, 10, 64); err != nil || e.Length < 0 || size[0] == '+' {
		return fmt.Errorf("content length %.40q: %w", size, ErrFormat)
	}
	if e.Length > lim.Block {
		return fmt.Errorf("block of %d bytes: %w", e.Length, ErrLimit)
	}
	if d := e.Fields.Get("WARC-Block-Digest"); strings.HasPrefix(d, "sha256:") && len(d) == 71 {
		e.want = d
	}
	e.left, e.Block = e.Length, e
	return nil
}

// Read implements io.Reader over the block.
func (e *Entry) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.body.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	e.sum.Write(p[:n])
	if e.left > 0 {
		return n, noEOF(err)
	}
	if got := SumDigest(e.sum); e.want != "" && got != e.want {
		return n, fmt.Errorf("block is %s, header says %s: %w", got, e.want, ErrDigest)
	}
	return n, io.EOF
}

// finish reads the open record to its end: the rest of the block, two line
// ends, and the end of the gzip member with its checksum.
func (r *Reader) finish() error {
	e := r.cur
	if e == nil {
		return nil
	}
	r.cur = nil
	if _, err := io.Copy(io.Discard, e); err != nil {
		return err
	}
	var end [4]byte
	if _, err := io.ReadFull(e.body, end[:]); err != nil {
		return noEOF(err)
	}
	if string(end[:]) != "\r\n\r\n" {
		return fmt.Errorf("record ends in %q: %w", end[:], ErrFormat)
	}
	if r.plain {
		r.in.n += e.Length + 4
		return nil
	}
	switch _, err := e.body.ReadByte(); err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("more than one record in a gzip member: %w", ErrFormat)
	default:
		return err
	}
}

// bytesIn gives gzip single bytes, so that it takes no more than its member,
// and counts them.
type bytesIn struct {
	r *bufio.Reader
	n int64
}

func (b *bytesIn) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	return n, err
}

func (b *bytesIn) ReadByte() (byte, error) {
	c, err := b.r.ReadByte()
	if err == nil {
		b.n++
	}
	return c, err
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
