package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/warc"
)

// acquired says what came of the visit and hands the bytes over.
func (x *capture) acquired(ctx context.Context, keep collectors.Keeper) (*collectors.Acquired, error) {
	if err := x.browser.program.wait(ctx); err != nil {
		return nil, err
	}
	a := &collectors.Acquired{Started: x.started, Collection: x.collection(), Reasons: x.view.reasons}
	main := x.mainAnswer()
	a.Address = x.whereabouts(main)
	a.Collection.Peer = facts(x.mainPeer(main))
	if main != nil && main.h2 {
		a.Collection.Protocols = []string{protoH2}
	}
	if main != nil && main.label != "" {
		a.Collection.Protocols, a.Collection.Peer.TLS = x.decoder.spoke(main.url)
	}
	if p := x.mainPeer(main); p.tls != nil {
		a.Collection.Protocols = append(a.Collection.Protocols, tlsProtocol(p.tls.Version))
	}
	if n := x.rec.heal(); n > 0 {
		a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("%d requests failed and were answered when the browser asked again.", n))
	}
	if n := x.rec.wholes; n > 0 {
		a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("Of %d addresses the page asked for parts only: the whole was asked for once more, after the page, with its own request but without Range, and %d came; these are no exchanges of the page.", n, x.rec.wholesCame))
	}
	a.Completeness = x.rec.count
	a.Completeness.Bytes = x.meter.received()
	x.fromTab(a)
	a.Collection.Servers = x.rec.clock.servers()
	if len(x.rec.taken) > 0 {
		if err := x.dropViews(); err != nil {
			return nil, err
		}
	}
	if err := x.stamp(); err != nil {
		return nil, err
	}
	a.Reasons, a.Again = x.view.reasons, againAt(main)
	files, err := x.files(a, main)
	if err != nil {
		return nil, err
	}
	x.judge(a, main)
	if x.redaction != nil {
		x.redaction.text(a)
	}
	if err := x.keep(ctx, a, files, keep); err != nil {
		return nil, err
	}
	a.Ended = time.Now()
	return a, nil
}

// mainAnswer is the exchange that gave the main document: the last visit to the
// address that the page came to. A page's script may ask for the same address
// again; that is no visit.
func (x *capture) mainAnswer() *exchange {
	address := x.current()
	var found *exchange
	for _, e := range x.rec.exchanges {
		if sameAddress(e.url, address) && !e.own && (found == nil || e.visit && !found.visit || e.visit == found.visit && e.number > found.number) {
			found = e
		}
	}
	return found
}

// current is where the page is: the address of the document that is shown, even
// if it has asked for another since; with none, what was asked for last.
func (x *capture) current() string {
	if x.tab == nil {
		return x.address
	}
	x.tab.mu.Lock()
	defer x.tab.mu.Unlock()
	return cmp.Or(x.tab.document, x.tab.current, x.address)
}

// mainPeer falls back to the failed attempt at the page's host.
func (x *capture) mainPeer(main *exchange) *peer {
	if main != nil {
		return main.peer
	}
	if f := x.mainFailure(); f != nil {
		return f.peer
	}
	return &peer{}
}

func (x *capture) mainFailure() *exchange {
	address := x.current()
	for _, e := range slices.Backward(x.rec.failures) {
		if e.own {
			continue
		}
		if sameAddress(e.url, address) || e.method == "CONNECT" && strings.HasPrefix(address, bareOrigin(e.url)+"/") {
			return e
		}
	}
	return nil
}

// bareOrigin is the origin of an attempted tunnel as addresses write it.
func bareOrigin(url string) string {
	return strings.TrimSuffix(strings.TrimSuffix(url, "/"), ":443")
}

func (x *capture) whereabouts(main *exchange) collectors.Address {
	addr := collectors.Address{Asked: x.req.Source}
	if x.tab != nil {
		x.tab.mu.Lock()
		addr.Redirects = x.tab.way()
		if main != nil {
			addr.Final = clean(x.tab.document)
		}
		x.tab.mu.Unlock()
	}
	if main != nil && addr.Final == "" {
		addr.Final = clean(main.url) // answered, but nothing to show: a download
	}
	return addr
}

