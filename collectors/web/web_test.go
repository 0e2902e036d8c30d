package web

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nlnwa/gowarc"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

func TestConformance(t *testing.T) {
	noise := make([]byte, 400<<10)
	rand.Read(noise)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/noise":
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Write(noise)
		case "/favicon.ico":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<title>good</title><script>fetch('/noise').then(r=>r.blob())</script>")
		}
	}), nil)
	c := newCollector(t, Options{})
	collectorstest.Run(t, collectorstest.Setup{
		New:    func(*testing.T) collectors.Collector { return c },
		Good:   collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true},
		Absent: collectors.Request{Source: "http://127.0.0.1:" + closedPort(t) + "/", AllowPrivate: true},
		Slow:   collectors.Request{Source: "http://" + s.addr + "/slow", AllowPrivate: true},
		Refused: []string{"", "host/page", "file:///etc/passwd", "javascript:alert(1)", "data:text/html,x", "chrome://version", "http://", "https:opaque",
			"http://user:word@host/", "http://host/\x00", "about:blank", "ftp://host/", "view-source:http://host/", "http://host:port/"},
	})
}

// The site's own account against the record: nothing missing, nothing changed.
func TestComplete(t *testing.T) {
	var a, b *site
	a = serve(t, richSite(func() string { return "http://other.test:" + b.port() }), nil)
	b = serve(t, richSite(nil), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	got, k := collect(t, c, collectors.Request{Source: "http://localhost:" + a.port() + "/start", AllowPrivate: true})
	if got.Outcome != collectors.Complete {
		t.Errorf("%s: %v\n%v", got.Outcome, got.Reasons, got.Completeness.Missing)
	}
	page := "http://localhost:" + a.port() + "/page"
	if got.Address.Final != page || fmt.Sprint(got.Address.Redirects) != fmt.Sprintf("[{http://localhost:%s/start 301} {http://localhost:%s/moved 302}]", a.port(), a.port()) {
		t.Errorf("address %+v", got.Address)
	}
	answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
	requests := readWarc(t, object(t, got, k, "requests.warc.gz"))
	for name, s := range map[string]*site{"localhost:" + a.port(): a, "other.test:" + b.port(): b} {
		compare(t, name, got.Collection.UserAgent, s, answers, requests)
	}
	for _, must := range []string{"/img/lazy333.png", "/img/bg.png", "/more?4", "/cached-by-worker", "/socket", "/events", "/range.bin", "/form", "/old", "/sw.js"} {
		if !slices.ContainsFunc(a.asked(), func(h string) bool { return strings.HasSuffix(h, " "+must) }) {
			t.Errorf("the browser never asked for %s: the test proves less than it says", must)
		}
	}
	t.Run("websocket", func(t *testing.T) { checkSocket(t, answers, requests) })
	t.Run("views", func(t *testing.T) { checkViews(t, got, k) })
	t.Run("withheld", func(t *testing.T) {
		for _, o := range got.Objects {
			if o.Restricted != (o.Name == "requests.warc.gz") {
				t.Errorf("%s: restricted %v", o.Name, o.Restricted)
			}
			if o.Name != "requests.warc.gz" && bytes.Contains(inflate(t, o.Name, object(t, got, k, o.Name)), []byte("secret+word")) {
				t.Errorf("%s repeats a form field of a request", o.Name)
			}
		}
	})
	t.Run("judges", func(t *testing.T) { judge(t, got, k, len(answers), len(requests)) })
}

// compare checks each exchange of the site's account once, and each record's
// bytes against what went over the site's connections.
func compare(t *testing.T, host, agent string, s *site, answers, requests []record) {
	t.Helper()
	recorded := map[string]int{}
	for _, r := range requests {
		method, _, _ := strings.Cut(r.head.Start, " ")
		if path, ok := strings.CutPrefix(r.url, "http://"+host); ok && r.kind == warc.Request {
			if ua := r.head.Fields.Get("User-Agent"); ua != agent {
				t.Errorf("%s: user agent %q, stated %q", r.url, ua, agent)
			}
			recorded[method+" "+path]++
			if !s.sent(r.block, false) {
				t.Errorf("request for %s is not what the site received:\n%q", r.url, r.block)
			}
		}
	}
	n := 0
	for _, r := range answers {
		if r.kind == warc.Response && strings.HasPrefix(r.url, "http://"+host+"/") {
			n++
			if !s.sent(r.block, true) {
				t.Errorf("answer of %s is not what the site sent:\n%.300q", r.url, r.block)
			}
			if r.Get("WARC-IP-Address") != "127.0.0.1" || r.Get("WARC-Concurrent-To") == "" {
				t.Errorf("%s: fields %v", r.url, r.Fields)
			}
		}
	}
	hits := s.asked()
	for _, h := range hits {
		if recorded[h]--; recorded[h] < 0 {
			t.Errorf("%s: asked of the site, not recorded: %s", host, h)
		}
	}
	if n != len(hits) {
		t.Errorf("%s: %d answers recorded, the site counts %d", host, n, len(hits))
	}
	t.Logf("%s: %d exchanges, all recorded", host, n)
}

func checkSocket(t *testing.T, answers, requests []record) {
	find := func(rs []record) record {
		for _, r := range rs {
			if strings.HasSuffix(r.url, "/socket") {
				return r
			}
		}
		t.Fatal("no record")
		return record{}
	}
	if a := find(answers); !bytes.Contains(a.body, []byte("\x81\x0bsocket-word")) {
		t.Errorf("the site's frame is not in %q", a.body)
	}
	if r := find(requests); len(r.body) < 6+len("hello from the page") {
		t.Errorf("the page's frame is not in %q", r.body)
	}
}

func checkViews(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper) {
	if b := object(t, a, k, "source.html"); !bytes.HasPrefix(b, []byte("<!doctype html><html lang=uk><title>Rich &amp; page")) {
		t.Errorf("source.html: %.80q", b)
	}
	dom := string(object(t, a, k, "dom.html"))
	for _, want := range []string{"<!DOCTYPE html>\n<html lang=\"uk\">", "Сторінка", "in the shadow", "shadowrootmode", "class=\"tall\">more", "</html>"} {
		if !strings.Contains(dom, want) {
			t.Errorf("dom.html lacks %q", want)
		}
	}
	text := string(object(t, a, k, "text.txt"))
	if !strings.Contains(text, "Сторінка") || !strings.Contains(text, "visible words") || strings.Contains(text, "hidden words") {
		t.Errorf("text.txt: %q", text)
	}
	if b := object(t, a, k, "page.mhtml"); !bytes.Contains(b, []byte("multipart/related")) || !bytes.Contains(b, []byte("image/png")) {
		t.Errorf("page.mhtml: %.200q", b)
	}
	m, err := png.DecodeConfig(bytes.NewReader(object(t, a, k, "screenshot.png")))
	if err != nil || m.Width != viewWidth || m.Height < 4*1500 {
		t.Errorf("screenshot %dx%d, %v", m.Width, m.Height, err)
	}
	for _, o := range a.Objects {
		for _, s := range o.Slices {
			one := readWarc(t, object(t, a, k, o.Name)[s.Offset:s.Offset+s.Length])
			if len(one) != 1 || one[0].url != a.Address.Final {
				t.Errorf("slice %s of %s holds %d records", s.Name, o.Name, len(one))
			}
		}
	}
}

func waczMember(t testing.TB, wacz []byte, name string) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(wacz), int64(len(wacz)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inflate gives what a reader of the Object can see.
func inflate(t *testing.T, name string, b []byte) []byte {
	if name != "page.wacz" {
		return b
	}
	out := slices.Clone(b)
	for _, r := range readWarc(t, waczMember(t, b, warc.ArchiveName)) {
		out = append(out, r.block...)
	}
	return out
}

// Pages that nobody here wrote: the addresses in HOLDFAST_PAGES are captured and
// judged. With HOLDFAST_KEEP the Objects are left in that folder.
func TestPages(t *testing.T) {
	list := strings.Fields(os.Getenv("HOLDFAST_PAGES"))
	if len(list) == 0 {
		t.Skip("set HOLDFAST_PAGES to addresses, separated by spaces")
	}
	c := newCollector(t, Options{})
	for i, u := range list {
		t.Run(u, func(t *testing.T) {
			a, k := collect(t, c, collectors.Request{Source: u, AllowPrivate: true})
			answers := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
			judge(t, a, k, len(answers), len(readWarc(t, object(t, a, k, "requests.warc.gz"))))
			for _, o := range a.Objects {
				t.Log(o.Name, o.Size, o.Kept)
				if dir := os.Getenv("HOLDFAST_KEEP"); dir != "" {
					if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d-%s", i, o.Name)), object(t, a, k, o.Name), 0o600); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
}

// judge asks strangers' tools. Those that are not there are named.
func judge(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper, answers, requests int) {
	dir := t.TempDir()
	wacz := filepath.Join(dir, "page.wacz")
	for name, b := range map[string][]byte{
		"page.wacz": object(t, a, k, "page.wacz"), "requests.warc.gz": object(t, a, k, "requests.warc.gz"),
		"data.warc.gz": waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName),
		"index.cdx":    waczMember(t, object(t, a, k, "page.wacz"), "indexes/index.cdx"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]int{"data.warc.gz": answers, "requests.warc.gz": requests} {
		path := filepath.Join(dir, file)
		t.Run("gowarc "+file, func(t *testing.T) { judgeGowarc(t, path, want) })
		t.Run("warcio "+file, func(t *testing.T) {
			out, err := exec.Command(tool(t, "warcio"), "check", "-v", path).CombinedOutput()
			if n := bytes.Count(out, []byte("digest pass")); err != nil || n != want || bytes.Contains(out, []byte("not checked")) || bytes.Contains(out, []byte("no digest")) {
				t.Errorf("warcio check: %v, %d of %d records\n%s", err, n, want, out)
			}
		})
	}
	t.Run("wacz", func(t *testing.T) {
		if out, err := exec.Command(tool(t, "wacz"), "validate", "-f", wacz).CombinedOutput(); err != nil {
			t.Errorf("wacz validate: %v\n%s", err, out)
		}
	})
	t.Run("cdxj-indexer", func(t *testing.T) {
		theirs, err := exec.Command(tool(t, "cdxj-indexer"), "-s", filepath.Join(dir, "data.warc.gz")).Output()
		if err != nil {
			t.Fatal(err)
		}
		ours, _ := os.ReadFile(filepath.Join(dir, "index.cdx"))
		compareIndex(t, string(ours), string(theirs))
	})
}

// compareIndex: same key, place and status for every answer. POST has a key of
// its own in ours; 101 and metadata records are not in ours.
func compareIndex(t *testing.T, ours, theirs string) {
	place := func(line string) (string, string) {
		key, _, _ := strings.Cut(line, " ")
		off := line[strings.Index(line, `"offset": `)+1:]
		off = strings.NewReplacer(`"`, "", " ", "").Replace(off[:strings.IndexByte(off, ',')])
		return off, key
	}
	want := map[string]string{}
	for line := range strings.Lines(theirs) {
		if !strings.HasPrefix(line, "urn:") && !strings.Contains(line, `"status": "101"`) {
			off, key := place(line)
			want[off] = key
		}
	}
	n := 0
	for line := range strings.Lines(ours) {
		off, key := place(strings.ReplaceAll(line, `":`, `": `))
		if strings.Contains(key, "__wb_method=post") {
			key = strings.NewReplacer("?__wb_method=post", "", "&__wb_method=post", "").Replace(key)
		}
		key = strings.NewReplacer("?__wb_method=options", "", "&__wb_method=options", "").Replace(key)
		if want[off] != key {
			t.Errorf("%s: key %s, cdxj-indexer says %s", off, key, want[off])
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d lines, cdxj-indexer has %d", n, len(want))
	}
}

func tool(t *testing.T, name string) string {
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("JUDGE MISSING: %s is not on PATH; its judgement is not made", name)
	}
	return p
}

func judgeGowarc(t *testing.T, path string, want int) {
	rd, err := gowarc.NewWarcFileReader(path, 0, gowarc.WithStrictValidation(), gowarc.WithAddMissingDigest(false), gowarc.WithAddMissingRecordId(false),
		gowarc.WithAddMissingContentLength(false), gowarc.WithFixDigest(false), gowarc.WithFixContentLength(false), gowarc.WithFixSyntaxErrors(false), gowarc.WithFixWarcFieldsBlockErrors(false))
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	end := time.Now().Add(20 * time.Second)
	n := 0
	for ; n <= want && time.Now().Before(end); n++ { // bounded: a cut file makes this reader loop for ever
		rec, _, val, err := rd.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !val.Valid() {
			t.Fatalf("record %d: %v %v", n, err, val)
		}
		if err := rec.ValidateDigest(val); err != nil || !val.Valid() {
			t.Fatalf("record %d: %v %v", n, err, val)
		}
		rec.Close()
	}
	if n != want {
		t.Errorf("gowarc reads %d of %d records", n, want)
	}
}
