// Package web acquires web pages with a real browser and a recording proxy.
//
// One Chromium process is kept warm; every capture gets a browser context of
// its own, whose only way out is a recording proxy of its own. The proxy keeps
// the exact bytes of both directions on disk, and who answered: resolved
// addresses, the address connected to, the TLS chain of that connection and
// what verification says of it. So the record holds what this page asked for
// and nothing else.
//
// # Objects of a capture
//
//	page.wacz         the answers: WARC 1.1 in a WACZ 1.1.1; connections and failures as metadata records
//	requests.warc.gz  the requests (restricted: cookies, form fields)
//	source.html       body of the main document, codings removed (source.pdf, source.bin … by type)
//	dom.html          the document after load and scrolling
//	text.txt          its visible text, UTF-8
//	page.mhtml        the page as one file
//	screenshot.png    the whole page; screenshot-2.png … when it is higher than 16,000 pixels, or wide
//	stamped.png       the pictures, joined, below a band with address, time and their digests
//	page.pdf          the page as it is printed
//	commands.jsonl    every command that the browser was given for it (Chrome DevTools Protocol)
//	before-consent.*  .png, .html, .txt: the page before a banner that asks for consent was answered
//	actions.json      what was pressed on the page, when, why, and what came of it
//	post.png, .txt    the post's own element, where a recipe names it
//	frames.txt        the visible text of the page's frames
//	video-1.mp4 …     a film that came in pieces (HLS, DASH), and its sounds and words, each as one file
//	film-1.mp4 …      a film that yt-dlp brought, and film-1.json, what it says of it
//
// The last six are there where there was a banner, something to press, a recipe, a frame
// with text, a film, where yt-dlp was asked for one.
//
// # Films with yt-dlp
//
// With the Options {"films":"yt-dlp"} the program of Options.Ytdlp is run for the page's
// address when the page is gone: in bounds (room confined), in a folder of its own, through
// a port of the recording proxy of its own. So what it asks is refused where the page
// would be, counts in the same budget and is in the same record, told apart; films that
// need another program to be put together come as picture and sound apart. What goes
// wrong with it is a reason, film-failed, and costs nothing else.
//
// # Sessions
//
// With a Session the browser has its cookies before it asks for anything. What gives
// access (these cookies, those that are set or sent since) is then in restricted Objects
// alone: an Object that has any of it is whole-NAME, restricted, with a copy called NAME
// in its place in which it is overwritten; page.mhtml, page.pdf, other files, and the
// pictures of a page whose text has any, are restricted without one. withheld.json lists
// it. The frames of HTTP/2 are not in the copy of page.wacz. Cookies that the site sets
// anew are not kept for the next capture.
//
// # Reasons
//
// An outcome other than complete has one or more of: dns-failed,
// connect-failed, egress-failed, tls-failed, tls-unverified, address-refused,
// connection-closed, stream-reset, bad-answer, bad-request, exchange-failed, unfinished, abandoned,
// no-answer, not-decoded, http-status, login-wall, consent-wall, bot-wall, geo-wall, not-found, navigation-failed, load-unfinished,
// page-crashed, page-failed, page-moved, frame-crashed, memory-limit, process-limit, worker-answered, browser-died,
// time-budget, byte-budget, request-budget, incomplete, scroll-failed,
// scroll-bounded, more-bounded, stream-incomplete, screenshot-clipped, source-undecoded, source-cut, title-failed,
// never-keep, never-keep-unchecked, film-failed, and ROLE-failed for a view that could not be
// made: dom, text, mhtml, screenshot, stamped, pdf. clock-differs and browser-restarted stand
// beside any outcome.
//
// # Egress
//
// With a Via the proxy resolves and connects, for every port; the Resolver is
// not asked, and Peer.Unobserved says so. What is private by its text is
// refused as ever; what a name leads to is the proxy's affair.
//
// # What is never kept
//
// Bodies of both directions are compared with the lists of the Request, as sent
// (without transfer coding) and answers also decoded, up to 1 GiB each and 4 GiB
// in all, before anything is kept; parts as what they make together. One that
// matches is overwritten in its spool; the views, but for the text, are removed,
// and the browser is replaced.
//
// # Walls, banners, buttons
//
// Rules (room rules) say whether a wall stands in place of the page or over it: a
// guess, with the rule's name in the reason. A banner that asks for consent is refused,
// or accepted where nothing refuses; buttons that give more of a page are pressed,
// at most 20. Options say otherwise: {"consent":"leave","more":"none"}. A recipe (room
// recipes) says what is particular to a site.
//
// # What the method changes
//
// Sites are spoken to in HTTP/2 or HTTP/1.1 under TLS that begins as a Chromium's
// does, and is not the browser's own. What came in parts only is asked for once
// more, whole, when the page is gone. Plain requests have their request line and
// Proxy- fields rewritten to what a browser sends directly. Windows that a page
// opens are closed, dialogs accepted, downloads refused in the browser and kept by
// the proxy. In a browser that does not paint what is beyond the window, a page that is
// larger is told, for a moment and once for each picture, of a window of 1 × 1 pixels: its
// document and text are taken before.
// All this is in Collection.Notes.
//
// With the Options [Decoded] the browser speaks TLS with sites itself, in a process
// of its own for the capture, through a proxy that only connects, where the rules
// allow it; and what it tells of its exchanges is recorded, labelled so, in the place
// of what the wire carried. docs/bundle.md says what is not kept then.
package web

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/cgroup"
	"holdfast/collectors/web/recipes"
	"holdfast/collectors/web/rules"
	"holdfast/hashing"
)

