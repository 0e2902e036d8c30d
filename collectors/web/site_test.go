package web

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/andybalholm/brotli"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/hashing"
	"holdfast/warc"
)

// site is a web site that keeps its own account: every request it was asked,
// and every byte that went over its connections.
type site struct {
	addr string // host:port
	mu   sync.Mutex
	hits []string // "METHOD path?query"
	wire []*wireLog
	srv  *http.Server
}

type wireLog struct {
	net.Conn
	mu       sync.Mutex
	in, out  bytes.Buffer
	maxBytes int
}

func (c *wireLog) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in.Write(p[:n])
	return n, err
}

func (c *wireLog) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.out.Len() < c.maxBytes {
		c.out.Write(p)
	}
	c.mu.Unlock()
	return c.Conn.Write(p)
}

type loggingListener struct {
	net.Listener
	s *site
}

func (l loggingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := &wireLog{Conn: c, maxBytes: 8 << 20}
	l.s.mu.Lock()
	l.s.wire = append(l.s.wire, w)
	l.s.mu.Unlock()
	return w, nil
}

// serve starts a site; with a certificate it speaks TLS, and the account is
// kept above the encryption.
func serve(t testing.TB, h http.Handler, cert *tls.Certificate) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{addr: l.Addr().String()}
	if cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"}})
	}
	s.srv = &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.hits = append(s.hits, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	})}
	go s.srv.Serve(loggingListener{l, s})
	t.Cleanup(func() { s.srv.Close() })
	return s
}

func (s *site) port() string { _, p, _ := net.SplitHostPort(s.addr); return p }

func (s *site) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.hits)
}

// sent reports whether the bytes went over a connection of the site in one run.
func (s *site) sent(b []byte, out bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.wire, func(w *wireLog) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if out {
			return bytes.Contains(w.out.Bytes(), b)
		}
		return bytes.Contains(w.in.Bytes(), b)
	})
}

// names resolves every name to the addresses given, so that pages can have
// hosts of any name.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	if a, ok := n[host]; ok {
		return a, nil
	}
	if a, ok := n["*"]; ok {
		return a, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

var loopback = []netip.Addr{netip.MustParseAddr("127.0.0.1")}

// ca makes certificates for tests.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t testing.TB) *ca {
	t.Helper()
	c := &ca{}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "TRAINING root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(48 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	c.key, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &c.key.PublicKey, c.key)
	if err != nil {
		t.Fatal(err)
	}
	c.cert, _ = x509.ParseCertificate(der)
	return c
}

func (c *ca) pool() *x509.CertPool { p := x509.NewCertPool(); p.AddCert(c.cert); return p }

func (c *ca) issue(t testing.TB, host string, until time.Time) *tls.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-47 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, c.cert, &key.PublicKey, c.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der, c.cert.Raw}, PrivateKey: key}
}

func picture(seed int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, 200, 120))
	for i := range m.Pix {
		m.Pix[i] = byte(i * (seed + 3) / 7)
	}
	m.Set(0, 0, color.White)
	var b bytes.Buffer
	png.Encode(&b, m)
	return b.Bytes()
}

// richSite is a page with everything that a recorder can get wrong.
func richSite(other func() string) http.Handler {
	mux := http.NewServeMux()
	page := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, body)
		}
	}
	mux.HandleFunc("/start", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "visit", Value: "1", Path: "/"})
		http.Redirect(w, r, "/moved", http.StatusMovedPermanently)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/page", http.StatusFound) })
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("visit"); err != nil || c.Value != "1" {
			http.Error(w, "no cookie", http.StatusForbidden)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprintf(z, richPage, other())
		z.Close()
	})
	mux.HandleFunc("/style.css", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/css")
		w.Header().Set("Content-Encoding", "br")
		z := brotli.NewWriter(w)
		io.WriteString(z, "body{background:url(/img/bg.png)} .tall{height:1500px}")
		z.Close()
	})
	mux.HandleFunc("/img/{n}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "image/png")
		w.Write(picture(len(r.PathValue("n"))))
	})
	mux.HandleFunc("/chunked.json", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := range 5 {
			fmt.Fprintf(w, `%s{"n":%d}`, strings.Repeat(" ", i*100), i)
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "got %d bytes", len(b))
	})
	mux.HandleFunc("/missing", http.NotFound)
	mux.HandleFunc("/nothing", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/range.bin", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "range.bin", time.Unix(1, 0), bytes.NewReader(bytes.Repeat([]byte("0123456789"), 500)))
	})
	mux.HandleFunc("/old", func(w http.ResponseWriter, r *http.Request) { // ends with the connection, as HTTP/1.0 did
		h, ok := w.(http.Hijacker)
		if !ok { // HTTP/2 has no such end
			io.WriteString(w, "until the end")
			return
		}
		c, rw, _ := h.Hijack()
		io.WriteString(rw, "HTTP/1.0 200 OK\r\nServer:  odd \r\nX-bad header line\r\ncontent-TYPE: text/plain\r\n\r\nuntil the end")
		rw.Flush()
		c.Close()
	})
	mux.HandleFunc("/frame", page(`<p>inner frame<script>fetch('/chunked.json?frame')</script>`))
	mux.HandleFunc("/sw.js", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		io.WriteString(w, `oninstall=e=>e.waitUntil(fetch('/cached-by-worker'));onactivate=e=>e.waitUntil(clients.claim())`)
	})
	mux.HandleFunc("/cached-by-worker", page("for the worker"))
	mux.HandleFunc("/more", page("<p class=tall>more"))
	mux.HandleFunc("/socket", webSocket)
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for r.Context().Err() == nil {
			io.WriteString(w, "data: tick\n\n")
			w.(http.Flusher).Flush()
			time.Sleep(50 * time.Millisecond)
		}
	})
	mux.HandleFunc("/favicon.ico", http.NotFound)
	return mux
}

