package web

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/h2"
	"holdfast/warc"
)

func (p *proxy) begin(g *guest, method, addr string) (*exchange, error) {
	n, err := p.meter.begin()
	if err != nil {
		p.done <- &exchange{method: method, url: addr, started: time.Now(), peer: &peer{}, fault: err.(*fault), own: g != nil}
		return nil, err
	}
	x, err := p.open(n, method, addr)
	if err == nil && g != nil {
		x.own, x.askedBy = true, g.name
	}
	return x, err
}

// open begins an exchange that the meter has counted.
func (p *proxy) open(n int, method, addr string) (x *exchange, err error) {
	x = &exchange{number: n, id: warc.NewID(), method: method, url: addr, started: time.Now()}
	if x.request, err = newSpool(p.dir, collectors.WatchAll(p.lists)); err != nil {
		x.fail(codeSpool, err)
		p.finish(x, true)
		return nil, err
	}
	return x, nil
}

// codeSpool marks a failure of our own disk: the capture as a whole fails.
const codeSpool = "spool"

// finish hands the exchange to the recorder, at once or at the end. counted says that the meter still
// holds it for active.
func (p *proxy) finish(x *exchange, counted bool) {
	spools := []*spool{x.request, x.response}
	for _, a := range x.asides {
		spools = append(spools, a.spool)
	}
	for _, s := range spools {
		if s == nil {
			continue
		}
		if err := s.close(); err != nil {
			x.fault = &fault{code: codeSpool, err: err}
		}
	}
	held := false
	if x.fault == nil || x.fault.code != codeSpool {
		var err error
		if held, err = p.withhold(x); err != nil {
			x.fault = &fault{code: codeSpool, err: err}
		}
	}
	if counted {
		p.meter.end()
	}
	if len(p.lists) > 0 && !held {
		p.parts.clean(x)
	}
	if held {
		p.parts.hold(x) // close hands it over
		return
	}
	p.done <- x
}

// exchange relays one request and its answer; it reports whether the client's
// connection can carry another. err is that of reading the head.
func (p *proxy) exchange(cl *client, head warc.Head, err error) bool {
	var o order
	if err == nil {
		o, err = cl.order(head)
	}
	if err != nil {
		p.unreadable(cl, head.Raw, err)
		return false
	}
	x, err := p.begin(cl.guest, o.method, o.url)
	if err != nil {
		return false
	}
	again, counted := p.relay(cl, x, o)
	if cl.guest != nil { // what it asks for is no wish of the page
		x.visit = false
		p.finish(x, counted)
		return again
	}
	p.wholes.saw(x, o)
	p.finish(x, counted)
	p.films.saw(x, o)
	return again
}

