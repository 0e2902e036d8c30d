//go:build unix

package s3

import "os"

// unlinked opens a file and takes its name away. A crash between the two leaves an
// empty file.
func unlinked(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
