package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"holdfast/warc"
)

// framing is how the end of a message body is known (RFC 9112, clause 6.3).
type framing struct {
	chunked bool
	length  int64 // -1: until the connection ends; without meaning if chunked
}

const untilClose = -1

func responseFraming(method string, status int, f warc.Fields) (framing, error) {
	if method == http.MethodHead || status/100 == 1 || status == http.StatusNoContent || status == http.StatusNotModified {
		return framing{}, nil
	}
	fr, err := fieldFraming(f)
	if err == nil && !fr.chunked && f.Get("Content-Length") == "" {
		fr.length = untilClose
	}
	return fr, err
}

// fieldFraming reads the fields alone; without any the body is empty.
func fieldFraming(f warc.Fields) (framing, error) {
	if f.Has("Transfer-Encoding", "chunked") {
		return framing{chunked: true}, nil
	}
	v := f.Get("Content-Length")
	if v == "" {
		return framing{}, nil
	}
	v, _, _ = strings.Cut(v, ",")
	n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
	if err != nil || n < 0 {
		return framing{}, fmt.Errorf("content length %.40q: %w", v, warc.ErrFormat)
	}
	return framing{length: n}, nil
}

// copier moves one body from the wire to the spool and on to the other side.
type copier struct {
	src   *bufio.Reader
	spool *spool
	dst   *bufio.Writer // nil once the other side is gone: recording goes on
	meter func(n int) error
	keep  func() bool // asked when dst goes away: record the rest?
	gone  bool
	buf   []byte
}

// errGone ends a body whose reader left and whose rest is not wanted.
var errGone = errors.New("browser closed the connection")

func (c *copier) body(f framing) error {
	c.buf = make([]byte, 32<<10)
	var err error
	switch {
	case f.chunked:
		err = c.chunks()
	case f.length == untilClose:
		err = c.exactly(-1)
	default:
		err = c.exactly(f.length)
	}
	c.flush()
	return err
}

// exactly copies n bytes of content; negative means to the end of the stream.
func (c *copier) exactly(n int64) error {
	for n != 0 {
		p := c.buf
		if n > 0 {
			p = p[:min(int64(len(p)), n)]
		}
		m, err := c.src.Read(p)
		c.spool.content(p[:m])
		if err := c.pass(p[:m]); err != nil {
			return err
		}
		if n > 0 {
			n -= int64(m)
		}
		if err == io.EOF && n < 0 {
			return nil
		}
		if err == io.EOF && n > 0 {
			return io.ErrUnexpectedEOF
		}
		if err != nil && n != 0 {
			return err
		}
	}
	return nil
}

// chunks copies a chunked body by its size lines, framing and trailers kept.
func (c *copier) chunks() error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), ";")
		n, err := strconv.ParseInt(strings.TrimSpace(size), 16, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("chunk size %.40q: %w", size, warc.ErrFormat)
		}
		if n == 0 {
			return c.trailers()
		}
		if err := c.exactly(n); err != nil {
			return err
		}
		if line, err := c.line(); err != nil || len(strings.TrimRight(string(line), "\r\n")) > 0 {
			return errors.Join(fmt.Errorf("chunk end %.40q: %w", line, warc.ErrFormat), err)
		}
	}
}

func (c *copier) trailers() error {
	for range 200 {
		line, err := c.line()
		if err != nil || len(strings.TrimRight(string(line), "\r\n")) == 0 {
			return err
		}
	}
	return fmt.Errorf("trailers: %w", warc.ErrLimit)
}

// line copies one line of framing; the slice is valid until the next read.
func (c *copier) line() ([]byte, error) {
	line, err := c.src.ReadSlice('\n')
	c.spool.wire(line)
	if perr := c.pass(line); perr != nil {
		return nil, perr
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return line, err
}

// pass hands p on, at once when nothing more is waiting, and counts it.
func (c *copier) pass(p []byte) error {
	if c.spool.err != nil {
		return c.spool.err
	}
	if err := c.meter(len(p)); err != nil {
		return err
	}
	if c.dst == nil {
		return nil
	}
	_, err := c.dst.Write(p)
	if err == nil && c.src.Buffered() == 0 {
		err = c.dst.Flush()
	}
	return c.lost(err)
}

func (c *copier) flush() {
	if c.dst != nil {
		_ = c.lost(c.dst.Flush()) // the body is whole: nothing is left to stop
	}
}

func (c *copier) lost(err error) error {
	if err == nil {
		return nil
	}
	c.dst, c.gone = nil, true
	if !c.keep() {
		return errGone
	}
	return nil
}
