//go:build unix

package file_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/file"
)

func incoming(name, text string) storage.Incoming {
	in := storage.Incoming{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
	if name == "" {
		d := hashing.Of([]byte(text))
		in.Digest = &d
	}
	return in
}

// Many files cost two waits for the disk: all bytes before the first name, all
// names before the return.
func TestOrderOfImport(t *testing.T) {
	var r tape
	h := r.hooks()
	h.SyncAll = func(*os.File) error { return r.note("syncall", "") }
	dir := t.TempDir()
	s := open(t, dir, file.Options{Hooks: h})
	r.take()
	n, err := s.Import(t.Context(), []storage.Incoming{incoming("a/b", "1"), incoming("a/c", "22"), incoming("", "object")})
	must(t, err)
	d := hashing.Of([]byte("object"))
	want := []string{"write spool", "write spool", "write spool", "syncall ", "link a/b", "link a/c", "link objects/sha256/" + d.Hex()[:2] + "/" + d.Hex(), "syncall "}
	if got := r.take(); n != 9 || !slices.Equal(got, want) {
		t.Errorf("%d bytes, %q", n, got)
	}
	for _, name := range []string{"a/b", "a/c"} {
		st, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if st.Mode() != 0o400 {
			t.Errorf("%s has mode %v", name, st.Mode())
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*", "*")); len(left) > 0 {
		t.Errorf("left in the spool: %v", left)
	}
	ok, err := s.Has(t.Context(), d)
	if !ok || err != nil {
		t.Error("the object is not there", err)
	}
}

// A name is never replaced, wrong bytes never get a name, and a failed syncfs
// stops the handle as a failed fsync does.
func TestImportRefuses(t *testing.T) {
	s := open(t, t.TempDir(), file.Options{})
	_, err := s.Import(t.Context(), []storage.Incoming{incoming("a", "1")})
	must(t, err)
	n, err := s.Import(t.Context(), []storage.Incoming{incoming("a", "1")})
	if n != 0 || err != nil {
		t.Errorf("the same bytes again: %d, %v", n, err)
	}
	if _, err := s.Import(t.Context(), []storage.Incoming{incoming("a", "2")}); !errors.Is(err, storage.ErrExists) {
		t.Errorf("other bytes: %v", err)
	}
	b, err := s.ReadName(t.Context(), "a", 10)
	if string(b) != "1" || err != nil {
		t.Errorf("it was replaced: %q %v", b, err)
	}
	wrong, other := incoming("b", "1"), hashing.Of([]byte("2"))
	wrong.Digest = &other
	if _, err := s.Import(t.Context(), []storage.Incoming{incoming("c", "1"), wrong}); !errors.Is(err, hashing.ErrMismatch) {
		t.Errorf("wrong bytes: %v", err)
	}
	for _, name := range []string{"b", "c"} {
		if _, err := s.OpenName(t.Context(), name); err == nil {
			t.Errorf("%s is there", name)
		}
	}
	if _, err := s.Import(t.Context(), []storage.Incoming{incoming("../x", "1")}); !errors.Is(err, storage.ErrName) {
		t.Errorf("a name that leaves: %v", err)
	}
	bad := open(t, t.TempDir(), file.Options{Hooks: file.Hooks{SyncAll: func(*os.File) error { return unix.EIO }}})
	if _, err := bad.Import(t.Context(), []storage.Incoming{incoming("a", "1")}); !errors.Is(err, unix.EIO) {
		t.Errorf("failed syncfs: %v", err)
	}
	if _, err := bad.OpenName(t.Context(), "a"); err == nil {
		t.Error("a name whose bytes are not on the disk")
	}
	if _, err := bad.Import(t.Context(), []storage.Incoming{incoming("a", "1")}); !errors.Is(err, storage.ErrStopped) {
		t.Errorf("after a failed syncfs: %v", err)
	}
}

// A store opened for reading changes nothing, and lies on a disk that lets
// nobody change anything.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, file.Options{})
	d, _, err := s.Put(t.Context(), strings.NewReader("x"))
	must(t, err)
	s.Close()
	before := fmt.Sprint(tree(t, dir))
	r := open(t, dir, file.Options{ReadOnly: true})
	if err := r.Accept(t.Context()); !errors.Is(err, storage.ErrStopped) || strings.Contains(err.Error(), "check the disk") {
		t.Errorf("accept: %v", err)
	}
	if ok, err := r.Has(t.Context(), d); !ok || err != nil {
		t.Error(ok, err)
	}
	if _, _, err := r.Put(t.Context(), strings.NewReader("y")); !errors.Is(err, storage.ErrStopped) {
		t.Errorf("put: %v", err)
	}
	if err := r.Create(t.Context(), "a", strings.NewReader("y")); !errors.Is(err, storage.ErrStopped) {
		t.Errorf("create: %v", err)
	}
	if _, err := r.Import(t.Context(), []storage.Incoming{incoming("a", "1")}); !errors.Is(err, storage.ErrStopped) {
		t.Errorf("import: %v", err)
	}
	if after := fmt.Sprint(tree(t, dir)); after != before {
		t.Errorf("%s, was %s", after, before)
	}
	if _, err := file.Open(filepath.Join(dir, "none"), file.Options{ReadOnly: true}); err == nil {
		t.Error("a directory that is not there was opened")
	}
}

// Without syncfs the files are fsynced one by one: in the spool before any is
// visible, and afterwards under their names and with all their folders, also
// where a name is a second link to a file that the spool still holds.
func TestImportWithoutSyncfs(t *testing.T) {
	var r tape
	h := r.hooks()
	h.SyncAll = func(*os.File) error { return file.ErrNoSyncAll }
	dir := t.TempDir()
	h.Link = func(from, to string, _ func() error) error {
		r.note("link", to)
		return os.Link(filepath.Join(dir, from), filepath.Join(dir, to))
	}
	s := open(t, dir, file.Options{Hooks: h})
	r.take()
	_, err := s.Import(t.Context(), []storage.Incoming{incoming("a/b/c", "1")})
	must(t, err)
	wantTape(t, &r, []string{"write spool", "sync spool", "link a/b/c", "sync a/b/c"}, "sync .", "sync a", "sync a/b")
}

func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	must(t, filepath.Walk(dir, func(p string, _ os.FileInfo, err error) error {
		names = append(names, p)
		return err
	}))
	return names
}
