package file

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncAll asks the file system that f lies on to write everything out.
func syncAll(f *os.File) error { return at(f, unix.Syncfs) }

// moveOnce renames without ever replacing; a file system that cannot do that
// gets a second link, and the spool's own name is removed by its owner.
func moveOnce(from int, base string, to int, name string) error {
	err := unix.Renameat2(from, base, to, name, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP) {
		return unix.Linkat(from, base, to, name, 0)
	}
	return err
}
