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

var _ storage.Eraser = (*Store)(nil)

// Erase implements [storage.Eraser].
func (s *Store) Erase(ctx context.Context, k storage.Key) error {
	rel := objectPath(k.Digest)
	if k.Name != "" {
		if rel = k.Name; storage.CheckName(rel) != nil {
			return storage.CheckName(rel)
		}
	}
	return s.note(s.erase(ctx, rel))
}

// erase unlinks one of the store's own files and waits until that is on the disk:
// also where it is gone already, because who was killed before the fsync may have
// unlinked it. The blocks are free then and not overwritten, which no program can
// promise on an SSD or a copying file system (docs/threats.md).
func (s *Store) erase(ctx context.Context, rel string) error {
	if err := s.writable(ctx); err != nil {
		return fmt.Errorf("erase %q: %w", rel, err)
	}
	dir, err := s.openDir(path.Dir(rel), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("erase %q: %w", rel, err)
	}
	defer dir.Close()
	if err = unlink(dir, rel); err == nil {
		err = s.sync(dir)
	}
	if err != nil {
		return fmt.Errorf("erase %q: %w", rel, err)
	}
	return nil
}

// unlink looks first whether it is a file of ours: what is foreign is evidence of
// whoever put it there.
func unlink(dir *os.File, rel string) error {
	f, _, err := openIn(dir, rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f.Close()
	err = at(dir, func(fd int) error { return unix.Unlinkat(fd, path.Base(rel), 0) })
	if errors.Is(err, unix.ENOENT) { // another process was faster
		return nil
	}
	return err
}
