//go:build unix

package file

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// pageSize is how many of a folder's names are held at once, up to twice as many
// while it is read. A name has some 100 bytes.
const pageSize = 1 << 16

// item is a folder's entry.
type item struct {
	rel  string
	mode uint32
	size int64
}

func (it item) isDir() bool  { return it.mode&unix.S_IFMT == unix.S_IFDIR }
func (it item) check() error { return checkFile(it.rel, it.mode) }

// eachEntry calls visit for the entries of a folder that begin with prefix, in the
// order of full names, until it returns false. They are examined by descriptor,
// never by path. What is there from begin to end is visited, once.
//
// The order of full names is that of base names, but for one thing: a folder sorts
// as its name and a slash, so "a-b" comes before "a/x". A folder therefore waits
// until a name comes that is beyond it; of those that wait, each begins with the
// name of the one before it.
func (s *Store) eachEntry(ctx context.Context, rel, prefix string, visit func(item) bool) error {
	var waiting []item
	// leave visits the waiting folders that come before a name.
	leave := func(before func(folder string) bool) bool {
		for n := len(waiting); n > 0 && before(waiting[n-1].rel+"/"); n = len(waiting) {
			it := waiting[n-1]
			waiting = waiting[:n-1]
			if !visit(it) {
				return false
			}
		}
		return true
	}
	for last, more := "", true; more; {
		var items []item
		var err error
		if items, last, more, err = s.page(ctx, rel, last, prefix); err != nil {
			return err
		}
		for _, it := range items {
			it.rel = path.Join(rel, it.rel)
			if !leave(func(folder string) bool { return folder < it.rel }) {
				return nil
			}
			if it.isDir() {
				waiting = append(waiting, it)
			} else if !visit(it) {
				return nil
			}
		}
	}
	leave(func(string) bool { return true })
	return nil
}

// page reads a whole folder and returns the smallest of its entries that come after
// the name after and begin with prefix, sorted by name, and the last of the names;
// more says that there are others. An item's rel is its base name here.
//
// Each page is a pass of its own. A name that is there in all of them is in one:
// as long as it is not, the names of each page are before it, and so is their last.
func (s *Store) page(ctx context.Context, rel, after, prefix string) (items []item, last string, more bool, err error) {
	dir, err := s.openDir(rel, false)
	if err != nil {
		return nil, "", false, err
	}
	defer dir.Close()
	var names []string
	buf, begin, size := make([]byte, 64<<10), []byte(prefix), s.hooks.Page
	for err == nil {
		if err := ctx.Err(); err != nil {
			return nil, "", false, err
		}
		err = eachName(dir, buf, func(n []byte) {
			if string(n) > after && bytes.HasPrefix(n, begin) && (!more || string(n) < last) {
				names = append(names, string(n))
			}
		})
		if len(names) >= 2*size || err != nil && (more || len(names) > size) {
			slices.Sort(names)
			names = slices.Compact(names) // a folder that changes may name one twice
			if len(names) > size {
				clear(names[size:])
				names, last, more = names[:size], names[size-1], true
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		return nil, "", false, err
	}
	slices.Sort(names)
	items, err = statAll(dir, slices.Compact(names))
	return items, last, more, err
}

// statAll leaves out what has lawfully been erased meanwhile.
func statAll(dir *os.File, names []string) ([]item, error) {
	items := make([]item, 0, len(names))
	for _, n := range names {
		st, err := statAt(dir, n)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "stat", Path: path.Join(dir.Name(), n), Err: err}
		}
		items = append(items, item{n, uint32(st.Mode), st.Size})
	}
	return items, nil
}
