package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/h2"
	"holdfast/warc"
)

// site2 is what is known of a site that may speak HTTP/2. Its lock is held while somebody
// dials, so that a page's first six requests make one connection, as a browser does.
type site2 struct {
	mu  sync.Mutex
	h1  bool // it does not
	now *shared
}

// shared is one HTTP/2 connection, over which all clients of a capture ask a site.
type shared struct {
	conn     *h2.Conn
	peer     *peer
	mu       sync.Mutex
	received *spool // of frames, a line of JSON each
	sent     *spool
	err      error
}

// errOverH2 says that the order's site speaks HTTP/2: see relayShared.
var errOverH2 = errors.New("the site speaks HTTP/2")

// onlyH1 reports whether an order cannot go over HTTP/2: a WebSocket, or a body whose
// length nobody knows, which browsers send over HTTP/2 alone.
func (o order) onlyH1() bool { return o.fields.Has("Connection", "upgrade") || o.framing.chunked }

// join gives the client a connection to a site that may speak HTTP/2.
func (p *proxy) join(cl *client, o order) (*peer, error) {
	p.mu.Lock()
	s := p.sites[o.key()]
	if s == nil {
		s = &site2{}
		p.sites[o.key()] = s
	}
	p.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now != nil && s.now.conn.Usable() {
		cl.up = &upstream{peer: s.now.peer, key: o.key(), over: s.now}
		return s.now.peer, nil
	}
	s.now = nil
	if s.h1 {
		s.mu.Unlock() // several at once, as a browser dials
		defer s.mu.Lock()
	}
	pr, err := p.connectAlone(cl, o, way{secure: true})
	if err != nil || pr.tls == nil || pr.tls.NegotiatedProtocol != protoH2 {
		s.h1 = s.h1 || err == nil
		return pr, err
	}
	over, err := p.share(cl.up)
	if err != nil {
		p.hangUp(cl)
		return pr, err
	}
	s.now, cl.up = over, &upstream{peer: pr, key: o.key(), over: over}
	return pr, nil
}

// share begins HTTP/2 on a connection.
func (p *proxy) share(up *upstream) (*shared, error) {
	s := &shared{peer: up.peer}
	var err error
	if s.received, err = newSpool(p.dir, nil); err == nil {
		s.sent, err = newSpool(p.dir, nil)
	}
	if err != nil {
		return nil, &fault{code: codeSpool, err: err}
	}
	p.mu.Lock()
	p.shared = append(p.shared, s)
	p.mu.Unlock()
	s.conn, err = h2.New(up.conn, h2.Options{MaxHead: maxHead, Log: func(f h2.Frame) error { return p.frame(s, f) }})
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	return s, nil
}

// frameLine is a frame as it is kept. The content of DATA is in the record of the answer
// or the request; what is beside it, the padding with its length, is the payload here.
type frameLine struct {
	At      string `json:"at"`
	Flags   uint8  `json:"flags"`
	Length  uint32 `json:"length"`
	Payload []byte `json:"payload,omitempty"`
	Stream  uint32 `json:"stream"`
	Type    string `json:"type"`
	Kind    uint8  `json:"kind"`
}

// frame keeps one frame, against the budget: a site that sends nothing but frames that
// carry nothing is stopped too.
func (p *proxy) frame(s *shared, f h2.Frame) error {
	b, err := json.Marshal(frameLine{At: f.At.UTC().Format(warc.TimeFormat), Flags: uint8(f.Flags), Length: f.Length, Payload: f.Payload, Stream: f.Stream, Type: f.Type.String(), Kind: uint8(f.Type)})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.received
	if f.Sent {
		to = s.sent
	}
	to.content(append(b, '\n'))
	if f.Sent {
		return errors.Join(to.err, p.meter.give(len(f.Payload)))
	}
	return errors.Join(to.err, p.meter.take(len(f.Payload), f.Stream > 0))
}

