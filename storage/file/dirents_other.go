//go:build unix && !linux

package file

import "os"

// eachName calls f for some further names of the folder, io.EOF at its end.
func eachName(dir *os.File, _ []byte, f func(name []byte)) error {
	names, err := dir.Readdirnames(1024)
	for _, n := range names {
		f([]byte(n))
	}
	return err
}
