package webbench

import (
	"archive/zip"
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"holdfast/collectors"
	"holdfast/hashing"
)

// keeper writes Objects to disk and hashes them, as a store does; without waiting for the
// disk, which is the store's own matter.
type keeper struct{ dir string }

func newKeeper(in string) (*keeper, error) {
	dir, err := os.MkdirTemp(in, "kept-*")
	if err != nil {
		return nil, fmt.Errorf("make folder for Objects: %w", err)
	}
	return &keeper{dir}, nil
}

func (k *keeper) remove() { os.RemoveAll(k.dir) }

// Put implements collectors.Keeper.
func (k *keeper) Put(_ context.Context, r io.Reader) (d hashing.Digest, n int64, err error) {
	f, err := os.CreateTemp(k.dir, "put-*")
	if err != nil {
		return d, 0, fmt.Errorf("keep Object: %w", err)
	}
	defer f.Close()
	if d, n, err = hashing.Copy(f, r); err != nil {
		return d, n, fmt.Errorf("keep Object: %w", err)
	}
	return d, n, os.Rename(f.Name(), k.path(d))
}

func (k *keeper) path(d hashing.Digest) string { return filepath.Join(k.dir, d.Hex()) }

// answers counts the lines of the archive's index: each is an exchange with its answer.
func (k *keeper) answers(a *collectors.Acquired) (int, error) {
	for _, o := range a.Objects {
		if o.Role != "archive" {
			continue
		}
		if !o.Kept {
			return lines(bytes.NewReader(o.Inline), o.Size)
		}
		f, err := os.Open(k.path(o.Digest))
		if err != nil {
			return 0, fmt.Errorf("open archive: %w", err)
		}
		defer f.Close()
		return lines(f, o.Size)
	}
	return 0, fmt.Errorf("%s has no archive", a.Address.Asked)
}

func lines(wacz io.ReaderAt, size int64) (n int, err error) {
	z, err := zip.NewReader(wacz, size)
	if err != nil {
		return 0, fmt.Errorf("open archive: %w", err)
	}
	f, err := z.Open("indexes/index.cdx")
	if err != nil {
		return 0, fmt.Errorf("open archive: %w", err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		n++
	}
	return n, s.Err()
}
