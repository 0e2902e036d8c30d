package web

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

// ytdlpPath is the real one, as deploy/judges installs it.
func ytdlpPath(t testing.TB) string {
	p := filepath.Join(os.Getenv("HOLDFAST_JUDGES"), "bin", "yt-dlp")
	if _, err := os.Stat(p); os.Getenv("HOLDFAST_JUDGES") == "" || err != nil {
		t.Skip("JUDGE MISSING: yt-dlp; deploy/judges/install installs it; what it brings is not tested")
	}
	return p
}

// described is a page that names a film in data about it (JSON-LD), and never plays it.
func described(at string) string {
	return `<!doctype html><title>the page</title><p>words<script type="application/ld+json">{"@context":"https://schema.org","@type":"VideoObject","name":"A film of the square","description":"d","uploadDate":"2026-11-01","thumbnailUrl":"/t.jpg","contentUrl":"` + at + `"}</script>`
}

// hidden is a site whose films no page of it plays.
func hidden(scheme string, film []byte, more map[string]http.HandlerFunc) http.Handler {
	pieces := map[string][]byte{"/0.ts": bytes.Repeat([]byte{0x47}, 188*50), "/1.ts": bytes.Repeat([]byte{0x47, 1}, 94*50), "/2.ts": bytes.Repeat([]byte{0x47, 2}, 94*50)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := scheme + "://" + r.Host
		if h := more[r.URL.Path]; h != nil {
			h(w, r)
			return
		}
		page := func(html string) {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, html)
		}
		switch {
		case r.URL.Path == "/described":
			page(described(origin + "/film.mp4"))
		case r.URL.Path == "/og":
			page(`<!doctype html><title>the page</title><meta property="og:video" content="` + origin + `/list.m3u8"><p>words`)
		case r.URL.Path == "/none":
			page(`<!doctype html><title>the page</title><p>no film`)
		case strings.HasPrefix(r.URL.Path, "/to"):
			page(described(origin + strings.TrimPrefix(r.URL.Path, "/to")))
		case r.URL.Path == "/film.mp4":
			http.ServeContent(w, r, "film.mp4", time.Unix(1, 0), bytes.NewReader(film))
		case r.URL.Path == "/list.m3u8":
			io.WriteString(w, "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n#EXT-X-ENDLIST\n")
		case pieces[r.URL.Path] != nil:
			w.Header().Set("Content-Type", "video/mp2t")
			w.Write(pieces[r.URL.Path])
		default:
			http.NotFound(w, r)
		}
	})
}

func filmOf(n int) []byte {
	b := append([]byte("\x00\x00\x00\x18ftypisom"), bytes.Repeat([]byte("a film, in its own bytes. "), n/26)...)
	return b
}

const withYtdlp = `{"films":"yt-dlp"}`

// aWhile is what nothing here takes but on a very busy machine.
func aWhile() collectors.Budget { return collectors.Budget{Time: 3 * time.Minute} }

// askedOf is what the record says of who asked.
type askedOf struct{ page, program []string }

