package web

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
	"holdfast/warc"
)

// labelDecoded is said of each record of an exchange that the browser told of. What the
// wire carried is not in it: neither codings nor framing, nor fields that the browser keeps
// to itself.
const labelDecoded = "decoded by the browser"

// maxDecoded bounds one body that is asked of the browser, which holds it meanwhile.
const maxDecoded = 128 << 20

// decoder records exchanges over TLS as the browser tells of them, in the place of a proxy
// that looks into TLS. It stops each request twice: before it is sent, to hold it against
// the budget, and when its answer begins, to ask for the body; the browser goes on when it
// has it. Its methods may be called at once.
type decoder struct {
	p      *proxy
	s      session // the browser's own
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	closed bool
	open   map[string]*exchange // asked, not answered yet
	facts  map[string]*secured  // by origin
}

// newDecoder is for a browser that nobody else uses. It sees nothing before it begins.
func newDecoder(b *browser, p *proxy, log *commandLog) *decoder {
	d := &decoder{p: p, open: map[string]*exchange{}, facts: map[string]*secured{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.s = session{link: b.link, ctx: d.ctx, log: log}
	b.mu.Lock()
	b.decoder = d
	b.mu.Unlock()
	return d
}

// start has the browser tell of its exchanges.
func (d *decoder) start() error {
	err := proto.FetchEnable{Patterns: []*proto.FetchRequestPattern{
		{URLPattern: "https://*", RequestStage: proto.FetchRequestStageRequest},
		{URLPattern: "https://*", RequestStage: proto.FetchRequestStageResponse},
	}}.Call(d.s)
	if err != nil {
		d.cancel()
		return fmt.Errorf("ask the browser for its exchanges: %w", err)
	}
	return nil
}

// event runs on the link's goroutine and must not wait.
func (d *decoder) event(params json.RawMessage) {
	var e proto.FetchRequestPaused
	if json.Unmarshal(params, &e) != nil || e.Request == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	d.wg.Go(func() {
		if e.ResponseStatusCode == nil && e.ResponseErrorReason == "" {
			d.asked(e)
		} else {
			d.answered(e)
		}
	})
}

func (d *decoder) begin(e proto.FetchRequestPaused) (*exchange, error) {
	x, err := d.p.begin(nil, e.Request.Method, withoutFragment(e.Request.URL))
	if err != nil {
		return nil, err
	}
	x.label = labelDecoded
	x.visit = e.ResourceType == proto.NetworkResourceTypeDocument
	x.peer = &peer{host: siteOf(x.url)}
	x.request.begin(requestHead(e.Request))
	for _, b := range postOf(e.Request) {
		x.request.content(b)
	}
	return x, nil
}

func (d *decoder) asked(e proto.FetchRequestPaused) {
	x, err := d.begin(e)
	if err != nil {
		d.s.tell(proto.FetchFailRequest{RequestID: e.RequestID, ErrorReason: proto.NetworkErrorReasonBlockedByClient})
		return
	}
	d.mu.Lock()
	closed := d.closed
	if !closed {
		d.open[string(e.RequestID)] = x
	}
	d.mu.Unlock()
	if closed {
		d.cut(x)
		return
	}
	d.s.tell(proto.FetchContinueRequest{RequestID: e.RequestID})
}

// answered keeps what came, and lets the browser go on.
func (d *decoder) answered(e proto.FetchRequestPaused) {
	defer d.s.tell(proto.FetchContinueRequest{RequestID: e.RequestID})
	d.mu.Lock()
	x := d.open[string(e.RequestID)]
	delete(d.open, string(e.RequestID))
	d.mu.Unlock()
	if x == nil {
		var err error
		if x, err = d.begin(e); err != nil {
			return
		}
	}
	var why *fault
	if x.peer, why = d.p.blind.of(siteOf(x.url)); e.ResponseErrorReason != "" {
		if x.fault = why; why == nil {
			x.fail("exchange-failed", fmt.Errorf("the browser says %s", clean(string(e.ResponseErrorReason))))
		}
	} else if err := d.answer(x, e); err != nil && d.ctx.Err() != nil {
		x.cut = warc.TruncatedTime
		x.fail("unfinished", fmt.Errorf("%w: its content was not whole", errStopped))
	} else if err != nil {
		x.cut = cmp.Or(x.cut, warc.TruncatedUnspecified)
		x.fail("exchange-failed", fmt.Errorf("the browser does not give the body: %w", err))
	}
	d.p.finish(x, true)
}

// answer records head and body.
func (d *decoder) answer(x *exchange, e proto.FetchRequestPaused) (err error) {
	if x.response, err = newSpool(d.p.dir, collectors.WatchAll(d.p.lists)); err != nil {
		x.fail(codeSpool, err)
		return nil
	}
	x.headed, x.status = time.Now(), *e.ResponseStatusCode
	raw, fields := answerHead(e)
	x.fields = fields
	var body *os.File
	if size, kept := d.hasBody(x, e); kept {
		if body, err = d.body(e.RequestID); body != nil {
			defer os.Remove(body.Name())
			defer body.Close()
		}
	} else if size != 0 && x.redirects() {
		x.cut = warc.TruncatedUnspecified
	} else if size != 0 {
		x.cut = warc.TruncatedLength
		x.fail("not-decoded", errors.New("its content is not kept in this mode: a stream without an end, or more than the browser is asked for"))
	}
	n := int64(0)
	if body != nil {
		if n, err = io.Copy(io.Discard, body); err == nil {
			_, err = body.Seek(0, io.SeekStart)
		}
	}
	if err == nil && x.cut == "" && !bodyless(x.method, x.status) {
		raw = fmt.Appendf(raw, "Content-Length: %d\r\n", n)
	}
	x.response.begin(append(raw, "\r\n"...))
	if body != nil && err == nil {
		_, err = io.Copy(contentOf{x.response}, body)
	}
	return err
}

// hasBody says whether the browser is asked for the content of an answer, and its size, -1
// if that is not known. The browser gives none of redirects.
func (d *decoder) hasBody(x *exchange, e proto.FetchRequestPaused) (int64, bool) {
	if bodyless(x.method, x.status) {
		return 0, false
	}
	size := int64(-1)
	for _, h := range e.ResponseHeaders {
		if n, err := strconv.ParseInt(h.Value, 10, 64); err == nil && strings.EqualFold(h.Name, "Content-Length") {
			size = n
		}
	}
	return size, size <= maxDecoded && !x.redirects() && !x.endless() && x.mime() != "multipart/x-mixed-replace"
}

func (x *exchange) redirects() bool { return x.status/100 == 3 && x.fields.Get("Location") != "" }

// body asks the browser for the content of an answer, without its codings; it goes to a file.
func (d *decoder) body(id proto.FetchRequestID) (_ *os.File, err error) {
	m, err := d.s.ask(d.ctx, proto.FetchGetResponseBody{}.ProtoReq(), proto.FetchGetResponseBody{RequestID: id})
	if err != nil {
		return nil, err
	}
	defer m.remove()
	if m.over {
		return nil, errOver
	}
	out, err := os.CreateTemp(d.p.dir, "body-*")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	defer func() {
		if err != nil {
			out.Close()
			os.Remove(out.Name())
		}
	}()
	if m.file == "" {
		b, err := result("Fetch.getResponseBody", m.json)
		if err != nil {
			return nil, err
		}
		var r proto.FetchGetResponseBodyResult
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, err
		}
		text := io.Reader(strings.NewReader(r.Body))
		if r.Base64Encoded {
			text = base64.NewDecoder(base64.StdEncoding, text)
		}
		_, err = io.Copy(out, text)
		return rewound(out, err)
	}
	in, err := os.Open(m.file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, to := io.Pipe()
	go func() { to.CloseWithError(jsonString(in, "body", to)) }()
	defer text.Close()
	_, err = io.Copy(out, base64.NewDecoder(base64.StdEncoding, text)) // Chromium gives bodies in base64
	return rewound(out, err)
}

func rewound(f *os.File, err error) (*os.File, error) {
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return f, err
}

// contentOf writes to the content of a spool.
type contentOf struct{ s *spool }

func (c contentOf) Write(b []byte) (int, error) {
	c.s.content(b)
	return len(b), c.s.err
}

// stop ends recording. What the browser has not told the end of is recorded as cut. Then
// the proxy may be closed.
func (d *decoder) stop() {
	d.mu.Lock()
	d.closed = true
	left := d.open
	d.open = map[string]*exchange{}
	d.mu.Unlock()
	d.cancel()
	d.wg.Wait()
	for _, x := range left {
		d.cut(x)
	}
	for pr, f := range d.p.blind.untold() {
		if x, err := d.p.begin(nil, http.MethodConnect, "https://"+pr.host+"/"); err == nil {
			x.fault, x.peer = f, pr
			d.p.finish(x, true)
		}
	}
}

func (d *decoder) cut(x *exchange) {
	x.peer, _ = d.p.blind.of(siteOf(x.url))
	x.cut = warc.TruncatedTime
	x.fail("unfinished", errStopped)
	d.p.finish(x, x.response == nil) // a WebSocket does not count as active
}

// requestHead is a request as the browser tells it, in the form of HTTP/1.1.
func requestHead(r *proto.NetworkRequest) []byte {
	u, err := url.Parse(r.URL)
	if err != nil {
		u = &url.URL{Path: "/"}
	}
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\n", oneLine(r.Method), oneLine(u.RequestURI()), oneLine(u.Host))
	for _, name := range slices.Sorted(maps.Keys(r.Headers)) {
		if !strings.EqualFold(name, "Host") {
			b = fmt.Appendf(b, "%s: %s\r\n", oneLine(name), oneLine(r.Headers[name].Str()))
		}
	}
	return append(b, "\r\n"...)
}

func postOf(r *proto.NetworkRequest) (out [][]byte) {
	for _, e := range r.PostDataEntries {
		out = append(out, e.Bytes)
	}
	if out == nil && r.PostData != "" {
		out = [][]byte{[]byte(r.PostData)}
	}
	return out
}

// answerHead is the head of an answer without its end, with the fields that are about the
// wire set aside: the content that follows is decoded.
func answerHead(e proto.FetchRequestPaused) ([]byte, warc.Fields) {
	text := e.ResponseStatusText
	if text == "" {
		text = http.StatusText(*e.ResponseStatusCode)
	}
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", *e.ResponseStatusCode, oneLine(text))
	var fields warc.Fields
	for _, h := range e.ResponseHeaders {
		name := oneLine(h.Name)
		switch strings.ToLower(name) {
		case "content-encoding", "content-length", "transfer-encoding":
			name = "X-Orig-" + name
		}
		// One field may have several values, a line each: Set-Cookie.
		for value := range strings.SplitSeq(h.Value, "\n") {
			f := warc.Field{Name: name, Value: oneLine(value)}
			fields = append(fields, f)
			b = fmt.Appendf(b, "%s: %s\r\n", f.Name, f.Value)
		}
	}
	return b, fields
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, s)
}

func withoutFragment(address string) string {
	address, _, _ = strings.Cut(address, "#")
	return address
}

// siteOf is host and port of an address.
func siteOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
}
