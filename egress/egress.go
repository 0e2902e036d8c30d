// Package egress keeps the ways out of a node by name: proxies, SOCKS5 or HTTP
// CONNECT, that captures go through. The package collectors goes through them; here
// is which there are, and to whom a login is sent.
//
// # What is secret
//
// A record says the name of a way out and nothing else of it. Its login lies in the
// list, which only its owner can read, beside the address that it was given for, and
// is sent to no other: the list may be edited, or come from a mirror that somebody
// else has changed. A login stands in no address, since a command line is read by
// others, and in no error; [Shown] repeats what may be one.
//
// # Nothing goes another way
//
// What is not in the list any more is [ErrNone], never the direct line. Who asks
// looks it up anew for each attempt, which so has a circuit of its own where the
// entry says so.
package egress

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/wholefile"
)

// ErrNone is wrapped by the error for a way out that is not there (any more). What
// was to go through it goes no other way.
var ErrNone = errors.New("no such egress")

// maxList bounds the file of a list, in bytes.
const maxList = 4 << 20

// answers is how long [Entry.Answers] waits.
const answers = 5 * time.Second

// Entry is one way out. Nothing of it but the name is in any record.
type Entry struct {
	Name     string `json:"name"`
	URL      string `json:"url"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
	// LoginFor is the URL that the login was given for; it is sent to no other.
	LoginFor string `json:"login_for,omitempty"`
	// Isolate: each act of acquisition has a login of its own, drawn at random, at a
	// SOCKS5 that asks for none. Tor gives each login circuits of its own.
	Isolate bool          `json:"isolate,omitempty"`
	Added   holdfast.Time `json:"added"`
}

// ValidName reports whether a way out can have this name: not one that has a
// meaning of its own in records.
func ValidName(name string) bool {
	return formOf(name) && !slices.Contains([]string{collectors.EgressDirect, collectors.EgressUnnamed, "unknown"}, name)
}

func formOf(name string) bool {
	return name != "" && len(name) <= 40 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// Shown repeats what a person gave for a way out, without what may be a secret in
// it: user:password@host:port without a scheme is what people type too.
func Shown(via string) string {
	if !formOf(via) {
		return "URL"
	}
	return via
}

// SetLogin gives the entry the login of a line `user:password`, for its URL.
func (e *Entry) SetLogin(line string) error {
	user, password, ok := strings.Cut(line, ":")
	if !ok || user == "" {
		return errors.New("write one line user:password")
	}
	e.User, e.Password, e.LoginFor = user, password, e.URL
	return nil
}

// Via is the proxy, with its login, or with one of its own where the entry says [Entry.Isolate].
func (e Entry) Via() (*collectors.Via, error) {
	v, err := collectors.ParseVia(e.URL)
	if err != nil {
		return nil, err
	}
	if e.User != "" && e.LoginFor != e.URL {
		given := e.LoginFor
		if given == "" {
			given = "not recorded"
		}
		return nil, fmt.Errorf("egress %s: its login was given for %s and its URL is another now: `holdfast egress remove %s`, and add it again with --auth; nothing goes another way", e.Name, given, e.Name)
	}
	v.Name, v.User, v.Password = e.Name, e.User, e.Password
	if e.Isolate {
		if v.Scheme != "socks5" || e.User != "" {
			return nil, fmt.Errorf("egress %s: --isolate is for a socks5:// proxy without a login, as Tor's is", e.Name)
		}
		v.User, v.Password = rand.Text(), rand.Text()
	}
	return v, v.Check()
}

// Answers sees, within 5 s, whether anything listens there; it logs in nowhere.
func (e Entry) Answers(ctx context.Context) error {
	v, err := e.Via()
	if err != nil {
		return err
	}
	d := net.Dialer{Timeout: answers}
	conn, err := d.DialContext(ctx, "tcp", v.Address)
	if err == nil {
		conn.Close()
	}
	return err
}

// List is what a node has, in the order in which it was added.
type List []Entry

// Read reads the list in a file; none is an empty one.
func Read(path string) (l List, err error) {
	b, err := wholefile.Read(path, maxList)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = wholefile.DecodeJSON(path, b, &l)
	}
	return l, err
}

// Encode is what the list's file holds.
func (l List) Encode() ([]byte, error) {
	return wholefile.EncodeJSON(append(List{}, l...))
}

// Write replaces the list in a file, which only its owner can read.
func (l List) Write(path string) error {
	b, err := l.Encode()
	if err != nil {
		return err
	}
	return wholefile.Replace(path, b, 0o600)
}

func (l List) index(name string) int {
	return slices.IndexFunc(l, func(e Entry) bool { return e.Name == name })
}

// Add is the list with one more; a name that is taken is an error.
func (l List) Add(e Entry) (List, error) {
	if l.index(e.Name) >= 0 {
		return nil, fmt.Errorf("add egress: %s is there already; choose another name, or `holdfast egress remove %s` first", e.Name, e.Name)
	}
	return append(slices.Clone(l), e), nil
}

// Remove is the list without one, or ErrNone.
func (l List) Remove(name string) (List, error) {
	i := l.index(name)
	if i < 0 {
		return nil, fmt.Errorf("remove egress: %w: %.60q; `holdfast egress list` shows them", ErrNone, name)
	}
	return slices.Delete(slices.Clone(l), i, i+1), nil
}

// Via is the proxy of a name, or ErrNone.
func (l List) Via(name string) (*collectors.Via, error) {
	if i := l.index(name); i >= 0 {
		return l[i].Via()
	}
	return nil, fmt.Errorf("--via %q: %w: `holdfast egress add NAME URL` makes one, `holdfast egress list` shows them; nothing goes another way", Shown(name), ErrNone)
}

// WithoutLogins is the list for others: names and addresses.
func (l List) WithoutLogins() List {
	out := slices.Clone(l)
	for i := range out {
		out[i].User, out[i].Password, out[i].LoginFor = "", "", ""
	}
	return out
}
