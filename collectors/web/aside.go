package web

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// aside is what a site sent outside of its answer. It is recorded, and nothing
// of it but heads of 1xx is passed on.
type aside struct {
	kind string
	ip   netip.Addr
	cut  string // WARC-Truncated reason
	id   string // of its record, once it is written
	*spool
}

// The kinds of an aside. A connection over which one of the latter three came
// carries no further answer: it would be taken for one that was asked for.
const (
	asideInterim = "interim" // heads of 1xx, before the answer
	asideBroken  = "broken"  // in place of an answer: not HTTP, cut short, or too long a head
	asideSurplus = "surplus" // behind the end of the answer
	asideUnasked = "unasked" // on a kept-alive connection, before the request was sent
)

// restTime is for how long bytes are awaited that nobody asked for.
const restTime = time.Second

// aside adds p to what came aside; the error is one of the disk or the budget.
func (p *proxy) aside(x *exchange, up *upstream, kind string, b []byte) (*aside, error) {
	if n := len(x.asides); n == 0 || x.asides[n-1].kind != kind {
		s, err := newSpool(p.dir, collectors.WatchAll(p.lists))
		if err != nil {
			x.fail(codeSpool, err)
			return nil, err
		}
		x.asides = append(x.asides, &aside{kind: kind, ip: up.peer.address.Addr(), spool: s})
	}
	a := x.asides[len(x.asides)-1]
	a.content(b)
	return a, errors.Join(a.err, p.meter.take(len(b), true))
}

// interim records a head of 1xx. There is no end to how many a site may send,
// so there is one to how many are taken.
func (p *proxy) interim(x *exchange, up *upstream, h warc.Head) error {
	a, err := p.aside(x, up, asideInterim, h.Raw)
	if err == nil && a.size > maxHead {
		err = fmt.Errorf("heads of 1xx: more than %d bytes: %w", maxHead, warc.ErrLimit)
	}
	return err
}

// rest records what comes on the upstream where no answer is due, and hangs up.
func (p *proxy) rest(cl *client, x *exchange, kind string) {
	defer p.hangUp(cl)
	cl.up.conn.SetReadDeadline(time.Now().Add(restTime))
	for buf := make([]byte, 32<<10); ; {
		n, err := cl.up.br.Read(buf)
		var a *aside
		var aerr error
		if n > 0 {
			a, aerr = p.aside(x, cl.up, kind, buf[:n])
		} else if i := len(x.asides) - 1; i >= 0 && x.asides[i].kind == kind {
			a = x.asides[i]
		}
		switch {
		case a == nil: // nothing came: the site has hung up
		case errors.Is(aerr, errBytes):
			a.cut = warc.TruncatedLength
		case isTimeout(err) || p.ctx.Err() != nil:
			a.cut = warc.TruncatedTime
		}
		if err != nil || aerr != nil {
			return
		}
	}
}

// broken records what came in place of an answer. The browser gets nothing.
func (p *proxy) broken(cl *client, x *exchange, raw []byte) {
	if len(raw) == 0 {
		return
	}
	p.drop(cl.conn)
	if a, err := p.aside(x, cl.up, asideBroken, raw); err == nil {
		p.rest(cl, x, asideBroken)
	} else if a != nil {
		a.cut = warc.TruncatedLength
	}
}

// ambiguous records an answer that readers would end at different places: all
// that comes, for a while, and none of it for the browser.
func (p *proxy) ambiguous(cl *client, x *exchange, why error) {
	x.fail("bad-answer", why)
	p.drop(cl.conn)
	cl.up.conn.SetReadDeadline(time.Now().Add(restTime))
	c := &copier{src: cl.up.br, spool: x.response, meter: func(n int) error { return p.meter.take(n, true) }}
	switch err := c.body(framing{length: untilClose}); {
	case errors.Is(err, errBytes):
		x.cut = warc.TruncatedLength
	case err != nil:
		x.cut = warc.TruncatedTime
	}
}

// quiet reports whether a connection is open and nothing came on it since its
// last answer ended. Like a browser, the proxy asks nothing on any other.
func (u *upstream) quiet() bool {
	if u.br.Buffered() > 0 {
		return false
	}
	u.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer u.conn.SetReadDeadline(time.Time{})
	_, err := u.br.Peek(1)
	return isTimeout(err)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
