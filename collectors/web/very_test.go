package web

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"holdfast/collectors"
	"holdfast/warc"
)

// turns is a site that shows another certificate, OCSP answer and SCT to each connection,
// and keeps which connection answered what.
type turns struct {
	certs []*tls.Certificate
	n     atomic.Int32
	mu    sync.Mutex
	by    map[string]int // turn, by the connection's address
	said  map[string]int // turn, by path
}

func (s *turns) serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		n := int(s.n.Add(1)) - 1
		s.mu.Lock()
		s.by[h.Conn.RemoteAddr().String()] = n
		s.mu.Unlock()
		return s.certs[n%len(s.certs)], nil
	}}
	srv := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.said[r.URL.RequestURI()] = s.by[r.RemoteAddr]
		s.mu.Unlock()
		w.Header().Set("Connection", "close")
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<title>turns</title><script>(async()=>{for(let i=0;i<5;i++)await fetch('/x?'+i)})()</script>")
	})}
	go srv.Serve(tls.NewListener(l, config))
	t.Cleanup(func() { srv.Close() })
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// stapled is a certificate with an OCSP answer and SCTs of its own.
func (c *ca) stapled(t *testing.T, of *tls.Certificate, serial int, until time.Time) *tls.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(of.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	out := *of
	if out.OCSPStaple, err = ocsp.CreateResponse(c.cert, c.cert, ocsp.Response{Status: ocsp.Good, SerialNumber: leaf.SerialNumber, ThisUpdate: time.Now(), NextUpdate: until}, c.key); err != nil {
		t.Fatal(err)
	}
	out.SignedCertificateTimestamps = [][]byte{fmt.Appendf(nil, "sct of %d", serial)}
	return &out
}

// What the record says of a connection is of that very connection: behind one name stand
// sites with other certificates, or one with another OCSP answer each time, and each
// answer is named by the connection that brought it.
func TestVeryConnection(t *testing.T) {
	good, bad := newCA(t), newCA(t)
	one := good.issue(t, "site.test", time.Now().Add(time.Hour))
	s := &turns{by: map[string]int{}, said: map[string]int{}, certs: []*tls.Certificate{
		good.stapled(t, one, 0, time.Now().Add(time.Hour)),
		bad.stapled(t, bad.issue(t, "site.test", time.Now().Add(time.Hour)), 1, time.Now().Add(2*time.Hour)),
		good.stapled(t, one, 2, time.Now().Add(3*time.Hour)), // the first's chain again
	}}
	port := s.serve(t)
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Roots: good.pool()})
	got, k := collect(t, c, collectors.Request{Source: "https://site.test:" + port + "/", AllowPrivate: true})
	answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[int]int{}
	for _, n := range connections(t, answers) {
		for _, id := range n.Answers {
			i := slices.IndexFunc(answers, func(r record) bool { return r.Get("WARC-Record-ID") == id })
			path := strings.TrimPrefix(answers[i].url, "https://site.test:"+port)
			turn, ok := s.said[path]
			cert := s.certs[turn%3]
			if !ok || n.TLS == nil || len(n.TLS.Chain) != 2 {
				t.Fatalf("%s: turn %d, %+v", path, turn, n.TLS)
			}
			for j, der := range cert.Certificate {
				if b, _ := pem.Decode([]byte(n.TLS.Chain[j])); b == nil || !bytes.Equal(b.Bytes, der) {
					t.Errorf("%s: certificate %d is not that of turn %d", path, j, turn)
				}
			}
			if !bytes.Equal(n.TLS.OCSP, cert.OCSPStaple) || len(n.TLS.SCTs) != 1 || !bytes.Equal(n.TLS.SCTs[0], cert.SignedCertificateTimestamps[0]) {
				t.Errorf("%s: OCSP answer and SCTs are not those of turn %d: %q", path, turn, n.TLS.SCTs)
			}
			if n.TLS.Verified != (turn%3 != 1) || n.TLS.ALPN != "http/1.1" || n.TLS.Version != "TLS 1.3" || !strings.HasPrefix(n.TLS.Cipher, "TLS_") || n.TLS.Hello != helloBrowser {
				t.Errorf("%s: %+v", path, n.TLS)
			}
			if n.Address != "127.0.0.1:"+port || fmt.Sprint(n.Resolved) != "[127.0.0.1]" {
				t.Errorf("%s: %s, %v", path, n.Address, n.Resolved)
			}
			seen[turn%3]++
		}
	}
	if len(seen) != 3 || seen[0]+seen[1]+seen[2] < 6 {
		t.Errorf("answers by turn: %v", seen)
	}
}

// One address that says something else each time: all of it is kept, and found.
func TestOneAddressManyBodies(t *testing.T) {
	var n atomic.Int32
	var mu sync.Mutex
	said := map[string]int{}
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			io.WriteString(w, "<title>n</title><script>(async()=>{for(let i=0;i<3;i++)await fetch('/n',{cache:'no-store'}).then(r=>r.text())})()</script>")
			return
		}
		if r.URL.Path != "/n" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		body := fmt.Sprintf("this is answer %d", n.Add(1))
		mu.Lock()
		said[body]++
		mu.Unlock()
		io.WriteString(w, body)
	}), nil)
	c := newCollector(t, Options{})
	got, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
	index := string(waczMember(t, object(t, got, k, "page.wacz"), "indexes/index.cdx"))
	mu.Lock()
	defer mu.Unlock()
	if len(said) != 3 {
		t.Fatalf("the site said %v", said)
	}
	for body := range said {
		kept := 0
		for _, r := range answers {
			if r.kind == warc.Response && strings.HasSuffix(r.url, "/n") && string(r.body) == body {
				kept++
			}
		}
		if found := strings.Count(index, warc.Digest([]byte(body))); kept != 1 || found != 1 {
			t.Errorf("%q is kept %d times and found %d times in\n%s", body, kept, found, index)
		}
	}
	if got.Completeness.Requests != len(s.asked()) {
		t.Errorf("%d requests, the site counts %d", got.Completeness.Requests, len(s.asked()))
	}
}
