package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nlnwa/whatwg-url/url"

	"holdfast"
	"holdfast/catalog"
	"holdfast/egress"
)

// pattern is a source of a Case's scope: `[scheme://][*.]host[:port][/path]`.
type pattern struct {
	scheme string // "" is http or https
	sub    bool   // subdomains of host, and not host itself
	host   string
	port   string // "" is the scheme's own
	path   string // "" is any
}

// parsePattern reads a source of a scope by the WHATWG rules, as a URL is read
// that is held against it: so both have one spelling.
func parsePattern(s string) (pattern, error) {
	p, rest := pattern{}, s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		if p.scheme, rest = strings.ToLower(scheme), after; p.scheme != "http" && p.scheme != "https" {
			return p, fmt.Errorf("%.200q: a scope knows http and https", s)
		}
	}
	rest, p.sub = strings.CutPrefix(rest, "*.")
	if len(s) > catalog.MaxRecordSource || strings.Contains(rest, "*") || strings.ContainsAny(rest, "?#@\\ \t\r\n") || strings.HasPrefix(rest, "/") {
		return p, fmt.Errorf("%.200q: write [https://]host[/path], the host perhaps with *. before it, without user, query and fragment", s)
	}
	for _, scheme := range []string{"http", "https"} { // 80 and 443 are each left out by one of them
		u, err := url.Parse(scheme + "://" + rest)
		if err != nil || u.Hostname() == "" {
			return p, fmt.Errorf("%.200q is no host with a path: %w", s, errors.Join(err, holdfast.ErrForm))
		}
		if p.host, p.path = u.Hostname(), u.Pathname(); p.scheme == "" || p.scheme == scheme {
			p.port = max(p.port, u.Port())
		}
	}
	if p.path == "/" {
		p.path = ""
	}
	return p, nil
}

// String is the one spelling that is recorded.
func (p pattern) String() string {
	s := p.host
	if p.sub {
		s = "*." + s
	}
	if p.scheme != "" {
		s = p.scheme + "://" + s
	}
	if p.port != "" {
		s += ":" + p.port
	}
	return s + p.path
}

// matches holds a Source against the pattern. A path takes whole segments: /news
// takes /news and /news/1, and not /newspaper.
func (p pattern) matches(u *url.Url) bool {
	host, path := u.Hostname(), u.Pathname()
	switch {
	case p.scheme != "" && u.Scheme() != p.scheme,
		!p.sub && host != p.host,
		p.sub && !strings.HasSuffix(host, "."+p.host),
		p.port == "" && u.Port() != "",
		p.port != "" && fmt.Sprint(u.DecodedPort()) != p.port:
		return false
	}
	return p.path == "" || path == p.path || strings.HasPrefix(path, strings.TrimSuffix(p.path, "/")+"/")
}

// outsideSource is the rule that a Source breaks, or "". What cannot be read is
// outside: the office's pattern was meant to narrow.
func outsideSource(r catalog.Record, s string) string {
	if len(r.Sources) == 0 {
		return ""
	}
	if takesTelegram(r.Sources, s) || takesTelegram(r.Sources, asTelegram(s)) { // a channel takes its public pages
		return ""
	}
	if u, err := url.Parse(s); err == nil && !strings.HasPrefix(s, "telegram:") {
		for _, text := range r.Sources {
			if p, err := parsePattern(text); err == nil && p.matches(u) {
				return ""
			}
		}
	}
	return fmt.Sprintf("source: %.300s is in none of the %d sources of the scope", s, len(r.Sources))
}

// takesTelegram says whether one of the sources is this channel or post, or the
// channel of this post.
func takesTelegram(sources []string, s string) bool {
	for _, text := range sources {
		if strings.HasPrefix(text, "telegram:") && (s == text || strings.HasPrefix(s, text+"/")) {
			return true
		}
	}
	return false
}

// outsidePeriod is the rule that a capture made now breaks, or "". Files that are
// handed over are held against it too: it is about when the office may collect.
func outsidePeriod(r catalog.Record, now time.Time) string {
	switch t := holdfast.At(now); {
	case !r.Since.IsZero() && t.Before(r.Since.Time):
		return fmt.Sprintf("period: it is %s, and the period of the case begins %s", t, r.Since)
	case !r.Until.IsZero() && t.After(r.Until.Time):
		return fmt.Sprintf("period: it is %s, and the period of the case ended %s", t, r.Until)
	}
	return ""
}

// outsideEgress is the rule that the network exit asked for breaks, or "". Where
// none was asked for, what the Case demands is taken (wayOut).
func outsideEgress(demanded, asked string) string {
	if demanded == "" || asked == "" || demanded == asked {
		return ""
	}
	return fmt.Sprintf("egress: the case demands %s, and %s was asked for", demanded, egress.Shown(asked))
}
