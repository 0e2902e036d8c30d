package collectors

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Session is a login that a Collector uses. Its values give access: they are in no Task
// and in no log, and what a Capture holds of them is restricted.
type Session struct {
	Name    string // the node's own word for it, which the record says
	Cookies []Cookie
	Origins []Origin // what the browser's local storage holds
}

// Cookie is one of a browser's. JSON is how a Session is kept.
type Cookie struct {
	Name     string    `json:"name"`
	Value    string    `json:"value"`
	Domain   string    `json:"domain"` // without a dot before it
	Path     string    `json:"path"`
	HostOnly bool      `json:"host_only,omitempty"`
	HTTPOnly bool      `json:"http_only,omitempty"`
	Secure   bool      `json:"secure,omitempty"`
	SameSite string    `json:"same_site,omitempty"` // Strict, Lax, None; "" is not said
	Expires  time.Time `json:"expires,omitzero"`    // zero: with the browser
}

// ErrSession is wrapped by the error of a Collect whose Session cannot be used: nothing
// was asked, and others may be asked for.
var ErrSession = errors.New("the session cannot be used")

// Limits of a file of cookies.
const (
	MaxCookieFile = 4 << 20 // bytes
	MaxCookies    = 3000    // what a browser keeps
	maxCookie     = 4096    // bytes of name and value, as browsers bound it
)

// ErrCookies is wrapped by the error for a file that holds no cookies. It never quotes
// a value.
var ErrCookies = errors.New("no cookies in a form that is known")

// ReadCookies reads what a browser's user has exported: cookies.txt in the form that
// Netscape began, or JSON, either a list of cookies as extensions write it, or an object
// with such a list as `cookies`. Errors: [ErrCookies].
func ReadCookies(b []byte) ([]Cookie, error) {
	if len(b) > MaxCookieFile {
		return nil, fmt.Errorf("read cookies: more than %d bytes: %w", MaxCookieFile, ErrCookies)
	}
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("read cookies: not text: %w", ErrCookies)
	}
	read := readNetscape
	if t := bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff"))); len(t) > 0 && (t[0] == '[' || t[0] == '{') {
		read, b = readJSON, t
	}
	list, err := read(b)
	if err != nil {
		return nil, fmt.Errorf("read cookies: %w: %w", ErrCookies, err)
	}
	if len(list) == 0 || len(list) > MaxCookies {
		return nil, fmt.Errorf("read cookies: %d of at most %d: %w", len(list), MaxCookies, ErrCookies)
	}
	list = newest(list)
	for i, c := range list {
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("read cookies: cookie %d (%.40q of %.80q): %w: %w", i+1, c.Name, c.Domain, ErrCookies, err)
		}
	}
	return list, nil
}

// newest leaves the last of those that a browser takes for one.
func newest(list []Cookie) (out []Cookie) {
	at := map[[3]string]int{}
	for _, c := range list {
		k := [3]string{c.Name, strings.ToLower(c.Domain), c.Path}
		if i, ok := at[k]; ok {
			out[i] = c
			continue
		}
		at[k] = len(out)
		out = append(out, c)
	}
	return out
}

func (c *Cookie) check() error {
	bad := func(s, also string) bool {
		return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(also, r) })
	}
	switch {
	case c.Name == "" && c.Value == "", len(c.Name)+len(c.Value) > maxCookie:
		return fmt.Errorf("name and value have %d bytes", len(c.Name)+len(c.Value))
	case bad(c.Name, "=; "), bad(c.Value, ";"):
		return errors.New("a letter that cookies do not have")
	case c.Domain == "" || len(c.Domain) > 253 || bad(c.Domain, "/ :@"):
		return errors.New("no domain")
	case !strings.HasPrefix(c.Path, "/") || bad(c.Path, ";"):
		return errors.New("no path")
	}
	return nil
}

// readNetscape reads lines of seven fields: domain, whether its hosts get it too, path,
// secure, when it ends, name, value.
func readNetscape(b []byte) (list []Cookie, err error) {
	in := bufio.NewScanner(bytes.NewReader(b))
	in.Buffer(nil, 64<<10)
	for n := 1; in.Scan(); n++ {
		line := strings.TrimRight(in.Text(), "\r")
		line, httpOnly := strings.CutPrefix(line, "#HttpOnly_")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) == 6 {
			f = append(f, "") // an empty value at the end is cut by editors
		}
		if len(f) != 7 {
			return nil, fmt.Errorf("line %d has %d of 7 fields", n, len(f))
		}
		ends, err := strconv.ParseFloat(f[4], 64)
		if err != nil {
			return nil, fmt.Errorf("line %d: the end is no number", n)
		}
		list = append(list, Cookie{Domain: strings.TrimPrefix(f[0], "."), HostOnly: !strings.EqualFold(f[1], "TRUE"), Path: f[2],
			Secure: strings.EqualFold(f[3], "TRUE"), Expires: at(ends), Name: f[5], Value: f[6], HTTPOnly: httpOnly})
	}
	return list, in.Err()
}

func at(seconds float64) time.Time {
	if seconds <= 0 || seconds > math.MaxInt32*100 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// exported is a cookie in the words of the extensions and programs that export them.
type exported struct {
	Name, Value, Domain, Path, SameSite string
	HostOnly                            *bool
	HTTPOnly, Secure                    bool
	ExpirationDate, Expires             float64 // seconds since 1970
}

func readJSON(b []byte) ([]Cookie, error) {
	var in []exported
	if b[0] == '{' {
		var o struct{ Cookies []exported }
		if json.Unmarshal(b, &o) != nil {
			return nil, errors.New("the JSON is no list of cookies") // json's own error may quote
		}
		in = o.Cookies
	} else if json.Unmarshal(b, &in) != nil {
		return nil, errors.New("the JSON is no list of cookies")
	}
	list := make([]Cookie, len(in))
	for i, c := range in {
		host := !strings.HasPrefix(c.Domain, ".")
		if c.HostOnly != nil {
			host = *c.HostOnly
		}
		if c.Path == "" {
			c.Path = "/"
		}
		list[i] = Cookie{Name: c.Name, Value: c.Value, Domain: strings.TrimPrefix(c.Domain, "."), Path: c.Path, HostOnly: host, HTTPOnly: c.HTTPOnly,
			Secure: c.Secure, SameSite: sameSite(c.SameSite), Expires: at(max(c.ExpirationDate, c.Expires))}
	}
	return list, nil
}

func sameSite(s string) string {
	switch strings.ToLower(s) {
	case "strict":
		return "Strict"
	case "lax":
		return "Lax"
	case "none", "no_restriction":
		return "None"
	}
	return ""
}