// linkLine says in which record the content of a stream's DATA is: in that of the answer,
// and what was sent in that of the request which the answer's names.
type linkLine struct {
	Answer string `json:"answer"` // record ID
	Stream uint32 `json:"stream"`
}

func (s *shared) link(stream uint32, answer string) {
	b, err := json.Marshal(linkLine{answer, stream})
	if err != nil {
		return // two strings and a number
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received.content(append(b, '\n'))
	s.sent.content(append(b, '\n'))
}

// closeShared ends what goes over HTTP/2; what was recorded of it can be read then.
func (p *proxy) closeShared() {
	for _, s := range p.shared {
		if s.conn != nil {
			s.conn.Close()
		}
		s.err = errors.Join(s.received.close(), s.sent.close())
	}
}

// fieldsOf is a request's head as HTTP/2 has it: the pseudo fields in a Chromium's order,
// names in lower case, without what belongs to a connection (RFC 9113, 8.2.2).
func fieldsOf(o order) []h2.Field {
	_, rest, _ := strings.Cut(o.url, "://")
	path := "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		path = rest[i:]
	}
	fields := []h2.Field{{Name: ":method", Value: o.method}, {Name: ":authority", Value: bareHost(o.scheme, o.site)}, {Name: ":scheme", Value: o.scheme}, {Name: ":path", Value: path}}
	if host := o.fields.Get("Host"); host != "" {
		fields[1].Value = host
	}
	for _, f := range o.fields {
		if name := strings.ToLower(f.Name); !ofConnection(name) && name != "host" && name != "te" {
			fields = append(fields, h2.Field{Name: name, Value: f.Value})
		}
	}
	return fields
}

func ofConnection(name string) bool {
	switch name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// askShared sends the request over HTTP/2 and reads the head of the answer. A request that
// the site has not looked at is sent once more on a fresh connection.
func (p *proxy) askShared(cl *client, x *exchange, o order) (*h2.Stream, warc.Head, error) {
	s, err := cl.up.over.conn.Ask(p.ctx, fieldsOf(o), o.framing.length == 0)
	if err != nil {
		return nil, warc.Head{}, err
	}
	cl.up.over.link(s.ID(), x.id)
	if o.framing.length > 0 {
		if err := p.sendShared(cl, x, o, s); err != nil {
			return s, warc.Head{}, err
		}
	}
	for {
		head, err := s.Head()
		if err != nil {
			return s, warc.Head{}, err
		}
		h, err := headView(head)
		if err != nil {
			return s, h, err
		}
		if head.Status/100 != 1 {
			x.headed, x.status, x.fields = time.Now(), head.Status, h.Fields
			return s, h, nil
		}
		if err := p.interim(x, cl.up, h); err != nil {
			return s, h, err
		}
		cl.bw.Write(h.Raw) //nolint:errcheck // sticky: seen by the next write
		cl.bw.Flush()      //nolint:errcheck // as above
	}
}

func (p *proxy) sendShared(cl *client, x *exchange, o order, s *h2.Stream) error {
	up := &copier{src: cl.br, spool: x.request, dst: bufio.NewWriterSize(s, 16<<10), meter: p.meter.give, ask: true, keep: func() bool { return false }}
	err := up.body(o.framing)
	if err == nil {
		err = s.CloseWrite()
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errGone):
		x.askCut = warc.TruncatedDisconnect // the site may have answered before it had all
		return nil
	case errors.Is(err, errBytes):
		x.askCut = warc.TruncatedLength
	case p.ctx.Err() != nil:
		x.askCut = warc.TruncatedTime
	default:
		x.askCut = warc.TruncatedDisconnect
	}
	return err
}

