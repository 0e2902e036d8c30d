// Package spool gives a process a folder in the node's directory for what is nobody's yet:
// the browser's profile, and what a capture has received and not kept. Nothing in it was
// accepted. No process that dies leaves one for long: the next that opens one removes it.
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/filelock"
)

// Spool is DIR/spool-<random>, mode 0700. Its lock dies with the
// process, so a killed one's spool is seen and removed by the next. It has that name
// from when it is locked until its removal begins, and no other does: whoever is
// killed in making one leaves .new-spool-<random>, in removing one spool-<random>.gone.
type Spool struct {
	dir    string
	unlock func()
}

const (
	newSpool  = ".new-spool-"
	goneSpool = ".gone" // the end of the name
)

// Grace is how old what is being made must be before it counts as left behind.
const Grace = time.Hour

// Open makes one in the directory data, and removes what dead processes have left there.
func Open(data string) (*Spool, error) {
	if err := Sweep(data); err != nil {
		return nil, err
	}
	made, err := os.MkdirTemp(data, newSpool)
	if err != nil {
		return nil, fmt.Errorf("make a spool: %w", err)
	}
	dir := filepath.Join(data, strings.TrimPrefix(filepath.Base(made), ".new-"))
	unlock, err := filelock.Try(filepath.Join(made, "lock"))
	if err == nil && unlock == nil {
		err = errors.New("another process has it")
	}
	if err == nil {
		if err = os.Rename(made, dir); err != nil {
			unlock()
		}
	}
	if err != nil {
		os.RemoveAll(made)
		return nil, fmt.Errorf("lock spool %s: %w", made, err)
	}
	return &Spool{dir, unlock}, nil
}

// Dir is its path.
func (s *Spool) Dir() string { return s.dir }

// Close removes the spool, and then the lock. What stays is swept by the next
// Open.
func (s *Spool) Close() {
	remove(s.dir)
	s.unlock()
}

// remove removes one whose lock the caller has. Its name goes first: the lock's
// file may be the first that is removed, and what is without one looks like no spool.
func remove(dir string) {
	if gone := dir + goneSpool; os.Rename(dir, gone) == nil {
		dir = gone
	}
	os.RemoveAll(dir)
}

// Sweep removes what dead processes left: spools, and half-made ones and
// half-written settings files (see package wholefile), which have no lock but live for
// milliseconds.
func Sweep(data string) error {
	entries, err := os.ReadDir(data)
	if err != nil {
		return fmt.Errorf("look for left spools: %w", err)
	}
	for _, e := range entries {
		name := filepath.Join(data, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), ".new-") && isOld(name):
			os.RemoveAll(name)
		case strings.HasPrefix(e.Name(), "spool-") && strings.HasSuffix(name, goneSpool):
			os.RemoveAll(name)
		case strings.HasPrefix(e.Name(), "spool-"):
			sweep(name)
		}
	}
	return nil
}

// Living are the spools of processes that live, in the directory data. A process may keep
// in its own what others are to know of it: that is gone with it.
func Living(data string) ([]string, error) {
	entries, err := os.ReadDir(data)
	if err != nil {
		return nil, fmt.Errorf("look for spools: %w", err)
	}
	var all []string
	for _, e := range entries {
		name := filepath.Join(data, e.Name())
		if !strings.HasPrefix(e.Name(), "spool-") || strings.HasSuffix(name, goneSpool) {
			continue
		}
		lock := filepath.Join(name, "lock")
		if _, err := os.Lstat(lock); err != nil { // Try would make one
			continue
		}
		unlock, err := filelock.Try(lock)
		if unlock != nil {
			unlock() // nobody has it: the next Open removes it
		} else if err == nil {
			all = append(all, name)
		}
	}
	return all, nil
}

func sweep(dir string) {
	lock := filepath.Join(dir, "lock")
	if _, err := os.Lstat(lock); errors.Is(err, fs.ErrNotExist) {
		if isOld(dir) { // an older holdfast's, which gave the name before the lock
			os.RemoveAll(dir)
		}
		return
	}
	unlock, err := filelock.Try(lock)
	if err != nil || unlock == nil {
		return // in use, or gone meanwhile
	}
	defer unlock()
	remove(dir)
}

func isOld(name string) bool {
	st, err := os.Lstat(name)
	return err == nil && time.Since(st.ModTime()) > Grace
}
