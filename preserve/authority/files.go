package authority

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"holdfast/wholefile"
)

// staleAfter is how old a temporary file must be before it is taken for what a
// crash left behind: no process needs a second between writing and linking.
const staleAfter = time.Hour

// adopt reads the holder at path. If there is none it makes one; if another
// process has linked its own meanwhile, that one is read instead.
func (a *Authority) adopt(path string, create func() (holder, error)) (holder, error) {
	b, err := wholefile.ReadSecret(path)
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
		if err := wholefile.Create(path, text); err != nil && !errors.Is(err, fs.ErrExist) {
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

// publish makes path hold content; what it held before is replaced whole.
func publish(path string, content []byte) error {
	if b, err := os.ReadFile(path); err == nil && bytes.Equal(b, content) {
		return nil
	}
	return wholefile.Replace(path, content, 0o644)
}

// sweep removes what crashes left behind: keys that never came into use.
func sweep(dir string, now time.Time) error {
	left, err := fs.Glob(os.DirFS(dir), wholefile.Temp) // of a directory of any name
	if err != nil {
		return err
	}
	for _, name := range left {
		name = filepath.Join(dir, name)
		if info, err := os.Lstat(name); err != nil || now.Sub(info.ModTime()) < staleAfter {
			continue
		}
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
