package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// spool is DIR/spool-<random>: the browser's profile and what a capture has
// received and not kept yet. Nothing in it was accepted. Its lock dies with the
// process, so a killed one's spool is seen and removed by the next.
type spool struct {
	dir    string
	unlock func()
}

// spoolGrace is how old a spool without a lock must be before it counts as left
// behind: its maker may be between the folder and the lock.
const spoolGrace = time.Hour

func openSpool(data string) (*spool, error) {
	if err := sweepSpools(data); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(data, "spool-")
	if err != nil {
		return nil, fmt.Errorf("make a spool: %w", err)
	}
	unlock, err := tryLock(filepath.Join(dir, "lock"))
	if err == nil && unlock == nil {
		err = errors.New("another process has it")
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("lock spool %s: %w", dir, err)
	}
	return &spool{dir, unlock}, nil
}

// Close removes the spool, and then the lock.
func (s *spool) Close() {
	os.RemoveAll(s.dir) // what stays is swept by the next openSpool
	s.unlock()
}

// sweepSpools removes what dead processes left: spools, and half-written
// settings files (see writeFile), which have no lock but live for milliseconds.
func sweepSpools(data string) error {
	entries, err := os.ReadDir(data)
	if err != nil {
		return fmt.Errorf("look for left spools: %w", err)
	}
	for _, e := range entries {
		name := filepath.Join(data, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), ".new-") && isOld(name):
			os.Remove(name)
		case strings.HasPrefix(e.Name(), "spool-"):
			sweepSpool(name)
		}
	}
	return nil
}

func sweepSpool(dir string) {
	lock := filepath.Join(dir, "lock")
	if _, err := os.Lstat(lock); errors.Is(err, fs.ErrNotExist) {
		if isOld(dir) {
			os.RemoveAll(dir)
		}
		return
	}
	unlock, err := tryLock(lock)
	if err != nil || unlock == nil {
		return // in use, or gone meanwhile
	}
	defer unlock()
	os.RemoveAll(dir)
}

func isOld(name string) bool {
	st, err := os.Lstat(name)
	return err == nil && time.Since(st.ModTime()) > spoolGrace
}
