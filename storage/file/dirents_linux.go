package file

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// eachName calls f for some further names of the folder, io.EOF at its end. A name
// is f's until it returns: of a large folder most are passed over, and to make a
// string of each takes longer than to read it.
func eachName(dir *os.File, buf []byte, f func(name []byte)) error {
	var n int
	err := at(dir, func(fd int) (err error) {
		n, err = unix.ReadDirent(fd, buf)
		return err
	})
	if err != nil {
		return os.NewSyscallError("getdents", err)
	}
	if n <= 0 {
		return io.EOF
	}
	const nameAt = 19 // struct linux_dirent64: inode, offset, length, type, name
	for b := buf[:n]; len(b) > nameAt; {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size <= nameAt || size > len(b) {
			return io.ErrUnexpectedEOF
		}
		name, _, _ := bytes.Cut(b[nameAt:size], []byte{0})
		if ino := binary.NativeEndian.Uint64(b); ino != 0 && string(name) != "." && string(name) != ".." {
			f(name)
		}
		b = b[size:]
	}
	return nil
}
