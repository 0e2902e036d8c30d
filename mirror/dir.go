package mirror

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// Files of a mirror; docs/DESIGN.md says what each is for.
const (
	FileMark      = "node/mirror.json"
	FileStatement = "node/mirror.dsse.json" // a Statement in its envelope
	FileLock      = "mirror.lock"
	FileTasks     = "tasks.jsonl" // in node/
)

// A mirror lies on a disk that others have had in their hands. What is read of it
// beside its store is read never past these bounds, which are bytes, never out of the
// mirror by a link, never from what is no regular file.
const (
	MaxChain     = 1 << 30
	maxMark      = 4 << 20
	maxStatement = 64 << 20
	maxTasks     = 4 << 30
	maxTask      = 4 << 20 // a line of FileTasks
	maxChains    = 1 << 20 // files
)

// ErrNone is wrapped where a directory is not, or no more, a mirror of the node.
var ErrNone = errors.New("not a mirror of this node")

// Dir is the directory of a mirror: a store, and in node/ what else a node is made
// of.
type Dir string

// Path is where a file of the mirror lies; name has slashes.
func (d Dir) Path(name string) string { return filepath.Join(string(d), filepath.FromSlash(name)) }

// Open opens a file of at most limit bytes; it may grow. The error wraps
// [fs.ErrNotExist] or [wholefile.ErrTooLarge].
func (d Dir) Open(name string, limit int64) (*os.File, error) {
	return wholefile.OpenIn(string(d), name, limit)
}

// Read is Open and reads all of it.
func (d Dir) Read(name string, limit int64) ([]byte, error) {
	return wholefile.ReadIn(string(d), name, limit)
}

// Chains lists the Custody chains by the names of their files, in no order.
func (d Dir) Chains() (names []string, err error) {
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

// Tasks yields the Tasks, one at a time, and returns the digest of the file; none is
// an empty file.
func (d Dir) Tasks(yield func(pipeline.Task) error) (hashing.Digest, error) {
	f, err := d.Open("node/"+FileTasks, maxTasks)
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
			return hashing.Digest{}, fmt.Errorf("read %s: line %d: %w", FileTasks, n, err)
		}
		if err := yield(t); err != nil {
			return hashing.Digest{}, err
		}
	}
	if err := lines.Err(); err != nil {
		return hashing.Digest{}, fmt.Errorf("read %s: %w", FileTasks, err)
	}
	return sum.Digest(), nil
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
