// Package wholefile writes and reads the small files of an office's own: keys,
// settings, lists. Each is there whole, durable, or not at all; the evidence goes
// through the store, which never replaces. What a stranger may have changed is read
// within bounds.
//
// A crash leaves at most a file of the pattern [Temp] beside the one that was
// meant, which is as it was.
package wholefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Temp names files that are not yet what they will be.
const Temp = ".new-*"

// MaxSecret bounds what [ReadSecret] reads, in bytes.
const MaxSecret = 64 << 10

// Create writes a file that only its owner can read. link(2) never overwrites, so
// a key that exists cannot be lost: the error wraps [fs.ErrExist].
func Create(path string, b []byte) error { return place(path, b, 0o600, os.Link) }

// Replace writes a file with the given mode, in the place of what is there.
func Replace(path string, b []byte, mode fs.FileMode) error { return place(path, b, mode, os.Rename) }

func place(path string, b []byte, mode fs.FileMode, name func(old, new string) error) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, Temp) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := name(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes durable which names a directory has: what was renamed, made or removed in it.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadSecret reads a regular file of at most [MaxSecret] bytes that others must
// not be able to read: a key that they have read is no longer the office's own.
// A pipe that nobody writes to is refused, not waited for.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file (%v): write what it holds into one that only you can read", path, info.Mode())
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %v, so others can read it: chmod go= %s, and change the secret itself if you are not sure that nobody did", path, info.Mode(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxSecret+1))
	if err == nil && len(b) > MaxSecret {
		err = fmt.Errorf("%s is larger than %d bytes", path, MaxSecret)
	}
	return b, err
}
