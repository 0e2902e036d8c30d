package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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

func TestTLSVerdicts(t *testing.T) {
	root := newCA(t)
	other := newCA(t)
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<title>secure</title><p>behind TLS")
	})
	c := newCollector(t, Options{Resolver: names{"*": loopback}, Roots: root.pool()})
	for name, test := range map[string]struct {
		ca      *ca
		host    string
		until   time.Time
		verdict string
	}{
		"good":         {root, "site.test", time.Now().Add(time.Hour), "ok"},
		"unknown root": {other, "site.test", time.Now().Add(time.Hour), "signed by unknown authority"},
		"expired":      {root, "site.test", time.Now().Add(-time.Hour), "expired"},
		"another host": {root, "elsewhere.test", time.Now().Add(time.Hour), "not site.test"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, page, test.ca.issue(t, test.host, test.until))
			a, k := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + "/", AllowPrivate: true})
			peer := a.Collection.Peer
			if peer.TLS == nil || !strings.Contains(peer.TLS.Verdict, test.verdict) || len(peer.TLS.Chain) != 2 || peer.Address != s.addr {
				t.Fatalf("peer %+v", peer)
			}
			if good := test.verdict == "ok"; peer.TLS.Verified != good || hasReason(a, "tls-unverified") == good || (a.Outcome == collectors.Complete) != good {
				t.Errorf("%s %v", a.Outcome, a.Reasons)
			}
			if got := string(object(t, a, k, "text.txt")); got != "behind TLS" {
				t.Errorf("text %q", got)
			}
			rs := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
			i := slices.IndexFunc(rs, func(r record) bool { return r.url == "https://site.test:"+s.port()+"/" })
			if i < 0 || !s.sent(rs[i].block, true) || rs[i].Get("WARC-Cipher-Suite") == "" {
				t.Error("the answer is not recorded as it was sent")
			}
			if !slices.ContainsFunc(rs, func(r record) bool { return bytes.Contains(r.block, []byte("BEGIN CERTIFICATE")) }) {
				t.Error("the chain is not recorded")
			}
		})
	}
	t.Run("no TLS at all", func(t *testing.T) {
		s := serve(t, page, nil)
		a, k := collect(t, c, collectors.Request{Source: "https://site.test:" + s.port() + "/", AllowPrivate: true})
		rs := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
		if a.Outcome != collectors.Failed || !hasReason(a, "tls-failed") || !slices.ContainsFunc(rs, func(r record) bool { return bytes.Contains(r.block, []byte("tls-failed")) }) {
			t.Errorf("%s %v", a.Outcome, a.Reasons)
		}
	})
}

// Nothing private is reached, whatever name or redirect leads there.
func TestPrivateIsRefused(t *testing.T) {
	s := serve(t, hostileSite(), nil)
	c := newCollector(t, Options{Resolver: names{
		"inside.test":   loopback,
		"mapped.test":   {netip.MustParseAddr("::ffff:127.0.0.1")},
		"six.test":      {netip.MustParseAddr("::1")},
		"metadata.test": {netip.MustParseAddr("169.254.169.254")},
		"both.test":     {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.1")},
	}})
	p := ":" + s.port() + "/ok"
	for _, u := range []string{"http://127.0.0.1" + p, "http://inside.test" + p, "http://mapped.test" + p, "http://six.test" + p,
		"http://[::ffff:127.0.0.1]" + p, "http://2130706433" + p, "http://metadata.test/", "http://both.test" + p, "https://inside.test" + p} {
		a, _ := collect(t, c, collectors.Request{Source: u})
		if a.Outcome != collectors.Failed || !hasReason(a, "address-refused") {
			t.Errorf("%s: %s %v", u, a.Outcome, a.Reasons)
		}
	}
	if hits := s.asked(); len(hits) > 0 {
		t.Errorf("the private site was reached: %v", hits)
	}
}

// A public page (here: a name at an address that only the test may reach) that
// points inside gets nothing.
func TestRedirectInside(t *testing.T) {
	inside := serve(t, hostileSite(), nil)
	d := dialer{resolver: names{"*": loopback}, now: time.Now, answers: newAnswers()}
	for _, host := range []string{"127.0.0.1", "rebind.test", "0.0.0.0", "224.0.0.1", "::", "fe80::1", "64:ff9b::7f00:1", "2002:7f00:1::"} {
		_, p, err := d.dial(context.Background(), host, inside.port(), way{})
		var f *fault
		if !errors.As(err, &f) || !f.blocked || p == nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	d.allowPrivate, d.self = true, []netip.AddrPort{netip.MustParseAddrPort(inside.addr)}
	if _, _, err := d.dial(context.Background(), "127.0.0.1", inside.port(), way{}); err == nil {
		t.Error("the proxy would dial itself")
	}
}

func TestUnreachable(t *testing.T) {
	c := newCollector(t, Options{Resolver: names{"here.test": loopback}})
	port := closedPort(t)
	for u, code := range map[string]string{"http://gone.test/": "dns-failed", "https://gone.test/x": "dns-failed", "http://here.test:" + port + "/": "connect-failed",
		"https://here.test:" + port + "/": "connect-failed", "http://here.test:1/": "navigation-failed"} {
		a, k := collect(t, c, collectors.Request{Source: u, AllowPrivate: true})
		if a.Outcome != collectors.Failed || !hasReason(a, code) || a.Address.Final != "" {
			t.Errorf("%s: %s %v %q", u, a.Outcome, a.Reasons, a.Address.Final)
		}
		rs := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
		if code != "navigation-failed" && !slices.ContainsFunc(rs, func(r record) bool { return bytes.Contains(r.block, []byte(code)) }) {
			t.Errorf("%s: the attempt is not in the archive", u)
		}
	}
}

func TestNoBrowser(t *testing.T) {
	for _, path := range []string{"/nonexistent/chromium", "/bin/false", "/dev/null"} {
		c, err := New(Options{Browser: path, Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Collect(context.Background(), collectors.Request{Source: "http://127.0.0.1/"}, &collectorstest.Keeper{})
		if !errors.Is(err, ErrBrowser) || !strings.Contains(fmt.Sprint(err), path) {
			t.Errorf("%s: %v", path, err)
		}
		c.Close()
	}
}