// whoAsked holds the site's own log against the record: each exchange is there, once, with
// its request, and says who asked.
func whoAsked(t *testing.T, s *site, before int, a *collectors.Acquired, k *collectorstest.Keeper) (of askedOf) {
	t.Helper()
	var answers, requests []string
	for _, r := range readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName)) {
		if r.kind != warc.Response {
			continue
		}
		at := r.url[strings.Index(r.url, "//")+2:]
		at = at[strings.IndexByte(at, '/'):]
		answers = append(answers, at)
		switch r.Get("Holdfast-Asked-By") {
		case "":
			of.page = append(of.page, at)
		case "yt-dlp":
			of.program = append(of.program, at)
		default:
			t.Errorf("%s: asked by %s", at, r.Get("Holdfast-Asked-By"))
		}
	}
	for _, r := range readWarc(t, object(t, a, k, "requests.warc.gz")) {
		if r.kind == warc.Request {
			at := strings.Fields(r.head.Start)[1]
			requests = append(requests, at)
			if program := strings.Contains(r.head.Fields.Get("User-Agent"), "Headless"); program == (r.Get("Holdfast-Asked-By") == "yt-dlp") {
				t.Errorf("%s of %s: asked by %q", at, r.head.Fields.Get("User-Agent"), r.Get("Holdfast-Asked-By"))
			}
		}
	}
	var hits []string
	for _, h := range s.asked()[before:] {
		hits = append(hits, strings.TrimPrefix(strings.TrimPrefix(h, "GET "), "HEAD "))
	}
	for _, list := range [][]string{hits, answers, requests} {
		slices.Sort(list)
	}
	if !slices.Equal(hits, answers) || !slices.Equal(hits, requests) {
		t.Errorf("the site was asked for %q; answers in the record %q, requests %q", hits, answers, requests)
	}
	return of
}

// TestFetched: films that only the program finds come whole, through the recording proxy,
// over TLS and plain; what was asked for them is in the record, each exchange of it.
func TestFetched(t *testing.T) {
	program := ytdlpPath(t)
	root, film := newCA(t), filmOf(300_000)
	secure := serve(t, hidden("https", film, nil), root.issue(t, "film.test", time.Now().Add(time.Hour)))
	plain := serve(t, hidden("http", film, nil), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Roots: root.pool(), Ytdlp: program})
	for _, v := range []struct {
		s              *site
		scheme, path   string
		want           []byte
		name, kind, by string
		page, program  int
	}{
		{secure, "https", "/described", film, "film-1.mp4", "video/mp4", "byte for byte the content of the answer", 2, 3},
		{plain, "http", "/og", slices.Concat(bytes.Repeat([]byte{0x47}, 188*50), bytes.Repeat([]byte{0x47, 1}, 94*50), bytes.Repeat([]byte{0x47, 2}, 94*50)), "film-1.ts", "video/mp2t", "put together", 2, 7},
	} {
		before := len(v.s.asked())
		a, k := collect(t, c, collectors.Request{Source: v.scheme + "://film.test:" + v.s.port() + v.path, AllowPrivate: true, Options: json.RawMessage(withYtdlp), Budget: aWhile()})
		if a.Outcome != collectors.Complete || !hasObject(a, v.name) {
			t.Fatalf("%s: %s %v\n%s", v.path, a.Outcome, a.Reasons, strings.Join(a.Collection.Notes, "\n"))
		}
		if !bytes.Equal(object(t, a, k, v.name), v.want) {
			t.Errorf("%s: %d bytes of the film, not %d", v.path, len(object(t, a, k, v.name)), len(v.want))
		}
		of := whoAsked(t, v.s, before, a, k)
		if len(of.page) != v.page || len(of.program) != v.program || a.Completeness.Requests != v.page {
			t.Errorf("%s: asked by the page %q, by the program %q; %d counted as the page's", v.path, of.page, of.program, a.Completeness.Requests)
		}
		i := slices.IndexFunc(a.Objects, func(o collectors.Object) bool { return o.Name == v.name })
		j := slices.IndexFunc(a.Transformations, func(tr collectors.Transformation) bool { return tr.Output == v.name })
		if o, tr := a.Objects[i], a.Transformations[j]; o.Role != "film" || o.MediaType != v.kind || tr.Action != "fetch-film" || tr.Tool != "yt-dlp "+a.Collection.Program.Version || !strings.HasPrefix(tr.Detail, v.by) {
			t.Errorf("%s: %+v %+v", v.path, o, tr)
		}
		checkProgram(t, a, k, program, len(of.program))
		checkIndex(t, a, k, v.path)
		dir := t.TempDir()
		for name, b := range map[string][]byte{"data.warc.gz": waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName), "requests.warc.gz": object(t, a, k, "requests.warc.gz")} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
			judgeGowarc(t, filepath.Join(dir, name), len(readWarc(t, b)))
		}
	}
	if a, _ := collect(t, c, collectors.Request{Source: "http://film.test:" + plain.port() + "/described", AllowPrivate: true}); a.Collection.Program != nil || hasObject(a, "film-1.mp4") {
		t.Error("it was run though nobody asked for it")
	}
	a, _ := collect(t, c, collectors.Request{Source: "http://film.test:" + plain.port() + "/none", AllowPrivate: true, Options: json.RawMessage(withYtdlp), Budget: aWhile()})
	if notes := strings.Join(a.Collection.Notes, "\n"); a.Outcome != collectors.Complete || !strings.Contains(notes, "found no film") {
		t.Errorf("a page without a film: %s %v %s", a.Outcome, a.Reasons, notes)
	}
}

