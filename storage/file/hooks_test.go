//go:build unix

package file_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/file"
)

// tape records the calls that decide on durability; fail, if set, makes one fail.
type tape struct {
	mu   sync.Mutex
	seen []string
	fail func(op, name string) error
}

func (r *tape) note(op, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.HasPrefix(name, "tmp/") {
		name = "spool"
	}
	r.seen = append(r.seen, op+" "+name)
	if r.fail == nil {
		return nil
	}
	return r.fail(op, name)
}

func (r *tape) hooks() file.Hooks {
	return file.Hooks{
		Write: func(f *os.File, p []byte) (int, error) {
			if err := r.note("write", f.Name()); err != nil {
				n, _ := f.Write(p[:len(p)/2]) // as a disk that fills up does
				return n, err
			}
			return f.Write(p)
		},
		Sync: func(f *os.File) error {
			if err := r.note("sync", f.Name()); err != nil {
				return err
			}
			return f.Sync()
		},
		Link: func(from, to string, link func() error) error {
			if err := r.note("link", to); err != nil {
				return err
			}
			return link()
		},
	}
}

// take returns what was recorded since the last call.
func (r *tape) take() []string {
	defer func() { r.seen = nil }()
	return r.seen
}

// The order is the crash argument: bytes, link, folder, parents.
func TestOrder(t *testing.T) {
	var r tape
	s := open(t, t.TempDir(), file.Options{Hooks: r.hooks()})
	r.take()
	h := hashing.Of([]byte("x")).Hex()
	folder := "objects/sha256/" + h[:2]
	put := func() { _, _, err := s.Put(t.Context(), strings.NewReader("x")); must(t, err) }

	put()
	wantTape(t, &r, []string{"write spool", "sync spool", "link " + folder + "/" + h}, "sync objects/sha256", "sync "+folder)
	put() // a duplicate: no fsync of a spool, no link, but the found file and its folder
	wantTape(t, &r, []string{"write spool"}, "sync "+folder, "sync "+folder+"/"+h)

	must(t, s.Create(t.Context(), "a/b/c", strings.NewReader("x")))
	wantTape(t, &r, []string{"write spool", "sync spool", "link a/b/c"}, "sync .", "sync a", "sync a/b")
	must(t, s.Create(t.Context(), "a/b/d", strings.NewReader("x")))
	wantTape(t, &r, []string{"write spool", "sync spool", "link a/b/d"}, "sync a/b")
	if err := s.Create(t.Context(), "a/b/d", strings.NewReader("x")); !errors.Is(err, storage.ErrExists) {
		t.Fatal(err)
	}
	wantTape(t, &r, []string{}, "sync a/b", "sync a/b/d")
}

// A handle that meets folders which another made cannot know them to be durable.
func TestOrderOfFoundParents(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o700))
	var r tape
	s := open(t, dir, file.Options{Hooks: r.hooks()})
	r.take()
	must(t, s.Create(t.Context(), "a/b/c", strings.NewReader("x")))
	wantTape(t, &r, []string{"write spool", "sync spool", "link a/b/c"}, "sync .", "sync a", "sync a/b")
}

// A process that made the directory and died before it was durable leaves that to
// the next Open.
func TestOrderOfFoundRoot(t *testing.T) {
	base := t.TempDir()
	for found, want := range map[string][]string{
		"1": {"1", "1/data", "."}, "2/data": {"2", "2/data"}, "3/data/store": {"3/data"},
	} {
		must(t, os.MkdirAll(filepath.Join(base, found), 0o700)) // the lowest one is new
		var r tape
		s, err := file.Open(filepath.Join(base, found[:1], "data", "store"), file.Options{Hooks: r.hooks()})
		must(t, err)
		s.Close()
		for _, w := range want {
			if call := "sync " + filepath.Join(base, w); !slices.Contains(r.seen, call) {
				t.Errorf("with %s there: no %q in %q", found, call, r.seen)
			}
		}
	}
}

