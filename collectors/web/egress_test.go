package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/warc"
)

// neverAsked is a resolver that must not be asked.
type neverAsked struct{ t *testing.T }

func (n neverAsked) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.t.Errorf("LEAK: the node itself asked for %s", host)
	return loopback, nil
}

func startProxy(t *testing.T, o collectorstest.ProxyOptions) *collectorstest.Proxy {
	t.Helper()
	p, err := collectorstest.StartProxy(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// TestEgress: through either kind of proxy a page comes whole, over TLS and
// plain, names go to the proxy unresolved, and neither address is claimed.
func TestEgress(t *testing.T) {
	root := newCA(t)
	secure := serve(t, richSite(func() string { return "" }), root.issue(t, "site.test", time.Now().Add(time.Hour)))
	plain := serve(t, richSite(func() string { return "" }), nil)
	c := newCollector(t, Options{Resolver: neverAsked{t}, Roots: root.pool()})
	for _, scheme := range []string{"socks5", "http"} {
		for _, user := range []string{"", "office"} {
			p := startProxy(t, collectorstest.ProxyOptions{User: user, Password: user})
			via := &collectors.Via{Name: "line-2", Scheme: scheme, Address: p.Address(), User: user, Password: user}
			for _, u := range []string{"https://site.test:" + secure.port() + "/start", "http://plain.test:" + plain.port() + "/start"} {
				a, k := collect(t, c, collectors.Request{Source: u, Via: via, Budget: collectors.Budget{Time: 30 * time.Second}})
				peer := a.Collection.Peer
				if a.Outcome == collectors.Failed || !strings.HasSuffix(a.Address.Final, "/page") {
					t.Fatalf("%s by %s: %s %v", u, via, a.Outcome, a.Reasons)
				}
				if peer.Address != "" || len(peer.Resolved) > 0 || !peer.Unobserved || a.Collection.Egress != "line-2" {
					t.Errorf("peer %+v, egress %s", peer, a.Collection.Egress)
				}
				if strings.HasPrefix(u, "https:") && (peer.TLS == nil || !peer.TLS.Verified) {
					t.Errorf("TLS %+v", peer.TLS)
				}
				w := waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName)
				for _, r := range readWarc(t, w) {
					if r.Get("WARC-IP-Address") != "" || bytes.Contains(r.block, []byte(p.Address())) {
						t.Errorf("record %s %s tells an address: %.300s", r.kind, r.url, r.block)
					}
				}
			}
			for _, to := range p.Asked() {
				if host, _, _ := net.SplitHostPort(to); host != "site.test" && host != "plain.test" {
					t.Errorf("asked for %s", to)
				}
			}
		}
	}
}

// TestEgressRefusals: what is private by its text, or no name, does not go to
// the proxy; a wrong login and a proxy that is away are egress-failed.
func TestEgressRefusals(t *testing.T) {
	p := startProxy(t, collectorstest.ProxyOptions{User: "u", Password: "right"})
	d := dialer{via: &collectors.Via{Scheme: "socks5", Address: p.Address(), User: "u", Password: "right"}, resolver: neverAsked{t}, now: time.Now, answers: newAnswers()}
	for _, host := range []string{"127.0.0.1", "10.1.2.3", "::1", "::ffff:192.168.0.1", "fe80::1%eth0", "localhost", "a.localhost", "LOCALHOST.", "127.1", "0x7f.1",
		"2130706433", "0177.0.0.1", "a b.test", "a.test/x", "", ".", "ж.test", "169.254.169.254", "0.0.0.0", strings.Repeat("a", 254) + ".test"} {
		_, pr, err := d.dial(t.Context(), host, "80", way{})
		var f *fault
		if !errors.As(err, &f) || !f.blocked || f.code != "address-refused" || pr.address.IsValid() {
			t.Errorf("%q: %v", host, err)
		}
	}
	if _, _, err := d.dial(t.Context(), "site.test", "0", way{}); err == nil {
		t.Error("port 0")
	}
	if asked := p.Asked(); len(asked) > 0 {
		t.Errorf("the proxy was asked for %v", asked)
	}
	code := func(want string, d dialer, host, port string) {
		t.Helper()
		_, _, err := d.dial(t.Context(), host, port, way{})
		var f *fault
		if !errors.As(err, &f) || f.code != want {
			t.Errorf("%v, want %s", err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "wrong") || strings.Contains(err.Error(), d.via.Address)) {
			t.Errorf("the error tells the password or the proxy's address: %v", err)
		}
	}
	for _, scheme := range []string{"socks5", "http"} {
		d.via = &collectors.Via{Scheme: scheme, Address: p.Address(), User: "u", Password: "wrong"}
		code(codeEgress, d, "site.test", "80")
		d.via = &collectors.Via{Scheme: scheme, Address: p.Address()}
		code(codeEgress, d, "site.test", "80")
		d.via = &collectors.Via{Scheme: scheme, Address: p.Address(), User: "u", Password: "right"}
		code("connect-failed", d, "site.test", closedPort(t))
		d.via = &collectors.Via{Scheme: scheme, Address: "127.0.0.1:" + closedPort(t)}
		code(codeEgress, d, "site.test", "80")
	}
}

// TestOnion: no resolver is asked for a name of Tor's, and the error says what to do.
func TestOnion(t *testing.T) {
	for _, host := range []string{"duckduckgogg42xjoc72x3sjasowoarfbgcmvfimaftt6twagswzczad.onion", "www.A.ONION.", "onion"} {
		d := dialer{resolver: neverAsked{t}, now: time.Now, answers: newAnswers()}
		_, _, err := d.dial(t.Context(), host, "80", way{})
		var f *fault
		if !errors.As(err, &f) || f.code != "dns-failed" || !strings.Contains(err.Error(), "--via") {
			t.Errorf("%q: %v", host, err)
		}
	}
}

// TestEgressHostile: a proxy that answers nonsense, too much, or nothing ends
// the attempt within bounds, as egress-failed.
func TestEgressHostile(t *testing.T) {
	for name, answer := range map[string]string{"nothing": "", "noise": "\x00\xff\x00\xff\x00\xff\x00\xff", "http 200 to socks": "HTTP/1.1 200 OK\r\n\r\n",
		"unknown address": "\x05\x00\x05\x00\x00\x09", "cut reply": "\x05\x00\x05\x00\x00\x03\xff", "other method": "\x05\x02",
		"endless head": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 1000), "redirect": "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\n\r\n",
		"words": "<html>captive portal</html>\r\n\r\n"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					io.WriteString(c, answer)
					io.CopyN(io.Discard, c, 1<<20)
				}()
				time.AfterFunc(200*time.Millisecond, func() { c.Close() })
			}
		}()
		for _, scheme := range []string{"socks5", "http"} {
			if scheme == "http" && name == "http 200 to socks" {
				continue
			}
			d := dialer{via: &collectors.Via{Scheme: scheme, Address: l.Addr().String()}, resolver: neverAsked{t}, now: time.Now, answers: newAnswers()}
			begin := time.Now()
			_, _, err := d.dial(t.Context(), "site.test", "80", way{})
			var f *fault
			if !errors.As(err, &f) || f.code != codeEgress || time.Since(begin) > 5*time.Second {
				t.Errorf("%s, %s: %v after %s", name, scheme, err, time.Since(begin))
			}
		}
		l.Close()
	}
}

