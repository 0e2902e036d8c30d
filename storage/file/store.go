//go:build unix

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"holdfast/storage"
)

// Options are the settings of a store; the zero value is good.
type Options struct {
	// MinFree is the part of the file system that must be free for Accept to
	// say yes: 0 means 0.05, a negative value means none. At most 1.
	MinFree float64

	// ReadOnly opens a store that is there and changes nothing in it: it may
	// lie on a disk that is mounted so. Every write is storage.ErrStopped.
	ReadOnly bool

	// Log gets what Open tidied up. Optional.
	Log *slog.Logger

	// Hooks is for tests.
	Hooks Hooks
}

// Store is an open handle on a directory. It implements storage.Store,
// storage.ObjectLister and storage.Accepter; every method may be called
// concurrently.
type Store struct {
	path    string
	root    *os.File
	tmp     *tmpDir
	hooks   Hooks
	minFree float64
	durable known
	stopped atomic.Pointer[error] // the first failed fsync
	foreign atomic.Pointer[error] // the first foreign file met
}

var errReadOnly = errors.New("the store was opened for reading only")

// Open opens the store in dir and makes it, and its parents, if need be. What
// dead processes left in tmp/ is removed, what live ones hold is not touched.
// dir itself may be reached through links; within it none is followed.
// The top folders, and what lies beside the Objects, are looked through: what is
// foreign there wraps storage.ErrForeign. The caller closes the store.
func Open(dir string, o Options) (*Store, error) {
	if o.MinFree == 0 {
		o.MinFree = 0.05
	}
	if o.MinFree > 1 {
		return nil, fmt.Errorf("open store %s: a free part of %g cannot be (give one from 0 to 1)", dir, o.MinFree)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{path: dir, hooks: o.Hooks.withDefaults(), minFree: o.MinFree}
	if err := s.open(o); err != nil {
		if s.root != nil {
			s.root.Close()
		}
		return nil, fmt.Errorf("open store %s: %w", dir, err)
	}
	return s, nil
}

func (s *Store) open(o Options) (err error) {
	if o.ReadOnly {
		s.stopped.Store(&errReadOnly)
	} else if err = s.mkRoot(); err != nil {
		return err
	}
	if s.root, err = os.Open(s.path); err != nil {
		return err
	}
	if err = s.checkTop(); err != nil || o.ReadOnly {
		return err
	}
	for _, d := range []string{"tmp", objectsDir} {
		dir, err := s.openDir(d, true)
		if err != nil {
			return err
		}
		dir.Close()
	}
	if err = s.syncDirs([]string{objectsDir}); err != nil {
		return err
	}
	if err = s.sweep(o.Log); err != nil {
		return err
	}
	s.tmp, err = s.newTmp()
	return err
}

// mkRoot makes the directory, each folder durable before the one below it. A
// crash in between leaves at most one folder whose entry is not on the disk, the
// lowest; so the next Open makes that of the lowest folder durable that it finds.
func (s *Store) mkRoot() error {
	dir, err := filepath.Abs(s.path)
	if err != nil {
		return err
	}
	var missing []string
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, dir)
	}
	// A folder that we may not read, or that knows no fsync, is none that we made.
	err = s.syncPath(filepath.Dir(dir))
	if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EINVAL) {
		return err
	}
	for _, dir := range slices.Backward(missing) {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { // another process may have been faster
			return explain(err)
		}
		if err := s.syncPath(filepath.Dir(dir)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) syncPath(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(s.hooks.Sync(d), d.Close())
}

// Close removes the handle's spool. Call it when all other calls have returned;
// later ones fail with fs.ErrClosed.
func (s *Store) Close() error {
	if s.tmp == nil { // opened for reading
		return s.root.Close()
	}
	return errors.Join(s.tmp.close(), s.root.Close())
}

// Accept implements [storage.Accepter].
func (s *Store) Accept(ctx context.Context) error {
	if err := s.writable(ctx); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	if e := s.foreign.Load(); e != nil {
		return fmt.Errorf("accept: %w", *e)
	}
	sp, err := s.hooks.Free(s.root)
	if err != nil {
		return fmt.Errorf("accept: ask for free space: %w", err)
	}
	if float64(sp.Free) < s.minFree*float64(sp.Total) {
		return s.full(fmt.Sprintf("%.1f %% (%d of %d MB)", 100*float64(sp.Free)/float64(sp.Total), sp.Free>>20, sp.Total>>20), "free space")
	}
	if float64(sp.FreeFiles) < s.minFree*float64(sp.Files) {
		return s.full(fmt.Sprintf("room for %d of %d files", sp.FreeFiles, sp.Files), "remove small files that are not the store's")
	}
	return nil
}

func (s *Store) full(left, do string) error {
	return fmt.Errorf("accept: %s is free where %s lies, and acceptance stops below %.3g %% (%s, or move the data directory to a larger disk; what is accepted is still sealed): %w",
		left, s.path, 100*s.minFree, do, storage.ErrFull)
}

// writable is asked at the begin of each write and before it becomes visible.
func (s *Store) writable(ctx context.Context) error {
	if e := s.stopped.Load(); e != nil {
		if *e == errReadOnly {
			return fmt.Errorf("%w: %w", errReadOnly, storage.ErrStopped)
		}
		return fmt.Errorf("%w (check the disk and the kernel's log, then start again): %w", *e, storage.ErrStopped)
	}
	return ctx.Err()
}

// note keeps the first foreign file met, for Accept, and returns err.
func (s *Store) note(err error) error {
	if err != nil && errors.Is(err, storage.ErrForeign) {
		s.foreign.CompareAndSwap(nil, &err)
	}
	return err
}

// known is a bounded set of folders whose own entry is durable. Forgetting one
// costs an fsync, nothing else.
type known struct {
	mu sync.Mutex
	m  map[string]bool
}

const maxKnown = 4096

func (k *known) has(dir string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.m[dir]
}

func (k *known) add(dirs []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil || len(k.m)+len(dirs) > maxKnown {
		k.m = make(map[string]bool)
	}
	for _, d := range dirs {
		k.m[d] = true
	}
}
