package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast/wholefile"
)

// ErrNone is wrapped where a directory is not, or no more, a mirror of the node.
var ErrNone = errors.New("not a mirror of this node")

// Dir is the directory of a mirror: a store, and in node/ what else a node is made
// of.
type Dir string

// Path is where a file of the mirror lies; name has slashes.
func (d Dir) Path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Open implements [Shelf].
func (d Dir) Open(_ context.Context, name string, limit int64) (io.ReadCloser, error) {
	f, err := wholefile.OpenIn(string(d), name, limit)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is no nil
	}
	return f, nil
}

// Update implements [Shelf]. A crash leaves the file as it was, or as it is to be.
func (d Dir) Update(_ context.Context, name string, b []byte) error {
	if b == nil {
		return missing(os.Remove(d.Path(name)))
	}
	return wholefile.Update(d.Path(name), b)
}

// Chains implements [Shelf].
func (d Dir) Chains(context.Context) (names []string, err error) {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	outbox, err := root.Open("node/outbox")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer outbox.Close()
	for {
		some, err := outbox.Readdirnames(1000)
		for _, name := range some {
			if filepath.Ext(name) == ".jsonl" {
				names = append(names, name)
			}
		}
		if len(names) > maxChains {
			return nil, fmt.Errorf("read %s: more than %d custody chains: %w", d, maxChains, wholefile.ErrTooLarge)
		}
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// CheckLinks refuses a mirror whose own folders lead elsewhere: what is written to
// it would replace files there, the node's perhaps.
func (d Dir) CheckLinks() error {
	for _, name := range []string{"node", "node/outbox", "store", FileLock} {
		st, err := os.Lstat(d.Path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if name == FileLock && !st.Mode().IsRegular() || name != FileLock && !st.IsDir() {
			return fmt.Errorf("%w: %s in %s is a link, or not what holdfast made", ErrNone, name, d)
		}
	}
	return nil
}

// Apart reports whether neither of two places lies in the other, links followed.
func Apart(a, b string) (bool, error) {
	a, err := realPath(a)
	if err != nil {
		return false, err
	}
	b, err = realPath(b)
	return !within(a, b) && !within(b, a), err
}

// realPath follows links in the part of a path that is there.
func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(path) != path {
		dir, err := realPath(filepath.Dir(path))
		return filepath.Join(dir, filepath.Base(path)), err
	}
	return real, err
}

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(os.PathSeparator))
}
