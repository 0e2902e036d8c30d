package scope

import (
	"strings"
	"testing"
	"time"

	"github.com/nlnwa/whatwg-url/url"

	"holdfast"
	"holdfast/catalog"
)

func TestScopeSource(t *testing.T) {
	for pattern, list := range map[string]struct{ in, out string }{
		"example.org":            {"https://example.org/ http://example.org/a?b https://EXAMPLE.org:443/ https://user.example.org@example.org/", "https://www.example.org/ https://example.org.evil/ https://example.org:8443/ https://xexample.org/ https://evil/example.org https://example.org@evil/ https://evil/?https://example.org/ https://example.org./"},
		"*.example.org":          {"https://a.example.org/ https://a.b.example.org/x", "https://example.org/ https://aexample.org/ https://a.example.org.evil/"},
		"https://example.org":    {"https://example.org/", "http://example.org/"},
		"http://example.org:80":  {"http://example.org/", "https://example.org/"},
		"example.org:443":        {"https://example.org/ http://example.org:443/", "http://example.org/ https://example.org:8443/"},
		"example.org:8443":       {"https://example.org:8443/ http://example.org:8443/", "https://example.org/"},
		"example.org/news":       {"https://example.org/news https://example.org/news/1 https://example.org/a/../news?x", "https://example.org/newspaper https://example.org/ https://example.org/news/../secret https://example.org/news/%2e%2e/secret https://example.org/x?/news"},
		"example.org/news/":      {"https://example.org/news/ https://example.org/news/1", "https://example.org/news https://example.org/newspaper/"},
		"bücher.example":         {"https://xn--bcher-kva.example/ https://BÜCHER.example/", "https://bucher.example/"},
		"HTTPS://EXAMPLE.ORG/Ab": {"https://example.org/Ab", "https://example.org/ab"},
		"[::1]:81/x":             {"http://[0:0::1]:81/x", "http://[::2]:81/x"},
		"127.1":                  {"http://127.0.0.1/ http://0x7f.1/", "http://127.0.0.2/"},
	} {
		p, err := Parse(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		again, err := Parse(p.String())
		if err != nil || again != p {
			t.Errorf("%s is written %s and read as %+v, %v", pattern, p, again, err)
		}
		for want, urls := range map[bool]string{true: list.in, false: list.out} {
			for _, s := range strings.Fields(urls) {
				u, err := url.Parse(s)
				if err != nil {
					t.Fatal(err)
				}
				if p.matches(u) != want {
					t.Errorf("%s takes %s: %v", pattern, s, !want)
				}
			}
		}
	}
	for _, bad := range []string{"", "*", "*.", "ftp://h", "h?q", "h#f", "u@h", "*.*.h", "h*", "https://", "/path", "a b", "h\\x", "//h", "javascript:alert(1)://h", strings.Repeat("h", 2000)} {
		if p, err := Parse(bad); err == nil {
			t.Errorf("%q is a pattern: %+v", bad, p)
		}
	}
}

// TestScopeOf guards which Sources a record takes by any of their names, and that
// what cannot be read is outside.
func TestScopeOf(t *testing.T) {
	sources := []string{"telegram:@a", "telegram:@b/7", "example.org", "ftp://not a pattern"}
	for s, want := range map[string]bool{"telegram:@a": true, "telegram:@a/1": true, "telegram:@ab": false, "telegram:@b": false, "telegram:@b/7": true, "telegram:@b/71": false,
		"https://example.org/x": true, "https://t.me/a": false, "received:1": false, "": false, "https://[": false} {
		if got := Source(sources, s); (got == "") != want {
			t.Errorf("%q: %q", s, got)
		}
	}
	if got := Source(sources, "https://t.me/a", "telegram:@a"); got != "" {
		t.Errorf("a page of the channel: %q", got)
	}
	if got := Source(sources, "https://t.me/c", "telegram:@c"); got == "" {
		t.Error("a page of another channel is taken")
	}
	if got := Source(nil, "https://["); got != "" {
		t.Errorf("a record without sources: %q", got)
	}
}

func TestScopePeriod(t *testing.T) {
	at := func(s string) holdfast.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return holdfast.At(v)
	}
	r := catalog.Record{Since: at("2026-01-01T00:00:00Z"), Until: at("2026-01-31T23:59:59.999Z")}
	for now, want := range map[string]bool{"2025-12-31T23:59:59.999Z": false, "2026-01-01T00:00:00Z": true, "2026-01-31T23:59:59.999Z": true, "2026-02-01T00:00:00Z": false} {
		if got := Period(r, at(now).Time); (got == "") != want {
			t.Errorf("%s: %q", now, got)
		}
	}
	if Period(catalog.Record{}, time.Now()) != "" {
		t.Error("a case without a period refuses")
	}
}

func TestScopeEgress(t *testing.T) {
	for _, c := range []struct {
		demanded, asked string
		broken          bool
	}{{"", "", false}, {"", "vpn", false}, {"vpn", "", false}, {"vpn", "vpn", false}, {"vpn", "direct", true}, {"direct", "vpn", true}, {"vpn", "socks5://u:p@h:1", true}} {
		if rule := Egress(c.demanded, c.asked); (rule != "") != c.broken || strings.Contains(rule, "u:p") {
			t.Errorf("%+v: %q", c, rule)
		}
	}
}

// FuzzScope: what is read is written and read again as the same, and a pattern
// that takes a URL has a host that the URL ends with.
func FuzzScope(f *testing.F) {
	f.Add("*.example.org:443/a", "https://a.example.org/a/b")
	f.Add("https://[::1]/%2e", "https://[::1]/")
	f.Fuzz(func(t *testing.T, s, source string) {
		p, err := Parse(s)
		if err != nil {
			return
		}
		if again, err := Parse(p.String()); err != nil || again != p {
			t.Fatalf("%q is %+v, written %q, read as %+v, %v", s, p, p, again, err)
		}
		if u, err := url.Parse(source); err == nil && p.matches(u) && !strings.HasSuffix(u.Hostname(), p.host) {
			t.Fatalf("%q takes %q", p, source)
		}
	})
}