func (x *capture) collection() collectors.Collection {
	c := collectors.Collection{
		Software: software, Browser: x.browser.version.Product, UserAgent: x.browser.version.UserAgent,
		BrowserDigest: x.browser.program.digest, Flags: slices.Clone(x.browser.program.flags), Viewport: fmt.Sprintf("%dx%d", viewWidth, viewHeight), Locale: locale, Timezone: timezone,
		Egress: x.req.Via.Label(), Protocols: []string{"http/1.1"},
		Notes: []string{
			"A recording proxy stood between browser and site: the site saw TLS as a Chromium 133 begins it, or Go's where it refused that, and HTTP/2 or HTTP/1.1 as each record says; neither is the browser's own.",
			"Over HTTP/2 a request has the browser's fields, their names in lower case, without those of a connection; the frames that were sent are kept.",
			"The browser accepted the proxy's certificates by a pinned key; the site's own certificates were verified by the proxy without revocation, and accepted whatever the verdict.",
			"Plain requests had request line and Proxy- fields rewritten to the form sent directly; nothing else was changed.",
			"The browser said that it is automated: HeadlessChrome in its user agent, navigator.webdriver true.",
			"Dialogs were accepted, new windows closed, downloads refused in the browser and recorded by the proxy.",
			fmt.Sprintf("The window had %d x %d CSS pixels at a device scale of %d; language %s, time zone %s.", viewWidth, viewHeight, viewScale, locale, timezone),
			"The page was scrolled to its end, within bounds, and back before it was looked at.",
		},
	}
	if x.options.Decoded {
		c.Notes = slices.Concat([]string{
			"The browser spoke with sites over TLS itself, in the words of its own; a proxy that does not look into TLS connected, by the rules for private addresses.",
			"Records with the field Holdfast-Label have what the browser told of an exchange: content without codings, no framing, of a request the fields that it tells; what the wire carried was not seen.",
			"Not kept of such exchanges: redirects' content, streams without an end, content of more than 128 MiB, WebSockets of workers and of frames of other sites, what of the connection the browser does not tell (OCSP, SCTs).",
			"The browser had each answer when its content was whole, not before.",
		}, c.Notes[3:])
	}
	if x.req.Via != nil {
		c.Notes = append(c.Notes, "The capture went through an egress, which resolved the names and connected: the addresses of the site and its DNS were not observed by the node.")
	}
	c.Notes = append(c.Notes, x.browser.program.notes()...)
	if isRoot() {
		c.Notes = append(c.Notes, "The browser ran without its sandbox because the collector ran as root.")
	}
	return c
}

func facts(p *peer) collectors.Peer {
	f := collectors.Peer{Host: clean(p.host), Resolved: p.resolved, Unobserved: p.unobserved}
	if p.address.IsValid() {
		f.Address = p.address.String()
	}
	if t := p.tls; t != nil && len(t.PeerCertificates) > 0 {
		leaf := t.PeerCertificates[0]
		f.TLS = &collectors.TLS{Version: tls.VersionName(t.Version), Cipher: tls.CipherSuiteName(t.CipherSuite), Chain: p.chainDigests(),
			Subject: clean(leaf.Subject.String()), Issuer: clean(leaf.Issuer.String()), NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
			Verified: p.verdict == "ok", Verdict: clean(p.verdict)}
	}
	return f
}

// fromTab adds what only the browser knew.
func (x *capture) fromTab(a *collectors.Acquired) {
	if x.tab == nil {
		return
	}
	x.tab.mu.Lock()
	defer x.tab.mu.Unlock()
	a.Completeness.Blocked += len(x.tab.blocked) + x.tab.unnoted
	a.Completeness.Cut = a.Completeness.Cut || x.tab.unnoted > 0
	for _, m := range x.tab.blocked {
		if len(a.Completeness.Missing) >= maxNoted {
			a.Completeness.Cut = true
			break
		}
		a.Completeness.Missing = append(a.Completeness.Missing, m)
	}
	if x.tab.dialogs > 0 {
		a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("%d dialogs of the page were accepted.", x.tab.dialogs))
	}
	if x.tab.unlisted > 0 {
		a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("The page moved on more often than is listed: the first %d redirects are, %d more are not.", maxHops, x.tab.unlisted))
	}
	if x.tab.workers > 0 {
		a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("%d answers to the page came from a service worker of the site in the browser; what that asked the server for is recorded, what it made up is in no record.", x.tab.workers))
	}
	if x.tab.resized {
		a.Collection.Notes = append(a.Collection.Notes, "For each picture beyond its window the browser told the page, for a moment, of a window of 1 × 1 pixels; its document and text were taken before.")
	}
	if x.tab.popups > 0 {
		a.Collection.Notes = append(a.Collection.Notes, fmt.Sprintf("%d windows that the page opened were closed.", x.tab.popups))
	}
}

