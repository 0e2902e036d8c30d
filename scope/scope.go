// Package scope says what a Case's record takes: which Sources, in which period, by
// which way out. It holds something against the record and returns the rule that is
// broken, as it is sealed with the Capture, or "". What that means (refused, or flagged
// with a reason) is for others.
//
// A scope was made to narrow: what cannot be read is outside of it, and a pattern and
// what is held against it are read by the same rules, so both have one spelling.
package scope

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nlnwa/whatwg-url/url"

	"holdfast"
	"holdfast/catalog"
	"holdfast/egress"
)

// A Pattern is a web source of a Case's scope: `[scheme://][*.]host[:port][/path]`.
type Pattern struct {
	scheme string // "" is http or https
	sub    bool   // subdomains of host, and not host itself
	host   string
	port   string // "" is the scheme's own
	path   string // "" is any
}

// Parse reads a web source of a scope by the WHATWG rules, as a URL is read
// that is held against it: so both have one spelling.
func Parse(s string) (Pattern, error) {
	p, rest := Pattern{}, s
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
func (p Pattern) String() string {
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
func (p Pattern) matches(u *url.Url) bool {
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

// Source is the rule that a Source breaks, of a record with these sources; none takes
// all. names are what the Source is besides: a page of a channel is taken with the
// channel.
func Source(sources []string, source string, names ...string) string {
	if len(sources) == 0 || takesTelegram(sources, source) || slices.ContainsFunc(names, func(n string) bool { return takesTelegram(sources, n) }) {
		return ""
	}
	if u, err := url.Parse(source); err == nil && !strings.HasPrefix(source, "telegram:") {
		for _, text := range sources {
			if p, err := Parse(text); err == nil && p.matches(u) {
				return ""
			}
		}
	}
	return fmt.Sprintf("source: %.300s is in none of the %d sources of the scope", source, len(sources))
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

// Period is the rule that a capture made now breaks, or "". Files that are
// handed over are held against it too: it is about when the office may collect.
func Period(r catalog.Record, now time.Time) string {
	switch t := holdfast.At(now); {
	case !r.Since.IsZero() && t.Before(r.Since.Time):
		return fmt.Sprintf("period: it is %s, and the period of the case begins %s", t, r.Since)
	case !r.Until.IsZero() && t.After(r.Until.Time):
		return fmt.Sprintf("period: it is %s, and the period of the case ended %s", t, r.Until)
	}
	return ""
}

// Egress is the rule that the network exit asked for breaks, or "". Where
// none was asked for, what the Case demands is taken.
func Egress(demanded, asked string) string {
	if demanded == "" || asked == "" || demanded == asked {
		return ""
	}
	return fmt.Sprintf("egress: the case demands %s, and %s was asked for", demanded, egress.Shown(asked))
}
