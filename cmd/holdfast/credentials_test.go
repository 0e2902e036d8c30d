package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/authorities"
	"holdfast/cmd/internal/passphrase"
	"holdfast/egress"
	"holdfast/wholefile"
)

func secretNode(t *testing.T) (*node, *bytes.Buffer) {
	t.Helper()
	c := &cli{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, data: filepath.Join(t.TempDir(), "node")}
	n, err := c.initNode(t.Context(), initOptions{label: "office"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	var log bytes.Buffer
	n.log = slog.New(slog.NewTextHandler(&log, nil))
	return n, &log
}

// TestSecretFiles guards what a secret is read from: a regular file, of bounded
// size, of this person alone; a pipe is refused and not waited for.
func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	pipe, open, large, good := filepath.Join(dir, "pipe"), filepath.Join(dir, "open"), filepath.Join(dir, "large"), filepath.Join(dir, "good")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{open: "u:p\n", large: "u:" + strings.Repeat("p", wholefile.MaxSecretLine), good: "u:p\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	for what, read := range map[string]func(string) error{
		"egress add --auth":    func(f string) error { return checkEgress(&egress.Entry{Name: "a", URL: "socks5://127.0.0.1:1"}, f) },
		"authority add --auth": func(f string) error { _, err := authorities.ReadCredentials(f); return err },
		"passphrase": func(f string) error {
			t.Setenv("HOLDFAST_PASSPHRASE_FILE", f)
			_, err := passphrase.FromEnvironment()
			if f == large { // may be as long
				return os.ErrInvalid
			}
			return err
		},
	} {
		if err := read(good); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for _, f := range []string{pipe, open, large, dir} {
			got := make(chan error, 1)
			go func() { got <- read(f) }()
			select {
			case err := <-got:
				if err == nil {
					t.Errorf("%s took %s", what, f)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("%s waits for %s", what, f)
			}
		}
	}
}

// TestLoginIsBound guards that a list of egresses that was edited, or came from a mirror,
// does not choose to whom a login is sent.
func TestLoginIsBound(t *testing.T) {
	n, _ := secretNode(t)
	auth := filepath.Join(t.TempDir(), "auth")
	if err := os.WriteFile(auth, []byte("office:geheim\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := egress.Entry{Name: "out", URL: "socks5://127.0.0.1:1"}
	if err := checkEgress(&g, auth); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.WriteJSON(n.path(fileEgresses), egress.List{g}); err != nil {
		t.Fatal(err)
	}
	if v, err := n.via("out"); err != nil || v.Password != "geheim" {
		t.Fatalf("%+v, %v", v, err)
	}
	b, err := os.ReadFile(n.path(fileEgresses))
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Replace(b, []byte(`"url": "socks5://127.0.0.1:1"`), []byte(`"url": "socks5://127.0.0.1:2"`), 1)
	if err := os.WriteFile(n.path(fileEgresses), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := n.via("out"); err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("the login goes to %v, %v", v, err)
	}
}
