package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-rod/rod/lib/proto"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

// long marks tests that take their time.
func long(t *testing.T) {
	if os.Getenv("HOLDFAST_LONG") == "" {
		t.Skip("long: set HOLDFAST_LONG=1")
	}
}

func hostileSite() http.Handler {
	mux := http.NewServeMux()
	html := func(path, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, body)
		})
	}
	mux.HandleFunc("/never", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/loop?"+r.URL.RawQuery+"x", http.StatusFound)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<title>endless</title><p>the beginning")
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("<i>more</i> ", 20)); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(20 * time.Millisecond)
		}
	})
	mux.HandleFunc("/flood", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		junk := bytes.Repeat([]byte("flood"), 10_000)
		for {
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	})
	html("/dialogs", `<p>before<script>alert(1);confirm(2);prompt(3);onbeforeunload=()=>"stay"</script><p>after`)
	html("/popup", `<title>opener</title><p>opener page<script>window.open('/popped');window.open('/popped2','','noopener')</script>`)
	html("/popped", "popped")
	html("/popped2", "popped")
	html("/reload", `<p>again and again<script>setTimeout(()=>location.reload(),10)</script>`)
	html("/upload", `<p>up<script>fetch('/sink',{method:'POST',body:new Uint8Array(6<<20)})</script>`)
	mux.HandleFunc("/sink", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	html("/spin", `<p>seen<script>setTimeout(()=>{while(true);},50)</script>`)
	html("/oom", `<p>oom<script>setTimeout(()=>{let a=[];for(;;)a.push(new Array(1e7).fill(a.length))},50)</script>`)
	mux.HandleFunc("/self", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Again") != "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>myself<script>fetch(location.href,{headers:{'X-Again':'1'}})</script>")
	})
	html("/ok", "<title>fine</title><p>fine")
	html("/jsredirect", `<script>location.replace('/ok')</script>`)
	html("/many", `<script>for(let i=0;i<300;i++)fetch('/ok?'+i)</script>many`)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<input type=password>") })
	mux.HandleFunc("/members", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/login?next=/members", http.StatusFound)
	})
	mux.HandleFunc("/basic", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		http.Error(w, "who are you", http.StatusUnauthorized)
	})
	mux.HandleFunc("/download", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/zip")
		w.Header().Set("Content-Disposition", `attachment; filename="../evil.zip"`)
		w.Write(bytes.Repeat([]byte("PK"), 500_000))
	})
	mux.HandleFunc("/file.pdf", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/pdf")
		w.Write([]byte("%PDF-1.4\n%%EOF\n"))
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "<title>cut</title>only this")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/bomb", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(bomb(200 << 20))
	})
	mux.HandleFunc("/garbage", func(w http.ResponseWriter, r *http.Request) {
		c, rw, _ := w.(http.Hijacker).Hijack()
		rw.WriteString("\x00\xff\xfe this is not HTTP\r\n\r\n")
		rw.Flush()
		c.Close()
	})
	mux.HandleFunc("/status500", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	mux.HandleFunc("/latin", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=windows-1251")
		w.Write([]byte("<title>\xcf\xf0\xe8\xe2\xb3\xf2</title><p>\xcf\xf0\xe8\xe2\xb3\xf2"))
	})
	mux.HandleFunc("/favicon.ico", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	return mux
}

