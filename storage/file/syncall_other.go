//go:build unix && !linux

package file

import (
	"os"

	"golang.org/x/sys/unix"
)

func syncAll(*os.File) error { return errNoSyncAll }

func moveOnce(from int, base string, to int, name string) error {
	return unix.Linkat(from, base, to, name, 0)
}