// checkProgram: which program it was, how it was run, and that it was, stand in all places.
func checkProgram(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper, path string, asked int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	p := a.Collection.Program
	if p == nil || p.Name != "yt-dlp" || p.Digest.Hex() != hex.EncodeToString(sum[:]) || p.Version < "2026" || !slices.Contains(p.Arguments, "--ignore-config") || strings.Contains(strings.Join(p.Arguments, " "), "/tmp") {
		t.Fatalf("program %+v", p)
	}
	var lines []programLine
	for l := range strings.Lines(string(object(t, a, k, "commands.jsonl"))) {
		var p programLine
		if json.Unmarshal([]byte(l), &p) == nil && p.Kind == "program" {
			lines = append(lines, p)
		}
	}
	if len(lines) != 1 || lines[0].Version != p.Version || lines[0].Exit != 0 || !slices.Equal(lines[0].Arguments, p.Arguments) || lines[0].Digest != p.Digest.String() {
		t.Errorf("the command log says %+v", lines)
	}
	var n programNote
	for _, r := range readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName)) {
		if r.url == "urn:holdfast:program:1" {
			if err := json.Unmarshal(r.block, &n); err != nil {
				t.Error(err)
			}
		}
	}
	if n.Asked != asked || len(n.Answers) != asked || n.Version != p.Version || n.Exit != 0 {
		t.Errorf("the record says %+v", n)
	}
	var facts struct{ Title, Upload_date string }
	if err := json.Unmarshal(object(t, a, k, "film-1.json"), &facts); err != nil || facts.Title == "" {
		t.Errorf("facts %+v %v", facts, err)
	}
}

// checkIndex: of the page's address the index has the page's answer alone, of the film
// what the program asked for.
func checkIndex(t *testing.T, a *collectors.Acquired, k *collectorstest.Keeper, path string) {
	t.Helper()
	page, film := 0, 0
	for l := range strings.Lines(string(waczMember(t, object(t, a, k, "page.wacz"), "indexes/index.cdx"))) {
		switch {
		case strings.Contains(l, path+`"`):
			page++
		case strings.Contains(l, "/film.mp4") || strings.Contains(l, "/2.ts"):
			film++
		}
	}
	if page != 1 || film == 0 {
		t.Errorf("%d lines of the page and %d of the film in the index", page, film)
	}
}

