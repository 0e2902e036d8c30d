package web

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/cgroup"
)

// grouped gives a Collector whose browsers have control groups, or skips.
func grouped(t *testing.T, o Options) *Collector {
	t.Helper()
	c := newCollector(t, o)
	if _, err := c.places.find(); err != nil {
		t.Skipf("BROWSERS IN CONTROL GROUPS ARE NOT TESTED: %v", err)
	}
	return c
}

// crowdSite has pages that take what a browser may have, each process within its own
// limit. They are not loaded before the Collector's browser has met one, or three minutes
// are over.
func crowdSite(t *testing.T, c *Collector) *site {
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := strings.Cut(r.Host, ":")
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/frames": // each of another site, so with a process of its own
			io.WriteString(w, "<title>crowd</title><p>tick<img src=/hold>")
			for i := range 4 {
				fmt.Fprintf(w, "<iframe src=http://frame%d.test:%s/takes></iframe>", i, port)
			}
		case "/takes":
			io.WriteString(w, `<p>tick<script>const a=[];const i=setInterval(()=>{const b=new Uint8Array(16<<20);b.fill(a.length+1);a.push(b);if(a.length==15)clearInterval(i)},50)</script>`)
		case "/hold":
			for end := time.Now().Add(3 * time.Minute); r.Context().Err() == nil && time.Now().Before(end) && c.browser.group.Struck() == (cgroup.Struck{}); {
				time.Sleep(50 * time.Millisecond)
			}
		case "/workers":
			io.WriteString(w, `<title>fork</title><p>tick<img src=/hold><script>const u=URL.createObjectURL(new Blob(['setInterval(()=>0,1e6)']));const a=[];setInterval(()=>a.push(new Worker(u)),20)</script>`)
		case "/favicon.ico":
			w.WriteHeader(http.StatusNoContent)
		default:
			io.WriteString(w, "<p>fine")
		}
	}), nil)
}

// clean is a capture after another, which nothing is left of.
func (s *site) clean(t *testing.T, c *Collector) {
	t.Helper()
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/fine", AllowPrivate: true, Budget: collectors.Budget{Time: 5 * time.Minute}})
	if a.Outcome != collectors.Complete || string(object(t, a, k, "text.txt")) != "fine" {
		t.Errorf("after it: %s %v", a.Outcome, a.Reasons)
	}
}

// TestTogether: processes that take too much together, each of them within its own limit,
// are ended by the system until the rest fits; the capture says so, the browser goes on,
// and the next capture is clean.
func TestTogether(t *testing.T) {
	c := grouped(t, Options{Memory: 2 << 30, Limits: cgroup.Limits{Memory: 700 << 20}, Resolver: names{"*": loopback}})
	s := crowdSite(t, c)
	a, k := collect(t, c, collectors.Request{Source: "http://page.test:" + s.port() + "/frames", AllowPrivate: true, Budget: collectors.Budget{Time: 10 * time.Minute}})
	if a.Outcome != collectors.Partial || !hasReason(a, "memory-limit") || !hasReason(a, "frame-crashed") && !hasReason(a, "page-crashed") || len(object(t, a, k, "source.html")) == 0 {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	t.Logf("%s %v", a.Outcome, a.Reasons)
	s.clean(t, c)
}

// TestForks: a page that starts workers without an end is refused more, which is told; we
// live, and the next capture is clean.
func TestForks(t *testing.T) {
	c := grouped(t, Options{Limits: cgroup.Limits{Processes: 200}})
	s := crowdSite(t, c)
	a, _ := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/workers", AllowPrivate: true, Budget: collectors.Budget{Time: 10 * time.Minute}})
	if a.Outcome == collectors.Complete || !hasReason(a, "process-limit") {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	t.Logf("%s %v", a.Outcome, a.Reasons)
	s.clean(t, c)
}

// TestIsolationIsSaid: doctor is told which limits hold, and why others do not.
func TestIsolationIsSaid(t *testing.T) {
	c := newCollector(t, Options{})
	_, err := c.places.find()
	_, notes, cerr := c.Check(t.Context())
	want := "Each browser has a control group of its own: "
	if err != nil {
		want = "Nothing bounds all processes of a browser together (" + err.Error()
	}
	if said := strings.Join(notes, " "); cerr != nil || !strings.Contains(said, want) || !strings.Contains(said, "more than 1536 MB is ended") {
		t.Errorf("%q, %v; want %q", said, cerr, want)
	}
}
