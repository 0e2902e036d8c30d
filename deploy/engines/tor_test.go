package engines

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTor: a site is reached through the network under a name that only the exit's resolver
// knows, and as an onion service; a stream says its circuit; what is private the exit
// refuses; and a client whose network stands still gets nowhere.
func TestTor(t *testing.T) {
	at := make(chan string, 10)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
		at <- host
		io.WriteString(w, "hello")
	})
	site := httptest.NewServer(h)
	defer site.Close()
	_, p, _ := net.SplitHostPort(site.Listener.Addr().String())
	for _, a := range []string{TorExit, "127.0.0.3"} {
		l, err := net.Listen("tcp", net.JoinHostPort(a, p))
		if err != nil {
			t.Fatal(err)
		}
		go http.Serve(l, h)
		defer l.Close()
	}
	n := Tor(t, map[string]string{"site.test": TorExit, "inside.test": "127.0.0.9"}, map[int]string{80: "127.0.0.3:" + p})
	c := n.Client(t, "a")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ready(); err != nil {
		t.Fatal(err)
	}
	streams := make(chan string, 100)
	if err := c.Streams(t.Context(), func(step, circuit, target string) {
		if step == "SUCCEEDED" {
			streams <- circuit + " " + target
		}
	}); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "socks5", Host: c.SOCKS}), DisableKeepAlives: true}, Timeout: time.Minute}
	get := func(u string) (string, error) {
		r, err := client.Get(u)
		if err != nil {
			return "", err
		}
		defer r.Body.Close()
		b, err := bufio.NewReader(r.Body).ReadString(0)
		if err == io.EOF {
			err = nil
		}
		return b, err
	}
	for u, want := range map[string]string{"http://site.test:" + p + "/": TorExit, "http://127.0.0.1:" + p + "/": TorExit, "http://" + n.Onion + "/": "127.0.0.3"} {
		if said, err := get(u); err != nil || said != "hello" {
			t.Fatal(u, said, err)
		}
		if got := <-at; got != want {
			t.Errorf("%s was reached at %s, want %s", u, got, want)
		}
		if s := <-streams; !strings.Contains(s, ":") {
			t.Errorf("a stream says %q", s)
		}
	}
	if !slices.Contains(n.Resolved(), "site.test") || slices.ContainsFunc(n.Resolved(), func(s string) bool { return strings.HasSuffix(s, "onion") }) {
		t.Errorf("the exit asked for %v", n.Resolved())
	}
	if said, err := get("http://inside.test:" + p + "/"); err == nil {
		t.Errorf("the exit reached a private address: %s", said)
	}
	n.Stop()
	late := n.Client(t, "b")
	if err := late.Start(); err != nil {
		t.Fatal(err)
	}
	if err := late.s.await(func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", late.SOCKS)
		if err == nil {
			conn.Close()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(late.s.said(), "Bootstrapped 100%") {
		t.Error("a client found a network that stands still")
	}
	n.Resume()
	if err := late.Ready(); err != nil {
		t.Fatal(err)
	}
}
