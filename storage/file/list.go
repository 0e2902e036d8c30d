//go:build unix

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"holdfast/hashing"
	"holdfast/storage"
)

// maxDepth bounds the walk: a name of MaxName bytes has no more segments.
const maxDepth = storage.MaxName/2 + 1

// List implements [storage.Lister]. It holds one folder's entries for each level
// in memory, and no file open between two yields.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		if err := storage.CheckPrefix(prefix); err != nil {
			yield(storage.Entry{Name: prefix}, fmt.Errorf("list: %w", err))
			return
		}
		w := walker{s: s, ctx: ctx, prefix: prefix, yield: yield}
		w.walk(path.Dir(prefix+"x"), 0)
	}
}

type walker struct {
	s      *Store
	ctx    context.Context
	prefix string
	yield  func(storage.Entry, error) bool
}

// item is a folder's entry. A folder may have very many: 40 bytes and its path.
type item struct {
	rel  string
	mode uint32
	size int64
}

func (it item) isDir() bool  { return it.mode&unix.S_IFMT == unix.S_IFDIR }
func (it item) check() error { return checkFile(it.rel, it.mode) }

// order is that of full names, in which "a-b" comes before "a/x": a folder
// sorts as its name and a slash.
func order(a, b item) int {
	n := min(len(a.rel), len(b.rel))
	if c := strings.Compare(a.rel[:n], b.rel[:n]); c != 0 {
		return c
	}
	return strings.Compare(a.rest(n), b.rest(n))
}

func (it item) rest(n int) string {
	if it.isDir() {
		return it.rel[n:] + "/"
	}
	return it.rel[n:]
}

// walk yields what lies under the folder rel and reports whether to go on.
func (w *walker) walk(rel string, depth int) bool {
	items, err := w.s.readDir(rel)
	if depth == 0 && (errors.Is(err, fs.ErrNotExist) || notFolder(err)) {
		return true // nothing begins with that prefix
	}
	if err == nil {
		err = w.ctx.Err()
	}
	if err != nil {
		return w.fail(rel, err)
	}
	for _, it := range items {
		if !w.visit(it, depth) {
			return false
		}
	}
	return true
}

func (w *walker) visit(it item, depth int) bool {
	// The walk begins in the prefix's last folder, so an entry's own path tells.
	if !strings.HasPrefix(it.rel, w.prefix) || storage.Reserved(it.rel) && it.isDir() {
		return true
	}
	if err := storage.CheckName(it.rel); err != nil || depth > maxDepth {
		return w.fail(it.rel, foreign(it.rel, "no store makes such a name"))
	}
	if it.isDir() {
		return w.walk(it.rel, depth+1)
	}
	if err := it.check(); err != nil {
		return w.fail(it.rel, err)
	}
	return w.yield(storage.Entry{Name: it.rel, Size: it.size}, nil)
}

// fail yields err; only a foreign file lets the walk go on.
func (w *walker) fail(rel string, err error) bool {
	more := w.yield(storage.Entry{Name: rel}, w.s.note(fmt.Errorf("list %q: %w", rel, err)))
	return more && errors.Is(err, storage.ErrForeign)
}

// readDir returns the entries of a folder in the order of full names. They are
// examined by descriptor, never by path.
func (s *Store) readDir(rel string) ([]item, error) {
	dir, err := s.openDir(rel, false)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	items := make([]item, 0, len(names))
	for _, n := range names {
		it, err := stat(dir, rel, n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // lawfully erased meanwhile
		}
		if err != nil {
			return nil, err
		}
		items = append(items, it)
	}
	slices.SortFunc(items, order)
	return items, nil
}

func stat(dir *os.File, rel, name string) (item, error) {
	st, err := statAt(dir, name)
	it := item{rel: path.Join(rel, name), mode: uint32(st.Mode), size: st.Size}
	if err != nil {
		err = &fs.PathError{Op: "stat", Path: it.rel, Err: err}
	}
	return it, err
}

// checkTop looks at what lies directly in the store's directory, and beside the
// Objects, where no list comes by.
func (s *Store) checkTop() error {
	top, err := s.readDir(".")
	if err != nil {
		return err
	}
	beside, err := s.readDir(path.Dir(objectsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !notFolder(err) { // not a folder: it is in top
		return err
	}
	for _, it := range append(top, beside...) {
		if it.isDir() && (storage.Reserved(it.rel) || it.rel == objectsDir) {
			continue
		}
		if storage.CheckName(it.rel) != nil {
			return foreign(it.rel, "no store makes such a name")
		}
		if err := it.check(); err != nil && !it.isDir() {
			return err
		}
	}
	return nil
}

// Objects implements [storage.ObjectLister].
func (s *Store) Objects(ctx context.Context) iter.Seq2[storage.ObjectEntry, error] {
	return func(yield func(storage.ObjectEntry, error) bool) {
		w := objectWalker{s, ctx, yield}
		w.folder(objectsDir, func(it item) bool { return w.folder(it.rel, w.object) })
	}
}

type objectWalker struct {
	s     *Store
	ctx   context.Context
	yield func(storage.ObjectEntry, error) bool
}

func (w *objectWalker) folder(rel string, visit func(item) bool) bool {
	items, err := w.s.readDir(rel)
	if notFolder(err) {
		err = foreign(rel, "not a folder")
	}
	if err == nil {
		err = w.ctx.Err()
	}
	if err != nil {
		return w.fail(err)
	}
	for _, it := range items {
		if !visit(it) {
			return false
		}
	}
	return true
}

func (w *objectWalker) object(it item) bool {
	d, err := hashing.ParseHex(path.Base(it.rel))
	if err != nil || objectPath(d) != it.rel {
		return w.fail(foreign(it.rel, "not an Object's name"))
	}
	if it.isDir() {
		return w.fail(foreign(it.rel, "a folder"))
	}
	if err := it.check(); err != nil {
		return w.fail(err)
	}
	return w.yield(storage.ObjectEntry{Digest: d, Size: it.size}, nil)
}

func (w *objectWalker) fail(err error) bool {
	more := w.yield(storage.ObjectEntry{}, w.s.note(fmt.Errorf("list objects: %w", err)))
	return more && errors.Is(err, storage.ErrForeign)
}
