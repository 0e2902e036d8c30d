//go:build unix

package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/storage"
)

// Hooks replaces the calls that decide whether bytes are durable, so that a
// test sees their order and can make each one fail. A nil field is the real
// call. File names are relative to the store's directory.
type Hooks struct {
	Write func(f *os.File, p []byte) (int, error)
	Sync  func(f *os.File) error // of a file in tmp/, of a found file, or of a folder ("." is the root)
	Link  func(from, to string, link func() error) error
	Free  func(dir *os.File) (Space, error)

	SyncAll func(dir *os.File) error // of all that lies on dir's file system

	Page int // how many names of a folder a list holds at once
}

// Space is what is left of a file system, in bytes and in files. Files is 0
// where it does not count them.
type Space struct {
	Free, Total, FreeFiles, Files uint64
}

func (h Hooks) withDefaults() Hooks {
	if h.Write == nil {
		h.Write = (*os.File).Write
	}
	if h.Sync == nil {
		h.Sync = (*os.File).Sync
	}
	if h.Link == nil {
		h.Link = func(_, _ string, link func() error) error { return link() }
	}
	if h.Free == nil {
		h.Free = free
	}
	if h.SyncAll == nil {
		h.SyncAll = syncAll
	}
	if h.Page == 0 {
		h.Page = pageSize
	}
	return h
}

// free counts what an ordinary user may still take, not root's reserve.
func free(dir *os.File) (Space, error) {
	var st unix.Statfs_t
	err := at(dir, func(fd int) error { return unix.Fstatfs(fd, &st) })
	return Space{st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), uint64(st.Ffree), st.Files}, err
}

// at runs a system call on f's descriptor, again if a signal interrupted it. It
// holds the descriptor, so a concurrent Close cannot make it name another file.
func at(f *os.File, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		for inner = unix.EINTR; inner == unix.EINTR; {
			inner = call(int(fd))
		}
	})
	if err != nil { // Control itself fails only on a closed file
		return fs.ErrClosed
	}
	return inner
}

// explain adds the sentinel and the hint that a system's error calls for.
func explain(err error) error {
	switch {
	case err == nil || errors.Is(err, storage.ErrFull):
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("%w (free space or raise the quota, then try again): %w", err, storage.ErrFull)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w (remount it writable, or choose another data directory)", err)
	}
	return err
}
