package s3

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// nameless opens a file that has no name from the start.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ENOENT) && exists(dir) {
		return unlinked(dir) // a file system that does not know it
	}
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: dir, Err: err}
	}
	return os.NewFile(uintptr(fd), dir+"/(spool)"), nil
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}
