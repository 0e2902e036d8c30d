package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
)

// tab is one page in a browser context of its own: own cookies, own cache, own
// proxy. Its fields below mu are filled by the browser's events.
type tab struct {
	b       *browser
	session session
	context proto.BrowserBrowserContextID
	target  proto.TargetTargetID
	manner  manner

	attached map[proto.TargetTargetID]session // frames with a process of their own that were looked at
	log      *commandLog
	opened   time.Time
	resized  bool // told of a window of 1 × 1 pixels, for a picture

	decoder *decoder // nil: the proxy sees for itself

	mu           sync.Mutex
	hops         []collectors.Hop       // on the way to the document
	ahead        []collectors.Hop       // since then, on a way that may lead nowhere: a download, an answer that does not come
	unlisted     int                    // hops beyond maxHops
	current      string                 // address of the main document asked for last
	loader       proto.NetworkRequestID // its request
	document     string                 // address of the committed main document; "" for none or an error page
	moves        int                    // how often another document, or an error page, was committed
	loaded       chan struct{}          // closed at the first load event after a commit
	crashed      chan struct{}          // closed when the page's process is gone: send it nothing more
	dialogs      int
	furnishing   bool // the window beside it is ours: see furnish
	popups       int
	crashes      int                    // frames, and other targets of this page, whose process crashed
	crashedFrame string                 // address of the first
	overMemory   string                 // why the process of the page, or of one of those, was ended
	worked       proto.NetworkRequestID // of a main document that a service worker answered
	madeUp       bool                   // the document that is shown is such a one
	workers      int                    // other answers that a service worker gave
	waiting      map[proto.NetworkRequestID]wanted
	blocked      []collectors.Miss
	unnoted      int // blocked beyond maxBlocked, or beyond maxWaiting
}

// wanted is what the page waits for.
type wanted struct {
	url    string
	stream bool // without an end
}

const (
	maxHops    = 50
	maxWaiting = 5000
	maxBlocked = 500
)

// openTab makes the context and the page. On error everything is undone. What the
// browser is told is noted in log.
func (b *browser) openTab(ctx context.Context, proxyURL string, log *commandLog) (_ *tab, err error) {
	top := session{link: b.link, ctx: ctx, log: log}
	c, err := proto.TargetCreateBrowserContext{DisposeOnDetach: true, ProxyServer: proxyURL, ProxyBypassList: "<-loopback>"}.Call(top)
	if err != nil {
		return nil, fmt.Errorf("open page: %w", err)
	}
	t := &tab{b: b, decoder: b.decoding(), context: c.BrowserContextID, log: log, opened: time.Now(), loaded: make(chan struct{}), crashed: make(chan struct{}),
		waiting: map[proto.NetworkRequestID]wanted{}}
	defer func() {
		if err != nil {
			t.close()
		}
	}()
	w, h := viewWidth, viewHeight
	target, err := proto.TargetCreateTarget{URL: "about:blank", BrowserContextID: t.context, Width: &w, Height: &h}.Call(top)
	if err != nil {
		return nil, fmt.Errorf("open page: %w", err)
	}
	t.target = target.TargetID
	at, err := proto.TargetAttachToTarget{TargetID: t.target, Flatten: true}.Call(top)
	if err != nil {
		return nil, fmt.Errorf("open page: %w", err)
	}
	t.session = session{link: b.link, id: string(at.SessionID), ctx: ctx, log: log}
	b.handle(t.session.id, t.event)
	b.mu.Lock()
	b.tabs[t.context] = t
	b.mu.Unlock()
	return t, t.prepare(top)
}

func (t *tab) prepare(top session) error {
	kb, w, h := 1<<10, viewWidth, viewHeight // the screen as large as the window: without it, a page sees one that is smaller
	top.tell(proto.BrowserSetDownloadBehavior{Behavior: proto.BrowserSetDownloadBehaviorBehaviorDeny, BrowserContextID: t.context})
	err := t.session.all(proto.PageEnable{}, proto.InspectorEnable{},
		proto.NetworkEnable{MaxTotalBufferSize: &kb, MaxResourceBufferSize: &kb}, // the proxy keeps the bodies
		proto.EmulationSetDeviceMetricsOverride{Width: viewWidth, Height: viewHeight, DeviceScaleFactor: viewScale, ScreenWidth: &w, ScreenHeight: &h})
	if err != nil {
		return fmt.Errorf("open page: %w", err)
	}
	// What nobody looks at is not composed: the page has its window as ever, and pictures
	// are of the size that they ask for. A browser that cannot do it composes all.
	t.session.tell(proto.EmulationSetVisibleSize{Width: seenSide, Height: seenSide})
	return nil
}

// seenSide is how much of the window is composed while nobody looks, in pixels each way.
const seenSide = 16

// close throws the context away; it says nothing to the page, which may be gone.
func (t *tab) close() {
	t.b.mu.Lock()
	delete(t.b.tabs, t.context)
	t.b.mu.Unlock()
	if t.session.id != "" {
		t.b.handle(t.session.id, nil)
	}
	t.top(context.Background()).tell(proto.TargetDisposeBrowserContext{BrowserContextID: t.context})
}

// top speaks to the browser on behalf of the page.
func (t *tab) top(ctx context.Context) session { return session{link: t.b.link, ctx: ctx, log: t.log} }

