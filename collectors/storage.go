package collectors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Origin is what a browser's local storage holds for one origin. JSON is how a Session is
// kept.
type Origin struct {
	Origin string `json:"origin"` // scheme://host[:port], http or https, in a browser's spelling
	Items  []Item `json:"items"`
}

// Item is a name and its value.
type Item struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Limits of the local storage of a Session.
const (
	MaxOrigins = 50
	MaxItems   = 2000      // of all origins
	MaxStorage = 512 << 10 // bytes of names and values of all origins
)

// ErrStorage is wrapped by the error for local storage that cannot be kept. It never
// quotes a name or a value.
var ErrStorage = errors.New("not a local storage that can be kept")

// ReadState reads what [ReadCookies] reads, and of an object that test programs write (a
// "storage state") what their `origins` have of local storage; there may be no cookies
// then. Databases (IndexedDB) in it are counted, not read. Errors: [ErrCookies],
// [ErrStorage].
func ReadState(b []byte) (cookies []Cookie, origins []Origin, databases int, err error) {
	var in struct {
		Cookies json.RawMessage
		Origins []struct {
			Origin       string
			LocalStorage []Item
			IndexedDB    []json.RawMessage
		}
	}
	t := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff")))
	if len(b) > MaxCookieFile || !utf8.Valid(b) || len(t) == 0 || t[0] != '{' || json.Unmarshal(t, &in) != nil {
		cookies, err = ReadCookies(b)
		return cookies, nil, 0, err
	}
	for _, o := range in.Origins {
		if databases += len(o.IndexedDB); len(o.LocalStorage) > 0 {
			origins = append(origins, Origin{o.Origin, o.LocalStorage})
		}
	}
	if origins, err = CheckOrigins(origins); err != nil {
		return nil, nil, 0, err
	}
	if none := bytes.Join(bytes.Fields(in.Cookies), nil); len(origins) > 0 && (len(none) == 0 || bytes.Equal(none, []byte("[]")) || bytes.Equal(none, []byte("null"))) {
		return nil, origins, databases, nil
	}
	cookies, err = ReadCookies(b)
	return cookies, origins, databases, err
}

// CheckOrigins returns them as they are kept: origins in a browser's spelling, of one name
// the last value. Errors: [ErrStorage].
func CheckOrigins(in []Origin) (out []Origin, err error) {
	items, size := 0, 0
	for i, o := range in {
		name, err := originOf(o.Origin)
		if err != nil {
			return nil, fmt.Errorf("read local storage: origin %d (%.80q): %w: %w", i+1, o.Origin, ErrStorage, err)
		}
		at := slices.IndexFunc(out, func(k Origin) bool { return k.Origin == name })
		if at < 0 {
			at, out = len(out), append(out, Origin{Origin: name})
		}
		for _, k := range o.Items {
			if !utf8.ValidString(k.Name) || !utf8.ValidString(k.Value) {
				return nil, fmt.Errorf("read local storage: origin %d (%.80q): %w: a name or value is not text", i+1, o.Origin, ErrStorage)
			}
			out[at].put(k)
		}
	}
	for _, o := range out {
		for _, k := range o.Items {
			items, size = items+1, size+len(k.Name)+len(k.Value)
		}
	}
	if len(out) > MaxOrigins || items > MaxItems || size > MaxStorage {
		return nil, fmt.Errorf("read local storage: %w: %d origins with %d items of %d bytes, at most %d, %d and %d: leave those out of the file that are not of the site", ErrStorage, len(out), items, size, MaxOrigins, MaxItems, MaxStorage)
	}
	return out, nil
}

func (o *Origin) put(k Item) {
	if at := slices.IndexFunc(o.Items, func(is Item) bool { return is.Name == k.Name }); at >= 0 {
		o.Items[at] = k
		return
	}
	o.Items = append(o.Items, k)
}

func originOf(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("not http://host or https://host")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return "", errors.New("a host in other letters than a browser's form of it (xn--…)")
	}
	if port == map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		port = ""
	}
	switch {
	case port != "":
		host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		host = "[" + host + "]"
	}
	return u.Scheme + "://" + host, nil
}