// judge sets the outcome. Failed: the address gave no document. Partial: it
// did, and something is missing or must be known.
func (x *capture) judge(a *collectors.Acquired, main *exchange) {
	because := func(code, detail string) {
		a.Reasons = append(a.Reasons, collectors.Reason{Code: code, Detail: clean(detail)})
	}
	walls := x.walls(main)
	failed := main == nil || main.status >= 400 || !x.view.committed && (main.status/100 == 3 || main.fault != nil && main.fault.code == "bad-answer")
	switch f := x.mainFailure(); {
	case main == nil && f != nil:
		// What the browser says of it is only that the proxy hung up.
		a.Reasons = slices.DeleteFunc(a.Reasons, func(r collectors.Reason) bool { return r.Code == codeNavigation })
		because(f.fault.code, f.fault.err.Error())
	case main == nil && len(a.Reasons) == 0 && x.rec.refused == nil:
		because("no-answer", "nothing came from the address")
	case main != nil && main.fault != nil:
		because(main.fault.code, main.fault.err.Error())
	}
	if r := x.rec.refused; r != nil && !slices.ContainsFunc(a.Reasons, func(o collectors.Reason) bool { return o.Code == r.code }) {
		because(r.code, r.err.Error())
	}
	if main != nil && main.status >= 400 {
		code := "http-status"
		if (main.status == 401 || main.status == 403) && len(walls) == 0 {
			code = "login-wall"
		}
		detail := fmt.Sprintf("the answer's status is %d", main.status)
		if !a.Again.IsZero() {
			detail += ", and the site asks to be left alone until " + a.Again.UTC().Format(time.RFC3339)
		}
		because(code, detail)
	}
	if main != nil && x.loginWall() {
		because("login-wall", "the page led to a login form")
	}
	x.judgeWalls(a, walls)
	if t := a.Collection.Peer.TLS; t != nil && !t.Verified {
		because("tls-unverified", t.Verdict)
	}
	x.judgeLists(because)
	x.judgeFrames(because)
	if x.rec.lost > 0 && main != nil && main.fault == nil {
		because(codeEgress, fmt.Sprintf("the egress did not carry %d of %d requests; none went another way", x.rec.lost, x.rec.count.Requests))
	}
	// What the browser itself would not load (a security policy of the page) is
	// how the page is for everyone: counted, but nothing is missing.
	if n := x.rec.count; n.Failed+n.Truncated+n.Blocked > 0 && main != nil {
		because("incomplete", fmt.Sprintf("%d failed, %d truncated, %d blocked of %d requests", n.Failed, n.Truncated, n.Blocked, n.Requests))
	}
	a.Outcome = collectors.Complete
	if len(a.Reasons) > 0 {
		a.Outcome = collectors.Partial
	}
	if failed {
		a.Outcome = collectors.Failed
	}
	// A second attempt is a whole one, and the node's clock takes nothing from
	// what came: a reader is told, the outcome stays.
	if x.before != nil {
		because("browser-restarted", x.before.String())
	}
	if s := a.Collection.Servers; s.Ahead.Abs() > clockLimit {
		because("clock-differs", s.String())
	}
}

// judgeLists says what was not kept, and what could not be looked at.
func (x *capture) judgeLists(because func(code, detail string)) {
	for _, list := range slices.Sorted(maps.Keys(x.rec.taken)) {
		because(codeNeverKeep, fmt.Sprintf("%d bodies are on list %s: they are not kept, nor pictures, MHTML and DOM of the page", x.rec.taken[list], list))
	}
	if x.rec.unchecked > 0 {
		because("never-keep-unchecked", fmt.Sprintf("%d bodies were compared as sent only", x.rec.unchecked))
	}
}

// judgeFrames says of which frames of other sites the process crashed: the page
// showed a hole there, though all that it had asked for may have come.
func (x *capture) judgeFrames(because func(code, detail string)) {
	if x.tab == nil {
		return
	}
	x.tab.mu.Lock()
	defer x.tab.mu.Unlock()
	if x.tab.madeUp {
		because("worker-answered", "the document that is shown came from a service worker of the page; source.html is the server's last answer to that address")
	}
	if why := x.tab.overMemory; why != "" {
		because("memory-limit", why+", above the limit, and was ended")
	}
	if n := x.tab.crashes; n > 0 {
		because("frame-crashed", fmt.Sprintf("the processes of %d frames crashed; the first was of %s", n, x.tab.crashedFrame))
	}
}

// loginWall guesses: the address moved to one that speaks of logging in.
func (x *capture) loginWall() bool {
	now := strings.ToLower(x.current())
	if sameAddress(now, strings.ToLower(x.address)) {
		return false
	}
	for _, mark := range []string{"/login", "/signin", "/sign-in", "/log-in", "/sso/", "/oauth", "/auth/"} {
		if strings.Contains(now, mark) && !strings.Contains(strings.ToLower(x.address), mark) {
			return true
		}
	}
	return false
}