const richPage = `<!doctype html><html lang=uk><title>Rich &amp; page</title><link rel=stylesheet href=/style.css>
<h1>Сторінка</h1><p>visible words<p hidden>hidden words</p>
<img src=/img/a.png><iframe src="%s/frame"></iframe>
<div class=tall></div><img loading=lazy src=/img/lazy1.png><div class=tall></div><img loading=lazy src=/img/lazy22.png><div class=tall></div><img loading=lazy src=/img/lazy333.png>
<div id=end></div>
<script>
fetch('/chunked.json').then(r=>r.json).catch(()=>0); fetch('/missing'); fetch('/nothing'); fetch('/old');
fetch('/form',{method:'POST',body:new URLSearchParams({n:'1',q:'secret word'})});
fetch('/range.bin',{headers:{Range:'bytes=10-29'}});
const ws=new WebSocket(location.origin.replace('http','ws')+'/socket'); ws.onopen=()=>ws.send('hello from the page'); ws.onmessage=e=>document.title+=' '+e.data;
new EventSource('/events');
navigator.serviceWorker&&navigator.serviceWorker.register('/sw.js');
let n=0; new IntersectionObserver(es=>{if(es[0].isIntersecting&&n++<4)fetch('/more?'+n).then(r=>r.text()).then(t=>{const d=document.createElement('div');d.innerHTML=t;document.body.insertBefore(d,document.getElementById('end'))})}).observe(document.getElementById('end'));
const host=document.createElement('div'); document.body.append(host); host.attachShadow({mode:'open'}).innerHTML='<p>in the shadow';
</script></html>`

// webSocket answers the handshake, reads one masked frame and sends one.
func webSocket(w http.ResponseWriter, r *http.Request) {
	c, rw := upgrade(w, r)
	if c == nil {
		return
	}
	defer c.Close()
	frame := make([]byte, 2+4+len("hello from the page"))
	io.ReadFull(rw, frame)
	rw.WriteString("\x81\x0bsocket-word")
	rw.Flush()
	io.Copy(io.Discard, rw)
}

// upgrade answers the handshake of a WebSocket; nil if the connection cannot be one.
func upgrade(w http.ResponseWriter, r *http.Request) (net.Conn, *bufio.ReadWriter) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return nil, nil
	}
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	rw.Flush()
	return c, rw
}

// record is one WARC record that was read back.
type record struct {
	warc.Fields
	kind, url string
	block     []byte
	head      warc.Head
	body      []byte
}

func readWarc(t testing.TB, b []byte) (out []record) {
	t.Helper()
	r := warc.NewReader(bytes.NewReader(b), warc.Limits{})
	for {
		e, err := r.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatalf("record %d: %v", len(out), err)
		}
		rec := record{Fields: e.Fields, kind: e.Type, url: e.Fields.Get("WARC-Target-URI")}
		if rec.block, err = io.ReadAll(e.Block); err != nil {
			t.Fatalf("record %d: %v", len(out), err)
		}
		br := bufio.NewReader(bytes.NewReader(rec.block))
		if rec.kind == warc.Response || rec.kind == warc.Request {
			rec.head, _ = warc.ReadHead(br, maxHead)
			rec.body, _ = io.ReadAll(br)
		}
		out = append(out, rec)
	}
}

func newCollector(t testing.TB, o Options) *Collector {
	t.Helper()
	if o.Browser == "" {
		o.Browser = browserPath(t)
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// browserPath skips the test where there is no browser to test with.
func browserPath(t testing.TB) string {
	p := os.Getenv("HOLDFAST_BROWSER")
	if p == "" {
		p = find()
	}
	if _, err := os.Stat(p); err != nil {
		t.Skipf("NO BROWSER: %v; set HOLDFAST_BROWSER; nothing of collectors/web is tested", err)
	}
	return p
}

// capture collects and checks what every Acquired must hold to.
func collect(t testing.TB, c *Collector, r collectors.Request) (*collectors.Acquired, *collectorstest.Keeper) {
	t.Helper()
	k := &collectorstest.Keeper{}
	begin := time.Now()
	a, err := c.Collect(context.Background(), r, k)
	if err != nil {
		t.Fatal(err)
	}
	if err := collectorstest.Check(a, k); err != nil {
		t.Error(err)
	}
	t.Logf("%s in %s: %v, %d requests, %d bytes", a.Outcome, time.Since(begin).Round(time.Millisecond), a.Reasons, a.Completeness.Requests, a.Completeness.Bytes)
	return a, k
}

func object(t testing.TB, a *collectors.Acquired, k *collectorstest.Keeper, name string) []byte {
	t.Helper()
	b, err := k.Bytes(a, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hasReason(a *collectors.Acquired, code string) bool {
	return slices.ContainsFunc(a.Reasons, func(r collectors.Reason) bool { return r.Code == code })
}

func newGzip(w io.Writer) *gzip.Writer { return gzip.NewWriter(w) }

// discard keeps digests only.
type discard struct{}

func (*discard) Put(_ context.Context, r io.Reader) (hashing.Digest, int64, error) {
	return hashing.Copy(io.Discard, r)
}
