package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/sqlite"
)

// filled makes a catalog of a small World and closes it.
func filled(t *testing.T) (path string, w *catalogtest.World, dump string) {
	t.Helper()
	path, w = filepath.Join(t.TempDir(), "a b%20?#.db"), catalogtest.New(1, 40, 16)
	c, err := sqlite.Create(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := w.Straight(t).Give(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return path, w, catalogtest.Dump(t, c, w)
}

func reopen(t *testing.T, path string) *sqlite.Catalog {
	t.Helper()
	c, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// raw runs statements behind the catalog's back.
func raw(t *testing.T, path string, stmts ...string) {
	t.Helper()
	link := filepath.Join(t.TempDir(), "raw.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", link)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range stmts {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// TestOpenRefuses: each unusable catalog says what to do, and Rebuild cures all
// but the one of a newer program.
func TestOpenRefuses(t *testing.T) {
	for name, d := range map[string]struct {
		spoil func(t *testing.T, path string)
		want  error
	}{
		"absent":      {func(t *testing.T, path string) { os.Remove(path) }, catalog.ErrRebuild},
		"empty":       {func(t *testing.T, path string) { os.Truncate(path, 0) }, catalog.ErrRebuild},
		"newer":       {func(t *testing.T, path string) { raw(t, path, `PRAGMA user_version = 99`) }, catalog.ErrNewer},
		"older":       {func(t *testing.T, path string) { raw(t, path, `PRAGMA user_version = 0`, `DROP TABLE ref`) }, catalog.ErrRebuild},
		"foreign":     {func(t *testing.T, path string) { raw(t, path, `PRAGMA application_id = 7`) }, catalog.ErrRebuild},
		"no database": {func(t *testing.T, path string) { os.WriteFile(path, []byte(strings.Repeat("text ", 9999)), 0o600) }, catalog.ErrRebuild},
		"lost table":  {func(t *testing.T, path string) { raw(t, path, `DROP TABLE meta`) }, catalog.ErrRebuild},
		"half made":   {func(t *testing.T, path string) { raw(t, path, `UPDATE meta SET complete = 0`) }, catalog.ErrRebuild},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, w, dump := filled(t)
			d.spoil(t, path)
			if c, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, d.want) {
				t.Fatalf("open: %v, %v", c, err)
			}
			err := sqlite.Rebuild(t.Context(), path, sqlite.Options{}, w.Straight(t).Give)
			if errors.Is(d.want, catalog.ErrNewer) {
				if !errors.Is(err, catalog.ErrNewer) {
					t.Errorf("rebuild: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := catalogtest.Dump(t, reopen(t, path), w); got != dump {
				t.Error(catalogtest.Diff(dump, got))
			}
		})
	}
}

// TestDamagedPages: a page that is overwritten after Open is met later, and says
// what to do then.
func TestDamagedPages(t *testing.T) {
	path, _, _ := filled(t)
	c := reopen(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, _ := f.Stat()
	for off := int64(2 * 4096); off < fi.Size(); off += 4096 {
		if _, err := f.WriteAt([]byte(strings.Repeat("\xff", 4096)), off); err != nil {
			t.Fatal(err)
		}
	}
	var last error
	for _, err := range c.Captures(t.Context(), catalog.Query{}) {
		last = err
	}
	if !errors.Is(last, catalog.ErrRebuild) {
		t.Errorf("list of a damaged catalog: %v", last)
	}
}

// TestRebuildBesideOthers: a handle that was open before a rebuild refuses
// while it is at work, and what it indexes meanwhile is not lost.
func TestRebuildBesideOthers(t *testing.T) {
	path, w, dump := filled(t)
	other := reopen(t, path)
	facts := w.Straight(t)
	err := sqlite.Rebuild(t.Context(), path, sqlite.Options{}, func(ctx context.Context, into catalog.Writer) error {
		if _, err := other.Case(ctx, string(w.Cases[0])); !errors.Is(err, catalog.ErrRebuild) {
			t.Errorf("an answer in the middle of a rebuild: %v", err)
		}
		if err := facts[1](ctx, other); err != nil { // the index stage of another process
			t.Error(err)
		}
		return facts[0](ctx, into)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*sqlite.Catalog{other, reopen(t, path)} {
		if got := catalogtest.Dump(t, c, w); got != dump {
			t.Error(catalogtest.Diff(dump, got))
		}
	}
}

// TestRebuildBroken: a fold that fails leaves a catalog that answers nothing.
func TestRebuildBroken(t *testing.T) {
	path, w, dump := filled(t)
	broken := errors.New("store is gone")
	err := sqlite.Rebuild(t.Context(), path, sqlite.Options{}, func(ctx context.Context, into catalog.Writer) error {
		return errors.Join(w.Straight(t)[0](ctx, into), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("rebuild: %v", err)
	}
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, catalog.ErrRebuild) {
		t.Errorf("open: %v", err)
	}
	if _, err := sqlite.Create(t.Context(), path, sqlite.Options{}); !errors.Is(err, catalog.ErrRebuild) {
		t.Errorf("create: %v", err)
	}
	if err := sqlite.Rebuild(t.Context(), path, sqlite.Options{}, w.Straight(t).Give); err != nil {
		t.Fatal(err)
	}
	if got := catalogtest.Dump(t, reopen(t, path), w); got != dump {
		t.Error(catalogtest.Diff(dump, got))
	}
}

// TestRebuildsWait: rebuilds and creations of one catalog come one after another.
func TestRebuildsWait(t *testing.T) {
	path, w, dump := filled(t)
	var wg sync.WaitGroup
	var at sync.Mutex
	for range 3 {
		wg.Go(func() {
			err := sqlite.Rebuild(t.Context(), path, sqlite.Options{}, func(ctx context.Context, into catalog.Writer) error {
				if !at.TryLock() {
					t.Error("two rebuilds at once")
					return nil
				}
				defer at.Unlock()
				return w.Straight(t).Give(ctx, into)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := catalogtest.Dump(t, reopen(t, path), w); got != dump {
		t.Error(catalogtest.Diff(dump, got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := sqlite.Rebuild(t.Context(), path, sqlite.Options{}, func(context.Context, catalog.Writer) error {
		cancel()
		return sqlite.Rebuild(ctx, path, sqlite.Options{}, w.Straight(t).Give)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a rebuild inside a rebuild: %v", err)
	}
}

// TestCreateAgain: a crash before the first commit leaves a blank database, which
// is made anew; a catalog that is there is kept.
func TestCreateAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	raw(t, path, `PRAGMA journal_mode = WAL`)
	if fi, err := os.Stat(path); err != nil || fi.Size() == 0 {
		t.Fatalf("not a blank database: %v", err)
	}
	w := catalogtest.New(1, 10, 16)
	for range 2 {
		c, err := sqlite.Create(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Straight(t).Give(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	path, w, dump := filled(t)
	c, err := sqlite.Create(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := catalogtest.Dump(t, c, w); got != dump {
		t.Error(catalogtest.Diff(dump, got))
	}
	for _, end := range []string{"", "-wal", "-shm", ".lock"} {
		if fi, err := os.Stat(path + end); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path+end, fi.Mode(), err)
		}
	}
}

// TestCreateAtOnce: several processes may find that there is none.
func TestCreateAtOnce(t *testing.T) {
	dir, w := t.TempDir(), catalogtest.New(1, 10, 16)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			c, err := sqlite.Create(t.Context(), filepath.Join(dir, "catalog.db"), sqlite.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if err := w.Straight(t).Give(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(catalogtest.Collect(t, reopen(t, filepath.Join(dir, "catalog.db")).Captures(t.Context(), catalog.Query{Kind: "capture"}))); n != 10 {
		t.Errorf("%d captures", n)
	}
}