const software = "holdfast collectors/web 1"

// Defaults of a Budget.
const (
	DefaultTime     = 60 * time.Second
	DefaultBytes    = 500_000_000
	DefaultRequests = 2000
)

// Options say how a Collector works. The zero value works.
type Options struct {
	Browser  string         // path of a Chromium or Chrome. Optional: chromium, chromium-browser, google-chrome from /usr/bin.
	Dir      string         // in which the Collector makes a folder for spools and the browser's profile; several may share it, and it may stay: what killed processes left there is removed. Needs room for three times Budget.Bytes. Optional: the system's temporary folder.
	Tabs     int            // captures at once. Optional: 2.
	Recipes  string         // directory of recipes (*.json) that go before the program's own. Optional: none.
	Ytdlp    string         // path of a yt-dlp, for Requests that ask for it. Optional: none; nothing is looked for.
	Memory   int64          // that one process of the browser may take, in bytes; one that takes more is ended. Optional: DefaultMemory.
	Limits   cgroup.Limits  // of all processes of a browser together, where the system has control groups for it. Optional: DefaultTogether, DefaultProcesses.
	Resolver Resolver       // Optional: the system's, by Go's own client; what it was told is recorded then.
	Roots    *x509.CertPool // that verdicts are made with. Optional: the system's.
	Log      *slog.Logger   // Optional: none.
}

// Collector implements collectors.Collector for http and https addresses. It is
// safe for concurrent use; Close ends the browser.
type Collector struct {
	opts    Options
	cas     *interception
	rules   *rules.Rules
	recipes *recipes.Set
	work    *workdir
	slots   chan struct{}
	known   programs
	places  places

	mu       sync.Mutex
	versions map[hashing.Digest]string // of programs that were asked
	browser  *browser                  // nil until the first capture
	closed   bool
	all      sync.WaitGroup
}

var _ collectors.Collector = (*Collector)(nil)