func (t *tab) saw(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// event runs on the link's goroutine and must not wait.
func (t *tab) event(method string, params json.RawMessage) {
	if t.decoder != nil {
		t.decoder.network(method, params)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch method {
	case "Network.requestWillBeSent":
		t.requested(params)
	case "Network.responseReceived":
		t.answered(params)
	case "Network.loadingFailed", "Network.loadingFinished":
		t.ended(params)
	case "Page.frameNavigated":
		t.navigated(params)
	case "Page.loadEventFired":
		if t.document != "" {
			closeOnce(t.loaded)
		}
	case "Page.javascriptDialogOpening":
		t.dialogs++
		t.session.tell(proto.PageHandleJavaScriptDialog{Accept: true})
	case "Inspector.targetCrashed":
		if why := t.b.whyStopped(t.opened); why != "" { // its status comes when the page may be closed already
			t.overMemory = why
		}
		closeOnce(t.crashed)
	}
}

// requested follows the main document through redirects and through the
// page's own moves; for the rest it remembers the address until it fails.
func (t *tab) requested(params json.RawMessage) {
	var e struct {
		RequestID, LoaderID, FrameID, Type, DocumentURL string
		Request                                         struct{ URL string }
		RedirectResponse                                *struct {
			URL    string
			Status int
		}
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	if e.Type != "Document" || e.FrameID != string(t.target) {
		if len(t.waiting) < maxWaiting {
			t.waiting[proto.NetworkRequestID(e.RequestID)] = wanted{clean(e.Request.URL), e.Type == "EventSource"}
		}
		return
	}
	switch {
	case e.RedirectResponse != nil:
		t.hop(e.RedirectResponse.URL, e.RedirectResponse.Status)
	case t.document != "":
		t.ahead = nil // what it asked for before did not become a document
		t.hop(t.document, 0)
	case t.current != "":
		t.hop(t.current, 0)
	}
	t.current, t.loader = e.Request.URL, proto.NetworkRequestID(e.RequestID)
}

// answered notes what a service worker of the page's answered: that did not come from the
// server at that moment, and need never have.
func (t *tab) answered(params json.RawMessage) {
	var e struct {
		RequestID, FrameID, Type string
		Response                 struct{ FromServiceWorker bool }
	}
	if json.Unmarshal(params, &e) != nil || !e.Response.FromServiceWorker {
		return
	}
	if e.Type == "Document" && e.FrameID == string(t.target) {
		t.worked = proto.NetworkRequestID(e.RequestID)
		return
	}
	t.workers++
}

// expects counts what the page still waits for, as the browser sees it: also
// what it has not sent yet.
func (t *tab) expects() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.waiting {
		if !w.stream {
			n++
		}
	}
	return n
}

func (t *tab) hop(url string, status int) {
	if len(t.hops)+len(t.ahead) >= maxHops {
		t.unlisted++
		return
	}
	t.ahead = append(t.ahead, collectors.Hop{URL: clean(url), Status: status})
}

// way is how the page came to where it is; to where it wanted if it shows nothing.
func (t *tab) way() []collectors.Hop {
	if t.document == "" {
		return slices.Concat(t.hops, t.ahead)
	}
	return slices.Clone(t.hops)
}

// ended notes what the browser itself would not load: mixed content, a content
// security policy. The proxy never saw those.
func (t *tab) ended(params json.RawMessage) {
	var e struct {
		RequestID     proto.NetworkRequestID
		BlockedReason string
	}
	if json.Unmarshal(params, &e) != nil {
		return
	}
	w, known := t.waiting[e.RequestID]
	delete(t.waiting, e.RequestID)
	switch {
	case e.BlockedReason == "" || e.RequestID == t.loader: // the document itself is told of by the navigation
	case !known || len(t.blocked) >= maxBlocked:
		t.unnoted++
	default:
		t.blocked = append(t.blocked, collectors.Miss{Kind: collectors.MissBlocked, URL: w.url, Why: "browser: " + clean(e.BlockedReason)})
	}
}

func (t *tab) navigated(params json.RawMessage) {
	var e struct {
		Frame struct{ ID, LoaderID, ParentID, URL, UnreachableURL string }
	}
	if json.Unmarshal(params, &e) != nil || e.Frame.ParentID != "" || e.Frame.ID != string(t.target) {
		return
	}
	t.moves++
	if e.Frame.UnreachableURL != "" || e.Frame.URL == "about:blank" {
		t.document = "" // the browser's own error page is no evidence
		return
	}
	t.document = e.Frame.URL
	t.madeUp = t.worked != "" && string(t.worked) == e.Frame.LoaderID
	t.hops, t.ahead = append(t.hops, t.ahead...), nil
}

func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// clean makes text from outside valid and bounds it.
func clean(s string) string {
	const most = 4096
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// sameAddress compares two addresses without their fragments, which are never
// sent.
func sameAddress(a, b string) bool {
	a, _, _ = strings.Cut(a, "#")
	b, _, _ = strings.Cut(b, "#")
	return a == b
}

// checkSource refuses what is no web address. The parse is ours and the
// browser's may differ; so the address that goes to the browser is the one
// parsed here, and where it leads is judged when it is dialled.
func checkSource(source string) (string, error) {
	u, err := url.Parse(source)
	if err != nil {
		return "", fmt.Errorf("read address %.200q: %w", source, collectors.ErrRefused)
	}
	switch {
	case u.Scheme == "":
		return "", fmt.Errorf("read address %.200q: no scheme, write https://%.200s: %w", source, source, collectors.ErrRefused)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("read address %.200q: only http and https are captured: %w", source, collectors.ErrRefused)
	case u.Hostname() == "" || u.Opaque != "":
		return "", fmt.Errorf("read address %.200q: no host: %w", source, collectors.ErrRefused)
	case u.User != nil:
		return "", fmt.Errorf("read address with a name and password in it: they would be recorded: %w", collectors.ErrRefused)
	case len(source) > 8192 || strings.ContainsFunc(source, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", fmt.Errorf("read address: control characters or more than 8,192 bytes: %w", collectors.ErrRefused)
	}
	return u.String(), nil
}
