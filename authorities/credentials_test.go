package authorities

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/wholefile"
)

func book(t *testing.T) (*Book, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	b := &Book{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := wholefile.WriteJSON(b.path(FileName), []Entry{}); err != nil {
		t.Fatal(err)
	}
	return b, &log
}

// TestCredentialsAreBound guards that a list of authorities that was edited, or came from
// a mirror, does not choose to whom a secret is sent, and deletes no key.
func TestCredentialsAreBound(t *testing.T) {
	const seal = "keys/seal.pem"
	ctx := t.Context()
	b, log := book(t)
	auth := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(auth, []byte("office:geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Mkdir(b.path("keys"), 0o700), os.WriteFile(b.path(seal), []byte("a key"), 0o600)); err != nil {
		t.Fatal(err)
	}
	e := Entry{Name: "alpha", Operator: "A", URL: "https://tsa.example/one", AuthFrom: auth}
	if err := b.Add(ctx, e); err != nil {
		t.Fatal(err)
	}
	list, _, err := b.Entries()
	if err != nil {
		t.Fatal(err)
	}
	if e = list[0]; b.Credentials(e) == "" {
		t.Fatalf("its own credentials are not read: %s", log)
	}
	for to, sent := range map[string]bool{"https://TSA.example:443/two": true, "https://evil.example/one": false, "http://tsa.example/one": false,
		"https://tsa.example:444/one": false, "https://tsa.example.evil.example/one": false} {
		changed := e
		changed.URL = to
		log.Reset()
		if got := b.Credentials(changed) != ""; got != sent || !sent && !strings.Contains(log.String(), "authority remove alpha") || strings.Contains(log.String(), "geheim") {
			t.Errorf("%s: sent %t; %s", to, got, log)
		}
	}
	other := e
	other.Name = "x/../auth-alpha"
	other.Auth = authFile(other.Name)
	if b.Credentials(other) != "" {
		t.Error("an entry of another name has them")
	}
	if err := wholefile.Replace(b.path(e.Auth), []byte("office:geheim\n"), 0o600); err != nil { // of before they were bound
		t.Fatal(err)
	}
	if b.Credentials(e) != "" {
		t.Error("sent, and nothing says to whom")
	}

	if err := b.change(ctx, func(l []Entry) ([]Entry, error) {
		l[0].Auth, l[0].Roots = seal, string(testRoots(t))
		return l, nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Remove(ctx, "alpha", func([]Entry, Entry) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.path(seal)); err != nil {
		t.Errorf("the list has deleted the seal key: %v", err)
	}
}

func testRoots(t *testing.T) []byte {
	t.Helper()
	b, _ := book(t)
	list, defaults, err := b.Shown()
	if err != nil || !defaults {
		t.Fatal(defaults, err)
	}
	return []byte(list[0].Roots)
}

// TestCredentialsOfAnother guards a node that was restored from a changed mirror:
// no other file than the authority's own credentials is sent to it.
func TestCredentialsOfAnother(t *testing.T) {
	b, _ := book(t)
	if err := os.MkdirAll(b.path("keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"secret", authFile("a")} {
		if err := wholefile.WriteJSON(b.path(name), keptCredentials{"https://a.invalid:443", "u:p"}); err != nil {
			t.Fatal(err)
		}
	}
	for auth, sent := range map[string]bool{authFile("a"): true, "secret": false, authFile("b"): false, "keys/../secret": false} {
		if got := b.Credentials(Entry{Name: "a", URL: "https://a.invalid/tsa", Auth: auth}); (got != "") != sent {
			t.Errorf("%s: sent is %v", auth, got != "")
		}
	}
}

// TestRemove: the Policy's end comes before the list says that an authority is gone; where
// it fails the authority is asked as before, and a list that is lost asks nobody.
func TestRemove(t *testing.T) {
	b, _ := book(t)
	ctx, bad := t.Context(), errors.New("no room")
	roots := string(testRoots(t))
	for _, name := range []string{"alpha", "beta"} {
		if err := b.Add(ctx, Entry{Name: name, Operator: name, URL: "https://tsa.example/" + name, Roots: roots, Public: name == "beta"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Add(ctx, Entry{Name: "alpha"}); err == nil {
		t.Error("two of one name are asked")
	}
	asks := func(want ...string) (public bool) {
		t.Helper()
		as, public, err := b.Asked(&holdfast.Policy{})
		if err != nil || len(as) != len(want) {
			t.Fatalf("%d are asked, %v, want %v", len(as), err, want)
		}
		for i := range as {
			if as[i].Name != want[i] || len(as[i].Roots) == 0 {
				t.Errorf("asked are %+v, want %v", as, want)
			}
		}
		return public
	}
	if _, err := b.Remove(ctx, "beta", func([]Entry, Entry) error { return bad }); !errors.Is(err, bad) {
		t.Errorf("removed, %v", err)
	}
	if !asks("alpha", "beta") {
		t.Error("a stranger's is among them")
	}
	gone, err := b.Remove(ctx, "beta", func(list []Entry, gone Entry) error {
		if l, _, err := b.Entries(); err != nil || l[1].Removed != nil || gone.Removed == nil || list[1].Removed == nil {
			t.Errorf("the list was there before the Policy's end: %v", err)
		}
		return nil
	})
	if err != nil || gone.Name != "beta" || asks("alpha") {
		t.Errorf("%+v, %v", gone, err)
	}
	if cs, err := b.Roots(); err != nil || len(cs) < 2 {
		t.Errorf("%d roots, %v: what a removed one stamped counts", len(cs), err)
	}
	if _, err := b.Remove(ctx, "beta", nil); err == nil {
		t.Error("removed twice")
	}
	if err := os.Remove(b.path(FileName)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Asked(&holdfast.Policy{}); !errors.Is(err, LostError{}) {
		t.Errorf("without a list: %v", err)
	}
	if cs, err := b.Roots(); err != nil || len(cs) == 0 {
		t.Errorf("without a list %d roots, %v", len(cs), err)
	}
}