// relay reports too whether the meter still counts the exchange as active.
func (p *proxy) relay(cl *client, x *exchange, o order) (again, counted bool) {
	x.request.begin(o.raw)
	x.visit = o.fields.Get("Upgrade-Insecure-Requests") == "1" || o.fields.Get("Sec-Fetch-Mode") == "navigate"
	x.peer = &peer{host: o.site}
	answer, err := warc.Head{}, p.meter.give(len(o.raw))
	if err == nil {
		answer, err = p.ask(cl, x, o)
	}
	if errors.Is(err, errOverH2) {
		return p.relayShared(cl, x, o)
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
	// A head that is over the budget came all the same, and if no body follows it
	// is a whole answer; a body's first byte will be refused.
	_ = p.meter.take(len(answer.Raw), true)
	fr, err := answerFraming(x.method, x.status, answer)
	if err == nil && x.status == http.StatusSwitchingProtocols && !x.upgraded {
		err = fmt.Errorf("101 to a request that asked for no other protocol: %w", warc.ErrFormat)
	}
	if err != nil {
		p.ambiguous(cl, x, err)
		return false, true
	}
	x.chunked = fr.chunked
	cl.pass(answer.Raw)
	if x.endless() {
		p.timed(x.response)
		p.meter.end()
	}
	if x.upgraded {
		p.timed(x.request)
		p.both(cl, x)
		return false, false
	}
	return p.answer(cl, x, answer, fr), !x.endless()
}

// ask sends the request and reads the head of the answer. A kept-alive
// connection may have been closed by the site just now: then the request is
// sent once more on a fresh one, as browsers do.
func (p *proxy) ask(cl *client, x *exchange, o order) (warc.Head, error) {
	for {
		if cl.up != nil && cl.up.over == nil && cl.up.key == o.key() && !cl.up.quiet() {
			p.rest(cl, x, asideUnasked)
		}
		pr, err := p.connect(cl, o)
		x.peer = pr
		if err != nil {
			return warc.Head{}, err
		}
		if cl.up.over != nil {
			return warc.Head{}, errOverH2
		}
		stale, asides := cl.up.used && replayable(x.method), len(x.asides)
		cl.up.used = true
		answer, err := p.send(cl, x, o)
		if err != nil && stale && len(answer.Raw) == 0 && len(x.asides) == asides && x.request.body == 0 && p.ctx.Err() == nil {
			p.hangUp(cl)
			continue
		}
		return answer, err
	}
}

func (p *proxy) send(cl *client, x *exchange, o order) (warc.Head, error) {
	w := bufio.NewWriter(cl.up.conn)
	w.Write(o.raw)
	up := &copier{src: cl.br, spool: x.request, dst: w, meter: p.meter.give, ask: true, keep: func() bool { return false }}
	switch err := up.body(o.framing); {
	case err == nil:
	case errors.Is(err, errGone):
		x.askCut = warc.TruncatedDisconnect // the site may have answered before it had all
	case errors.Is(err, errBytes):
		x.askCut = warc.TruncatedLength
		return warc.Head{}, err
	case p.ctx.Err() != nil:
		x.askCut = warc.TruncatedTime
		return warc.Head{}, err
	default:
		x.askCut = warc.TruncatedDisconnect
		return warc.Head{}, fmt.Errorf("%w before its request was whole: %v", errGone, err)
	}
	return p.readHead(cl, x, o)
}

// readHead relays informational heads and returns the final one.
func (p *proxy) readHead(cl *client, x *exchange, o order) (warc.Head, error) {
	for {
		h, err := warc.ReadHead(cl.up.br, maxHead)
		status, serr := h.Status()
		if errors.Is(err, warc.ErrFormat) && serr == nil {
			err = nil // a line that is no field: browsers skip it too
		}
		if err = cmp.Or(err, serr); err != nil {
			p.broken(cl, x, h.Raw)
			return h, err
		}
		if status/100 != 1 || status == http.StatusSwitchingProtocols {
			x.headed = time.Now()
			x.status, x.fields = status, h.Fields
			x.upgraded = status == http.StatusSwitchingProtocols && o.fields.Has("Upgrade", "websocket")
			return h, nil
		}
		if _, err := answerFraming(x.method, status, h); err != nil {
			p.broken(cl, x, h.Raw)
			return h, err
		}
		if err := p.interim(x, cl.up, h); err != nil {
			return h, err
		}
		cl.pass(h.Raw)
	}
}

// pass hands a head to the browser, at once if the site has sent nothing more.
// A browser that is gone shows up when the body is written.
func (cl *client) pass(raw []byte) {
	cl.bw.Write(raw)
	if cl.up.br.Buffered() == 0 {
		cl.bw.Flush() //nolint:errcheck // sticky: seen by the next write
	}
}

// answer relays the body. When the browser leaves early (a download it will not
// save, a video it only looked at) the recording goes on to the end or to the
// budget's end, except for streams that have none.
func (p *proxy) answer(cl *client, x *exchange, h warc.Head, fr framing) (again bool) {
	c := &copier{src: cl.up.br, spool: x.response, dst: cl.bw,
		meter: func(n int) error { return p.meter.take(n, !x.endless()) },
		keep:  func() bool { return !x.endless() }}
	err := c.body(fr)
	if err == nil && !fr.chunked && fr.length == untilClose && cl.up.unclosed() {
		err = errUnclosed
	}
	if err != nil {
		p.classify(x, err)
		return false
	}
	if !cl.up.quiet() {
		p.rest(cl, x, asideSurplus)
	}
	version, _, _ := strings.Cut(h.Start, " ")
	persist := version == "HTTP/1.1" && !h.Fields.Has("Connection", "close") || h.Fields.Has("Connection", "keep-alive")
	return persist && !c.gone && !fr.last
}

// errUnclosed: TLS says where a connection ends, so that nobody on the way can
// make an answer shorter. This one only stopped.
var errUnclosed = errors.New("the connection ended without the end of TLS: the answer may have been longer")

// classify says why an exchange has no answer, or only part of one.
func (p *proxy) classify(x *exchange, err error) {
	switch {
	case errors.Is(err, errBytes):
		x.cut = warc.TruncatedLength
		x.fail("byte-budget", err)
	case errors.Is(err, warc.ErrFormat), errors.Is(err, warc.ErrLimit):
		x.cut = warc.TruncatedDisconnect
		x.fail("bad-answer", err)
	case p.ctx.Err() != nil:
		x.cut = warc.TruncatedTime
		x.fail("unfinished", fmt.Errorf("%w: %w", errStopped, p.told(err)))
	case errors.Is(err, errGone):
		x.cut = warc.TruncatedDisconnect
		x.fail("abandoned", err)
	case !isFault(err) && p.dial.gone(p.ctx):
		x.cut = warc.TruncatedDisconnect
		x.fail(codeEgress, errors.New("the egress was lost before the answer was whole"))
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		x.cut = warc.TruncatedDisconnect
		x.fail("connection-closed", errors.New("the connection was reset before the answer was whole"))
	case errors.Is(err, h2.ErrFlood):
		x.cut = warc.TruncatedDisconnect
		x.fail("bad-answer", err)
	case errors.Is(err, h2.ErrReset):
		x.cut = warc.TruncatedDisconnect
		x.fail("stream-reset", err)
	case errors.Is(err, h2.ErrGone), errors.Is(err, h2.ErrUnasked), errors.Is(err, errUnclosed):
		x.cut = warc.TruncatedDisconnect
		x.fail("connection-closed", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		x.cut = warc.TruncatedDisconnect
		x.fail("connection-closed", errors.New("the site closed the connection before its answer was whole"))
	default:
		x.cut = warc.TruncatedDisconnect
		x.failAs(p.told(err))
	}
}

// told is an error as the record may carry it: those of the network have the
// address of the egress in them.
func (p *proxy) told(err error) error {
	if p.dial.via == nil || isFault(err) {
		return err
	}
	return errors.New(bare(err))
}

// both carries a WebSocket: either side's bytes are recorded as they pass, the
// site's behind the head of its answer, the page's behind that of its request.
func (p *proxy) both(cl *client, x *exchange) {
	if cl.bw.Flush() != nil {
		return
	}
	x.response.hasBody, x.request.hasBody = true, true
	var wg sync.WaitGroup
	var sent error
	never := func() bool { return false }
	wg.Go(func() {
		defer p.drop(cl.up.conn) // ends the other direction
		c := &copier{src: cl.br, spool: x.request, dst: bufio.NewWriter(cl.up.conn), meter: p.meter.give, ask: true, keep: never}
		sent = c.body(framing{length: untilClose})
	})
	c := &copier{src: cl.up.br, spool: x.response, dst: cl.bw, meter: func(n int) error { return p.meter.take(n, false) }, keep: never}
	came := c.body(framing{length: untilClose})
	ended := p.ctx.Err() != nil
	p.drop(cl.up.conn)
	cl.conn.Close()
	wg.Wait()
	// How else a stream without an end ends tells nothing.
	switch over := errors.Join(sent, came); {
	case errors.Is(over, errBytes):
		p.classify(x, over)
		x.askCut = x.cut
	case ended:
		x.cut, x.askCut = warc.TruncatedTime, warc.TruncatedTime
	}
}
