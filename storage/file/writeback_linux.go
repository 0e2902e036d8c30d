package file

import (
	"os"

	"golang.org/x/sys/unix"
)

// startWriteback asks the kernel to begin writing f's dirty pages, and does not
// wait. It is a hint only: durability, and every error, comes from the fsync
// that follows, which then finds less to do; the file system's journal takes
// many such files in one commit.
func startWriteback(f *os.File) {
	_ = at(f, func(fd int) error { return unix.SyncFileRange(fd, 0, 0, unix.SYNC_FILE_RANGE_WRITE) })
}
