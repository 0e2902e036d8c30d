package h2

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// maxInterim bounds the heads of 1xx before an answer.
const maxInterim = 100

// Stream is one request and its answer. Who asks calls Write and CloseWrite, Head until a
// status that is not 1xx, Read until io.EOF, and Close in any case.
type Stream struct {
	c  *Conn
	id uint32

	// Under c.mu.
	window   int64 // left to send
	granted  int64 // left to the site
	unread   int64
	heads    []Head
	headed   bool // the head that is not 1xx came
	body     []byte
	trailers []Field
	ended    bool  // the site has said all
	err      error // why it is over before that
}

// Ask sends a request's head: fields with the four pseudo fields first, names in lower
// case. Without a body, last is true and nothing is to be written. It waits while the
// site takes no further stream. Errors wrap [ErrGone] or [ErrUnasked] where nothing was
// sent.
func (c *Conn) Ask(ctx context.Context, fields []Field, last bool) (*Stream, error) {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock() // else who is about to wait would miss it
		defer c.mu.Unlock()
		c.change.Broadcast()
	})
	defer stop()
	c.wmu.Lock() // IDs go out in their order
	defer c.wmu.Unlock()
	s, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.writeHead(s.id, fields, last); err != nil {
		s.Close()
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	return s, nil
}

func (c *Conn) begin(ctx context.Context) (*Stream, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.over == nil && ctx.Err() == nil && len(c.streams) >= int(c.peer.streams) {
		c.wmu.Unlock() // others go on writing meanwhile
		c.change.Wait()
		c.mu.Unlock()
		c.wmu.Lock()
		c.mu.Lock()
	}
	if err := errors.Join(c.over, context.Cause(ctx)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnasked, err)
	}
	s := &Stream{c: c, id: c.next, window: c.peer.window, granted: streamWindow}
	c.streams[s.id] = s
	c.next += 2
	return s, nil
}

// writeHead splits what is longer than a frame. The caller holds wmu.
func (c *Conn) writeHead(id uint32, fields []Field, last bool) error {
	c.buf.Reset()
	for _, f := range fields {
		sensitive := f.Name == "authorization" || f.Name == "cookie" && len(f.Value) < 20
		if err := c.enc.WriteField(hpack.HeaderField{Name: f.Name, Value: f.Value, Sensitive: sensitive}); err != nil {
			return err
		}
	}
	const most = 1 << 14
	for b, first := c.buf.Bytes(), true; first || len(b) > 0; first = false {
		part := b[:min(len(b), most)]
		b = b[len(part):]
		var err error
		if first {
			err = c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndStream: last, EndHeaders: len(b) == 0})
		} else {
			err = c.fr.WriteContinuation(id, len(b) == 0, part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Write sends p as the request's body, as fast as the site takes it.
func (s *Stream) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part, err := s.reserve(len(p))
		if err == nil {
			err = s.c.write(func() error { return s.c.fr.WriteData(s.id, false, p[:part]) })
		}
		if err != nil {
			return n, err
		}
		p, n = p[part:], n+part
	}
	return n, nil
}

// CloseWrite says that the request is whole.
func (s *Stream) CloseWrite() error {
	return s.c.write(func() error { return s.c.fr.WriteData(s.id, true, nil) })
}

func (s *Stream) reserve(most int) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case s.err != nil:
			return 0, s.err
		case s.ended: // it has answered before it had all
			return 0, fmt.Errorf("%w: the site has answered before it had all", ErrReset)
		}
		if n := min(int64(most), c.window, s.window, int64(c.peer.frame)); n > 0 {
			c.window -= n
			s.window -= n
			return int(n), nil
		}
		c.change.Wait()
	}
}

// Head waits for the next head: any number with a status of 1xx, then one other.
func (s *Stream) Head() (Head, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(s.heads) == 0 {
		switch {
		case s.err != nil:
			return Head{}, s.err
		case s.ended:
			return Head{}, io.ErrUnexpectedEOF
		}
		c.change.Wait()
	}
	h := s.heads[0]
	s.heads = s.heads[1:]
	return h, nil
}

// Read gives the bytes of the body; io.EOF where the site has said that it is whole.
func (s *Stream) Read(p []byte) (int, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(s.body) == 0 {
		switch {
		case s.ended:
			return 0, io.EOF
		case s.err != nil:
			return 0, s.err
		}
		c.change.Wait()
	}
	n := copy(p, s.body)
	if s.body = s.body[n:]; len(s.body) == 0 {
		s.body = nil
	}
	return n, c.given(s, int64(n))
}

// Waiting reports whether bytes of the body are there for Read.
func (s *Stream) Waiting() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return len(s.body) > 0
}

// Trailers are the fields behind the body, once Read has given io.EOF.
func (s *Stream) Trailers() []Field {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.trailers
}

// Close lets the stream go; one that is not over is reset.
func (s *Stream) Close() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams[s.id] != s {
		return
	}
	delete(c.streams, s.id)
	if n := len(s.body); n > 0 {
		s.body = nil
		_ = c.given(nil, int64(n)) // a flood ends the connection where it is read
	}
	if !s.ended && c.over == nil {
		_ = c.later(func() error { return c.fr.WriteRSTStream(s.id, http2.ErrCodeCancel) })
	}
	s.end(fmt.Errorf("%w by who asked", ErrReset))
	c.change.Broadcast()
}

// end marks that no more comes; the caller holds the lock.
func (s *Stream) end(err error) {
	if s.err == nil && !s.ended {
		s.err = err
	}
}

func (s *Stream) whole() {
	if s.err == nil {
		s.ended = true
	}
}

// ID is the stream's number, by which the log names it.
func (s *Stream) ID() uint32 { return s.id }
