package vault

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var patterns = []string{"keys/*", "own/*", "egresses.json", "holdfast.yaml"}

func holding(t *testing.T, files map[string]string) *Vault {
	t.Helper()
	v := New(t.TempDir(), nil)
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(v.path(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(v.path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// TestKeyFile guards that all keys come back, that nothing is readable without
// the passphrase, and that a damaged or hostile file is refused.
func TestKeyFile(t *testing.T) {
	v := holding(t, map[string]string{"keys/seal.pem": "seal", "keys/log.key": "log", "own/ca.pem": "ca", "keys/telegram-a1": "session",
		"holdfast.yaml": "hash", "keys/.new-1": "left", "store/x": "no key"})
	name, pass := filepath.Join(t.TempDir(), "office.keys"), []byte("correct horse battery")
	if _, err := v.Export(name, nil, patterns...); !errors.Is(err, ErrNoPassphrase) {
		t.Errorf("without a passphrase: %v", err)
	}
	if _, err := v.Export(name, []byte("short"), patterns...); err == nil {
		t.Error("a passphrase of 5 bytes was taken")
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file without passphrase was written: %v", err)
	}
	if k, err := v.Export(name, pass, patterns...); k != 5 || err != nil {
		t.Fatalf("%d files, %v", k, err)
	}
	if _, err := v.Export(name, pass, patterns...); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that exists: %v", err)
	}
	st, err := os.Stat(name)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	got, err := ReadExport(name, pass, patterns...)
	if err != nil || len(got) != 5 || string(got["keys/telegram-a1"]) != "session" || string(got["holdfast.yaml"]) != "hash" || string(got["keys/seal.pem"]) != "seal" || string(got["own/ca.pem"]) != "ca" || string(got["keys/log.key"]) != "log" {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := ReadExport(name, []byte("correct horse batterx"), patterns...); !errors.Is(err, ErrPassphrase) {
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
		if got, err := ReadExport(bad, pass, patterns...); err == nil {
			t.Errorf("%s: %q was read", what, got)
		}
	}
}

func flipped(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)-40] ^= 1
	return c
}

// TestKeyFileWhole guards that no key file is written which could not be read
// again, or which lacks keys that could not be listed.
func TestKeyFileWhole(t *testing.T) {
	files := map[string]string{}
	for i := range maxKeyFile/maxKeyEntry + 1 {
		b := make([]byte, maxKeyEntry)
		rand.Read(b)
		files[fmt.Sprintf("keys/seal-%d.pem", i)] = string(b)
	}
	v, name := holding(t, files), filepath.Join(t.TempDir(), "office.keys")
	if _, err := v.Export(name, []byte("correct horse battery"), patterns...); err == nil || !strings.Contains(err.Error(), "can be read again") {
		t.Errorf("%d MiB: %v", len(files), err)
	}
	v = holding(t, map[string]string{"keys/seal.pem": "seal", "own": "no folder"})
	if _, err := v.Export(name, []byte("correct horse battery"), patterns...); err == nil {
		t.Error("what cannot be listed is left out without a word")
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was written: %v", err)
	}
}

// TestKeyFileNames guards that no path leads out of the vault's directory.
func TestKeyFileNames(t *testing.T) {
	for _, bad := range []string{"../x", "/etc/x", "keys/../../x", "keys/a/b", "node.json", "store/x", "keys", `keys\x`, "keys/.new-1", "keys/a|keys/a"} {
		var out bytes.Buffer
		if err := writeTar(&out, strings.Split(bad, "|"), func(string) ([]byte, error) { return []byte("x"), nil }); err != nil {
			t.Fatal(err)
		}
		if got, err := readTar(&out, patterns); err == nil {
			t.Errorf("%s: %v was read", bad, got)
		}
	}
}

// FuzzReadTar: whatever a key file holds within, what is taken of it has names and
// sizes that a vault gives, and comes back from a tar of it.
func FuzzReadTar(f *testing.F) {
	var good bytes.Buffer
	if err := writeTar(&good, []string{"keys/seal.pem", "own/ca.pem", "egresses.json"}, func(name string) ([]byte, error) { return []byte(name), nil }); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add(good.Bytes()[:700])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		files, err := readTar(bytes.NewReader(b), patterns)
		if err != nil {
			return
		}
		var names []string
		for name, text := range files {
			if !given(name, patterns) || !fs.ValidPath(name) || strings.Count(name, "/") > 1 || len(text) > maxKeyEntry {
				t.Errorf("%q of %d bytes was taken", name, len(text))
			}
			names = append(names, name)
		}
		var out bytes.Buffer
		if err := writeTar(&out, names, func(name string) ([]byte, error) { return files[name], nil }); err != nil {
			t.Fatal(err)
		}
		again, err := readTar(&out, patterns)
		if err != nil || len(again) != len(files) {
			t.Fatalf("%d of %d files come back: %v", len(again), len(files), err)
		}
		for name := range files {
			if !bytes.Equal(files[name], again[name]) {
				t.Errorf("%q comes back as another", name)
			}
		}
	})
}

// FuzzOpen: whatever lies in a key's file is its text, or does not open.
func FuzzOpen(f *testing.F) {
	v := New(f.TempDir(), nil)
	if err := os.Mkdir(v.path("keys"), 0o700); err != nil {
		f.Fatal(err)
	}
	if err := v.Begin([]byte("correct horse")); err != nil {
		f.Fatal(err)
	}
	good, err := v.Seal([]byte("PRIVATE"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(header))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, err := v.Open(b)
		if err == nil && !encrypted(b) && !bytes.Equal(text, b) {
			t.Errorf("%q is read as %q", b, text)
		}
	})
}
