package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

func (p *proxy) begin(method, addr string) (*exchange, error) {
	n, err := p.meter.begin()
	if err != nil {
		p.done <- &exchange{method: method, url: addr, started: time.Now(), peer: &peer{}, fault: err.(*fault)}
		return nil, err
	}
	x := &exchange{number: n, id: warc.NewID(), method: method, url: addr, started: time.Now()}
	if x.request, err = newSpool(p.dir, collectors.WatchAll(p.lists)); err != nil {
		x.fail(codeSpool, err)
		p.finish(x, true)
		return nil, err
	}
	return x, nil
}

// codeSpool marks a failure of our own disk: the capture as a whole fails.
const codeSpool = "spool"

// finish hands the exchange to the recorder. counted says that the meter still
// holds it for active.
func (p *proxy) finish(x *exchange, counted bool) {
	for _, s := range []*spool{x.request, x.response} {
		if s == nil {
			continue
		}
		if err := s.close(); err != nil {
			x.fault = &fault{code: codeSpool, err: err}
		}
	}
	if x.fault == nil || x.fault.code != codeSpool {
		if err := p.withhold(x); err != nil {
			x.fault = &fault{code: codeSpool, err: err}
		}
	}
	if counted {
		p.meter.end()
	}
	p.done <- x
}

// exchange relays one request and its answer; it reports whether the client's
// connection can carry another.
func (p *proxy) exchange(cl *client, head warc.Head) bool {
	o, err := cl.order(head)
	if err != nil {
		return false // not HTTP: the browser never sends this
	}
	x, err := p.begin(o.method, o.url)
	if err != nil {
		return false
	}
	again, counted := p.relay(cl, x, o)
	p.finish(x, counted)
	return again
}

// relay reports too whether the meter still counts the exchange as active.
func (p *proxy) relay(cl *client, x *exchange, o order) (again, counted bool) {
	x.request.begin(o.raw)
	x.visit = o.fields.Get("Upgrade-Insecure-Requests") == "1" || o.fields.Get("Sec-Fetch-Mode") == "navigate"
	answer, err := p.ask(cl, x, o)
	if err != nil {
		p.classify(x, err)
		return false, true
	}
	if x.response, err = newSpool(p.dir, collectors.WatchAll(p.lists)); err != nil {
		x.fail(codeSpool, err)
		return false, true
	}
	x.response.begin(answer.Raw)
	if p.meter.take(len(answer.Raw), true) != nil {
		x.cut = warc.TruncatedLength
	}
	cl.pass(answer.Raw)
	if x.endless() {
		p.meter.end()
	}
	if x.upgraded {
		p.both(cl, x)
		return false, false
	}
	return p.answer(cl, x, answer), !x.endless()
}

// ask sends the request and reads the head of the answer. A kept-alive
// connection may have been closed by the site just now: then the request is
// sent once more on a fresh one, as browsers do.
func (p *proxy) ask(cl *client, x *exchange, o order) (warc.Head, error) {
	for {
		pr, err := p.connect(cl, o)
		x.peer = pr
		if err != nil {
			return warc.Head{}, err
		}
		stale := cl.up.used && replayable(x.method)
		cl.up.used = true
		answer, err := p.send(cl, x, o)
		if err != nil && stale && len(answer.Raw) == 0 && x.request.body == 0 && p.ctx.Err() == nil {
			p.hangUp(cl)
			continue
		}
		return answer, err
	}
}

func (p *proxy) send(cl *client, x *exchange, o order) (warc.Head, error) {
	fr, err := fieldFraming(o.fields)
	if err != nil {
		return warc.Head{}, err
	}
	w := bufio.NewWriter(cl.up.conn)
	w.Write(o.raw)
	up := &copier{src: cl.br, spool: x.request, dst: w, meter: p.meter.give, keep: func() bool { return false }}
	if err := up.body(fr); err != nil && !errors.Is(err, errGone) {
		return warc.Head{}, err
	}
	return p.readHead(cl, x)
}

