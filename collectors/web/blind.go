package web

import (
	"bufio"
	"io"
	"net"
	"sync"
)

// blind is what a proxy keeps that does not look into TLS: the browser speaks with sites
// itself, and the proxy connects where it may, by the same rules as ever.
type blind struct {
	mu      sync.Mutex
	peers   map[string]*peer  // by site: the connection made last
	refused map[string]*fault // by site: why there is none
	told    map[string]bool   // that an exchange says so
}

const maxBlindSites = 10_000

func newBlind() *blind {
	return &blind{peers: map[string]*peer{}, refused: map[string]*fault{}, told: map[string]bool{}}
}

func (b *blind) connected(site string, pr *peer, f *fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if old := b.peers[site]; old != nil && old.address != pr.address && f == nil {
		pr = &peer{host: pr.host, resolved: pr.resolved, told: pr.told, unobserved: pr.unobserved} // nobody knows over which an answer came
	}
	if len(b.peers) < maxBlindSites {
		b.peers[site] = pr
	}
	if f != nil && len(b.refused) < maxBlindSites {
		b.refused[site] = f
	}
}

// of gives what is known of the connections to a site.
func (b *blind) of(site string) (*peer, *fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told[site] = true
	if pr := b.peers[site]; pr != nil {
		return pr, b.refused[site]
	}
	return &peer{host: site}, nil
}

// untold gives the refusals that no exchange has told of: of a WebSocket, or of what was
// given up meanwhile.
func (b *blind) untold() map[*peer]*fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[*peer]*fault{}
	for site, f := range b.refused {
		if !b.told[site] {
			out[b.peers[site]] = f
		}
	}
	return out
}

// pass makes the tunnel and, where TLS is spoken in it, carries it as it is. It reports
// whether it did: what is plain goes on to be recorded, over the connection that is there.
func (p *proxy) pass(c net.Conn, cl *client, site string) bool {
	host, port, err := net.SplitHostPort(site)
	if err != nil {
		return true // reach has seen it
	}
	conn, pr, err := p.dial.dial(p.ctx, host, port, way{})
	if err != nil {
		x := &exchange{}
		x.failAs(p.told(err))
		p.blind.connected(site, pr, x.fault)
		cl.bad()
		return true
	}
	if !p.track(conn) {
		conn.Close()
		return true
	}
	p.blind.connected(site, pr, nil)
	cl.bw.WriteString("HTTP/1.1 200 OK\r\n\r\n")
	first, err := []byte(nil), cl.bw.Flush()
	if err == nil {
		first, err = cl.br.Peek(1)
	}
	if err == nil && first[0] != 0x16 {
		cl.up = &upstream{conn: conn, br: bufio.NewReaderSize(conn, 32<<10), peer: pr, key: order{scheme: "http", site: site}.key()}
		return false
	}
	defer p.drop(conn)
	if err != nil {
		return true
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer p.drop(conn)
		io.Copy(conn, &metered{cl.br, p.meter.give}) //nolint:errcheck // how it ends the browser tells
	})
	io.Copy(c, &metered{conn, func(n int) error { return p.meter.take(n, true) }}) //nolint:errcheck // as above
	p.drop(c)
	wg.Wait()
	return true
}

// metered counts what is read against the budget, and ends where that does.
type metered struct {
	r     io.Reader
	count func(n int) error
}

func (m *metered) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	if n > 0 {
		if merr := m.count(n); merr != nil {
			return 0, merr
		}
	}
	return n, err
}

// bad answers a CONNECT that leads nowhere.
func (cl *client) bad() {
	cl.bw.WriteString("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
	cl.bw.Flush() //nolint:errcheck // the browser may be gone, the attempt is recorded
}
