package authority

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// tempPattern names files that are not yet what they will be.
const tempPattern = ".new-*"

// maxKeyFile bounds a file with a key, in bytes.
const maxKeyFile = 64 << 10

// staleAfter is how old a temporary file must be before it is taken for what a
// crash left behind: no process needs a second between writing and linking.
const staleAfter = time.Hour

// adopt reads the holder at path. If there is none it makes one; if another
// process has linked its own meanwhile, that one is read instead.
func (a *Authority) adopt(path string, create func() (holder, error)) (holder, error) {
	b, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		h, err := create()
		if err != nil {
			return h, err
		}
		text, err := h.encode()
		if err == nil {
			text, err = a.opt.Secrets.Seal(text)
		}
		if err != nil {
			return h, err
		}
		if err := place(path, text, 0o600, os.Link); err != nil && !errors.Is(err, fs.ErrExist) {
			return h, err
		}
		return a.adopt(path, func() (holder, error) { return h, fmt.Errorf("%s vanished while it was made", filepath.Base(path)) })
	}
	if err != nil {
		return holder{}, err
	}
	if b, err = a.opt.Secrets.Open(b); err != nil {
		return holder{}, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	h, err := decodeHolder(b)
	if err != nil {
		return h, fmt.Errorf("read %s: %w; restore it from a backup", filepath.Base(path), err)
	}
	return h, nil
}

// readSecret reads a small file that others must not be able to read: a key that
// they have read is no longer the office's own.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %v, so others may have read it: set mode 0600, and begin a new authority in another directory if you are not sure", path, info.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxKeyFile)
	}
	return b, err
}

// publish makes path hold content; what it held before is replaced whole.
func publish(path string, content []byte) error {
	if b, err := os.ReadFile(path); err == nil && bytes.Equal(b, content) {
		return nil
	}
	return place(path, content, 0o644, os.Rename)
}

// place writes content durably and then gives it its name with link (which
// fails if the name is taken) or rename. A crash in between leaves a temporary
// file for sweep and nothing under the name.
func place(path string, content []byte, mode fs.FileMode, name func(old, new string) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), tempPattern) // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := name(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// sweep removes what crashes left behind: keys that never came into use.
func sweep(dir string, now time.Time) error {
	left, err := filepath.Glob(filepath.Join(dir, tempPattern))
	if err != nil {
		return err
	}
	for _, name := range left {
		if info, err := os.Lstat(name); err != nil || now.Sub(info.ModTime()) < staleAfter {
			continue
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
