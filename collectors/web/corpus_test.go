package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

// corpusSite has what hostileSite has not.
func corpusSite() http.Handler {
	mux := http.NewServeMux()
	html := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, body)
		})
	}
	raw := func(path string, f func(w io.Writer)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			c, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			f(rw)
			rw.Flush()
		})
	}
	html("/subresources", `<title>many</title><p>shown<script>for(let i=0;i<100000;i++){const m=new Image();m.src='/i?'+i;document.body.append(m)}</script>`)
	mux.HandleFunc("/i", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	html("/beacons", `<p>shown<script>setInterval(()=>{for(let i=0;i<50;i++)navigator.sendBeacon('/sink?'+Math.random(),'x'.repeat(1000))},5)</script>`)
	mux.HandleFunc("/sink", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	html("/popups", `<title>storm</title><p>opener page<script>for(let i=0;i<500;i++)window.open('/ok?'+i);setInterval(()=>{for(let i=0;i<20;i++)window.open('/ok?x'+i)},10)</script>`)
	html("/dialogstorm", `<p>before<script>for(let i=0;i<300;i++)alert(i)</script><p>after`)
	raw("/fatfield", func(w io.Writer) {
		fmt.Fprintf(w, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Fat: %s\r\nContent-Length: 4\r\n\r\nfine", strings.Repeat("x", 1<<20))
	})
	raw("/manyfields", func(w io.Writer) {
		io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n")
		for i := range 200_000 {
			if _, err := fmt.Fprintf(w, "X-%d: y\r\n", i); err != nil {
				return
			}
		}
		io.WriteString(w, "\r\nfine")
	})
	mux.HandleFunc("/loris", func(w http.ResponseWriter, r *http.Request) { // a byte of the head now and then
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX: ")
		for {
			if _, err := io.WriteString(c, "y"); err != nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	html("/lies", `<!doctype html><title>from the server</title><p>from the server<img src=/hold><script>
navigator.serviceWorker.register('/lies.js').then(r=>navigator.serviceWorker.ready).then(async()=>{
if(!navigator.serviceWorker.controller)await new Promise(y=>navigator.serviceWorker.addEventListener('controllerchange',y));location.reload()})</script>`)
	mux.HandleFunc("/lies.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		io.WriteString(w, `self.addEventListener('install',e=>self.skipWaiting());self.addEventListener('activate',e=>e.waitUntil(self.clients.claim()));
self.addEventListener('fetch',e=>e.respondWith(new Response('<title>a lie</title><p>made up in the browser<img src=/made-up.png>',{headers:{'Content-Type':'text/html'}})))`)
	})
	mux.HandleFunc("/hold", func(w http.ResponseWriter, r *http.Request) {
		select { // the page is not loaded before its worker is at work
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
	})
	html("/ok", "<title>fine</title><p>fine")
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// TestCorpus: each of these gives a find within its budget, which says what happened, and
// the capture behind it is clean.
func TestCorpus(t *testing.T) {
	s := serve(t, corpusSite(), nil)
	c := newCollector(t, Options{})
	for _, test := range []struct {
		path    string
		outcome collectors.Outcome
		reason  string // "" is none that must be
		check   func(*testing.T, *collectors.Acquired, *collectorstest.Keeper)
	}{
		{"/subresources", collectors.Partial, "request-budget", func(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
			if a.Completeness.Requests > 200 || a.Completeness.Blocked == 0 || len(a.Completeness.Missing) > maxNoted {
				t.Errorf("%d requests, %d blocked, %d listed", a.Completeness.Requests, a.Completeness.Blocked, len(a.Completeness.Missing))
			}
		}},
		{"/beacons", collectors.Partial, "request-budget", nil},
		{"/popups", "", "", func(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
			if text := string(object(t, a, k, "text.txt")); text != "opener page" {
				t.Errorf("text %q", text)
			}
		}},
		{"/dialogstorm", "", "", func(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
			if !strings.Contains(string(object(t, a, k, "text.txt")), "after") {
				t.Error("the page did not come to its end")
			}
		}},
		{"/fatfield", collectors.Failed, "bad-answer", nil},
		{"/manyfields", collectors.Failed, "bad-answer", nil},
		{"/loris", collectors.Failed, "unfinished", nil},
		{"/lies", collectors.Partial, "worker-answered", checkLies},
	} {
		t.Run(strings.Trim(test.path, "/"), func(t *testing.T) {
			budget := collectors.Budget{Time: 12 * time.Second, Bytes: 8 << 20, Requests: 200}
			if test.path == "/lies" {
				budget.Time = 60 * time.Second
			}
			begin := time.Now()
			a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + test.path, AllowPrivate: true, Budget: budget})
			if d := time.Since(begin); d > 3*budget.Time+30*time.Second {
				t.Errorf("took %s", d)
			}
			if test.outcome != "" && a.Outcome != test.outcome || test.reason != "" && !hasReason(a, test.reason) {
				t.Errorf("%s %v, want %s %s", a.Outcome, a.Reasons, test.outcome, test.reason)
			}
			readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
			if test.check != nil {
				test.check(t, a, k)
			}
			a, k = collect(t, c, collectors.Request{Source: "http://" + s.addr + "/ok", AllowPrivate: true})
			if a.Outcome != collectors.Complete || string(object(t, a, k, "text.txt")) != "fine" || a.Completeness.Requests > 2 {
				t.Errorf("after it: %s %v, %d requests", a.Outcome, a.Reasons, a.Completeness.Requests)
			}
		})
	}
}

// checkLies: what is shown is the worker's, the source is the server's, and the record has
// nothing that no server sent.
func checkLies(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if dom := object(t, a, k, "dom.html"); !bytes.Contains(dom, []byte("made up in the browser")) {
		t.Errorf("the worker did not get to lie: %s", dom)
	}
	if source := object(t, a, k, "source.html"); !bytes.Contains(source, []byte("from the server")) {
		t.Errorf("source %s", source)
	}
	for _, r := range readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName)) {
		if bytes.Contains(r.body, []byte("<p>made up in the browser")) && !strings.HasSuffix(r.url, "/lies.js") || strings.HasSuffix(r.url, "/made-up.png") {
			t.Errorf("the record has what no server sent: %s", r.url)
		}
	}
	if !strings.Contains(strings.Join(a.Collection.Notes, " "), "service worker of the site") {
		t.Errorf("notes %q", a.Collection.Notes)
	}
}

// secretFile is what no page may have the browser read.
func secretFile(t *testing.T) (path, content string) {
	content = "the node's own secret " + strings.Repeat("4711", 8)
	f, err := os.CreateTemp(t.TempDir(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	os.Chmod(t.TempDir(), 0o755)
	os.Chmod(f.Name(), 0o644)
	if _, err := f.WriteString(content); err != nil {
		t.Fatal(err)
	}
	return f.Name(), content
}
