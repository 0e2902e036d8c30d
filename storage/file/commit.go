//go:build unix

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"holdfast/storage"
)

// pending is a spooled file on its way to a name. A nil spool means that the
// name was found taken before anything was written.
type pending struct {
	rel   string
	spool *spool
	taken bool // the name was there; set by commit
}

// commit makes every p durable under its name, or finds the name taken and
// makes that durable. The order is the promise (see doc.go): all bytes are on
// the disk before the first link, all links are made in the order given, and
// nil is returned only when each folder, and each parent, is on the disk.
//
// A crash between two links leaves the first of them, whole. Nothing is undone
// on an error: somebody may have read the name already.
func (s *Store) commit(ctx context.Context, ps []*pending) error {
	if err := settleAll(ps); err != nil {
		return err
	}
	// Another call may have met a failed fsync meanwhile; and a call that was
	// given up must not make anything visible.
	if err := s.writable(ctx); err != nil {
		return err
	}
	dirs := make([]string, len(ps))
	for i, p := range ps {
		dirs[i] = path.Dir(p.rel)
		if err := s.link(p); err != nil {
			return err
		}
	}
	return s.syncDirs(dirs)
}

// settleAll makes the bytes durable. All writeback is started first, so that the
// journal commit of the first fsync covers most of the others. (Goroutines that
// fsync side by side are slower: each blocks a thread that the scheduler gives
// up only after a while, which on a busy machine costs more than the disk.)
func settleAll(ps []*pending) error {
	for _, p := range ps {
		if p.spool != nil && len(ps) > 1 {
			startWriteback(p.spool.f)
		}
	}
	for _, p := range ps {
		if p.spool == nil {
			continue
		}
		if err := p.spool.settle(); err != nil {
			return err
		}
	}
	return nil
}

// link gives p its name, or finds that a good file has it. What is found may be
// fresh from a process that died before it made the folder durable, so it is
// treated like a name of our own.
func (s *Store) link(p *pending) error {
	dir, err := s.openDir(path.Dir(p.rel), true)
	if err != nil {
		return taken(err)
	}
	defer dir.Close()
	if p.spool != nil {
		err = s.hooks.Link(p.spool.f.Name(), p.rel, func() error {
			return at(s.tmp.dir, func(from int) error {
				return at(dir, func(to int) error { return unix.Linkat(from, p.spool.base, to, path.Base(p.rel), 0) })
			})
		})
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EEXIST) {
			return linkError(p.rel, err)
		}
	}
	p.taken = true
	return s.syncFound(dir, p.rel)
}

// syncFound fsyncs a file that somebody else put under rel, having checked that
// it is one of ours.
func (s *Store) syncFound(dir *os.File, rel string) error {
	f, _, err := openIn(dir, rel)
	if err != nil {
		return taken(err)
	}
	defer f.Close()
	return s.sync(f)
}

// taken turns "a folder lies where a name should" and its converse into ErrName.
func taken(err error) error {
	if errors.Is(err, errIsDir) || errors.Is(err, unix.ENOTDIR) {
		return fmt.Errorf("%w: a name cannot be the folder of another: %w", err, storage.ErrName)
	}
	return err
}

func linkError(rel string, err error) error {
	err = explain(&fs.PathError{Op: "link", Path: rel, Err: err})
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("%w (the data directory must lie on one file system that has hard links, such as ext4 or xfs)", err)
	}
	return err
}
