//go:build unix

package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"holdfast/hashing"
	"holdfast/storage"
)

// importers is how many files of one Import are read at once.
const importers = 4

func rel(i *storage.Incoming) (string, error) {
	if i.Name != "" {
		return i.Name, storage.CheckName(i.Name)
	}
	if i.Digest == nil {
		return "", fmt.Errorf("no name and no digest: %w", storage.ErrName)
	}
	return objectPath(*i.Digest), nil
}

// Import implements [storage.Importer] at the price of two waits for the disk.
//
// It keeps the order of commit: all bytes are on the disk before the first
// becomes visible. In place of an fsync for each file the whole file
// system is asked once (syncfs(2); where a system has none, each file is
// fsynced). A kernel before Linux 5.8 does not tell there of a write that
// failed, so whoever must be sure there reads the copy again.
func (s *Store) Import(ctx context.Context, in []storage.Incoming) (int64, error) {
	n, err := s.takeIn(ctx, in)
	if err != nil {
		return n, s.note(fmt.Errorf("import %d files: %w", len(in), err))
	}
	return n, nil
}

// arrival is an Incoming in the spool.
type arrival struct {
	rel    string
	base   string // in the spool
	digest hashing.Digest
	size   int64
}

func (s *Store) takeIn(ctx context.Context, in []storage.Incoming) (total int64, err error) {
	if len(in) > storage.MaxImport {
		return 0, fmt.Errorf("at most %d are taken in one call", storage.MaxImport)
	}
	if err := s.writable(ctx); err != nil {
		return 0, err
	}
	as := make([]arrival, len(in))
	defer func() {
		for _, a := range as {
			s.dropBase(a.base)
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(importers)
	for i := range in {
		g.Go(func() error { return s.arrive(gctx, &in[i], &as[i]) })
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	if err := s.syncAll(as, false); err != nil {
		return 0, err
	}
	if err := s.writable(ctx); err != nil {
		return 0, err
	}
	if total, err = s.publish(ctx, as); err != nil {
		return total, err
	}
	return total, s.syncAll(as, true)
}

// arrive spools one file and compares its bytes with the digest that they have.
func (s *Store) arrive(ctx context.Context, i *storage.Incoming, a *arrival) (err error) {
	if a.rel, err = rel(i); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := i.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	sp, err := s.spool()
	if err != nil {
		return err
	}
	defer sp.f.Close()
	a.base = sp.base
	if a.digest, a.size, err = hashing.Copy(sp, ctxReader{ctx, r}); err != nil {
		return fmt.Errorf("%q: %w", a.rel, err)
	}
	if i.Digest != nil && a.digest != *i.Digest {
		return fmt.Errorf("%q: bytes are %s, not %s: %w", a.rel, a.digest, *i.Digest, hashing.ErrMismatch)
	}
	if err := at(sp.f, func(fd int) error { return unix.Fchmod(fd, 0o400) }); err != nil {
		return fmt.Errorf("chmod %s: %w", sp.f.Name(), err)
	}
	return nil
}

// publish gives the spooled files their names, in order. Files of one folder
// follow each other, so the folder stays open.
func (s *Store) publish(ctx context.Context, as []arrival) (total int64, err error) {
	var dir *os.File
	defer func() {
		if dir != nil {
			dir.Close()
		}
	}()
	for i := range as {
		a := &as[i]
		if d := path.Dir(a.rel); dir == nil || dir.Name() != d {
			if dir != nil {
				dir.Close()
			}
			if dir, err = s.openDir(d, true); err != nil {
				return total, taken(err)
			}
		}
		taken, err := s.name(dir, a)
		if err != nil {
			return total, err
		}
		if taken {
			err = s.sameBytes(ctx, a)
		} else {
			total += a.size
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// name moves a spooled file to its name unless that is taken.
func (s *Store) name(dir *os.File, a *arrival) (taken bool, err error) {
	err = s.hooks.Link(s.tmp.dir.Name()+"/"+a.base, a.rel, func() error {
		return at(s.tmp.dir, func(from int) error {
			return at(dir, func(to int) error { return moveOnce(from, a.base, to, path.Base(a.rel)) })
		})
	})
	if errors.Is(err, unix.EEXIST) {
		return true, nil
	}
	if err != nil {
		return false, linkError(a.rel, err)
	}
	return false, nil
}

func (s *Store) sameBytes(ctx context.Context, a *arrival) error {
	f, size, err := s.openFile(a.rel)
	if err != nil {
		return taken(err)
	}
	defer f.Close()
	d, _, err := hashing.Copy(io.Discard, ctxReader{ctx, f})
	if err == nil && (d != a.digest || size != a.size) {
		err = fmt.Errorf("%q is there with other bytes: %w", a.rel, storage.ErrExists)
	}
	return err
}

func (s *Store) dropBase(base string) {
	if base != "" {
		at(s.tmp.dir, func(fd int) error { return unix.Unlinkat(fd, base, 0) }) // gone, if it has its name
	}
}

// syncAll makes durable what was written so far. Its failure stops the handle,
// as one of fsync does.
func (s *Store) syncAll(as []arrival, visible bool) error {
	err := s.hooks.SyncAll(s.root)
	if errors.Is(err, errNoSyncAll) {
		err = s.syncEach(as, visible)
	}
	if err == nil {
		return nil
	}
	err = explain(fmt.Errorf("sync %s: %w", s.path, err))
	s.stopped.CompareAndSwap(nil, &err)
	return err
}

// errNoSyncAll says that this system has no syncfs(2).
var errNoSyncAll = errors.New("no syncfs here")

// syncEach is syncAll without syncfs: before the files are visible they are
// fsynced in the spool, afterwards under their names, which somebody else may
// have given them, and with their folders.
func (s *Store) syncEach(as []arrival, visible bool) error {
	var dirs []string
	for _, a := range as {
		var f *os.File
		var err error
		if visible {
			f, _, err = s.openFile(a.rel)
			dirs = append(dirs, path.Dir(a.rel))
		} else {
			f, _, err = openIn(s.tmp.dir, s.tmp.dir.Name()+"/"+a.base)
		}
		if err != nil {
			return err
		}
		err = s.hooks.Sync(f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return s.syncDirs(dirs)
}

// OpenUnread is Open without its hashing, for who compares the bytes with the
// Digest himself, as Import does.
func (s *Store) OpenUnread(d hashing.Digest) (io.ReadCloser, error) {
	f, _, err := s.openObject(d)
	if err != nil {
		return nil, s.note(fmt.Errorf("open %s: %w", d, err))
	}
	return f, nil
}
