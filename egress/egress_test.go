package egress_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/collectors"
	"holdfast/egress"
)

// TestList guards that a list comes back, readable by its owner alone, that no name
// is there twice, and that what was removed is no way out and not the direct line.
func TestList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "egresses.json")
	l, err := egress.Read(path)
	if err != nil || len(l) != 0 {
		t.Fatalf("none: %v, %v", l, err)
	}
	a, b := egress.Entry{Name: "a", URL: "socks5://127.0.0.1:1"}, egress.Entry{Name: "b", URL: "http://127.0.0.1:2"}
	for _, e := range []egress.Entry{a, b} {
		if l, err = l.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Add(a); err == nil {
		t.Error("a name was taken twice")
	}
	if err := l.Write(path); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if l, err = egress.Read(path); err != nil || len(l) != 2 || l[0].Name != "a" {
		t.Fatalf("%+v, %v", l, err)
	}
	if v, err := l.Via("b"); err != nil || v.Name != "b" || v.Scheme != "http" || v.Address != "127.0.0.1:2" {
		t.Errorf("%+v, %v", v, err)
	}
	less, err := l.Remove("a")
	if err != nil || len(less) != 1 || len(l) != 2 || l[0].Name != "a" {
		t.Errorf("%+v of %+v, %v", less, l, err)
	}
	if v, err := less.Via("a"); v != nil || !errors.Is(err, egress.ErrNone) {
		t.Errorf("removed: %+v, %v", v, err)
	}
	if _, err := less.Remove("a"); !errors.Is(err, egress.ErrNone) {
		t.Errorf("removed twice: %v", err)
	}
	if less, err = less.Remove("b"); err != nil {
		t.Fatal(err)
	}
	if b, err := less.Encode(); err != nil || string(b) != "[]\n" {
		t.Errorf("an empty list is %q, %v", b, err)
	}
}

// TestLogin guards to whom a login is sent: where it was given for, whatever the
// list says by now; and that it is in no error and in no copy for others.
func TestLogin(t *testing.T) {
	e := egress.Entry{Name: "out", URL: "socks5://127.0.0.1:1"}
	for _, bad := range []string{"", "geheim", ":geheim"} {
		if err := e.SetLogin(bad); err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := e.SetLogin("u:geheim:2"); err != nil {
		t.Fatal(err)
	}
	if v, err := e.Via(); err != nil || v.User != "u" || v.Password != "geheim:2" {
		t.Errorf("%+v, %v", v, err)
	}
	other := e
	other.URL = "socks5://127.0.0.1:2"
	if v, err := other.Via(); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("the login goes to %+v, %v", v, err)
	}
	l := egress.List{e}
	b, err := l.WithoutLogins().Encode()
	if err != nil || strings.Contains(string(b), "geheim") || strings.Contains(string(b), "login") || l[0].Password == "" {
		t.Errorf("%s, %v", b, err)
	}
	if v, err := (egress.List{{Name: "x", URL: "socks5://u:p@127.0.0.1:1"}}).Via("x"); err == nil || strings.Contains(err.Error(), "u:p") {
		t.Errorf("a login in the address: %+v, %v", v, err)
	}
	if got := egress.Shown("u:geheim@h:1"); got != "URL" {
		t.Errorf("shown: %q", got)
	}
}

func TestValidName(t *testing.T) {
	for name, want := range map[string]bool{"tor": true, "a-1": true, strings.Repeat("a", 40): true, strings.Repeat("a", 41): false, "": false, "A": false, "a b": false,
		"a\n": false, "ä": false, collectors.EgressDirect: false, collectors.EgressUnnamed: false, "unknown": false} {
		if egress.ValidName(name) != want {
			t.Errorf("%q is a name: %t", name, !want)
		}
	}
	if egress.Shown(collectors.EgressDirect) != collectors.EgressDirect {
		t.Error("direct is not shown")
	}
}

func TestAnswers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := egress.Entry{Name: "a", URL: "socks5://" + l.Addr().String()}
	if err := e.Answers(t.Context()); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := e.Answers(t.Context()); err == nil {
		t.Error("nobody listens there and it answers")
	}
}

// TestIsolate guards that each act has a login of its own where the entry says so, and
// that this is for a SOCKS5 without one.
func TestIsolate(t *testing.T) {
	e := egress.Entry{Name: "tor", URL: "socks5://127.0.0.1:9050", Isolate: true}
	a, err := e.Via()
	if err != nil {
		t.Fatal(err)
	}
	b, err := e.Via()
	if err != nil || a.User == "" || a.Password == "" || a.User == b.User || a.Password == b.Password {
		t.Errorf("%q %q, %q %q, %v", a.User, a.Password, b.User, b.Password, err)
	}
	e.URL = "http://127.0.0.1:9050"
	if _, err := e.Via(); err == nil || !strings.Contains(err.Error(), "--isolate") {
		t.Errorf("http: %v", err)
	}
	e = egress.Entry{Name: "tor", URL: "socks5://127.0.0.1:9050", Isolate: true}
	if err := e.SetLogin("user:password"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Via(); err == nil || strings.Contains(err.Error(), "password") {
		t.Errorf("with a login: %v", err)
	}
}
