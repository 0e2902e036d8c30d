package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"

	"holdfast/collectors"
	"holdfast/warc"
)

// proxy is the recording proxy of one capture. The browser context of that
// capture knows no other way out, so what the page asked for passes here and
// nothing else does. Bytes are relayed as they are read: heads keep their order
// and case, chunked bodies their chunks. Only the request line and the Proxy-
// fields of a plain request are changed, to what the browser would send
// directly.
type proxy struct {
	listener net.Listener
	dial     dialer
	cas      *interception
	meter    *meter
	dir      string // of the spools
	lists    []*collectors.KnownList
	unpacked atomic.Int64 // bytes, of all bodies, to compare them with lists
	marks    atomic.Int64 // pieces of streams whose times are kept
	shut     atomic.Bool  // nobody is reached: see furnish
	blind    *blind       // nil: it looks into TLS
	parts    parts
	wholes   wholes
	films    films
	done     chan *exchange
	ctx      context.Context
	cancel   context.CancelCauseFunc
	wg       sync.WaitGroup
	mu       sync.Mutex
	conns    map[net.Conn]struct{} // nil once closed
	sites    map[string]*site2     // by order.key
	shared   []*shared             // all that there were
	guests   []*guest
}

// newProxy listens on a loopback port of its own. Exchanges come out of done,
// which is closed when the proxy is closed and the last one was delivered. Each guest
// gets a port of his own.
func newProxy(d dialer, cas *interception, m *meter, dir string, lists []*collectors.KnownList, b *blind, guests ...*guest) (*proxy, error) {
	p := &proxy{cas: cas, meter: m, dir: dir, lists: lists, blind: b, done: make(chan *exchange, 256), conns: map[net.Conn]struct{}{}, sites: map[string]*site2{}, guests: guests}
	l, err := d.listen()
	if err != nil {
		return nil, err
	}
	p.listener = l
	for _, g := range guests {
		if g.listener, err = d.listen(); err != nil {
			p.closeListeners()
			return nil, err
		}
	}
	p.dial = d
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.wg.Go(func() { p.accept(p.listener, nil) })
	for _, g := range guests {
		p.wg.Go(func() { p.accept(g.listener, g) })
	}
	return p, nil
}

func (p *proxy) address() string { return "http://" + p.listener.Addr().String() }

func (p *proxy) accept(l net.Listener, g *guest) {
	for {
		c, err := l.Accept()
		if err != nil {
			return // closed
		}
		if !p.track(c) {
			c.Close()
			return
		}
		p.wg.Go(func() {
			defer p.drop(c)
			p.serve(c, g)
		})
	}
}

// close cuts every connection, waits for their exchanges, hands over those that
// were held, and closes done.
func (p *proxy) close() {
	p.cancel(errStopped)
	p.closeListeners()
	p.mu.Lock()
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for c := range conns {
		c.Close()
	}
	p.wg.Wait()
	p.closeShared()
	p.release()
	close(p.done)
}

