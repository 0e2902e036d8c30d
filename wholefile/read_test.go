package wholefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holdfast/wholefile"
)

// TestRead guards the bounds of what is read: a file of just so many bytes, no pipe,
// and of a directory that others had no link that leads out of it.
func TestRead(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	err := errors.Join(os.WriteFile(out, []byte("12345"), 0o600), os.WriteFile(filepath.Join(dir, "in"), []byte("12345"), 0o600),
		os.Symlink(out, filepath.Join(dir, "leads-out")), os.Symlink("in", filepath.Join(dir, "stays")), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ read, in bool }{
		"in": {true, true}, "stays": {true, true}, "leads-out": {true, false}, "pipe": {false, false}, "../" + filepath.Base(dir) + "/in": {true, false}, "none": {false, false},
	} {
		b, err := wholefile.Read(filepath.Join(dir, name), 5)
		if (err == nil) != c.read || err == nil && string(b) != "12345" {
			t.Errorf("read %s: %q, %v", name, b, err)
		}
		b, err = wholefile.ReadIn(dir, name, 5)
		if (err == nil) != c.in || err == nil && string(b) != "12345" {
			t.Errorf("read in: %s: %q, %v", name, b, err)
		}
	}
	_, err1 := wholefile.Read(filepath.Join(dir, "in"), 4)
	_, err2 := wholefile.ReadIn(dir, "in", 4)
	if !errors.Is(err1, wholefile.ErrTooLarge) || !errors.Is(err2, wholefile.ErrTooLarge) {
		t.Errorf("5 of 4 bytes: %v, %v", err1, err2)
	}
	_, err1 = wholefile.Read(filepath.Join(dir, "none"), 5)
	_, err2 = wholefile.ReadIn(dir, "none", 5)
	if !errors.Is(err1, fs.ErrNotExist) || !errors.Is(err2, fs.ErrNotExist) {
		t.Errorf("none: %v, %v", err1, err2)
	}
}

// TestUpdate guards that an equal file is left alone, and any other replaced.
func TestUpdate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	var was os.FileInfo
	for i, text := range []string{"a", "a", "ab", "a"} {
		if err := wholefile.Update(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		is, err2 := os.Stat(path)
		if err = errors.Join(err, err2); err != nil || string(b) != text || is.Mode().Perm() != 0o600 {
			t.Fatalf("%d: %q, %v", i, b, err)
		}
		if was != nil && os.SameFile(was, is) != (i == 1) {
			t.Errorf("%d: the file is the same: %t", i, os.SameFile(was, is))
		}
		was = is
	}
}

// TestJSON guards that what was encoded comes back, and that a member which nobody
// knows is not passed over.
func TestJSON(t *testing.T) {
	type row struct{ A int }
	b, err := wholefile.EncodeJSON(row{7})
	var got row
	if err = errors.Join(err, wholefile.DecodeJSON("x.json", b, &got)); err != nil || got.A != 7 || string(b) != "{\n  \"A\": 7\n}\n" {
		t.Errorf("%q, %+v, %v", b, got, err)
	}
	if err := wholefile.DecodeJSON("x.json", []byte(`{"A":1,"B":2}`), &got); err == nil {
		t.Error("an unknown member was passed over")
	}
}
