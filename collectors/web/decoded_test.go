package web

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

// ownCert is one that the browser of a Collector takes: what a public authority's is elsewhere.
func ownCert(t *testing.T, c *Collector, host string) *tls.Certificate {
	t.Helper()
	cert, err := c.cas.cert(host)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func asksOf(host string, requests []record) map[string]int {
	out := map[string]int{}
	for _, r := range requests {
		method, _, _ := strings.Cut(r.head.Start, " ")
		if path, ok := strings.CutPrefix(r.url, host); ok && r.kind == warc.Request {
			out[method+" "+path]++
		}
	}
	return out
}

// Where the browser speaks with the sites itself, what they were asked is recorded all the
// same, by their own account; each record says that it is not what the wire carried, and
// the sites saw no proxy.
func TestDecoded(t *testing.T) {
	roots := x509.NewCertPool()
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Roots: roots})
	var a, b *site
	watch := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/permission" {
				w.Header().Set("Access-Control-Allow-Origin", "*")
				w.Header().Set("Access-Control-Allow-Headers", "X-Own")
				w.Write([]byte("permitted"))
				return
			}
			if r.URL.Path == "/frame" {
				w.Header().Set("Content-Type", "text/html")
				io.WriteString(w, `<p>inner frame<script>fetch('/chunked.json?frame');fetch('https://site.test:`+a.port()+`/permission',{headers:{'X-Own':'1'}}).catch(()=>0)</script>`)
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	leaf, err := x509.ParseCertificate(ownCert(t, c, "site.test").Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(leaf)
	a = serve2(t, watch(richSite(func() string { return "https://other.test:" + b.port() })), ownCert(t, c, "site.test"))
	b = serve2(t, watch(richSite(nil)), ownCert(t, c, "other.test"))
	origin, other := "https://site.test:"+a.port(), "https://other.test:"+b.port()
	got, k := collect(t, c, collectors.Request{Source: origin + "/start", AllowPrivate: true, Options: json.RawMessage(Decoded)})
	if m := got.Completeness.Missing; len(m) != 1 || !strings.HasPrefix(m[0].Why, "not-decoded") || !strings.HasSuffix(m[0].URL, "/events") {
		t.Errorf("missing %+v: of a stream without an end the content is, and nothing else", m)
	}
	if got.Address.Final != origin+"/page" {
		t.Errorf("address %+v", got.Address)
	}
	answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
	requests := readWarc(t, object(t, got, k, "requests.warc.gz"))
	for host, s := range map[string]*site{origin: a, other: b} {
		recorded := asksOf(host, requests)
		for _, h := range s.asked() {
			if recorded[h]--; recorded[h] < 0 {
				t.Errorf("%s: asked of the site, not recorded: %s", host, h)
			}
		}
		for h, n := range recorded {
			if n > 0 {
				t.Errorf("%s: recorded %d times more than asked: %s", host, n, h)
			}
		}
		t.Logf("%s: %d exchanges by the site's account", host, len(s.asked()))
	}
	for _, must := range []string{"/img/lazy333.png", "/img/bg.png", "/more?1", "/cached-by-worker", "/socket", "/events", "/range.bin", "/form", "/sw.js"} {
		if !slices.ContainsFunc(a.asked(), func(h string) bool { return strings.HasSuffix(h, " "+must) }) {
			t.Errorf("the browser never asked for %s: the test proves less than it says", must)
		}
	}
	for _, r := range slices.Concat(answers, requests) {
		if r.kind != warc.Response && r.kind != warc.Request {
			continue
		}
		if r.Get("Holdfast-Label") != labelDecoded || r.Get("WARC-Protocol") != "" || r.Get("WARC-Cipher-Suite") != "" {
			t.Errorf("%s %s is labelled %v", r.kind, r.url, r.Fields)
		}
	}
	find := func(in []record, kind, path string) *record {
		i := slices.IndexFunc(in, func(r record) bool { return r.kind == kind && strings.HasSuffix(r.url, path) })
		if i < 0 {
			t.Fatalf("no %s for %s", kind, path)
		}
		return &in[i]
	}
	page := find(answers, warc.Response, "/page")
	if !bytes.Contains(page.body, []byte("<h1>Сторінка")) || page.head.Fields.Get("Content-Encoding") != "" || page.head.Fields.Get("X-Orig-Content-Encoding") != "gzip" {
		t.Errorf("the page is\n%.600s", page.block)
	}
	if start := find(answers, warc.Response, "/start"); !strings.Contains(start.head.Start, " 301 ") || start.Get("WARC-Truncated") != "unspecified" || start.head.Fields.Get("Location") != "/moved" {
		t.Errorf("the first answer is\n%s", start.block)
	}
	if r := find(requests, warc.Request, "/form"); string(r.body) != "n=1&q=secret+word" {
		t.Errorf("the form is %q", r.body)
	}
	if r := find(answers, warc.Response, "/img/a.png"); !bytes.Equal(r.body, picture(len("a.png"))) {
		t.Error("the picture is another")
	}
	if ws, asked := find(answers, warc.Response, "/socket"), find(requests, warc.Request, "/socket"); string(ws.body) != "\x81\x0bsocket-word" || string(asked.body) != "\x81\x13hello from the page" {
		t.Errorf("the WebSocket is %q and %q", ws.block, asked.block)
	} else if l := kinds(timesOf(t, answers, ws.Get("WARC-Record-ID")), "frame"); len(l) != 1 || l[0].At == "" {
		t.Errorf("its times are %+v", l)
	}
	t.Run("views", func(t *testing.T) { checkViews(t, got, k) })
	peer := got.Collection.Peer
	if peer.TLS == nil || peer.TLS.Version != "TLS 1.3" || !peer.TLS.Verified || len(peer.TLS.Chain) != 1 || peer.Address != "127.0.0.1:"+a.port() || got.Collection.Protocols[0] != "h2" {
		t.Errorf("peer %+v, %+v, %v", peer, peer.TLS, got.Collection.Protocols)
	}
	note := find(answers, warc.Metadata, "urn:holdfast:decoded:1")
	var d decodedNote
	if err := json.Unmarshal(note.block, &d); err != nil || len(d.Origins) != 2 || len(d.Origins[1].Chain) != 1 || d.Origins[0].Protocol != "h2" {
		t.Errorf("%s: %v", note.block, err)
	}
	if !slices.ContainsFunc(got.Collection.Notes, func(n string) bool { return strings.Contains(n, "Holdfast-Label") }) {
		t.Errorf("notes %q", got.Collection.Notes)
	}
	t.Run("judges", func(t *testing.T) { judge(t, got, k, len(answers), len(requests)) })
}

// Questions about permission (CORS) are asked of the site, and so they are recorded, once,
// whether the page asks or a frame of another site; and so is what a worker asks for.
func TestDecodedPermission(t *testing.T) {
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	var a, b *site
	both := func(self, other func() string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", "*")
			w.Header().Set("Access-Control-Allow-Headers", "X-Own")
			ask := `fetch('` + other() + `/x?'+location.host.split('.')[0],{headers:{'X-Own':'1'}}).catch(()=>0)`
			switch r.URL.Path {
			case "/":
				w.Header().Set("Content-Type", "text/html")
				io.WriteString(w, `<title>asks</title><iframe src="`+other()+`/frame"></iframe><script>`+ask+`;new Worker('/worker.js')</script>`)
			case "/frame":
				w.Header().Set("Content-Type", "text/html")
				io.WriteString(w, `<script>`+ask+`</script>`)
			case "/worker.js":
				w.Header().Set("Content-Type", "text/javascript")
				io.WriteString(w, `fetch('/by-worker');fetch('`+other()+`/by-worker',{method:'PUT',body:'put'}).catch(()=>0)`)
			default:
				io.WriteString(w, "permitted")
			}
		})
	}
	ofA, ofB := func() string { return "https://site.test:" + a.port() }, func() string { return "https://other.test:" + b.port() }
	a = serve2(t, both(ofA, ofB), ownCert(t, c, "site.test"))
	b = serve2(t, both(ofB, ofA), ownCert(t, c, "other.test"))
	got, k := collect(t, c, collectors.Request{Source: ofA() + "/", AllowPrivate: true, Options: json.RawMessage(Decoded)})
	requests := readWarc(t, object(t, got, k, "requests.warc.gz"))
	questions := 0
	for host, s := range map[string]*site{ofA(): a, ofB(): b} {
		recorded := asksOf(host, requests)
		for _, h := range s.asked() {
			if recorded[h]--; strings.HasPrefix(h, "OPTIONS ") {
				questions++
			}
		}
		for h, n := range recorded {
			if n != 0 {
				t.Errorf("%s: recorded %+d times than asked: %s", host, n, h)
			}
		}
	}
	if questions < 2 || got.Completeness.Requests != len(a.asked())+len(b.asked()) {
		t.Errorf("%d questions, %d requests; the sites were asked %q and %q", questions, got.Completeness.Requests, a.asked(), b.asked())
	}
}