// Many names cost one fsync each and one for each folder.
func TestOrderOfCreateAll(t *testing.T) {
	var r tape
	s := open(t, t.TempDir(), file.Options{Hooks: r.hooks()})
	r.take()
	var items []storage.Item
	var head, links []string
	for i := range 8 {
		items = append(items, storage.Item{Name: fmt.Sprintf("seals/1/%d", i), Data: []byte("x")})
		head, links = append(head, "write spool"), append(links, fmt.Sprintf("link seals/1/%d", i))
	}
	for range 8 {
		head = append(head, "sync spool")
	}
	_, err := s.CreateAll(t.Context(), items...)
	must(t, err)
	wantTape(t, &r, append(head, links...), "sync .", "sync seals", "sync seals/1")
}

// wantTape: first head in this order, then tail in any.
func wantTape(t *testing.T, r *tape, head []string, tail ...string) {
	t.Helper()
	got := r.take()
	if n := len(head); len(got) == n+len(tail) && slices.Equal(got[:n], head) {
		rest := got[n:]
		slices.Sort(rest)
		slices.Sort(tail)
		if slices.Equal(rest, tail) {
			return
		}
	}
	t.Fatalf("calls:\n %s\nwant:\n %s\nthen in any order:\n %s", strings.Join(got, "\n "), strings.Join(head, "\n "), strings.Join(tail, "\n "))
}

// writes are the ways in; each must report what the disk does.
func writes(s *file.Store, t *testing.T) map[string]func() error {
	return map[string]func() error{
		"Put": func() error { _, _, err := s.Put(t.Context(), strings.NewReader("data")); return err },
		"PutDigest": func() error {
			return s.PutDigest(t.Context(), hashing.Of([]byte("data")), 4, strings.NewReader("data"))
		},
		"Create": func() error { return s.Create(t.Context(), "n/1", strings.NewReader("data")) },
		"CreateAll": func() error {
			_, err := s.CreateAll(t.Context(), storage.Item{Name: "n/1", Data: []byte("data")}, storage.Item{Name: "n/2"})
			return err
		},
	}
}

// eachFailure runs f with a fresh store for each way in, on which each call of
// op fails with errno.
func eachFailure(t *testing.T, op string, errno error, f func(t *testing.T, s *file.Store, r *tape, write func() error)) {
	for _, way := range []string{"Put", "PutDigest", "Create", "CreateAll"} {
		t.Run(way, func(t *testing.T) {
			var r tape
			s := open(t, t.TempDir(), file.Options{Hooks: r.hooks()})
			r.take()
			r.fail = func(o, name string) error {
				if o+" "+name == op || o == op {
					return &fs.PathError{Op: o, Path: name, Err: errno}
				}
				return nil
			}
			f(t, s, &r, writes(s, t)[way])
		})
	}
}

func TestDiskFullOnWrite(t *testing.T) {
	eachFailure(t, "write", unix.ENOSPC, func(t *testing.T, s *file.Store, r *tape, write func() error) {
		err := write()
		if !errors.Is(err, storage.ErrFull) || !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("error %v, want ErrFull and ENOSPC", err)
		}
		wantNothing(t, s)
		r.fail = nil // space was freed: the handle goes on
		must(t, write())
	})
}

func TestWriteError(t *testing.T) {
	eachFailure(t, "write", unix.EIO, func(t *testing.T, s *file.Store, _ *tape, write func() error) {
		if err := write(); !errors.Is(err, unix.EIO) || errors.Is(err, storage.ErrFull) {
			t.Fatalf("error %v, want EIO", err)
		}
		wantNothing(t, s)
	})
}

// After a failed fsync nothing becomes visible and nothing more is written,
// even though the next fsync would say that all is well.
func TestSyncError(t *testing.T) {
	eachFailure(t, "sync spool", unix.EIO, func(t *testing.T, s *file.Store, r *tape, write func() error) {
		if err := write(); !errors.Is(err, unix.EIO) {
			t.Fatalf("error %v, want EIO", err)
		}
		wantNothing(t, s)
		wantStopped(t, s, r)
		wantNothing(t, s)
	})
}

func TestSyncErrorOfFolder(t *testing.T) {
	for _, folder := range []string{"sync .", "sync n", "sync objects/sha256"} {
		t.Run(folder, func(t *testing.T) {
			failed := 0
			eachFailure(t, folder, unix.EIO, func(t *testing.T, s *file.Store, r *tape, write func() error) {
				err := write()
				if err == nil {
					if slices.Contains(r.take(), folder) {
						t.Fatal("a failed fsync of a folder was passed over")
					}
					return // this way in does not come by that folder
				}
				failed++
				if !errors.Is(err, unix.EIO) {
					t.Fatalf("error %v, want EIO", err)
				}
				wantStopped(t, s, r)
			})
			if failed == 0 {
				t.Fatal("no write made this folder durable")
			}
		})
	}
}

