//go:build unix

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/storage"
)

const (
	dirFlags  = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fileFlags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC // NONBLOCK: a foreign pipe must not hang us
)

// errIsDir says that a folder lies where a file was looked for.
var errIsDir = errors.New("is a folder")

// openDir opens the folder rel ("." is the root) one segment at a time, never
// through a link; missing folders are made if mk is set. They are not durable
// before syncDirs.
func (s *Store) openDir(rel string, mk bool) (*os.File, error) {
	dir, err := openSegment(s.root, ".", ".", false)
	if rel == "." || err != nil {
		return dir, err
	}
	for i, seg := range strings.Split(rel, "/") {
		next, err := openSegment(dir, seg, strings.Join(strings.Split(rel, "/")[:i+1], "/"), mk)
		dir.Close()
		if err != nil {
			return nil, err
		}
		dir = next
	}
	return dir, nil
}

func openSegment(parent *os.File, seg, rel string, mk bool) (*os.File, error) {
	var fd int
	open := func(p int) (err error) {
		fd, err = unix.Openat(p, seg, dirFlags, 0)
		return err
	}
	err := at(parent, open)
	if mk && errors.Is(err, unix.ENOENT) {
		err = at(parent, func(p int) error { return unix.Mkdirat(p, seg, 0o700) })
		if err != nil && !errors.Is(err, unix.EEXIST) { // another process may have been faster
			return nil, explain(&fs.PathError{Op: "mkdir", Path: rel, Err: err})
		}
		err = at(parent, open)
	}
	switch {
	case err == nil:
		return os.NewFile(uintptr(fd), rel), nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return nil, notDir(parent, seg, rel)
	}
	return nil, &fs.PathError{Op: "open", Path: rel, Err: err}
}

// notDir tells a name that is used as a folder from a thing that is neither.
func notDir(parent *os.File, seg, rel string) error {
	st, err := statAt(parent, seg)
	if err != nil {
		return &fs.PathError{Op: "stat", Path: rel, Err: err}
	}
	if err := checkFile(rel, uint32(st.Mode)); err != nil {
		return err
	}
	return &fs.PathError{Op: "open", Path: rel, Err: unix.ENOTDIR}
}

func statAt(dir *os.File, base string) (st unix.Stat_t, err error) {
	err = at(dir, func(fd int) error { return unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW) })
	return st, err
}

// checkFile returns nil for a regular file that nobody may write to.
func checkFile(rel string, mode uint32) error {
	switch kind := mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		return &fs.PathError{Op: "open", Path: rel, Err: errIsDir}
	case kind == unix.S_IFLNK:
		return foreign(rel, "a symbolic link")
	case kind != unix.S_IFREG:
		return foreign(rel, "not a regular file")
	case mode&0o222 != 0:
		return foreign(rel, fmt.Sprintf("mode %#o lets it be written; chmod 0400 it only if its bytes are known to be right", mode&0o777))
	}
	return nil
}

func foreign(rel, why string) error {
	return fmt.Errorf("check %q: %s (find out who put or changed it, then move it out of the store or restore it from a copy): %w",
		rel, why, storage.ErrForeign)
}

// openFile opens one of the store's own files for reading. Errors: ErrForeign,
// fs.ErrNotExist, errIsDir.
func (s *Store) openFile(rel string) (*os.File, int64, error) {
	dir, err := s.openDir(path.Dir(rel), false)
	if err != nil {
		return nil, 0, err
	}
	defer dir.Close()
	return openIn(dir, rel)
}

func openIn(dir *os.File, rel string) (*os.File, int64, error) {
	var fd int
	err := at(dir, func(d int) (err error) {
		fd, err = unix.Openat(d, path.Base(rel), fileFlags, 0)
		return err
	})
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // ENXIO: a socket or a device
		return nil, 0, foreign(rel, "a link or not a regular file")
	}
	if err != nil {
		return nil, 0, &fs.PathError{Op: "open", Path: rel, Err: err}
	}
	f := os.NewFile(uintptr(fd), rel)
	var st unix.Stat_t
	if err = at(f, func(fd int) error { return unix.Fstat(fd, &st) }); err == nil {
		err = checkFile(rel, uint32(st.Mode))
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size, nil
}

// syncDirs makes the entries of dirs durable, and those of every parent that
// this handle does not know to be durable: another process may have made it and
// died before it could.
func (s *Store) syncDirs(dirs []string) error {
	var need, made []string
	for _, d := range dirs {
		need = append(need, d)
		for p := d; p != "." && !s.durable.has(p); p = path.Dir(p) {
			made, need = append(made, p), append(need, path.Dir(p))
		}
	}
	slices.Sort(need)
	for _, d := range slices.Compact(need) {
		if err := s.syncDir(d); err != nil {
			return err
		}
	}
	s.durable.add(made)
	return nil
}

func (s *Store) syncDir(rel string) error {
	dir, err := s.openDir(rel, false)
	if err != nil {
		return err
	}
	defer dir.Close()
	return s.sync(dir)
}

// sync is the one door to fsync: a failure stops the handle (see doc.go).
func (s *Store) sync(f *os.File) error {
	err := s.hooks.Sync(f)
	if err == nil {
		return nil
	}
	err = explain(fmt.Errorf("sync %s: %w", f.Name(), err))
	s.stopped.CompareAndSwap(nil, &err)
	return err
}