// TestFetchedHostile: what a site does to the program ends within the bounds, is told, and
// costs the capture nothing else.
func TestFetchedHostile(t *testing.T) {
	program := ytdlpPath(t)
	drip := func(every time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "video/mp4")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 32<<10)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(every)
			}
		}
	}
	more := map[string]http.HandlerFunc{"/endless.mp4": drip(0), "/slow.mp4": drip(200 * time.Millisecond),
		"/inside.mp4": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/film.mp4", http.StatusFound)
		},
		"/large.mp4": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9000000000")
			w.Write(make([]byte, 1000))
		},
		"/status.mp4": func(w http.ResponseWriter, r *http.Request) { http.Error(w, "gone", http.StatusGone) },
		"/names.mp4": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Disposition", `attachment; filename="../../../out of it/--exec.sh"`)
			http.ServeContent(w, r, "film.mp4", time.Unix(1, 0), bytes.NewReader(filmOf(5000)))
		}}
	s := serve(t, hidden("http", filmOf(1000), more), nil)
	c := newCollector(t, Options{Resolver: neverAsked{t}, Ytdlp: program})
	via := &collectors.Via{Name: "line-2", Scheme: "socks5", Address: startProxy(t, collectorstest.ProxyOptions{}).Address()}
	for path, v := range map[string]struct {
		told   []string // in the reason film-failed; none: there is no such reason
		budget collectors.Budget
		in     string // what the record has of it
	}{
		"/endless.mp4": {[]string{"exit status 1", "byte-budget"}, collectors.Budget{Bytes: 3_000_000, Time: 3 * time.Minute}, `"truncated":"length"`},
		"/slow.mp4":    {[]string{"it was ended when no time was left", "1 files are not kept"}, collectors.Budget{Time: 25 * time.Second}, `"truncated":"time"`},
		"/inside.mp4":  {[]string{"exit status 1", "1 of its requests failed or were refused", "169.254.169.254", "address-refused"}, aWhile(), `"code":"address-refused"`},
		"/large.mp4":   {[]string{"1 films were found and did not come"}, aWhile(), ""},
		"/status.mp4":  {[]string{"HTTP Error 410"}, aWhile(), ""},
		"/names.mp4":   {nil, aWhile(), ""},
	} {
		t.Run(path[1:], func(t *testing.T) {
			begin := time.Now()
			a, k := collect(t, c, collectors.Request{Source: "http://film.test:" + s.port() + "/to" + path, Via: via, Budget: v.budget, Options: json.RawMessage(withYtdlp)})
			i := slices.IndexFunc(a.Reasons, func(r collectors.Reason) bool { return r.Code == "film-failed" })
			if v.told == nil {
				if i >= 0 || !hasObject(a, "film-1.mp4") {
					t.Errorf("%v", a.Reasons)
				}
				return
			}
			if i < 0 || a.Outcome != collectors.Partial || len(a.Reasons) != 1 {
				t.Fatalf("%s %v %q", a.Outcome, a.Reasons, a.Collection.Notes)
			}
			for _, must := range v.told {
				if !strings.Contains(a.Reasons[i].Detail, must) {
					t.Errorf("%q is not in %q", must, a.Reasons[i].Detail)
				}
			}
			if string(object(t, a, k, "text.txt")) != "words" || hasObject(a, "film-1.mp4") || a.Completeness.Failed+a.Completeness.Blocked+a.Completeness.Truncated > 0 {
				t.Errorf("%+v", a.Completeness)
			}
			if budget := v.budget.Time; budget > 0 && time.Since(begin) > budget+2*time.Minute {
				t.Errorf("it took %v", time.Since(begin))
			}
			records := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
			if v.in != "" && !slices.ContainsFunc(records, func(r record) bool {
				return strings.HasPrefix(r.url, "urn:holdfast:exchange:") && bytes.Contains(r.block, []byte(v.in)) && bytes.Contains(r.block, []byte(`"asked_by":"yt-dlp"`))
			}) {
				t.Errorf("%s is not in the record", v.in)
			}
		})
	}
}

