// Package h2 asks one site over one HTTP/2 connection (RFC 9113) and keeps what the
// connection carried, frame by frame.
//
// net/http hides what an examiner asks for: the order of fields, heads of 1xx, what came
// behind a reset, when a frame came. Here a caller gets the fields as they came and the
// bytes of DATA as they came, and a [Log] every frame of both directions, so that the
// bytes under TLS can be put together again. Frames and HPACK are read and written by
// golang.org/x/net/http2.
//
// A site is a stranger: what it sends is bounded in heads (MaxHead), in bytes that wait
// for a reader (the windows that were granted; a site that goes beyond ends the
// connection), and in frames that want an answer.
package h2

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// What Chromium grants and says, so that a site sees the browser that it is told of.
const (
	streamWindow = 6 << 20
	connWindow   = 15 << 20
	tableSize    = 64 << 10
	firstWindow  = 1<<16 - 1 // of everybody, before any setting (RFC 9113, 6.9.2)
	maxAnswers   = 1000      // frames that want an answer and have none yet
)

// Errors of a stream or a connection.
var (
	// ErrGone: the connection ended, or is about to, before the answer was whole.
	ErrGone = errors.New("the HTTP/2 connection is over")
	// ErrUnasked: the site has not looked at the request, which can be sent again.
	ErrUnasked = errors.New("the site has not taken the request")
	// ErrReset: the site, or who asked, has ended the stream.
	ErrReset = errors.New("the stream was reset")
	// ErrFlood: the site sends more than it was granted, or frames without an end.
	ErrFlood = errors.New("the site sends more than it may")
)

// Field is a header field as it came or goes, its name in lower case.
type Field struct{ Name, Value string }

// Head is the beginning of an answer: of 1xx any number, then one other.
type Head struct {
	Status int
	Fields []Field // without :status, in their order
}

// Options of a connection.
type Options struct {
	// MaxHead bounds a head's fields, in bytes as RFC 9113, 10.5.1 counts them.
	MaxHead uint32
	// Log is told of every frame. Its error ends the connection. Optional.
	Log Log
}

// Conn is one connection. Its methods may be called concurrently.
type Conn struct {
	conn net.Conn
	fr   *http2.Framer
	o    Options

	wmu sync.Mutex // one frame, or one head, at a time
	enc *hpack.Encoder
	buf bytes.Buffer

	answers chan func() error // what the site's frames ask for
	done    chan struct{}     // closed when nothing is read any more
	said    chan struct{}     // closed when nothing is answered any more

	mu      sync.Mutex
	change  *sync.Cond
	streams map[uint32]*Stream
	next    uint32
	window  int64 // left to send, of the connection
	granted int64 // left to the site, of the connection
	unread  int64 // given to readers since the last grant
	peer    peer
	over    error // no further stream
}

// peer is what the site has said of itself.
type peer struct {
	streams uint32
	window  int64
	frame   uint32
}

// New speaks the preface on a connection on which h2 was agreed, and begins to read. It
// takes the connection over.
func New(conn net.Conn, o Options) (*Conn, error) {
	c := &Conn{conn: conn, o: o, answers: make(chan func() error, maxAnswers), done: make(chan struct{}), said: make(chan struct{}), streams: make(map[uint32]*Stream), next: 1,
		window: firstWindow, granted: connWindow, peer: peer{streams: 100, window: firstWindow, frame: 1 << 14}}
	c.change = sync.NewCond(&c.mu)
	c.fr = http2.NewFramer(&sent{conn, o.Log}, &received{r: conn, log: o.Log})
	c.fr.SetMaxReadFrameSize(1 << 14)
	c.fr.MaxHeaderListSize = o.MaxHead
	c.fr.ReadMetaHeaders = hpack.NewDecoder(tableSize, nil)
	c.enc = hpack.NewEncoder(&c.buf)
	if err := c.greet(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("begin HTTP/2: %w", err)
	}
	go c.read()
	go c.answer()
	return c, nil
}

func (c *Conn) greet() error {
	if _, err := io.WriteString(c.conn, http2.ClientPreface); err != nil {
		return err
	}
	err := c.fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: tableSize}, http2.Setting{ID: http2.SettingEnablePush, Val: 0},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow}, http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: c.o.MaxHead})
	if err != nil {
		return err
	}
	return c.fr.WriteWindowUpdate(0, connWindow-firstWindow)
}

// Close ends the connection and every stream of it. Once it has returned, and Ask and
// Write have where others run them, the log is told of nothing more.
func (c *Conn) Close() error {
	err := c.conn.Close()
	<-c.done
	<-c.said
	return err
}

// Usable reports whether a further request can be sent.
func (c *Conn) Usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over == nil && c.next < 1<<31-1
}

// fail ends the connection for err: the streams that wait learn of it.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over == nil {
		c.over = err
	}
	for _, s := range c.streams {
		s.end(err)
	}
	c.change.Broadcast()
	c.conn.Close()
}

// later has a frame of the site answered by a goroutine of its own: who reads must not
// wait for a site that does not read.
func (c *Conn) later(f func() error) error {
	select {
	case c.answers <- f:
		return nil
	default:
		return fmt.Errorf("%w: %d frames wait for their answer", ErrFlood, maxAnswers)
	}
}

func (c *Conn) answer() {
	defer close(c.said)
	for {
		select {
		case <-c.done:
			return
		case f := <-c.answers:
			if err := c.write(f); err != nil {
				c.fail(err)
				return
			}
		}
	}
}

func (c *Conn) write(f func() error) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if err := f(); err != nil {
		return fmt.Errorf("%w: %w", ErrGone, err)
	}
	return nil
}
