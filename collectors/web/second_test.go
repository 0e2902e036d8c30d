package web

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
)

// A second attempt says that there was a first, and what became of it; it takes
// nothing from the outcome.
func TestSecondAttemptTold(t *testing.T) {
	for _, second := range []bool{false, true} {
		x := unvisited(t, "http://host.test/")
		if first := unvisited(t, "http://host.test/"); second {
			first.meter.requests = 7
			x.before = first.attempt()
		}
		a, _ := x.over(t, x.madeUp(t, 1, "http://host.test/", "HTTP/1.1 200 OK\r\nContent-Type: text/html", "<p>page"))
		if a.Outcome != collectors.Complete || hasReason(a, "browser-restarted") != second || second && !strings.Contains(fmt.Sprint(a.Reasons), "7 requests") {
			t.Errorf("second %v: %s %v", second, a.Outcome, a.Reasons)
		}
	}
}

// A frame of another site has a process of its own. When that crashes the page
// that showed it is told of, and no other; an end without a crash is none.
func TestFrameCrashTold(t *testing.T) {
	b := &browser{tabs: map[proto.BrowserBrowserContextID]*tab{}, frames: map[proto.TargetTargetID]frame{}}
	hit, other := fakeTab(), fakeTab()
	b.tabs["hit"], b.tabs["other"] = hit, other
	says := func(method, format string, a ...any) { b.target(method, json.RawMessage(fmt.Sprintf(format, a...))) }
	for i, context := range []string{"hit", "hit", "other", "hit", "gone"} {
		says("Target.targetCreated", `{"targetInfo":{"targetId":"f%d","type":"iframe","url":"","browserContextId":%q}}`, i, context)
		says("Target.targetInfoChanged", `{"targetInfo":{"targetId":"f%d","type":"iframe","url":"http://frame.test/%d","browserContextId":%q}}`, i, i, context)
	}
	says("Target.targetCreated", `{"targetInfo":{"targetId":"own","type":"other","url":"chrome://omnibox-popup.top-chrome/x.html","browserContextId":"other"}}`)
	says("Target.targetCrashed", `{"targetId":"own","status":"crashed","errorCode":5}`)
	says("Target.targetDestroyed", `{"targetId":"f2"}`)
	says("Target.targetDestroyed", `{"targetId":"f3"}`)
	for _, id := range []string{"f1", "f0", "f2", "f3", "f4", "main", "unknown"} {
		says("Target.targetCrashed", `{"targetId":%q,"status":"crashed","errorCode":5}`, id)
	}
	for _, v := range []struct {
		tab  *tab
		want string
	}{{hit, "2 frames crashed; the first was of http://frame.test/1"}, {other, ""}} {
		x := unvisited(t, "http://host.test/")
		x.tab = v.tab
		x.tab.asksFor("http://host.test/")
		x.tab.shows("http://host.test/")
		a, _ := x.over(t, x.madeUp(t, 1, "http://host.test/", "HTTP/1.1 200 OK\r\nContent-Type: text/html", "<p>page"))
		if hasReason(a, "frame-crashed") != (v.want != "") || (a.Outcome == collectors.Partial) != (v.want != "") || !strings.Contains(fmt.Sprint(a.Reasons), v.want) {
			t.Errorf("want %q: %s %v", v.want, a.Outcome, a.Reasons)
		}
	}
}

// TestFrameCrash is the same with a browser: the page is whole but for the frame.
func TestFrameCrash(t *testing.T) {
	var c *Collector
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch {
		case r.URL.Path == "/crash":
			b := c.browserNow()
			b.mu.Lock()
			var ids []proto.TargetTargetID
			for id := range b.frames {
				ids = append(ids, id)
			}
			b.mu.Unlock()
			for _, id := range ids {
				at, err := proto.TargetAttachToTarget{TargetID: id, Flatten: true}.Call(b.session("", r.Context()))
				if err != nil {
					t.Error(err)
					continue
				}
				b.session(string(at.SessionID), r.Context()).tell(proto.PageCrash{})
			}
			time.Sleep(300 * time.Millisecond)
		case strings.HasPrefix(r.Host, "frame.test"):
			io.WriteString(w, "<p>a frame<script>fetch('/crash')</script>")
		default:
			fmt.Fprintf(w, "<p>the page<iframe src='http://frame.test:%s/'></iframe>", r.Host[strings.LastIndexByte(r.Host, ':')+1:])
		}
	}), nil)
	c = newCollector(t, Options{Resolver: names{"*": loopback}})
	_, port, _ := strings.Cut(s.addr, ":")
	a, k := collect(t, c, collectors.Request{Source: "http://host.test:" + port + "/", AllowPrivate: true, Budget: collectors.Budget{Time: 20 * time.Second}})
	if a.Outcome != collectors.Partial || !hasReason(a, "frame-crashed") || hasReason(a, "page-crashed") || string(object(t, a, k, "text.txt")) != "the page" {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	if a, _ = collect(t, c, collectors.Request{Source: "http://host.test:" + port + "/crash", AllowPrivate: true}); hasReason(a, "frame-crashed") {
		t.Errorf("the next page is told of it: %v", a.Reasons)
	}
}

// What all bodies of a capture are unpacked to is bounded together; beyond it
// they are compared as sent only, and that is told.
func TestUnpackedTogether(t *testing.T) {
	const body = "bytes that are on the list"
	for _, v := range []struct {
		used  int64
		taken bool
	}{{0, true}, {maxUnpackedAll - int64(len(body)), true}, {maxUnpackedAll - int64(len(body)) + 1, false}} {
		x := unvisited(t, "http://host.test/")
		var b strings.Builder
		z := gzip.NewWriter(&b)
		io.WriteString(z, body)
		z.Close()
		p := &proxy{dir: x.dir, lists: []*collectors.KnownList{readList(t, fmt.Sprintf("%x", sha256.Sum256([]byte(body))))}}
		p.unpacked.Store(v.used)
		e := x.madeUp(t, 1, "http://host.test/", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip", b.String())
		if _, err := p.withhold(e); err != nil {
			t.Fatal(err)
		}
		a, _ := x.over(t, e)
		if hasReason(a, codeNeverKeep) != v.taken || hasReason(a, "never-keep-unchecked") == v.taken || a.Outcome != collectors.Partial {
			t.Errorf("%d used before: %s %v", v.used, a.Outcome, a.Reasons)
		}
	}
}
