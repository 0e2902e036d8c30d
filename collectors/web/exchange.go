package web

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"holdfast/warc"
)

// exchange is one request and what came of it. The goroutine of its connection
// fills it; once it is handed to the recorder nobody changes it any more.
type exchange struct {
	number    int
	id        string // record ID of the response
	method    string
	url       string
	started   time.Time
	peer      *peer
	request   *spool
	response  *spool // nil: not one byte of an answer
	status    int
	fields    warc.Fields // of the response
	chunked   bool        // the body of the answer is
	asides    []*aside    // what the site sent outside of its answer
	visit     bool        // the browser asked for a document, not a script for data
	h2        bool        // over HTTP/2
	upgraded  bool        // a WebSocket: bytes of both directions follow the heads
	cut       string      // WARC-Truncated reason of the answer
	askCut    string      // and of the request
	withheld  *withheld   // a body that is not kept
	unchecked error       // why a body could not be compared with the lists as decoded
	label     string      // what its records are, if not what the wire carried: labelDecoded
	own       bool        // the page did not ask for it: see wholes
	askedBy   string      // name of the guest that did; "" is the browser or, if own, the recorder
	headed    time.Time   // when the head of the answer was there
	fault     *fault      // why there is no answer, or no whole one
}

const maxHead = 256 << 10 // of either direction; browsers take no longer one

// fail notes the first thing that went wrong.
func (x *exchange) fail(code string, err error) {
	if x.fault == nil {
		x.fault = &fault{code: code, err: err}
	}
}

func (x *exchange) failAs(err error) {
	var f *fault
	if errors.As(err, &f) && x.fault == nil {
		x.fault = f
		return
	}
	x.fail("exchange-failed", err)
}

func isFault(err error) bool {
	var f *fault
	return errors.As(err, &f)
}

// answered reports whether a whole response head came.
func (x *exchange) answered() bool { return x.status != 0 }

// mime is the media type of the response without parameters.
func (x *exchange) mime() string { return bareType(x.fields.Get("Content-Type")) }

// quiet says that the exchange may go on for ever and tells nothing of whether
// the page is still loading.
func (x *exchange) endless() bool { return x.upgraded || x.mime() == "text/event-stream" }

// Errors of the meter. A budget that is used up stays used up.
var (
	errBytes    = errors.New("byte budget used up")
	errRequests = errors.New("request budget used up")
	errStopped  = errors.New("capture ended first")
)

// meter counts what a capture receives and asks for, against its budget, and
// knows when the network was last busy.
type meter struct {
	mu       sync.Mutex
	bytes    int64 // received
	sent     int64 // of requests
	requests int
	active   int
	last     time.Time
	maxBytes int64
	maxReqs  int
}

// begin takes one request from the budget.
func (m *meter) begin() (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.requests >= m.maxReqs {
		return 0, &fault{code: "request-budget", blocked: true, err: fmt.Errorf("%w: %d requests", errRequests, m.maxReqs)}
	}
	if m.bytes >= m.maxBytes {
		return 0, &fault{code: "byte-budget", blocked: true, err: fmt.Errorf("%w: %d bytes", errBytes, m.maxBytes)}
	}
	m.requests++
	m.active++
	m.last = time.Now()
	return m.requests, nil
}

// end says that an exchange that counted as active is over or endless.
func (m *meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.active--
	m.last = time.Now()
}

// take counts n bytes received. It lets the piece pass that overruns: those
// bytes came and are recorded.
func (m *meter) take(n int, loading bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bytes >= m.maxBytes {
		return fmt.Errorf("%w: %d bytes", errBytes, m.maxBytes)
	}
	m.bytes += int64(n)
	if loading {
		m.last = time.Now()
	}
	return nil
}

// give counts n bytes that the page sends, against the same limit: a page must
// not fill the disk with what it makes up.
func (m *meter) give(n int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sent += int64(n); m.sent > m.maxBytes {
		return fmt.Errorf("%w: page sent more than %d bytes", errBytes, m.maxBytes)
	}
	return nil
}

// idle is for how long nothing was asked or received; busy counts the
// exchanges that are still expected to end.
func (m *meter) idle() (since time.Duration, busy int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.last), m.active
}

// left is what of the budget may still be received.
func (m *meter) left() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.maxBytes - m.bytes
}

func (m *meter) asked() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.requests
}

func (m *meter) received() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}

// replayable reports whether a request may be sent again when a kept-alive
// connection turned out to be closed.
func replayable(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}