// standIn is a program in the place of yt-dlp.
func standIn(t *testing.T, script string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stand-in")
	text := "#!/bin/sh\nfor a in \"$@\"; do [ \"$a\" != --version ] || { echo 2026.01.02; exit 0; }; done\nPATH=/usr/bin:/bin\n" + script
	if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestFilmsProgram: a program that hangs, fills the disk, dies, leaves links, is none, or is
// not there is told of, and nothing of it is left; the capture has all that it has without.
func TestFilmsProgram(t *testing.T) {
	s := serve(t, hidden("http", filmOf(1000), nil), nil)
	arg := fmt.Sprintf("88%d", time.Now().UnixNano()%1e12)
	mark := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(mark, []byte("of the machine"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOLDFAST_OUR_SECRET", "not for it")
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	for name, v := range map[string]struct {
		program string
		told    string // "": no reason
	}{
		"hangs":       {standIn(t, "setsid sleep "+arg+" & sleep "+arg+" & (setsid sh -c 'sleep "+arg+"' &)\necho 'ERROR: none yet' >&2; sleep "+arg), "it was ended when no time was left"},
		"leaves":      {standIn(t, "setsid sleep "+arg+" >/dev/null 2>&1 & exit 0"), ""},
		"fills":       {standIn(t, "head -c 300000000 /dev/zero > film-1.mp4; head -c 300000000 /dev/zero > film-2.mp4; sleep "+arg), "for what it wrote"},
		"many":        {standIn(t, "i=0; while :; do i=$((i+1)); : > f$i; done"), "number of its files"},
		"dies":        {standIn(t, "echo 'ERROR: of the program' >&2; exit 7"), "exit status 7, 0 films came: of the program"},
		"links":       {standIn(t, "ln -s "+mark+" film-1.mp4; mkdir film-2.mp4; : > film-3.mp4"), ""},
		"too many":    {standIn(t, "exit 101"), "10 films"},
		"other":       {"/bin/echo", "is it a yt-dlp"},
		"not there":   {"/nothing/here", "cannot be read: no such file"},
		"not named":   {"", "no yt-dlp is named"},
		"no program":  {mark, "it was not run"},
		"environment": {standIn(t, "env | grep -v '^PWD=' > film-1.mp4; echo >> film-1.mp4; cat >> film-1.mp4"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.opts.Ytdlp = v.program
			budget := collectors.Budget{Time: 3 * time.Minute, Bytes: 10 << 20}
			if name == "hangs" {
				budget.Time = 20 * time.Second
			}
			a, k := collect(t, c, collectors.Request{Source: "http://film.test:" + s.port() + "/none", AllowPrivate: true, Options: json.RawMessage(withYtdlp), Budget: budget})
			i := slices.IndexFunc(a.Reasons, func(r collectors.Reason) bool { return r.Code == "film-failed" })
			switch {
			case v.told == "" && i >= 0, v.told != "" && i < 0:
				t.Errorf("%s %v", a.Outcome, a.Reasons)
			case v.told != "" && !strings.Contains(a.Reasons[i].Detail, v.told):
				t.Errorf("%q is not in %q", v.told, a.Reasons[i].Detail)
			}
			if string(object(t, a, k, "text.txt")) != "no film" {
				t.Error("the page's text is not there")
			}
			if out, _ := exec.Command("pgrep", "-f", "sleep "+arg).Output(); len(bytes.TrimSpace(out)) > 0 {
				t.Errorf("processes are left: %s", out)
			}
			if name != "environment" {
				if hasObject(a, "film-1.mp4") {
					t.Error("there is a film")
				}
				return
			}
			for l := range strings.Lines(string(object(t, a, k, "film-1.mp4"))) {
				name, _, _ := strings.Cut(strings.TrimSpace(l), "=")
				if !slices.Contains([]string{"", "HOME", "TMPDIR", "LANG", "TZ", "HOLDFAST_RUN", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "_", "SHLVL", "OLDPWD"}, name) {
					t.Errorf("it has %s", l)
				}
			}
		})
	}
}

// TestFilmsProgramKept: what is on a list of what is never kept is neither in the record
// nor a film; a session's cookies reach the program, and what it brought with them is
// restricted.
func TestFilmsProgramKept(t *testing.T) {
	program, film := ytdlpPath(t), filmOf(100_000)
	s := serve(t, hidden("http", film, map[string]http.HandlerFunc{"/mine.mp4": func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("login"); err != nil || c.Value != "a-secret-of-the-session" {
			http.Error(w, "who are you", http.StatusForbidden)
			return
		}
		http.ServeContent(w, r, "film.mp4", time.Unix(1, 0), bytes.NewReader(film))
	}}), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Ytdlp: program})
	req := collectors.Request{Source: "http://film.test:" + s.port() + "/described", AllowPrivate: true, Options: json.RawMessage(withYtdlp), Budget: aWhile()}
	sum := sha256.Sum256(film)
	list, err := collectors.ReadKnownList(strings.NewReader(hex.EncodeToString(sum[:]) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	req.NeverKeep = []*collectors.KnownList{list}
	a, k := collect(t, c, req)
	if hasObject(a, "film-1.mp4") || !hasReason(a, "never-keep") || hasReason(a, "never-keep-unchecked") {
		t.Errorf("a film on a list: %v %q", a.Reasons, a.Collection.Notes)
	}
	for _, o := range a.Objects {
		if bytes.Contains(object(t, a, k, o.Name), film[:1000]) {
			t.Errorf("it is in %s", o.Name)
		}
	}
	req.NeverKeep, req.Source = nil, "http://film.test:"+s.port()+"/to/mine.mp4"
	if a, _ = collect(t, c, req); hasObject(a, "film-1.mp4") || !hasReason(a, "film-failed") {
		t.Errorf("without the session: %v", a.Reasons)
	}
	req.Session = &collectors.Session{Name: "observer", Cookies: []collectors.Cookie{{Name: "login", Value: "a-secret-of-the-session", Domain: "film.test", Path: "/", HostOnly: true}}}
	a, k = collect(t, c, req)
	i := slices.IndexFunc(a.Objects, func(o collectors.Object) bool { return o.Name == "film-1.mp4" })
	if a.Outcome != collectors.Complete || i < 0 || !a.Objects[i].Restricted || !bytes.Equal(object(t, a, k, "film-1.mp4"), film) {
		t.Fatalf("with the session: %s %v %q", a.Outcome, a.Reasons, a.Collection.Notes)
	}
	for _, o := range a.Objects {
		b := object(t, a, k, o.Name)
		if o.Name == "page.wacz" {
			b = waczMember(t, b, warc.ArchiveName)
			for _, r := range readWarc(t, b) {
				b = append(b, r.block...)
			}
		}
		if !o.Restricted && bytes.Contains(b, []byte("a-secret-of-the-session")) {
			t.Errorf("the secret is in %s", o.Name)
		}
	}
}

// A request of the program is answered with a certificate of the root that it was given,
// and of no other.
func TestGuestRoot(t *testing.T) {
	g, err := newGuest("program")
	if err != nil {
		t.Fatal(err)
	}
	other, err := newGuest("other")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := g.cas.cert("host.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyChain(cert, g, "host.test"); err != nil {
		t.Error(err)
	}
	if verifyChain(cert, other, "host.test") == nil || verifyChain(cert, g, "another.test") == nil {
		t.Error("another root, or another name, is as good")
	}
}

func verifyChain(c *tls.Certificate, g *guest, host string) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(g.roots())
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return err
	}
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool})
	return err
}

func TestNetscape(t *testing.T) {
	got := string(netscape([]collectors.Cookie{
		{Name: "a", Value: "1", Domain: "x.test", Path: "/", HostOnly: true, Secure: true, Expires: time.Unix(1900000000, 0)},
		{Name: "b", Value: "2", Domain: "x.test", Path: "/p"},
		{Name: "bad", Value: "3\n.evil.test\tTRUE\t/\tFALSE\t0\tc\t4", Domain: "x.test", Path: "/"},
		{Name: "tab", Value: "3\t4", Domain: "x.test", Path: "/"},
	}))
	if want := "# Netscape HTTP Cookie File\nx.test\tFALSE\t/\tTRUE\t1900000000\ta\t1\n.x.test\tTRUE\t/p\tFALSE\t0\tb\t2\n"; got != want {
		t.Errorf("%q", got)
	}
}
