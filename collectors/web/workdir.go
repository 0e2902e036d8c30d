package web

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	// What is made in it is named to other programs, and by links: those have no
	// working directory, or another.
	parent, err := filepath.Abs(parent)
	if err == nil {
		err = os.MkdirAll(parent, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	sweep(parent)
	sweepShort(os.TempDir())
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

// shortPattern names the links that stand for a browser's folder where its own name is too
// long for a socket.
const shortPattern = "holdfast-tmp-*"

// shortName makes another name for dir, in the system's temporary folder. A process
// that is killed leaves it there, leading nowhere once the folder is swept.
func shortName(dir string) (string, error) {
	for range 10 {
		b := make([]byte, 8)
		rand.Read(b) // never fails: crypto/rand ends the program instead
		name := filepath.Join(os.TempDir(), strings.TrimSuffix(shortPattern, "*")+hex.EncodeToString(b))
		err := os.Symlink(dir, name)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
	return "", fs.ErrExist
}

// sweepShort removes those that lead nowhere any more.
func sweepShort(temp string) {
	old, _ := fs.Glob(os.DirFS(temp), shortPattern)
	for _, name := range old {
		path := filepath.Join(temp, name)
		if to, err := os.Readlink(path); err == nil && filepath.IsAbs(to) {
			if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
				os.Remove(path) // another's is refused by the system
			}
		}
	}
}

func (w *workdir) remove() {
	os.RemoveAll(w.path)
	w.lock.Close()
}