func (p *proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *proxy) drop(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// client is the browser's side of a connection. Inside a tunnel, site is fixed.
type client struct {
	conn   net.Conn
	br     *bufio.Reader
	bw     *bufio.Writer
	scheme string // "" outside a tunnel: the request names the address
	site   string // host:port of the tunnel
	up     *upstream
	guest  *guest // nil: it is the browser
}

// upstream is the site's side, kept alive between exchanges.
type upstream struct {
	conn net.Conn
	br   *bufio.Reader
	peer *peer
	key  string
	used bool
	over *shared // HTTP/2: conn and br are not set
}

func (p *proxy) serve(c net.Conn, g *guest) {
	cl := &client{conn: c, guest: g, br: bufio.NewReaderSize(c, 32<<10), bw: bufio.NewWriterSize(c, 32<<10)}
	defer p.hangUp(cl)
	head, err := warc.ReadHead(cl.br, maxHead)
	if p.shut.Load() { // the browser's own idea, where nothing was to be asked
		cl.bad()
		return
	}
	if site, ok := strings.CutPrefix(head.Start, http.MethodConnect+" "); ok && err == nil {
		site, _, _ = strings.Cut(site, " ")
		p.tunnel(c, cl, site)
		return
	}
	for p.exchange(cl, head, err) {
		head, err = warc.ReadHead(cl.br, maxHead)
	}
}

// tunnel answers CONNECT and looks at the first byte: TLS is intercepted, plain
// HTTP (the way to a ws: address) is read as it is. The site is dialled before
// the answer, so that the browser learns of a host that is not there.
func (p *proxy) tunnel(c net.Conn, cl *client, site string) {
	cl.site, cl.scheme = site, "http"
	pr, f := p.reach(site)
	switch {
	case f != nil && p.blind != nil:
		p.blind.connected(site, pr, f)
		cl.bad()
		return
	case f != nil:
		p.refuse(cl, pr, f)
		return
	case p.blind != nil:
		if p.pass(c, cl, site) {
			return
		}
		p.exchanges(cl)
		return
	}
	cl.bw.WriteString("HTTP/1.1 200 OK\r\n\r\n")
	if cl.bw.Flush() != nil {
		return
	}
	first, err := cl.br.Peek(1)
	if err != nil {
		return
	}
	if first[0] == 0x16 { // a TLS handshake record
		host, _, _ := net.SplitHostPort(site)
		tc := tls.Server(peeked{c, cl.br}, p.casFor(cl).config(host))
		if tc.HandshakeContext(p.ctx) != nil {
			return // the browser left, or does not like us: nothing was asked
		}
		cl.scheme = "https"
		cl.br, cl.bw = bufio.NewReaderSize(tc, 32<<10), bufio.NewWriterSize(tc, 32<<10)
	}
	p.exchanges(cl)
}

func (p *proxy) exchanges(cl *client) {
	for {
		head, err := warc.ReadHead(cl.br, maxHead)
		if !p.exchange(cl, head, err) {
			return
		}
	}
}

// reach refuses early what the dialer would refuse: names that do not resolve
// and addresses that are not allowed. Connecting waits for the first request,
// because browsers open tunnels that they never use.
func (p *proxy) reach(site string) (*peer, *fault) {
	pr := &peer{host: site, unobserved: p.dial.via != nil}
	host, port, err := net.SplitHostPort(site)
	if err != nil {
		return pr, &fault{code: "address-refused", blocked: true, err: err}
	}
	var f *fault
	if err := p.dial.allowed(p.ctx, host, port, pr); errors.As(err, &f) {
		return pr, f
	}
	return pr, nil
}

// refuse answers a CONNECT that leads nowhere and records the attempt.
func (p *proxy) refuse(cl *client, pr *peer, f *fault) {
	x, err := p.begin(cl.guest, http.MethodConnect, "https://"+pr.host+"/")
	if err == nil {
		x.fault, x.peer = f, pr
		p.finish(x, true)
	}
	cl.bad()
}

func (p *proxy) hangUp(cl *client) {
	if cl.up != nil && cl.up.over == nil {
		p.drop(cl.up.conn)
	}
	cl.up = nil
}

// connect gives the client's upstream for an order, dialling if the kept one is
// for another site.
func (p *proxy) connect(cl *client, o order) (*peer, error) {
	if cl.up != nil && cl.up.over == nil && cl.up.key == o.key() {
		return cl.up.peer, nil
	}
	p.hangUp(cl)
	if o.scheme == "https" && !o.onlyH1() {
		return p.join(cl, o)
	}
	return p.connectAlone(cl, o, way{secure: o.scheme == "https", h1: true})
}

func (p *proxy) connectAlone(cl *client, o order, w way) (*peer, error) {
	host, port, err := net.SplitHostPort(o.site)
	if err != nil {
		return &peer{host: o.site}, &fault{code: "address-refused", blocked: true, err: err}
	}
	conn, pr, err := p.dial.dial(p.ctx, host, port, w)
	if err != nil {
		return pr, err
	}
	if !p.track(conn) {
		conn.Close()
		return pr, errStopped
	}
	cl.up = &upstream{conn: conn, br: bufio.NewReaderSize(conn, 32<<10), peer: pr, key: o.key()}
	return pr, nil
}

// order is a request as it will go to the site.
type order struct {
	method, scheme, site, url string
	raw                       []byte // the head
	fields                    warc.Fields
	framing                   framing // of the body
}

func (o order) key() string { return o.scheme + " " + o.site }

// order reads where a request goes and how its head reads there.
func (cl *client) order(h warc.Head) (order, error) {
	fr, err := requestFraming(h)
	if err != nil {
		return order{}, err
	}
	method, rest, _ := strings.Cut(h.Start, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || method == "" || strings.Contains(version, " ") {
		return order{}, fmt.Errorf("request line %.80q: %w", h.Start, warc.ErrFormat)
	}
	if cl.scheme != "" {
		if target[:min(1, len(target))] != "/" { // else it would name another site than the tunnel's
			return order{}, fmt.Errorf("request target %.80q: %w", target, warc.ErrFormat)
		}
		return order{method, cl.scheme, cl.site, cl.origin() + target, h.Raw, h.Fields, fr}, nil
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" || u.Host == "" || !strings.HasPrefix(target, "http://") {
		return order{}, fmt.Errorf("request target %.80q: %w", target, warc.ErrFormat)
	}
	path := target[len("http://"):]
	if i := strings.IndexAny(path, "/?"); i < 0 {
		path = "/"
	} else if path = path[i:]; path[0] == '?' {
		path = "/" + path
	}
	return order{method, "http", withPort(u.Host, "80"), target, direct(h, method+" "+path+" "+version), h.Fields, fr}, nil
}

func (cl *client) origin() string { return cl.scheme + "://" + bareHost(cl.scheme, cl.site) }

// unreadable records a request that is not passed on: its head is longer than
// browsers take one, or nothing that a browser sends. One that the browser gave
// up in the middle was never asked.
func (p *proxy) unreadable(cl *client, raw []byte, err error) {
	if !errors.Is(err, warc.ErrFormat) && !errors.Is(err, warc.ErrLimit) {
		return
	}
	method, target := readable(raw)
	address := target
	if cl.scheme != "" {
		address = cl.origin() + "/" + strings.TrimPrefix(target, "/")
	}
	if u, uerr := url.Parse(address); uerr != nil || u.Host == "" {
		address = "urn:holdfast:unreadable-request"
	}
	x, berr := p.begin(cl.guest, method, address)
	if berr != nil {
		return
	}
	x.peer = &peer{host: cl.site}
	x.request.begin(raw)
	if errors.Is(err, warc.ErrLimit) {
		x.askCut = warc.TruncatedLength
	}
	x.fault = &fault{code: "bad-request", blocked: true, err: fmt.Errorf("request not sent: %w", err)}
	p.finish(x, true)
}

// readable is what a request line says for a record: its beginning, without
// what would break a line.
func readable(raw []byte) (method, target string) {
	const most = 4096
	line, _, _ := strings.Cut(string(raw[:min(len(raw), most)]), "\n")
	line = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, line), "\uFFFD")
	method, target, _ = strings.Cut(line, " ")
	target, _, _ = strings.Cut(target, " ")
	return method, target
}

// direct is a proxied request's head as the browser would have sent it to the
// site itself.
func direct(h warc.Head, start string) []byte {
	lines := strings.SplitAfter(string(h.Raw), "\n")
	lines[0] = start + "\r\n"
	for i, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		switch {
		case strings.EqualFold(name, "Proxy-Connection"):
			lines[i] = "Connection:" + value
		case len(name) > 6 && strings.EqualFold(name[:6], "Proxy-"):
			lines[i] = ""
		}
	}
	return []byte(strings.Join(lines, ""))
}

func withPort(host, port string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func bareHost(scheme, site string) string {
	if scheme == "https" {
		return strings.TrimSuffix(site, ":443")
	}
	return strings.TrimSuffix(site, ":80")
}

// peeked reads what was looked at before the connection's own bytes.
type peeked struct {
	net.Conn
	br *bufio.Reader
}

func (c peeked) Read(b []byte) (int, error) { return c.br.Read(b) }
