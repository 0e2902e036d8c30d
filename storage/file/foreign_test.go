//go:build unix

package file_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/file"
)

func TestModes(t *testing.T) {
	for _, umask := range []int{0, 0o077, 0o400} {
		t.Run(fmt.Sprintf("umask %#o", umask), func(t *testing.T) { testModes(t, umask) })
	}
}

func testModes(t *testing.T, umask int) {
	if umask&0o700 != 0 && os.Geteuid() != 0 {
		t.Skip("only root can work with such a umask")
	}
	dir := filepath.Join(t.TempDir(), "a", "b")
	old := unix.Umask(umask)
	defer unix.Umask(old)
	s := open(t, dir, file.Options{})
	_, _, err := s.Put(t.Context(), strings.NewReader("x"))
	must(t, err)
	must(t, s.Create(t.Context(), "n/1", strings.NewReader("x")))
	_, err = s.CreateAll(t.Context(), storage.Item{Name: "n/2"})
	must(t, err)
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		must(t, err)
		info, err := e.Info()
		must(t, err)
		want := fs.FileMode(0o400)
		if e.IsDir() {
			want = fs.ModeDir | 0o700&^fs.FileMode(umask)
		} else {
			files++
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
		return nil
	}))
	if files != 3 {
		t.Errorf("%d files, want 3: the spool is not empty", files)
	}
}

// A file that is not ours is met by every door, and stops acceptance.
func TestForeign(t *testing.T) {
	data := "some bytes"
	d := hashing.Of([]byte(data))
	makers := map[string]func(t *testing.T, path string){
		"link to a good copy": func(t *testing.T, p string) {
			good := filepath.Join(t.TempDir(), "good")
			must(t, os.WriteFile(good, []byte(data), 0o400))
			must(t, os.Symlink(good, p))
		},
		"dangling link": func(t *testing.T, p string) { must(t, os.Symlink("/nonexistent", p)) },
		"writable":      func(t *testing.T, p string) { must(t, os.WriteFile(p, []byte(data), 0o644)) },
		"pipe":          func(t *testing.T, p string) { must(t, unix.Mkfifo(p, 0o400)) },
		"device":        func(t *testing.T, p string) { mknod(t, p) },
	}
	for what, plant := range makers {
		t.Run(what, func(t *testing.T) {
			wantForeignObject(t, d, data, plant)
			wantForeignName(t, data, plant)
		})
	}
	t.Run("folder", func(t *testing.T) {
		wantForeignObject(t, d, data, func(t *testing.T, p string) { must(t, os.Mkdir(p, 0o700)) })
	})
	t.Run("wrong size", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, file.Options{})
		must(t, os.MkdirAll(filepath.Dir(objectPath(dir, d)), 0o700))
		must(t, os.WriteFile(objectPath(dir, d), []byte(data[:4]), 0o400))
		_, _, err := s.Put(t.Context(), strings.NewReader(data))
		wantForeign(t, s, "put", err)
	})
}

func mknod(t *testing.T, p string) {
	if err := unix.Mknod(p, unix.S_IFCHR|0o400, 1<<8|5); err != nil { // the device of /dev/zero
		t.Skipf("a device cannot be made here: %v", err)
	}
}

func wantForeignObject(t *testing.T, d hashing.Digest, data string, plant func(*testing.T, string)) {
	t.Helper()
	fresh := func() *file.Store {
		dir := t.TempDir()
		s := open(t, dir, file.Options{})
		must(t, os.MkdirAll(filepath.Dir(objectPath(dir, d)), 0o700))
		plant(t, objectPath(dir, d))
		must(t, s.Accept(t.Context())) // not met yet
		return s
	}
	s := fresh()
	_, _, err := s.Open(t.Context(), d)
	wantForeign(t, s, "open", err)
	s = fresh()
	_, err = s.Has(t.Context(), d)
	wantForeign(t, s, "has", err)
	s = fresh()
	_, _, err = s.Put(t.Context(), strings.NewReader(data))
	wantForeign(t, s, "put", err)
	s = fresh()
	for _, err = range s.Objects(t.Context()) {
	}
	wantForeign(t, s, "objects", err)
}

func wantForeignName(t *testing.T, data string, plant func(*testing.T, string)) {
	t.Helper()
	fresh := func() *file.Store {
		dir := t.TempDir()
		s := open(t, dir, file.Options{})
		must(t, os.MkdirAll(filepath.Join(dir, "a"), 0o700))
		plant(t, filepath.Join(dir, "a/b"))
		return s
	}
	s := fresh()
	_, err := s.OpenName(t.Context(), "a/b")
	wantForeign(t, s, "open name", err)
	s = fresh()
	err = s.Create(t.Context(), "a/b", strings.NewReader(data))
	wantForeign(t, s, "create", err)
	s = fresh()
	_, err = s.CreateAll(t.Context(), storage.Item{Name: "a/b"})
	wantForeign(t, s, "create all", err)
	s = fresh()
	for _, err = range s.List(t.Context(), "") {
	}
	wantForeign(t, s, "list", err)
}