// The rules of the way out hold where the browser speaks for itself: what is private is
// refused, an egress resolves and connects, a budget ends it, and what the page was refused
// is told once.
func TestDecodedRules(t *testing.T) {
	c := newCollector(t, Options{Resolver: names{"public.test": {netip.MustParseAddr("93.184.216.34")}, "*": loopback}})
	big := bytes.Repeat([]byte("0123456789"), 30_000)
	last, once := make(chan struct{}), sync.Once{}
	page := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/big":
			w.Write(big)
		case "/until": // the page is not loaded before it has asked for all: on a busy machine it is quiet between two
			select {
			case <-last:
			case <-r.Context().Done():
			case <-time.After(20 * time.Second):
			}
		case "/", "/held":
			w.Header().Set("Content-Type", "text/html")
			if r.URL.Path == "/held" {
				io.WriteString(w, "<img src=/until>")
			}
			io.WriteString(w, `<title>rules</title><script>
(async()=>{for(const u of ['https://inner.test/x','https://169.254.169.254/y','/big','/a','/b','/c'])await fetch(u).catch(()=>0)})();
new WebSocket('wss://inner.test:444/ws');
</script>`)
		case "/c":
			once.Do(func() { close(last) })
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
	t.Run("private", func(t *testing.T) {
		s := serve2(t, http.HandlerFunc(page), ownCert(t, c, "site.test"))
		got, _ := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + "/", Options: json.RawMessage(Decoded)})
		if got.Outcome != collectors.Failed || !hasReason(got, "address-refused") || len(s.asked()) > 0 {
			t.Errorf("%s %v, asked %q", got.Outcome, got.Reasons, s.asked())
		}
	})
	root := newCA(t)
	t.Run("egress", func(t *testing.T) {
		never := newCollector(t, Options{Resolver: neverAsked{t}, Roots: root.pool()})
		s := serve2(t, http.HandlerFunc(page), ownCert(t, never, "site.test"))
		p := startProxy(t, collectorstest.ProxyOptions{})
		got, k := collect(t, never, collectors.Request{Source: "https://site.test:" + s.port() + "/held", Options: json.RawMessage(Decoded),
			Via: &collectors.Via{Name: "line-2", Scheme: "socks5", Address: p.Address()}})
		peer := got.Collection.Peer
		if got.Outcome == collectors.Failed || !peer.Unobserved || peer.Address != "" || got.Collection.Egress != "line-2" || len(s.asked()) < 5 {
			t.Errorf("%s %v, %+v, asked %q", got.Outcome, got.Reasons, peer, s.asked())
		}
		answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
		refused := 0
		for _, r := range answers {
			if bytes.Contains(r.block, []byte(p.Address())) || r.Get("WARC-IP-Address") != "" {
				t.Errorf("%s %s tells an address", r.kind, r.url)
			}
			if strings.HasPrefix(r.url, "urn:holdfast:exchange:") && bytes.Contains(r.block, []byte("address-refused")) && bytes.Contains(r.block, []byte("169.254.169.254")) {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("what is private by its text is told %d times: %v", refused, got.Completeness.Missing)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		s := serve2(t, http.HandlerFunc(page), ownCert(t, c, "site.test"))
		got, k := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + "/", AllowPrivate: true, Options: json.RawMessage(Decoded),
			Budget: collectors.Budget{Bytes: 100_000}})
		answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
		for _, r := range answers {
			if len(r.block) > 250_000 {
				t.Errorf("%s has %d bytes", r.url, len(r.block))
			}
		}
		if got.Outcome != collectors.Partial || got.Completeness.Bytes > 250_000 {
			t.Errorf("%s %v, %d bytes", got.Outcome, got.Reasons, got.Completeness.Bytes)
		}
	})
	t.Run("requests", func(t *testing.T) {
		s := serve2(t, http.HandlerFunc(page), ownCert(t, c, "site.test"))
		got, _ := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + "/", AllowPrivate: true, Options: json.RawMessage(Decoded),
			Budget: collectors.Budget{Requests: 3}})
		if !hasReason(got, "request-budget") || len(s.asked()) > 3 || got.Completeness.Requests != 3 {
			t.Errorf("%s %v, %d requests, asked %q", got.Outcome, got.Reasons, got.Completeness.Requests, s.asked())
		}
	})
	t.Run("plain", func(t *testing.T) { // what is not over TLS passes the proxy, and is what the wire carried
		s := serve(t, richSite(func() string { return "" }), nil)
		got, k := collect(t, c, collectors.Request{Source: "http://site.test:" + s.port() + "/start", AllowPrivate: true, Options: json.RawMessage(Decoded)})
		answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
		compare(t, "site.test:"+s.port(), got.Collection.UserAgent, s, answers, readWarc(t, object(t, got, k, "requests.warc.gz")))
		for _, r := range answers {
			if r.Get("Holdfast-Label") != "" {
				t.Errorf("%s is labelled", r.url)
			}
		}
	})
	t.Run("listed", func(t *testing.T) {
		s := serve2(t, http.HandlerFunc(page), ownCert(t, c, "site.test"))
		got, k := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + "/", AllowPrivate: true, Options: json.RawMessage(Decoded),
			NeverKeep: []*collectors.KnownList{readList(t, fmt.Sprintf("%x", sha256.Sum256(big)))}})
		if !hasReason(got, codeNeverKeep) || bytes.Contains(waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName), big[:1000]) {
			t.Errorf("%v", got.Reasons)
		}
		for _, r := range readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName)) {
			if bytes.Contains(r.block, big[:100]) {
				t.Errorf("%s has it", r.url)
			}
		}
	})
	t.Run("unknown option", func(t *testing.T) {
		_, err := c.Collect(t.Context(), collectors.Request{Source: "https://site.test/", Options: json.RawMessage(`{"decode":true}`)}, &discard{})
		if !errors.Is(err, collectors.ErrRefused) {
			t.Errorf("%v", err)
		}
	})
}

