package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"holdfast/hashing"
	"holdfast/pipeline"
)

// A mirror lies on a disk that others have had in their hands. What is read of
// it beside its store goes through openMirror: never past these bounds, which
// are bytes, never out of the mirror by a link, never from what is no regular
// file, where a pipe would be waited for.
const (
	maxNodeFile = 4 << 20 // node.json and its like
	maxSigned   = 64 << 20
	maxChain    = 1 << 30
	maxTasks    = 4 << 30
	maxTask     = 4 << 20 // a line of tasks.jsonl
	maxChains   = 1 << 20 // files
)

// errTooLarge is wrapped where a file is larger than any that holdfast writes.
var errTooLarge = errors.New("larger than holdfast writes")

// openMirror opens a file of the mirror dir; name has slashes.
func openMirror(dir, name string, limit int64) (*os.File, error) {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, errors.Join(err, fmt.Errorf("open %s: not a directory", dir))
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s in %s: %w", name, dir, err)
	}
	return regular(f, limit)
}

// regular closes what is no regular file of at most limit bytes.
func regular(f *os.File, limit int64) (*os.File, error) {
	st, err := f.Stat()
	switch {
	case err != nil:
	case !st.Mode().IsRegular():
		err = fmt.Errorf("read %s: %v is no regular file", f.Name(), st.Mode().Type())
	case st.Size() > limit:
		err = fmt.Errorf("read %s: %d bytes: %w", f.Name(), st.Size(), errTooLarge)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func readMirror(dir, name string, limit int64) ([]byte, error) {
	f, err := openMirror(dir, name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return atMost(f, limit)
}

// atMost reads all of f, which may grow meanwhile.
func atMost(f *os.File, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("read %s: %w", f.Name(), errTooLarge)
	}
	return b, err
}

// readBounded reads a file of the node's own, or of a mirror that is written to:
// a link to it is followed, and no pipe waited for.
func readBounded(name string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		f, err = regular(f, limit)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return atMost(f, limit)
}

// mirrorChains lists the custody chains of a mirror by the names of their files.
func mirrorChains(dir string) (names []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	d, err := root.Open("node/outbox")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	for {
		some, err := d.Readdirnames(1000)
		for _, name := range some {
			if filepath.Ext(name) == ".jsonl" {
				names = append(names, name)
			}
		}
		if len(names) > maxChains {
			return nil, fmt.Errorf("read %s: more than %d custody chains: %w", dir, maxChains, errTooLarge)
		}
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// mirrorTasks yields the Tasks of a mirror, one at a time, and returns the
// digest of the file; none is an empty file.
func mirrorTasks(dir string, yield func(pipeline.Task) error) (hashing.Digest, error) {
	f, err := openMirror(dir, "node/"+fileTasks, maxTasks)
	if errors.Is(err, fs.ErrNotExist) {
		return hashing.Of(nil), nil
	}
	if err != nil {
		return hashing.Digest{}, err
	}
	defer f.Close()
	sum := hashing.NewWriter(io.Discard)
	lines := bufio.NewScanner(io.TeeReader(io.LimitReader(f, maxTasks), sum))
	lines.Buffer(nil, maxTask)
	for n := 1; lines.Scan(); n++ {
		var t pipeline.Task
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return hashing.Digest{}, fmt.Errorf("read %s: line %d: %w", fileTasks, n, err)
		}
		if err := yield(t); err != nil {
			return hashing.Digest{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return hashing.Digest{}, fmt.Errorf("read %s: %w", fileTasks, err)
	}
	return sum.Digest(), nil
}
