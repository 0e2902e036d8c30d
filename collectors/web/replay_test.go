package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

// TestReplay: strangers' programs show a captured page with its origin stopped, as it was:
// pywb from the WARC, ReplayWeb.page from the WACZ. What they show is captured again and
// held against the first: the same words, a picture that differs in less than a hundredth
// of its points, and nobody asks for anything anywhere but in the archive.
func TestReplay(t *testing.T) {
	s := serve(t, replayed(), nil)
	c := newCollector(t, Options{})
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/start", AllowPrivate: true})
	if a.Outcome != collectors.Complete {
		t.Fatalf("%s: %v", a.Outcome, a.Reasons)
	}
	s.srv.Close()
	dead, err := net.Listen("tcp", s.addr) // where the origin was, somebody counts
	if err != nil {
		t.Fatal(err)
	}
	var live atomic.Int64
	go func() {
		for {
			conn, err := dead.Accept()
			if err != nil {
				return
			}
			live.Add(1)
			conn.Close()
		}
	}()
	t.Cleanup(func() { dead.Close() })
	was := lookOf(t, a, k)
	for _, want := range []string{"Сторінка", "said by the script: 4 items", "part 11"} {
		if !strings.Contains(was.text, want) {
			t.Fatalf("the page itself has no %q: %q", want, was.text)
		}
	}
	page := fmt.Sprintf("http://%s/page", s.addr)
	t.Run("pywb", func(t *testing.T) {
		wacz := object(t, a, k, "page.wacz")
		at := pywb(t, waczMember(t, wacz, warc.ArchiveName), waczMember(t, wacz, "indexes/index.cdx"))
		b, kb := collect(t, c, collectors.Request{Source: at + "/web/" + page, AllowPrivate: true})
		was.sameAs(t, lookOf(t, b, kb))
		onlyFrom(t, b, kb, at)
	})
	t.Run("replaywebpage", func(t *testing.T) {
		at := replayWebPage(t, object(t, a, k, "page.wacz"), page)
		shown := shownBy(t, c, at, was.picture.Bounds())
		was.samePicture(t, shown)
	})
	if n := live.Load(); n > 0 {
		t.Errorf("the origin was asked %d times by a replay", n)
	}
}

// replayed is a page with what replay gets wrong most easily.
func replayed() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/start", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/page", http.StatusMovedPermanently)
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		io.WriteString(z, `<!doctype html><html lang=uk><meta charset=utf-8><title>Replayed</title><link rel=icon href=data:,><link rel=stylesheet href=/style.css>
<h1>Сторінка</h1><p id=said>nothing said</p><iframe src=/frame width=300 height=80></iframe>`)
		for i := range 12 {
			fmt.Fprintf(z, `<p class=tall>part %d<img loading=lazy width=200 height=120 src=/img/%d.png>`, i, i)
		}
		io.WriteString(z, `<script>Promise.all([fetch('/items.json').then(r=>r.json()),fetch('/form',{method:'POST',body:new URLSearchParams({q:'word'})}).then(r=>r.text())])
.then(([a,b])=>{document.getElementById('said').textContent='said by the script: '+a.length+' items, '+b})</script>`)
	})
	mux.HandleFunc("/style.css", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		w.Header().Set("Content-Encoding", "br")
		z := brotli.NewWriter(w)
		io.WriteString(z, "body{background:#eef url(/img/bg.png) no-repeat 500px 0;width:900px}.tall{height:260px;margin:0} iframe{border:1px solid}")
		z.Close()
	})
	mux.HandleFunc("/img/{n}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		w.Write(picture(len(r.PathValue("n")) + int(r.PathValue("n")[0])))
	})
	mux.HandleFunc("/items.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for _, part := range []string{"[1,", "2,", "3,", "4]"} { // chunks
			io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "form %q", r.FormValue("q")) })
	mux.HandleFunc("/frame", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p style='color:#a00'>inner frame")
	})
	return mux
}

// look is what a reader sees of a page.
type look struct {
	text    string
	picture image.Image
}

func lookOf(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) look {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(object(t, a, k, "screenshot.png")))
	if err != nil {
		t.Fatal(err)
	}
	return look{string(object(t, a, k, "text.txt")), m}
}

func (l look) sameAs(t *testing.T, o look) {
	t.Helper()
	if strings.Join(strings.Fields(l.text), " ") != strings.Join(strings.Fields(o.text), " ") {
		t.Errorf("the words differ: %q\nreplay: %q", l.text, o.text)
	}
	l.samePicture(t, o.picture)
}

