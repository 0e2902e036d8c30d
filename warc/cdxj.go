package warc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Capture is one line of the index: a response record and where it lies.
type Capture struct {
	URL    string
	Method string // GET when empty; others get a key of their own
	Date   time.Time
	Mime   string
	Status int
	Digest string // the payload digest
	Span   Span
}

// Index renders a CDXJ file over captures of the WARC called filename: sorted
// bytewise, one line each, as WACZ 1.1.1 wants it under indexes/.
func Index(filename string, captures []Capture) ([]byte, error) {
	lines := make([]string, 0, len(captures))
	for _, c := range captures {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		err := enc.Encode(cdxj{c.URL, c.Mime, c.Status, c.Digest, c.Span.Length, c.Span.Offset, filename, method(c.Method)})
		if err != nil {
			return nil, fmt.Errorf("write index line of %.200q: %w", c.URL, err)
		}
		ts := strings.NewReplacer("-", "", ":", "", ".", "", "T", "", "Z", "").Replace(c.Date.UTC().Format(TimeFormat))
		lines = append(lines, key(c)+" "+ts+" "+b.String())
	}
	slices.Sort(lines)
	return []byte(strings.Join(lines, "")), nil
}

type cdxj struct {
	URL      string `json:"url"`
	Mime     string `json:"mime"`
	Status   int    `json:"status"`
	Digest   string `json:"digest"`
	Length   int64  `json:"length"`
	Offset   int64  `json:"offset"`
	Filename string `json:"filename"`
	Method   string `json:"method,omitempty"`
}

// key keeps answers to other methods apart from the page of the same address.
// The request's body would belong in it, but bodies are withheld with the
// requests, so an index must not repeat them.
func key(c Capture) string {
	url := c.URL
	if m := method(c.Method); m != "" {
		sep := "?"
		if strings.Contains(url, "?") {
			sep = "&"
		}
		url += sep + "__wb_method=" + m
	}
	return SURT(url)
}

func method(m string) string {
	if m == "GET" {
		return ""
	}
	return m
}

var wwwPrefix = regexp.MustCompile(`^www\d*\.`)

// SURT is the sort-friendly form of an http or https URL: host reversed, also
// an IPv4 address, path and query in lower case, empty steps of the path left
// out, parameters sorted. Everything
// else is returned as it is.
func SURT(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok || (scheme != "http" && scheme != "https") {
		return strings.ReplaceAll(url, " ", "%20")
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, query, _ := strings.Cut(rest, "?")
	host, name, _ := strings.Cut(rest, "/")
	if i := strings.LastIndexByte(host, '@'); i >= 0 {
		host = host[i+1:]
	}
	out := surtHost(strings.ToLower(host), scheme) + ")" + path.Clean("/"+recode(name))
	if query != "" {
		params := strings.Split(recode(query), "&")
		slices.Sort(params)
		out += "?" + strings.Join(params, "&")
	}
	return out
}

func surtHost(host, scheme string) string {
	port := ""
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		host, port = host[:i], host[i:]
	}
	if port == ":443" && scheme == "https" || port == ":80" && scheme == "http" {
		port = ""
	}
	if inner := strings.Trim(host, "[]"); inner != host {
		if _, err := netip.ParseAddr(inner); err == nil {
			return inner + port
		}
	}
	parts := strings.Split(wwwPrefix.ReplaceAllString(host, ""), ".")
	slices.Reverse(parts)
	return strings.Join(parts, ",") + port
}

// recode undoes percent-encoding until nothing changes and encodes again what
// must be, so that two spellings of one address sort together.
func recode(s string) string {
	for i := 0; i < 8; i++ { // deeper nesting is an attack, not an address
		t := unescape(s)
		if t == s {
			break
		}
		s = t
	}
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(s)) {
		if c <= ' ' || c >= 0x7f || c == '#' || c == '%' {
			fmt.Fprintf(&b, "%%%02x", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexval(s[i+1]) >= 0 && hexval(s[i+2]) >= 0 {
			b.WriteByte(byte(hexval(s[i+1])<<4 | hexval(s[i+2])))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func hexval(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
