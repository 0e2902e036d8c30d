package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func keyNode(t *testing.T) *node {
	t.Helper()
	n := &node{dir: t.TempDir()}
	for name, text := range map[string]string{"keys/seal.pem": "seal", "keys/log.key": "log", "own/ca.pem": "ca", "keys/telegram-a1": "session", fileConfig: "hash", "keys/.new-1": "left", "store/x": "no key"} {
		if err := os.MkdirAll(filepath.Dir(n.path(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(n.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestKeyFile guards that all keys come back, that nothing is readable without
// the passphrase, and that a damaged or hostile file is refused.
func TestKeyFile(t *testing.T) {
	n, name := keyNode(t), filepath.Join(t.TempDir(), "office.keys")
	pass := []byte("correct horse battery")
	if err := n.writeKeyFile(name, nil); !errors.Is(err, errNoPassphrase) {
		t.Errorf("without a passphrase: %v", err)
	}
	if err := n.writeKeyFile(name, []byte("short")); err == nil {
		t.Error("a passphrase of 5 bytes was taken")
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file without passphrase was written: %v", err)
	}
	if err := n.writeKeyFile(name, pass); err != nil {
		t.Fatal(err)
	}
	if err := n.writeKeyFile(name, pass); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that exists: %v", err)
	}
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	got, err := readKeyFile(name, pass)
	if err != nil || len(got) != 5 || string(got["keys/telegram-a1"]) != "session" || string(got[fileConfig]) != "hash" || string(got["keys/seal.pem"]) != "seal" || string(got["own/ca.pem"]) != "ca" || string(got["keys/log.key"]) != "log" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := readKeyFile(name, []byte("correct horse batterx")); !errors.Is(err, errPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	raw, err := os.ReadFile(name)
	if err != nil || bytes.Contains(raw, []byte("seal.pem")) {
		t.Errorf("a name stands in clear, or %v", err)
	}
	for what, b := range map[string][]byte{"cut": raw[:len(raw)-20], "flipped": flipped(raw), "empty": {}, "clear": []byte("keys")} {
		bad := filepath.Join(t.TempDir(), what)
		if err := os.WriteFile(bad, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := readKeyFile(bad, pass); err == nil {
			t.Errorf("%s: %q was read", what, got)
		}
	}
}

func flipped(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)-40] ^= 1
	return c
}

// TestKeyFileNames guards that no path leads out of the node's directory.
func TestKeyFileNames(t *testing.T) {
	for _, bad := range []string{"../x", "/etc/x", "keys/../../x", "keys/a/b", "node.json", "store/x", "keys", `keys\x`, "keys/a|keys/a"} {
		var out bytes.Buffer
		if err := writeTar(&out, strings.Split(bad, "|"), func(string) ([]byte, error) { return []byte("x"), nil }); err != nil {
			t.Fatal(err)
		}
		if got, err := readTar(&out); err == nil {
			t.Errorf("%s: %v was read", bad, got)
		}
	}
}

// TestPassphrase guards where it comes from and what is refused.
func TestPassphrase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pass")
	t.Setenv("HOLDFAST_PASSPHRASE", "")
	t.Setenv("HOLDFAST_PASSPHRASE_FILE", "")
	if p, err := passphrase(); p != nil || err != nil {
		t.Errorf("none: %q, %v", p, err)
	}
	t.Setenv("HOLDFAST_PASSPHRASE", "from env")
	if p, err := passphrase(); string(p) != "from env" || err != nil {
		t.Errorf("environment: %q, %v", p, err)
	}
	t.Setenv("HOLDFAST_PASSPHRASE_FILE", file)
	if _, err := passphrase(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	for text, want := range map[string]string{"from file\n": "from file", "from file\r\n": "from file", " two words": " two words", "two\n\n": "two\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := passphrase(); string(p) != want || err != nil {
			t.Errorf("file %q: %q, %v", text, p, err)
		}
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := passphrase(); err == nil || !strings.Contains(err.Error(), "chmod go=") {
		t.Errorf("a file that others can read: %v", err)
	}
}