// TestEgressDies: the proxy dies while the page loads. What came stays, the
// capture says what was lost, and nothing goes another way.
func TestEgressDies(t *testing.T) {
	for _, when := range []string{"/one.png", "/dies"} {
		var p *collectorstest.Proxy
		hang := make(chan struct{})
		s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			if r.URL.Path == when {
				if f, ok := w.(http.Flusher); ok {
					fmt.Fprint(w, "<p>begun")
					f.Flush()
				}
				go func() { p.Close(); close(hang) }()
				<-hang
				return
			}
			io.WriteString(w, "<title>t</title><p>words<img src=/one.png><script>setTimeout(()=>fetch('/two'),300)</script>")
		}), nil)
		p = startProxy(t, collectorstest.ProxyOptions{})
		c := newCollector(t, Options{Resolver: neverAsked{t}})
		path := strings.TrimPrefix(when, "/one.png")
		a, _ := collect(t, c, collectors.Request{Source: "http://site.test:" + s.port() + path, Budget: collectors.Budget{Time: 20 * time.Second},
			Via: &collectors.Via{Scheme: "socks5", Address: p.Address()}})
		if a.Outcome == collectors.Complete || !hasReason(a, codeEgress) || a.Collection.Egress != collectors.EgressUnnamed {
			t.Errorf("%s: %s %v %s", when, a.Outcome, a.Reasons, a.Collection.Egress)
		}
		if slices.Contains(s.asked(), "GET /two") {
			t.Error("LEAK: a request went on without the egress")
		}
	}
}
