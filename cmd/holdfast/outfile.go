package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"holdfast/wholefile"
)

// giveFile writes a file for others. One that is there is kept unless replace is
// set: it may be the one that somebody's fingerprint was compared with. It
// appears whole and durable; a crash leaves at most `.new-*` beside it, or
// without replace a short file of its name.
func giveFile(name string, b []byte, replace bool) error {
	if replace {
		if err := wholefile.Replace(name, b, 0o600); err != nil {
			return err
		}
		return os.Chmod(name, 0o644)
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: choose another name, or --replace", name)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(name)
	}
	return err
}