// files makes the archive and the source, and lists all Objects to be.
func (x *capture) files(a *collectors.Acquired, main *exchange) ([]file, error) {
	var list []file
	wacz, err := x.wacz(main)
	if err != nil {
		return nil, err
	}
	list = append(list, wacz, file{name: "requests.warc.gz", role: "requests", mediaType: "application/warc", path: x.rec.requests.path, restricted: true})
	commands, err := x.log.save(x.dir, x.browser.version.Product, x.browser.begun)
	if err != nil {
		return nil, err
	}
	list = append(list, commands)
	if main != nil && main.response != nil && main.response.body > 0 {
		f, why, err := main.source(x.dir, x.req.Budget.Bytes)
		if err != nil {
			return nil, err
		}
		if why != nil {
			a.Reasons = append(a.Reasons, *why)
		}
		if f.name != "" {
			list = append(list, f)
		}
	}
	films, err := x.joinFilms(a)
	if err != nil {
		return nil, err
	}
	fetched, err := x.fetchedFiles(a)
	if err != nil {
		return nil, err
	}
	list = append(append(append(list, x.view.files...), films...), fetched...)
	if x.req.Session != nil {
		if list, err = x.redact(list, main); err != nil {
			return nil, err
		}
	}
	for _, f := range list {
		if d := f.derived; d != nil {
			t := *d
			t.Output, t.Tool = f.name, cmp.Or(t.Tool, software)
			if len(t.Inputs) == 0 {
				t.Tool = x.browser.version.Product
			}
			a.Transformations = append(a.Transformations, t)
		}
	}
	return list, nil
}

// wacz packs the answers. The record of the main document is a slice, so that
// it can be shown without the rest.
func (x *capture) wacz(main *exchange) (file, error) {
	f := file{name: "page.wacz", role: "archive", mediaType: "application/wacz", path: filepath.Join(x.dir, "page.wacz")}
	return f, x.pack(&f, &x.rec.answers, x.rec.index, func(s string) string { return s }, main)
}

// pack writes f with these records; what it says of them goes through say.
func (x *capture) pack(f *file, records *warcFile, captures []warc.Capture, say func(string) string, main *exchange) error {
	index, err := warc.Index("data.warc.gz", captures)
	if err != nil {
		return err
	}
	in, err := os.Open(records.path)
	if err != nil {
		return fmt.Errorf("write page.wacz: %w", err)
	}
	defer in.Close()
	out, err := os.Create(f.path)
	if err != nil {
		return fmt.Errorf("write page.wacz: %w", err)
	}
	defer out.Close()
	page := warc.Page{URL: say(x.address), Date: x.started, Title: say(x.view.title)}
	if main != nil {
		page.URL, page.Date = say(main.url), main.started
	}
	offset, err := warc.WriteWACZ(out, warc.Archive{Warc: in, WarcSize: records.w.Size(), WarcCRC: records.crc.Sum32(), Index: index,
		Pages: []warc.Page{page}, Title: "Capture of " + say(clean(x.address)), Created: x.started, Software: software})
	if err != nil {
		return err
	}
	for _, c := range captures {
		if main != nil && c.URL == say(main.url) && c.Date.Equal(main.started) {
			f.slices = []collectors.Slice{{Name: "main-response", Offset: offset + c.Span.Offset, Length: c.Span.Length}}
		}
	}
	return out.Close()
}

// keep hands the bytes over: the small ones inline as long as there is room,
// smallest first, the rest to the Keeper, streamed from disk.
func (x *capture) keep(ctx context.Context, a *collectors.Acquired, files []file, keep collectors.Keeper) error {
	sizes := map[string]int64{}
	for _, f := range files {
		st, err := os.Stat(f.path)
		if err != nil {
			return fmt.Errorf("keep %s: %w", f.name, err)
		}
		sizes[f.name] = st.Size()
	}
	small := slices.Clone(files)
	slices.SortStableFunc(small, func(a, b file) int { return int(sizes[a.name] - sizes[b.name]) })
	room, inline := int64(collectors.MaxInline), map[string]bool{}
	for _, f := range small {
		if sizes[f.name] <= room {
			inline[f.name] = true
			room -= sizes[f.name]
		}
	}
	for _, f := range files {
		o, err := f.object(ctx, inline[f.name], keep)
		if err != nil {
			return fmt.Errorf("keep %s: %w", f.name, err)
		}
		a.Objects = append(a.Objects, o)
	}
	return nil
}

func (f file) object(ctx context.Context, inline bool, keep collectors.Keeper) (o collectors.Object, err error) {
	o = collectors.Object{Name: f.name, Role: f.role, MediaType: f.mediaType, Restricted: f.restricted, Slices: f.slices}
	if len(o.Slices) > 0 {
		o.SliceSecret = make([]byte, 32)
		rand.Read(o.SliceSecret) // never fails: crypto/rand ends the program instead
	}
	in, err := os.Open(f.path)
	if err != nil {
		return o, err
	}
	defer in.Close()
	if !inline {
		o.Kept = true
		o.Digest, o.Size, err = keep.Put(ctx, in)
		return o, err
	}
	var b bytes.Buffer
	o.Digest, o.Size, err = hashing.Copy(&b, in)
	o.Inline = b.Bytes()
	return o, err
}
