package telegram

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
)

// TestProxy: a proxy is the only way; where it fails or wants another login,
// nothing goes direct.
func TestProxy(t *testing.T) {
	s := start(t, telegramtest.NewWorld(), telegramtest.Options{})
	a := Account{Name: "a1", Session: loggedIn(t, s)}
	secret := []byte("sixteen bytes ok")
	mt, err := s.MTProxy(secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(mt.Close)
	socks, err := collectorstest.StartProxy(collectorstest.ProxyOptions{User: "u", Password: "p%?"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(socks.Close)
	host, port, err := net.SplitHostPort(mt.Address())
	if err != nil {
		t.Fatal(err)
	}
	bound := 3 * time.Minute
	try := func(p *Proxy, err error) error {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		o := options(t, s)
		o.Proxy, o.Connect = p, bound
		return o.Run(t.Context(), a, func(ctx context.Context, l *Line) error {
			if l.Egress != p.Label() {
				t.Errorf("egress %s, want %s", l.Egress, p.Label())
			}
			return nil
		})
	}
	if err := try(ParseProxy("socks5://u:p%25%3F@" + socks.Address())); err != nil || len(socks.Asked()) == 0 {
		t.Errorf("through SOCKS5: %v, asked %q", err, socks.Asked())
	}
	asked := len(socks.Asked())
	if err := try(ProxyVia(&collectors.Via{Name: "tor", Scheme: "socks5", Address: socks.Address(), User: "u", Password: "p%?"})); err != nil || len(socks.Asked()) <= asked {
		t.Errorf("through an egress: %v", err)
	}
	link := func(scheme string, secret []byte) string {
		return fmt.Sprintf("%s?server=%s&port=%s&secret=ee%s", scheme, host, port, hex.EncodeToString(secret))
	}
	for i, scheme := range []string{"tg://proxy", "https://t.me/proxy"} {
		if err := try(ParseProxy(link(scheme, secret))); err != nil || mt.Passed() != i+1 {
			t.Errorf("through an MTProxy: %v, %d led on", err, mt.Passed())
		}
	}
	bound = 3 * time.Second
	for what, p := range map[string]string{
		"another login":  "socks5://u:q@" + socks.Address(),
		"another secret": link("tg://proxy", []byte("sixteen bytes no")),
		"nobody there":   "socks5://127.0.0.1:1",
	} {
		if err := try(ParseProxy(p)); !errors.Is(err, ErrUnreached) || strings.Contains(err.Error(), ":q@") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestParseProxy(t *testing.T) {
	for _, bad := range []string{"", "tor", "http://127.0.0.1:8080", "socks5://host", "socks5://host:0", "socks5://host:1/x", "socks5://host:1?x=y", "tg://proxy?server=h&port=1",
		"tg://proxy?server=h&port=x&secret=ee00112233445566778899aabbccddeeff", "tg://resolve?domain=x", "https://t.me/proxy?server=h&port=1&secret=zz", "\x00", "socks5://user:secretword@:1"} {
		if p, err := ParseProxy(bad); !errors.Is(err, ErrProxy) || strings.Contains(err.Error(), "secretword") {
			t.Errorf("%q: %v, %v", bad, p, err)
		}
	}
	for _, good := range []string{"socks5://host:1080", "socks5h://u@host:1", "tg://proxy?server=h&port=443&secret=7gARIjNEVWZ3iJmqu8zd7v9leGFtcGxlLm9yZw", "tg://proxy?server=h&port=443&secret=00112233445566778899aabbccddeeff"} {
		if p, err := ParseProxy(good); err != nil || p.Label() != collectors.EgressUnnamed {
			t.Errorf("%q: %v", good, err)
		}
	}
	if _, err := ProxyVia(&collectors.Via{Scheme: "http", Address: "host:1"}); !errors.Is(err, ErrProxy) {
		t.Errorf("a proxy for HTTP: %v", err)
	}
	p, err := ParseProxy("socks5://u:secretword@host:1")
	if said := fmt.Sprintf("%v %+v %#v", p, p, p); err != nil || slices.ContainsFunc([]string{"secretword", "host"}, func(s string) bool { return strings.Contains(said, s) }) {
		t.Errorf("%s, %v", said, err)
	}
}