// readHead relays informational heads and returns the final one.
func (p *proxy) readHead(cl *client, x *exchange) (warc.Head, error) {
	for {
		h, err := warc.ReadHead(cl.up.br, maxHead)
		status, serr := h.Status()
		if err != nil && !(errors.Is(err, warc.ErrFormat) && serr == nil) {
			x.note(h.Raw)
			return h, err
		}
		if serr != nil {
			x.note(h.Raw)
			return h, serr
		}
		if status/100 == 1 && status != http.StatusSwitchingProtocols {
			x.note(h.Raw)
			cl.pass(h.Raw)
			continue
		}
		x.headed = time.Now()
		x.status, x.fields, x.upgraded = status, h.Fields, status == http.StatusSwitchingProtocols
		return h, nil
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

func (x *exchange) note(raw []byte) {
	x.interim = append(x.interim, raw[:min(len(raw), maxInterim-len(x.interim))]...)
}

// answer relays the body. When the browser leaves early (a download it will not
// save, a video it only looked at) the recording goes on to the end or to the
// budget's end, except for streams that have none.
func (p *proxy) answer(cl *client, x *exchange, h warc.Head) (again bool) {
	fr, err := responseFraming(x.method, x.status, h.Fields)
	if err != nil {
		x.fail("bad-answer", err)
		return false
	}
	c := &copier{src: cl.up.br, spool: x.response, dst: cl.bw,
		meter: func(n int) error { return p.meter.take(n, !x.endless()) },
		keep:  func() bool { return !x.endless() }}
	if err := c.body(fr); err != nil {
		p.classify(x, err)
		return false
	}
	version, _, _ := strings.Cut(h.Start, " ")
	persist := version == "HTTP/1.1" && !h.Fields.Has("Connection", "close") || h.Fields.Has("Connection", "keep-alive")
	return persist && !c.gone && (fr.chunked || fr.length != untilClose)
}

// classify says why an exchange has no answer, or only part of one.
func (p *proxy) classify(x *exchange, err error) {
	switch {
	case errors.Is(err, errBytes):
		x.cut = warc.TruncatedLength
		x.fail("byte-budget", err)
	case p.ctx.Err() != nil:
		x.cut = warc.TruncatedTime
		x.fail("unfinished", fmt.Errorf("%w: %w", errStopped, p.told(err)))
	case errors.Is(err, errGone):
		x.cut = warc.TruncatedDisconnect
		x.fail("abandoned", err)
	case errors.Is(err, warc.ErrFormat), errors.Is(err, warc.ErrLimit):
		x.cut = warc.TruncatedDisconnect
		x.fail("bad-answer", err)
	case !isFault(err) && p.dial.gone(p.ctx):
		x.cut = warc.TruncatedDisconnect
		x.fail(codeEgress, errors.New("the egress was lost before the answer was whole"))
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		x.cut = warc.TruncatedDisconnect
		x.fail("connection-closed", errors.New("the connection was reset before the answer was whole"))
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
	never := func() bool { return false }
	wg.Go(func() {
		defer p.drop(cl.up.conn) // ends the other direction
		c := &copier{src: cl.br, spool: x.request, dst: bufio.NewWriter(cl.up.conn), meter: p.meter.give, keep: never}
		_ = c.body(framing{length: untilClose}) // how a stream without an end ends tells nothing
	})
	c := &copier{src: cl.up.br, spool: x.response, dst: cl.bw, meter: func(n int) error { return p.meter.take(n, false) }, keep: never}
	if err := c.body(framing{length: untilClose}); p.ctx.Err() != nil {
		x.cut = warc.TruncatedTime
	} else if errors.Is(err, errBytes) {
		x.cut = warc.TruncatedLength
	}
	p.drop(cl.up.conn)
	cl.conn.Close()
	wg.Wait()
}
