package wholefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"holdfast/wholefile"
)

// TestWhole: a name is never taken twice, what is replaced is replaced whole with
// its mode, and nothing lies beside it afterwards.
func TestWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	if err := wholefile.Create(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := wholefile.Create(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("created twice: %v", err)
	}
	if b, err := wholefile.ReadSecret(path); err != nil || string(b) != "one" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := wholefile.Replace(path, []byte("three"), 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if b, _ := os.ReadFile(path); err != nil || string(b) != "three" || info.Mode().Perm() != 0o644 {
		t.Fatalf("%q, %v, %v", b, info.Mode(), err)
	}
	if es, _ := os.ReadDir(filepath.Dir(path)); len(es) != 1 {
		t.Errorf("%d files", len(es))
	}
}

// TestSecret: what others may have read, what is no file, or no small one, is none.
func TestSecret(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int, mode fs.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, err := wholefile.ReadSecret(write("most", wholefile.MaxSecret, 0o600)); err != nil {
		t.Error(err)
	}
	for _, p := range []string{write("large", wholefile.MaxSecret+1, 0o600), write("group", 1, 0o640), write("others", 1, 0o604), dir} {
		if _, err := wholefile.ReadSecret(p); err == nil {
			t.Errorf("%s was read", p)
		}
	}
	if _, err := wholefile.ReadSecret(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