// Every hostile page gives a find within its budget, and the next capture in
// the same browser is fine.
func TestHostile(t *testing.T) {
	s := serve(t, hostileSite(), nil)
	c := newCollector(t, Options{})
	short := collectors.Budget{Time: 4 * time.Second, Bytes: 4 << 20, Requests: 100}
	for _, test := range []struct {
		path    string
		outcome collectors.Outcome
		reason  string
		objects string
		long    bool
	}{
		{"/never", collectors.Failed, "unfinished", "page.wacz", false},
		{"/loop", collectors.Failed, "navigation-failed", "page.wacz", false},
		{"/endless", collectors.Partial, "load-unfinished", "screenshot.png source.html", false},
		{"/flood", collectors.Partial, "byte-budget", "source.bin", false},
		{"/dialogs", collectors.Complete, "", "screenshot.png", false},
		{"/popup", collectors.Complete, "", "screenshot.png", false},
		{"/reload", collectors.Partial, "", "source.html", true},
		{"/spin", collectors.Partial, "page-failed", "source.html", true},
		{"/oom", collectors.Partial, "", "source.html", true},
		{"/basic", collectors.Failed, "login-wall", "page.wacz source.txt", false},
		{"/members", collectors.Partial, "login-wall", "screenshot.png", false},
		{"/download", collectors.Complete, "", "source.zip", false},
		{"/file.pdf", collectors.Complete, "", "source.pdf", false},
		{"/cut", collectors.Partial, "connection-closed", "source.html", false},
		{"/garbage", collectors.Failed, "bad-answer", "page.wacz", false},
		{"/status500", collectors.Failed, "http-status", "page.wacz", false},
		{"/jsredirect", collectors.Complete, "", "source.html", false},
		{"/many", collectors.Partial, "incomplete", "screenshot.png", false},
		{"/self", collectors.Complete, "", "source.html", false},
		{"/upload", collectors.Partial, "incomplete", "source.html", false},
		{"/latin", collectors.Complete, "", "text.txt", false},
		{"/bomb", collectors.Partial, "source-cut", "source.html", true},
	} {
		t.Run(test.path, func(t *testing.T) {
			if test.long {
				long(t)
			}
			begin, budget := time.Now(), short
			if test.path == "/endless" { // half goes into waiting for its end, and on a busy machine a picture takes seconds
				budget.Time = 10 * time.Second
			}
			a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + test.path, AllowPrivate: true, Budget: budget})
			if d := time.Since(begin); d > budget.Time+10*time.Second {
				t.Errorf("took %s", d)
			}
			if a.Outcome != test.outcome || test.reason != "" && !hasReason(a, test.reason) {
				t.Errorf("%s %v, want %s %s", a.Outcome, a.Reasons, test.outcome, test.reason)
			}
			for name := range strings.FieldsSeq(test.objects) {
				object(t, a, k, name)
			}
			answers := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
			if test.path == "/cut" || test.path == "/endless" || test.path == "/never" {
				judge(t, a, k, len(answers), len(readWarc(t, object(t, a, k, "requests.warc.gz"))))
			}
			special := map[string]func(*testing.T, *collectors.Acquired, *collectorstest.Keeper){"/popup": checkPopup, "/download": checkDownload,
				"/loop": checkLoop, "/endless": checkEndless, "/latin": checkLatin, "/dialogs": checkDialogs, "/jsredirect": checkScriptRedirect, "/many": checkMany}[test.path]
			if special != nil {
				special(t, a, k)
			}
		})
	}
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/ok", AllowPrivate: true})
	if a.Outcome != collectors.Complete || string(object(t, a, k, "text.txt")) != "fine" {
		t.Errorf("after all that: %s %v", a.Outcome, a.Reasons)
	}
}

func checkPopup(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if got := string(object(t, a, k, "text.txt")); got != "opener page" {
		t.Errorf("text %q", got)
	}
}

func checkDownload(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if b := object(t, a, k, "source.zip"); len(b) != 1_000_000 {
		t.Errorf("%d of 1,000,000 bytes", len(b))
	}
}

func checkLoop(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if n := len(a.Address.Redirects); n < 10 || n > 50 {
		t.Errorf("%d redirects", n)
	}
}

func checkEndless(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	rs := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
	if !slices.ContainsFunc(rs, func(r record) bool { return strings.HasSuffix(r.url, "/endless") && r.Get("WARC-Truncated") == "time" }) {
		t.Error("no record says that it was truncated")
	}
}

func checkLatin(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if got := string(object(t, a, k, "text.txt")); got != "Привіт" {
		t.Errorf("text %q", got)
	}
	if b := object(t, a, k, "source.html"); !bytes.Contains(b, []byte("\xcf\xf0\xe8\xe2\xb3\xf2")) {
		t.Error("the source's bytes were changed")
	}
}

func checkDialogs(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if !bytes.Contains(object(t, a, k, "text.txt"), []byte("after")) || !strings.Contains(strings.Join(a.Collection.Notes, " "), "3 dialogs") {
		t.Errorf("notes %q", a.Collection.Notes)
	}
}

func checkScriptRedirect(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if len(a.Address.Redirects) != 1 || a.Address.Redirects[0].Status != 0 || !strings.HasSuffix(a.Address.Final, "/ok") {
		t.Errorf("address %+v", a.Address)
	}
}

func checkMany(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if a.Completeness.Requests != 100 || a.Completeness.Blocked < 50 {
		t.Errorf("completeness: %d requests, %d blocked", a.Completeness.Requests, a.Completeness.Blocked)
	}
}

func bomb(size int) []byte {
	var b bytes.Buffer
	z := newGzip(&b)
	z.Write([]byte("<title>bomb</title><!--"))
	zeros := make([]byte, 1<<20)
	for range size >> 20 {
		z.Write(zeros)
	}
	z.Close()
	return b.Bytes()
}

func closedPort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// onlyTab is the one open page of a Collector.
func onlyTab(c *Collector) *tab {
	c.mu.Lock()
	b := c.browser
	c.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.tabs {
		return t
	}
	return nil
}