func wantForeign(t *testing.T, s *file.Store, door string, err error) {
	t.Helper()
	if !errors.Is(err, storage.ErrForeign) {
		t.Fatalf("%s: %v, want ErrForeign", door, err)
	}
	if err := s.Accept(t.Context()); !errors.Is(err, storage.ErrForeign) {
		t.Fatalf("accept after a foreign file: %v, want ErrForeign", err)
	}
}

// A linked folder would let a write or a read leave the store.
func TestForeignFolder(t *testing.T) {
	data, outside := "x", t.TempDir()
	d := hashing.Of([]byte(data))
	must(t, os.WriteFile(filepath.Join(outside, d.Hex()), []byte(data), 0o400))
	must(t, os.WriteFile(filepath.Join(outside, "b"), []byte(data), 0o400))
	dir := t.TempDir()
	s := open(t, dir, file.Options{})
	must(t, os.Symlink(outside, filepath.Join(dir, "objects/sha256", d.Hex()[:2])))
	must(t, os.Symlink(outside, filepath.Join(dir, "a")))
	_, _, err := s.Open(t.Context(), d)
	wantForeign(t, s, "open", err)
	_, _, err = s.Put(t.Context(), strings.NewReader(data))
	wantForeign(t, s, "put", err)
	_, err = s.OpenName(t.Context(), "a/b")
	wantForeign(t, s, "open name", err)
	err = s.Create(t.Context(), "a/c", strings.NewReader(data))
	wantForeign(t, s, "create", err)
	for _, err = range s.List(t.Context(), "a/") {
	}
	wantForeign(t, s, "list", err)
	if left, _ := os.ReadDir(outside); len(left) != 2 {
		t.Fatalf("a write left the store: %v", left)
	}
}

// What a list meets it names, and then it goes on.
func TestListPassesForeign(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, file.Options{})
	for _, n := range []string{"d/a", "d/c"} {
		must(t, s.Create(t.Context(), n, strings.NewReader("x")))
	}
	must(t, os.WriteFile(filepath.Join(dir, "d/B.txt"), nil, 0o400))
	must(t, os.Mkdir(filepath.Join(dir, "d/b b"), 0o700))
	var got []string
	for e, err := range s.List(t.Context(), "") {
		if err != nil {
			if !errors.Is(err, storage.ErrForeign) {
				t.Fatal(err)
			}
			e.Name = "!" + e.Name
		}
		got = append(got, e.Name)
	}
	if want := "!d/B.txt d/a !d/b b d/c"; strings.Join(got, " ") != want {
		t.Fatalf("list: %q, want %q", got, want)
	}
}

func TestOpenRefusesForeign(t *testing.T) {
	for what, plant := range map[string]func(dir string) error{
		"odd name":       func(dir string) error { return os.WriteFile(filepath.Join(dir, "Thumbs.db"), nil, 0o400) },
		"writable":       func(dir string) error { return os.WriteFile(filepath.Join(dir, "notes"), nil, 0o600) },
		"link":           func(dir string) error { return os.Symlink("/tmp", filepath.Join(dir, "cases")) },
		"linked tmp":     func(dir string) error { return os.Symlink(t.TempDir(), filepath.Join(dir, "tmp")) },
		"tmp a file":     func(dir string) error { return os.WriteFile(filepath.Join(dir, "tmp"), nil, 0o400) },
		"in tmp":         func(dir string) error { return os.MkdirAll(filepath.Join(dir, "tmp/important"), 0o700) },
		"in spool":       func(dir string) error { return os.MkdirAll(filepath.Join(dir, "tmp/0123456789abcdef/x"), 0o700) },
		"beside objects": func(dir string) error { return os.MkdirAll(filepath.Join(dir, "objects/MD5"), 0o700) },
		"in objects": func(dir string) error {
			_ = os.Mkdir(filepath.Join(dir, "objects"), 0o700)
			return os.WriteFile(filepath.Join(dir, "objects/sha256"), nil, 0o600)
		},
		"objects file": func(dir string) error { return os.WriteFile(filepath.Join(dir, "objects"), nil, 0o400) },
	} {
		dir := t.TempDir()
		must(t, plant(dir))
		s, err := file.Open(dir, file.Options{})
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, storage.ErrForeign) {
			t.Errorf("%s: %v, want ErrForeign", what, err)
		}
	}
}

func TestClosed(t *testing.T) {
	s := open(t, t.TempDir(), file.Options{})
	must(t, s.Close())
	for way, write := range writes(s, t) {
		if err := write(); err == nil {
			t.Errorf("%s on a closed store succeeded", way)
		}
	}
	if _, err := s.OpenName(t.Context(), "a"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("open name on a closed store: %v, want fs.ErrClosed", err)
	}
}
