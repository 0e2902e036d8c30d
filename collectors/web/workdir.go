package web

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// workdir is a Collector's own folder for spools and the browser's profile. A
// lock in it says that its owner lives; what a killed process left behind is
// found by that and removed by the next Collector in the same place.
type workdir struct {
	path string
	lock *os.File
}

const (
	workPattern = "holdfast-web-*"
	lockName    = "lock"
)

func newWorkdir(parent string) (*workdir, error) {
	if parent == "" {
		parent = os.TempDir()
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	sweep(parent)
	path, err := os.MkdirTemp(parent, workPattern)
	if err != nil {
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	w := &workdir{path: path}
	// Between here and the lock a sweep may take the folder for a dead one's;
	// then the first capture fails with "no such file", and nothing is lost.
	if w.lock, err = os.Create(filepath.Join(path, lockName)); err != nil {
		os.RemoveAll(path)
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	if !tryLock(w.lock) {
		w.remove()
		return nil, fmt.Errorf("lock work folder %s: somebody else has it", path)
	}
	return w, nil
}

// sweep removes the folders whose owners are gone. It is housekeeping: what it
// cannot remove it leaves.
func sweep(parent string) {
	old, _ := fs.Glob(os.DirFS(parent), workPattern) // the pattern is good, and parent may have any name
	for _, name := range old {
		path := filepath.Join(parent, name)
		f, err := os.Open(filepath.Join(path, lockName))
		if err != nil {
			continue // just being made, or not ours
		}
		if tryLock(f) {
			os.RemoveAll(path)
		}
		f.Close()
	}
}

func (w *workdir) remove() {
	os.RemoveAll(w.path)
	w.lock.Close()
}