func TestLinkError(t *testing.T) {
	eachFailure(t, "link", unix.EPERM, func(t *testing.T, s *file.Store, _ *tape, write func() error) {
		if err := write(); err == nil || !strings.Contains(err.Error(), "hard links") {
			t.Fatalf("error %v, want one that tells about hard links", err)
		}
		wantNothing(t, s)
	})
}

func wantStopped(t *testing.T, s *file.Store, r *tape) {
	t.Helper()
	r.fail = nil
	for way, write := range writes(s, t) {
		if err := write(); !errors.Is(err, storage.ErrStopped) || !errors.Is(err, unix.EIO) {
			t.Fatalf("%s after a failed fsync: %v, want ErrStopped and its cause", way, err)
		}
	}
	if err := s.Accept(t.Context()); !errors.Is(err, storage.ErrStopped) {
		t.Fatalf("accept after a failed fsync: %v", err)
	}
}

// wantNothing fails if anything can be seen, or is left in the spool.
func wantNothing(t *testing.T, s *file.Store) {
	t.Helper()
	for e, err := range s.List(t.Context(), "") {
		t.Fatalf("visible: %v, %v", e, err)
	}
	for o, err := range s.Objects(t.Context()) {
		t.Fatalf("visible: %v, %v", o, err)
	}
	left, err := filepath.Glob(filepath.Join(file.Dir(s), "tmp/*/*"))
	if err != nil || len(left) > 0 {
		t.Fatalf("left in the spool: %v, %v", left, err)
	}
}

// Somebody puts a file under the name in the instant before the link: a good one
// is kept, any other is not taken for the Object.
func TestLinkRace(t *testing.T) {
	for _, c := range []struct {
		planted string
		want    error
	}{{"data", nil}, {"dato", hashing.ErrMismatch}, {"longer", storage.ErrForeign}} {
		dir := t.TempDir()
		s := open(t, dir, file.Options{Hooks: file.Hooks{Link: func(_, to string, link func() error) error {
			must(t, os.WriteFile(filepath.Join(dir, to), []byte(c.planted), 0o400))
			return link()
		}}})
		if _, _, err := s.Put(t.Context(), strings.NewReader("data")); !errors.Is(err, c.want) {
			t.Errorf("put while %q appears: %v, want %v", c.planted, err, c.want)
		}
	}
}

func TestAccept(t *testing.T) {
	for _, c := range []struct {
		left file.Space
		min  float64
		full bool
	}{
		{file.Space{Free: 49, Total: 1000}, 0, true}, {file.Space{Free: 50, Total: 1000}, 0, false}, {file.Space{Total: 1000}, 0, true}, {file.Space{Total: 1000}, -1, false},
		{file.Space{Free: 199, Total: 1000}, 0.2, true}, {file.Space{Free: 200, Total: 1000}, 0.2, false}, {file.Space{Free: 1 << 62, Total: 1 << 63}, 0, false},
		{file.Space{Free: 9, Total: 9, FreeFiles: 49, Files: 1000}, 0, true}, {file.Space{Free: 9, Total: 9, FreeFiles: 50, Files: 1000}, 0, false},
	} {
		s := open(t, t.TempDir(), file.Options{MinFree: c.min, Hooks: file.Hooks{
			Free: func(*os.File) (file.Space, error) { return c.left, nil },
		}})
		err := s.Accept(t.Context())
		if errors.Is(err, storage.ErrFull) != c.full || (err != nil) != c.full {
			t.Errorf("%+v, at least %g: %v", c.left, c.min, err)
		}
		// What is accepted can still be sealed.
		must(t, s.Create(t.Context(), "seals/1/plan.json", strings.NewReader("x")))
	}
	s := open(t, t.TempDir(), file.Options{Hooks: file.Hooks{
		Free: func(*os.File) (file.Space, error) { return file.Space{}, unix.EIO },
	}})
	if err := s.Accept(t.Context()); !errors.Is(err, unix.EIO) {
		t.Errorf("free space unknown: %v, want EIO", err)
	}
}