// samePicture: fewer than a hundredth of the points differ by more than an eighth of the
// range, in the part that both have; the sizes differ by 32 points at most.
func (l look) samePicture(t *testing.T, o image.Image) {
	t.Helper()
	p, q := l.picture.Bounds(), o.Bounds()
	if d := p.Dx() - q.Dx(); d > 32 || d < -32 {
		t.Errorf("width %d, replay %d", p.Dx(), q.Dx())
	}
	if d := p.Dy() - q.Dy(); d > 32 || d < -32 {
		t.Errorf("height %d, replay %d", p.Dy(), q.Dy())
	}
	both := p.Intersect(q)
	differ := 0
	for y := range both.Dy() {
		for x := range both.Dx() {
			if far(l.picture, o, p.Min.X+x, p.Min.Y+y, q.Min.X+x, q.Min.Y+y) {
				differ++
			}
		}
	}
	part := float64(differ) / float64(max(1, both.Dx()*both.Dy()))
	t.Logf("%d of %v points differ, %.3f %%", differ, both, 100*part)
	if part > 0.01 {
		f, _ := os.CreateTemp("", "replay-*.png")
		_ = png.Encode(f, o)
		f.Close()
		t.Errorf("%.2f %% of the points differ; what the replay shows is kept in %s", 100*part, f.Name())
	}
}

func far(a, b image.Image, ax, ay, bx, by int) bool {
	r, g, bl, _ := a.At(ax, ay).RGBA()
	r2, g2, bl2, _ := b.At(bx, by).RGBA()
	for _, d := range []int{int(r) - int(r2), int(g) - int(g2), int(bl) - int(bl2)} {
		if d > 0x2000 || d < -0x2000 {
			return true
		}
	}
	return false
}

// onlyFrom guards that all that a replay asked for was the archive's server.
func onlyFrom(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper, at string) {
	t.Helper()
	n := 0
	for _, r := range readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName)) {
		if r.kind == warc.Response {
			if n++; !strings.HasPrefix(r.url, at+"/") {
				t.Errorf("the replay asked for %s", r.url)
			}
		}
	}
	if n < 15 {
		t.Errorf("the replay made %d exchanges", n)
	}
	for _, m := range a.Completeness.Missing {
		if !strings.HasPrefix(m.URL, at+"/") {
			t.Errorf("the replay asked for %s: %s", m.URL, m.Why)
		}
	}
}

// pywb serves a WARC by the WACZ's own index, and gives its address. An index that it makes
// itself lacks what was answered to a POST, as the requests lie in a file of their own.
func pywb(t *testing.T, b, index []byte) string {
	manager, server := tool(t, "wb-manager"), tool(t, "wayback")
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), manager, "init", "web")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("wb-manager init: %v\n%s", err, out)
	}
	for name, b := range map[string][]byte{"collections/web/archive/data.warc.gz": b, "collections/web/indexes/index.cdxj": index,
		"config.yaml": []byte("framed_replay: false\n"), "templates/banner.html": nil} { // the page alone, without a frame around it
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(at)
	cmd = exec.Command(server, "-b", "127.0.0.1", "-p", port, "-d", dir)
	said := &bytes.Buffer{}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("pywb says:\n%s", said)
		}
	})
	for range 600 {
		if conn, err := net.Dial("tcp", at); err == nil {
			conn.Close()
			return "http://" + at
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("pywb does not start: %s", said)
	return ""
}

// replayWebPage serves the WACZ beside ReplayWeb.page, as an office's web server would.
func replayWebPage(t *testing.T, wacz []byte, page string) string {
	dir := filepath.Join(os.Getenv("HOLDFAST_JUDGES"), "bin", "replaywebpage")
	if _, err := os.Stat(filepath.Join(dir, "sw.js")); err != nil {
		t.Skipf("JUDGE MISSING: replaywebpage (%v); its judgement is not made", err)
	}
	mux := http.NewServeMux()
	file := func(name, kind string) {
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", kind)
			http.ServeFile(w, r, filepath.Join(dir, filepath.Base(name)))
		})
	}
	file("ui.js", "text/javascript")
	file("replay/sw.js", "text/javascript")
	mux.HandleFunc("/page.wacz", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "page.wacz", time.Unix(1, 0), bytes.NewReader(wacz))
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><html style="height:100%%"><body style="margin:0;height:100%%"><link rel=icon href=data:,><script src=/ui.js></script>
<replay-web-page style="height:100%%" source="/page.wacz" url="%s" replayBase="/replay/" embed="replayonly"></replay-web-page>`, page)
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.URL + "/"
}

// shownBy is what the browser shows of a replay in a window of this size, once it has not
// changed for two seconds.
func shownBy(t *testing.T, c *Collector, address string, size image.Rectangle) image.Image {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	b, err := c.acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.release(b)
	seen := map[string]bool{}
	asks := openProxy(t, seen)
	tb, err := b.openTab(ctx, asks, &commandLog{})
	if err != nil {
		t.Fatal(err)
	}
	defer tb.close()
	m := steady(ctx, t, tb, address, size)
	for host := range seen {
		if !strings.Contains(address, host) {
			t.Errorf("the replay asked %s", host)
		}
	}
	return m
}