// A hostile page ends within its budget here too, with a record that says what is missing,
// and the next capture is clean.
func TestDecodedHostile(t *testing.T) {
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	s := serve2(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/never":
			<-r.Context().Done()
		case "/endless":
			for r.Context().Err() == nil {
				if _, err := w.Write(bytes.Repeat([]byte("<p>more"), 100)); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				time.Sleep(20 * time.Millisecond)
			}
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/script":
			io.WriteString(w, "<title>loop</title><script>setTimeout(()=>{for(;;);},100)</script>")
		case "/beacons":
			io.WriteString(w, "<title>beacons</title><script>setInterval(()=>{for(let i=0;i<50;i++)fetch('/b?'+Math.random())},20)</script>")
		case "/many":
			io.WriteString(w, "<title>many</title><iframe src=/never></iframe><script>alert(1);window.open('/popup');new WebSocket('wss://gone.invalid/')</script><p>text")
		case "/":
			io.WriteString(w, "<title>clean</title><p>clean")
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}), ownCert(t, c, "site.test"))
	for path, want := range map[string][]string{
		"/never": {"unfinished"}, "/endless": {"unfinished"}, "/loop": {codeNavigation}, "/script": nil, "/beacons": {"request-budget"}, "/many": nil,
	} {
		t.Run(path, func(t *testing.T) {
			begin := time.Now()
			got, k := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + path, AllowPrivate: true, Options: json.RawMessage(Decoded),
				Budget: collectors.Budget{Time: 8 * time.Second, Requests: 300}})
			if d := time.Since(begin); d > time.Minute { // 8 s, a start and an end, on a machine under load
				t.Errorf("it took %s", d)
			}
			for _, code := range want {
				if !hasReason(got, code) {
					t.Errorf("%s %v lacks %s", got.Outcome, got.Reasons, code)
				}
			}
			if n := got.Completeness; n.Requests > 300 || len(s.asked()) < 1 {
				t.Errorf("%+v", n)
			}
			readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
		})
	}
	if got, _ := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + "/", AllowPrivate: true, Options: json.RawMessage(Decoded)}); got.Outcome == collectors.Failed || hasReason(got, "incomplete") {
		t.Errorf("the next is %s %v", got.Outcome, got.Reasons)
	}
}