// A page whose process crashes costs that page only.
func TestPageCrash(t *testing.T) {
	var c *Collector
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/crash.js" {
			onlyTab(c).session.tell(proto.PageCrash{})
			time.Sleep(200 * time.Millisecond)
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>before<script src=/crash.js></script>")
	}), nil)
	c = newCollector(t, Options{})
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	if a.Outcome != collectors.Partial || !hasReason(a, "page-crashed") || len(object(t, a, k, "source.html")) == 0 {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	first := c.browser
	a, _ = collect(t, c, collectors.Request{Source: "http://" + s.addr + "/none", AllowPrivate: true, Budget: collectors.Budget{Time: 5 * time.Second}})
	if c.browser != first || !hasReason(a, "page-crashed") {
		t.Errorf("the browser died with the page: %s %v", a.Outcome, a.Reasons)
	}
}

// Windows that a page opens are closed, so that they cannot cover it.
func TestPopupClosed(t *testing.T) {
	var c *Collector
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/go":
			for _, open := range []string{"open('/covers')", "open('/covers2','','noopener')"} { // one a gesture
				onlyTab(c).session.tell(proto.RuntimeEvaluate{Expression: open, UserGesture: true})
			}
			time.Sleep(300 * time.Millisecond)
		case "/":
			io.WriteString(w, "<p>opener page<script>fetch('/go')</script>")
		}
	}), nil)
	c = newCollector(t, Options{})
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	if string(object(t, a, k, "text.txt")) != "opener page" || !strings.Contains(strings.Join(a.Collection.Notes, " "), "2 windows that the page opened were closed") {
		t.Errorf("%s %v %q", a.Outcome, a.Reasons, a.Collection.Notes)
	}
}

// When the spool cannot be written the capture is an error, never a find.
func TestSpoolFails(t *testing.T) {
	var c *Collector
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dirs, _ := filepath.Glob(filepath.Join(c.work.path, "capture-*"))
		for _, d := range dirs {
			os.RemoveAll(d)
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>there is no room for this")
	}), nil)
	c = newCollector(t, Options{})
	a, err := c.Collect(context.Background(), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true}, &collectorstest.Keeper{})
	if err == nil || a != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, %v", a, err)
	}
}

// What a killed process left is removed, what a living one uses is not.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	dead := filepath.Join(dir, "holdfast-web-dead")
	os.Mkdir(dead, 0o700)
	os.WriteFile(filepath.Join(dead, lockName), nil, 0o600)
	strange := filepath.Join(dir, "holdfast-web-strange") // no lock: perhaps being made
	os.Mkdir(strange, 0o700)
	a, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"))
	if want := []string{a.work.path, b.work.path, strange}; len(left) != 3 || !slices.Contains(left, want[0]) || !slices.Contains(left, want[1]) || !slices.Contains(left, want[2]) {
		t.Errorf("left %v, want %v", left, want)
	}
	a.Close()
	a.Close()
	b.Close()
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// Nothing leaves beside the proxy: WebRTC would like to, over UDP.
func TestNoUDP(t *testing.T) {
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<p>x<script>const c=new RTCPeerConnection({iceServers:[{urls:'stun:%s'}]});c.createDataChannel('d');
c.onicegatheringstatechange=()=>fetch('/ice-'+c.iceGatheringState);c.createOffer().then(o=>c.setLocalDescription(o))</script>`, u.LocalAddr())
	}), nil)
	collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	if !slices.ContainsFunc(s.asked(), func(h string) bool { return strings.Contains(h, "/ice-") }) {
		t.Errorf("the page never tried: %v", s.asked())
	}
	u.SetReadDeadline(time.Now().Add(time.Second))
	if n, from, err := u.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes from %s went past the proxy", n, from)
	}
}

// A browser that dies is replaced and the capture made again.
func TestBrowserDeath(t *testing.T) {
	var c *Collector
	var once sync.Once
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/die" {
			once.Do(func() { kill(c.browser.cmd) })
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>alive")
	}), nil)
	c = newCollector(t, Options{})
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/die", AllowPrivate: true})
	if a.Outcome != collectors.Complete || !hasReason(a, "browser-restarted") || string(object(t, a, k, "text.txt")) != "alive" {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
}

// A large download is streamed: what it costs in memory does not grow with it.
func TestLargeDownload(t *testing.T) {
	const size = 50 << 20
	noise := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for range size / len(noise) {
			w.Write(noise)
		}
	}), nil)
	c := newCollector(t, Options{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	k := &discard{}
	begin := time.Now()
	a, err := c.Collect(context.Background(), collectors.Request{Source: "http://" + s.addr + "/big", AllowPrivate: true}, k)
	if err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	t.Logf("%s %v in %s, %d MB allocated in all", a.Outcome, a.Reasons, time.Since(begin).Round(time.Millisecond), (after.TotalAlloc-before.TotalAlloc)>>20)
	i := slices.IndexFunc(a.Objects, func(o collectors.Object) bool { return o.Name == "source.bin" })
	if a.Outcome != collectors.Complete || i < 0 || a.Objects[i].Size != size {
		t.Fatalf("%s %v %d", a.Outcome, a.Reasons, i)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 60<<20 { // the test site's own log is in it
		t.Errorf("%d MB allocated for %d MB", grown>>20, size>>20)
	}
}
