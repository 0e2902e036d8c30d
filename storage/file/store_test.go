//go:build unix

package file_test

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/file"
	"holdfast/storage/storagetest"
)

// damageable is a file store whose directory the suite may change.
type damageable struct {
	*file.Store
	dir string
}

func (d damageable) Corrupt(t *testing.T, o hashing.Digest) {
	path := objectPath(d.dir, o)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	must(t, os.Chmod(path, 0o600))
	must(t, os.WriteFile(path, b, 0o600))
	must(t, os.Chmod(path, 0o400))
}

func (d damageable) Shorten(t *testing.T, o hashing.Digest) {
	path := objectPath(d.dir, o)
	st, err := os.Stat(path)
	must(t, err)
	must(t, os.Chmod(path, 0o600))
	must(t, os.Truncate(path, st.Size()-1))
	must(t, os.Chmod(path, 0o400))
}

func (d damageable) Reopen(t *testing.T) storage.Store { return open(t, d.dir, file.Options{}) }

func TestStore(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.Store {
		dir := filepath.Join(t.TempDir(), "new", "store")
		return damageable{open(t, dir, file.Options{}), dir}
	})
}

func objectPath(dir string, d hashing.Digest) string {
	return filepath.Join(dir, "objects/sha256", d.Hex()[:2], d.Hex())
}

func open(t testing.TB, dir string, o file.Options) *file.Store {
	t.Helper()
	s, err := file.Open(dir, o)
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
