package web

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"holdfast/warc"
)

// copier moves one body from the wire to the spool and on to the other side.
type copier struct {
	src   *bufio.Reader
	spool *spool
	dst   *bufio.Writer // nil once the other side is gone: recording goes on
	meter func(n int) error
	ask   bool        // a request: what the meter refuses is not sent, and not recorded as sent
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
		if perr := c.move(p[:m], c.spool.content); perr != nil {
			return perr
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
		n, err := chunkSize(line)
		if err != nil {
			return err
		}
		if n == 0 {
			return c.trailers()
		}
		if err := c.exactly(n); err != nil {
			return err
		}
		switch line, err := c.line(); {
		case err != nil:
			return err
		case len(line) > 0:
			return fmt.Errorf("chunk end %.40q: %w", line, warc.ErrFormat)
		}
	}
}

// chunkSize is as strict as browsers are: hex digits, blanks behind, extensions.
func chunkSize(line []byte) (int64, error) {
	size, _, _ := strings.Cut(string(line), ";")
	size = strings.TrimRight(size, " ")
	n, err := strconv.ParseInt(size, 16, 64)
	if err != nil || strings.Trim(size, "0123456789abcdefABCDEF") != "" {
		return 0, fmt.Errorf("chunk size %.40q: %w", size, warc.ErrFormat)
	}
	return n, nil
}

func (c *copier) trailers() error {
	for range 200 {
		line, err := c.line()
		if err != nil || len(line) == 0 {
			return err
		}
	}
	return fmt.Errorf("trailers: %w", warc.ErrLimit)
}

// line copies one line of framing and returns it without its line end; the
// slice is valid until the next read.
func (c *copier) line() ([]byte, error) {
	line, err := c.src.ReadSlice('\n')
	if perr := c.move(line, c.spool.wire); perr != nil {
		return nil, perr
	}
	switch err {
	case io.EOF:
		return nil, io.ErrUnexpectedEOF
	case bufio.ErrBufferFull:
		return nil, fmt.Errorf("a line of more than %d bytes between chunks: %w", len(line), warc.ErrLimit)
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r")), err
}

// move records p, counts it and hands it on, at once when nothing more waits.
func (c *copier) move(p []byte, record func([]byte)) error {
	if len(p) == 0 {
		return nil
	}
	if !c.ask {
		record(p) // it came, whatever the budget says
	}
	if err := c.meter(len(p)); err != nil {
		return err
	}
	if c.ask {
		record(p)
	}
	if c.spool.err != nil {
		return c.spool.err
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