// headView is a head in the form of HTTP/1.1, in which records and replays have it; the
// frames have it as it came.
func headView(head h2.Head) (warc.Head, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", head.Status, http.StatusText(head.Status))
	for _, f := range head.Fields {
		if ofConnection(f.Name) {
			return warc.Head{}, fmt.Errorf("field %s in an answer over HTTP/2: %w", f.Name, warc.ErrFormat)
		}
		fmt.Fprintf(&b, "%s: %s\r\n", f.Name, f.Value)
	}
	b.WriteString("\r\n")
	return warc.ReadHead(bufio.NewReader(strings.NewReader(b.String())), 2*maxHead)
}

// relayShared is relay where the site speaks HTTP/2.
func (p *proxy) relayShared(cl *client, x *exchange, o order) (again, counted bool) {
	x.h2 = true
	s, answer, err := p.askShared(cl, x, o)
	if errors.Is(err, h2.ErrUnasked) && x.request.body == 0 && p.ctx.Err() == nil { // as a browser does
		if s != nil {
			s.Close()
		}
		p.hangUp(cl)
		if x.peer, err = p.connect(cl, o); err == nil && cl.up.over != nil {
			s, answer, err = p.askShared(cl, x, o)
		}
	}
	if s != nil {
		defer s.Close()
	}
	if err != nil {
		p.classify(x, err)
		return false, true
	}
	if x.response, err = newSpool(p.dir, collectors.WatchAll(p.lists)); err != nil {
		x.fail(codeSpool, err)
		return false, true
	}
	x.response.begin(answer.Raw)
	length, err := lengthOf(x.method, x.status, answer)
	if err != nil {
		p.classify(x, err)
		return false, true
	}
	c := &copier{src: bufio.NewReaderSize(s, 32<<10), spool: x.response, dst: cl.bw,
		meter: func(n int) error { return p.meter.take(n, !x.endless()) },
		keep:  func() bool { return !x.endless() }}
	head, chunks := answer.Raw, length < 0
	if chunks { // HTTP/1.1 has no other way to say where it ends and go on
		head = append(head[:len(head)-2:len(head)-2], "Transfer-Encoding: chunked\r\n\r\n"...)
		c.dst = bufio.NewWriterSize(chunked{cl.bw}, 32<<10)
	}
	cl.bw.Write(head) //nolint:errcheck // sticky: seen by the next write
	if !s.Waiting() {
		cl.bw.Flush() //nolint:errcheck // as above
	}
	if x.endless() {
		p.timed(x.response)
		p.meter.end()
	}
	return p.bodyShared(cl, x, c, length), !x.endless()
}

func (p *proxy) bodyShared(cl *client, x *exchange, c *copier, length int64) (again bool) {
	err := c.body(framing{length: untilClose})
	if err == nil && length >= 0 && x.response.body != length && x.method != http.MethodHead {
		err = fmt.Errorf("content-length %d, and %d bytes: %w", length, x.response.body, warc.ErrFormat)
	}
	if err != nil {
		p.classify(x, err)
		return false
	}
	if length < 0 && !c.gone {
		io.WriteString(cl.bw, "0\r\n\r\n") //nolint:errcheck // sticky: seen by the next write
	}
	cl.bw.Flush() //nolint:errcheck // as above
	return !c.gone
}

// lengthOf is what an answer says of its length, -1 if nothing.
func lengthOf(method string, status int, h warc.Head) (int64, error) {
	said := tokens(h.Fields, "Content-Length")
	if bodyless(method, status) {
		return 0, nil
	}
	if len(said) == 0 {
		return -1, nil
	}
	return contentLength(said)
}

// chunked writes each piece as a chunk, at once.
type chunked struct{ w *bufio.Writer }

func (c chunked) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.w.WriteString(strconv.FormatInt(int64(len(p)), 16)) //nolint:errcheck // sticky: seen by Flush
	c.w.WriteString("\r\n")                               //nolint:errcheck // as above
	c.w.Write(p)                                          //nolint:errcheck // as above
	c.w.WriteString("\r\n")                               //nolint:errcheck // as above
	return len(p), c.w.Flush()
}
