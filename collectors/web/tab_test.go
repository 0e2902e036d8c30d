package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
)

func fakeTab() *tab {
	return &tab{target: "main", loaded: make(chan struct{}), crashed: make(chan struct{}), waiting: map[proto.NetworkRequestID]wanted{}}
}

func (t *tab) told(method, format string, a ...any) {
	t.event(method, json.RawMessage(fmt.Sprintf(format, a...)))
}

func (t *tab) asksFor(url string) {
	t.told("Network.requestWillBeSent", `{"requestId":%q,"frameId":"main","type":"Document","request":{"url":%q}}`, url, url)
}

func (t *tab) shows(url string) {
	t.told("Page.frameNavigated", `{"frame":{"id":"main","url":%q}}`, url)
}

// Where a page is, is the document that it shows; what it asked for since and
// did not get (a download, a slow answer) is no step on the way to it.
func TestWhereabouts(t *testing.T) {
	x := unvisited(t, "http://host.test/a")
	x.tab = fakeTab()
	x.tab.asksFor("http://host.test/a")
	x.tab.shows("http://host.test/a")
	x.tab.asksFor("http://host.test/file.zip")
	a, _ := x.over(t, x.madeUp(t, 1, "http://host.test/a", "HTTP/1.1 200 OK\r\nContent-Type: text/html", "<p>the page"),
		x.madeUp(t, 2, "http://host.test/file.zip", "HTTP/1.1 200 OK\r\nContent-Type: application/zip", "PK"))
	if a.Address.Final != "http://host.test/a" || len(a.Address.Redirects) != 0 || !hasObject(a, "source.html") {
		t.Errorf("%+v, source.html %v", a.Address, hasObject(a, "source.html"))
	}
	x.tab.asksFor("http://host.test/b")
	x.tab.shows("http://host.test/b")
	if s := fmt.Sprint(x.tab.way()); s != "[{http://host.test/a 0}]" {
		t.Errorf("way %s", s)
	}
	for i := range 70 {
		x.tab.asksFor(fmt.Sprintf("http://host.test/%d", i))
		x.tab.shows(fmt.Sprintf("http://host.test/%d", i))
	}
	x.fromTab(a)
	if n := len(x.tab.way()); n != maxHops || !strings.Contains(fmt.Sprint(a.Collection.Notes), "21 more are not") {
		t.Errorf("%d hops, notes %q", n, a.Collection.Notes)
	}
}

// What the browser itself would not load is counted beyond what is listed, a
// stream without an end too.
func TestBlockedCounted(t *testing.T) {
	x := unvisited(t, "http://host.test/")
	x.tab = fakeTab()
	for i := range maxBlocked + 100 {
		x.tab.told("Network.requestWillBeSent", `{"requestId":"%d","frameId":"main","type":"EventSource","request":{"url":"http://host.test/%d"}}`, i, i)
		if i == 0 && x.tab.expects() != 0 {
			t.Error("a stream without an end is waited for")
		}
		x.tab.told("Network.loadingFailed", `{"requestId":"%d","blockedReason":"csp"}`, i)
	}
	a := &collectors.Acquired{}
	x.fromTab(a)
	if c := a.Completeness; c.Blocked != maxBlocked+100 || !c.Cut || len(c.Missing) != maxBlocked {
		t.Errorf("%d blocked, %d listed, cut %v", c.Blocked, len(c.Missing), c.Cut)
	}
}

// moving captures a page that goes elsewhere while the view called when is made.
func moving(t *testing.T, when, to string) (*collectors.Acquired, string, string, string) {
	t.Helper()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<title>"+r.URL.Path+"</title><p>words of "+r.URL.Path)
	}), nil)
	c := newCollector(t, Options{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var moves atomic.Int32
	go func() {
		for ctx.Err() == nil && moves.Load() == 0 {
			time.Sleep(2 * time.Millisecond)
			tab := (*tab)(nil)
			if c.browserNow() != nil {
				tab = onlyTab(c)
			}
			if found, _ := filepath.Glob(filepath.Join(c.work.path, "capture-*", when)); tab == nil || len(found) == 0 {
				continue
			}
			moves.Add(1)
			tab.session.tell(proto.RuntimeEvaluate{Expression: fmt.Sprintf("location=%q", to)})
		}
	}()
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/a", AllowPrivate: true, Budget: collectors.Budget{Time: 30 * time.Second}})
	if moves.Load() == 0 {
		t.Fatal("the page never moved: the test proves nothing")
	}
	text, dom, mhtml := "", "", ""
	for name, to := range map[string]*string{"text.txt": &text, "dom.html": &dom, "page.mhtml": &mhtml} {
		if hasObject(a, name) {
			*to = string(object(t, a, k, name))
		}
	}
	return a, text, dom, mhtml
}

func (c *Collector) browserNow() *browser {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.browser
}

// A page that goes on while its views are made is looked at again, so that all
// are of the document that is named; one that never stops says so.
func TestMovedWhileLooking(t *testing.T) {
	a, text, dom, mhtml := moving(t, "page.mhtml", "/b1")
	if a.Outcome != collectors.Complete || text != "words of /b1" || !strings.Contains(dom, "words of /b1") || !strings.Contains(mhtml, "words of /b1") || !strings.HasSuffix(a.Address.Final, "/b1") {
		t.Errorf("%s %v: final %s, text %q", a.Outcome, a.Reasons, a.Address.Final, text)
	}
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>never here<script>setTimeout(()=>location='/?'+Math.random(),40)</script>")
	}), nil)
	a, _ = collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Budget: collectors.Budget{Time: 40 * time.Second}})
	if a.Outcome != collectors.Partial || !hasReason(a, "page-moved") {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
}

// A page that goes on to where nothing answers leaves no picture of the
// browser's own error page.
func TestMovedToNothing(t *testing.T) {
	a, text, dom, mhtml := moving(t, "page.mhtml", "http://127.0.0.1:"+closedPort(t)+"/x")
	if a.Outcome != collectors.Failed || !hasReason(a, "connect-failed") || text+dom+mhtml != "" || hasObject(a, "screenshot.png") {
		t.Errorf("%s %v: %q %q", a.Outcome, a.Reasons, text, dom)
	}
	a, text, _, _ = moving(t, "page.mhtml", "about:blank")
	if a.Outcome != collectors.Partial || !hasReason(a, codeNavigation) || text != "" || hasObject(a, "screenshot.png") {
		t.Errorf("%s %v: %q", a.Outcome, a.Reasons, text)
	}
}