// New returns a Collector. The browser is started by the first Collect, or by
// Warm.
func New(o Options) (*Collector, error) {
	if o.Tabs <= 0 {
		o.Tabs = 2
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.Resolver == nil {
		o.Resolver = hearing{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Browser == "" {
		o.Browser = find()
	}
	cas, err := newInterception()
	if err != nil {
		return nil, fmt.Errorf("make web collector: %w", err)
	}
	told, err := rules.Default()
	if err != nil {
		return nil, fmt.Errorf("make web collector: %w", err)
	}
	known, err := recipes.Load(o.Recipes)
	if err != nil {
		return nil, fmt.Errorf("make web collector: %w", err)
	}
	work, err := newWorkdir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("make web collector: %w", err)
	}
	return &Collector{opts: o, cas: cas, rules: told, recipes: known, work: work, slots: make(chan struct{}, o.Tabs)}, nil
}

// find looks where distributions put it. The search path is not consulted.
func find() string {
	paths := []string{"/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/usr/bin/google-chrome-stable"}
	for _, p := range paths {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return paths[0]
}

// Warm starts the browser, so that the first capture need not wait for it. It
// returns the browser's name and version. Errors: [ErrBrowser].
func (c *Collector) Warm(ctx context.Context) (string, error) {
	b, err := c.acquire(ctx)
	if err != nil {
		return "", err
	}
	defer c.release(b)
	return b.version.Product, nil
}

// Close waits for running captures, ends the browser and removes the folder. A
// second call does nothing.
func (c *Collector) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.all.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.browser != nil {
		c.browser.close()
		c.browser = nil
	}
	c.work.remove()
	return nil
}

var errClosed = errors.New("web collector is closed")

// acquire gives the running browser, or starts one. It holds the lock while the
// browser starts: others would only wait for it too.
func (c *Collector) acquire(ctx context.Context) (*browser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if b := c.browser; b != nil && (!b.alive() || b.uses >= recycleAfter) {
		c.condemn(b)
	}
	if c.browser == nil {
		b, err := start(ctx, c.launching())
		if err != nil {
			return nil, err
		}
		c.opts.Log.InfoContext(ctx, "browser started", "version", b.version.Product, "pid", b.cmd.Process.Pid)
		c.browser = b
	}
	c.browser.users++
	c.browser.uses++
	c.all.Add(1)
	return c.browser, nil
}

func (c *Collector) release(b *browser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.users--
	if b.users == 0 && b.condemned {
		b.close()
	}
	c.all.Done()
}

// retire ends b with its last capture, at once if this is the last.
func (c *Collector) retire(b *browser) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.browser == b {
		c.condemn(b)
	}
}

// condemn takes b out of use; it ends with its last capture. The lock is held.
func (c *Collector) condemn(b *browser) {
	c.browser, b.condemned = nil, true
	if b.users == 0 {
		b.close()
	}
}

// Collect implements collectors.Collector. Besides its errors: [ErrBrowser]
// when there is no browser to try with.
func (c *Collector) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	address, err := checkSource(req.Source)
	if err != nil {
		return nil, err
	}
	if _, err := readOptions(req); err != nil {
		return nil, err
	}
	req.Budget = withDefaults(req.Budget)
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("capture %.200q: %w", req.Source, context.Cause(ctx))
	}
	a, died, err := c.once(ctx, req, address, keep, nil)
	if errors.Is(err, errDead) && died != nil && ctx.Err() == nil {
		c.opts.Log.WarnContext(ctx, "browser died, trying once more", "source", req.Source)
		// A new browser, a new record: of the first nothing is mixed in, but told.
		a, _, err = c.once(ctx, req, address, keep, died)
	}
	if err != nil {
		return nil, fmt.Errorf("capture %.200q: %w", req.Source, err)
	}
	return a, nil
}

func withDefaults(b collectors.Budget) collectors.Budget {
	if b.Time <= 0 {
		b.Time = DefaultTime
	}
	if b.Bytes <= 0 {
		b.Bytes = DefaultBytes
	}
	if b.Requests <= 0 {
		b.Requests = DefaultRequests
	}
	return b
}
