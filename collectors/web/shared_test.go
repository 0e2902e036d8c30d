package web

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"holdfast/collectors"
	"holdfast/warc"
)

// serve2 starts a site that speaks HTTP/2 and, to who offers no more, HTTP/1.1. Its account
// is kept above the encryption.
func serve2(t testing.TB, h http.Handler, cert *tls.Certificate) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{addr: l.Addr().String()}
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.hits = append(s.hits, r.Method+" "+r.URL.RequestURI())
		s.mu.Unlock()
		h.ServeHTTP(w, r)
	})
	s.srv = &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: counted}
	old := &handedOver{Listener: l, conns: make(chan net.Conn), ended: make(chan struct{})}
	go s.srv.Serve(old)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}, NextProtos: []string{"h2", "http/1.1"}})
				if tc.HandshakeContext(t.Context()) != nil {
					return
				}
				w := &wireLog{Conn: tc, maxBytes: 8 << 20}
				if tc.ConnectionState().NegotiatedProtocol != "h2" {
					select {
					case old.conns <- w:
					case <-old.ended:
					}
					return
				}
				s.mu.Lock()
				s.wire = append(s.wire, w)
				s.mu.Unlock()
				(&http2.Server{}).ServeConn(w, &http2.ServeConnOpts{Handler: counted, BaseConfig: s.srv})
			}()
		}
	}()
	t.Cleanup(func() { close(old.ended); l.Close(); s.srv.Close() })
	return s
}

// handedOver accepts what somebody else has accepted.
type handedOver struct {
	net.Listener
	conns chan net.Conn
	ended chan struct{}
}

func (h *handedOver) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.ended:
		return nil, net.ErrClosed
	}
}

// A whole page over HTTP/2, its WebSocket over HTTP/1.1: nothing is missing, and the frames
// with the contents of the records are the bytes that the site wrote and read.
func TestCompleteH2(t *testing.T) {
	ca := newCA(t)
	cert := ca.issue(t, "site.test", time.Now().Add(time.Hour))
	var s *site
	s = serve2(t, richSite(func() string { return "https://site.test:" + s.port() }), cert)
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Roots: ca.pool()})
	got, k := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + "/start", AllowPrivate: true})
	if got.Outcome != collectors.Complete {
		t.Errorf("%s: %v\n%v", got.Outcome, got.Reasons, got.Completeness.Missing)
	}
	answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
	requests := readWarc(t, object(t, got, k, "requests.warc.gz"))
	recorded, over := map[string]int{}, 0
	for _, r := range requests {
		method, _, _ := strings.Cut(r.head.Start, " ")
		if path, ok := strings.CutPrefix(r.url, "https://site.test:"+s.port()); ok && r.kind == warc.Request {
			recorded[method+" "+path]++
		}
	}
	for _, h := range s.asked() {
		if recorded[h]--; recorded[h] < 0 {
			t.Errorf("asked of the site, not recorded: %s", h)
		}
	}
	for _, r := range answers {
		if r.kind == warc.Response && r.Get("WARC-Protocol") == "h2" {
			over++
		}
	}
	if over < 25 {
		t.Errorf("%d answers came over HTTP/2", over)
	}
	t.Logf("%d exchanges, %d of them over HTTP/2, on %d connections", len(s.asked()), over, len(s.wire))
	for i, w := range s.wire {
		w.mu.Lock()
		name := fmt.Sprintf("urn:holdfast:h2:%d:", i+1)
		if b := rebuilt(t, answers, answers, name+"received", warc.Response); !bytes.HasPrefix(w.out.Bytes(), b) || len(b) < 10_000 {
			t.Errorf("connection %d: the record has not the %d bytes that the site wrote but %d others", i+1, w.out.Len(), len(b))
		}
		if b := append([]byte(http2.ClientPreface), rebuilt(t, requests, requests, name+"sent", warc.Request)...); !bytes.HasPrefix(b, w.in.Bytes()) {
			t.Errorf("connection %d: the record has not the %d bytes that the site read", i+1, w.in.Len())
		}
		w.mu.Unlock()
	}
	t.Run("judges", func(t *testing.T) { judge(t, got, k, len(answers), len(requests)) })
}

// rebuilt puts together what went over a connection in one direction.
func rebuilt(t *testing.T, logs, records []record, name, kind string) (out []byte) {
	t.Helper()
	i := slices.IndexFunc(logs, func(r record) bool { return r.url == name })
	if i < 0 {
		t.Fatalf("there is no record %s", name)
	}
	content := map[uint32][]byte{}
	for pass := range 2 { // a stream's line may come behind its first frames
		for sc := bufio.NewScanner(bytes.NewReader(logs[i].block)); sc.Scan(); {
			var l struct {
				frameLine
				Answer string `json:"answer"`
			}
			if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			switch {
			case pass == 0 && l.Answer != "":
				content[l.Stream] = bodyOf(t, records, l.Answer, kind)
			case pass == 1 && l.Answer == "":
				out = append(out, byte(l.Length>>16), byte(l.Length>>8), byte(l.Length), l.Kind, l.Flags, byte(l.Stream>>24), byte(l.Stream>>16), byte(l.Stream>>8), byte(l.Stream))
				if l.Kind != 0 {
					out = append(out, l.Payload...)
					continue
				}
				n := int(l.Length) - len(l.Payload)
				if len(l.Payload) > 0 || n > len(content[l.Stream]) {
					t.Fatalf("stream %d: padded, or %d bytes where the record has %d left", l.Stream, n, len(content[l.Stream]))
				}
				out, content[l.Stream] = append(out, content[l.Stream][:n]...), content[l.Stream][n:]
			}
		}
	}
	return out
}

func bodyOf(t *testing.T, records []record, answer, kind string) []byte {
	t.Helper()
	for _, r := range records {
		if r.kind == kind && (r.Get("WARC-Record-ID") == answer || kind == warc.Request && r.Get("WARC-Concurrent-To") == answer) {
			return r.body
		}
	}
	t.Fatalf("no %s for %s", kind, answer)
	return nil
}
