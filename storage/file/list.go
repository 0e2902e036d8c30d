//go:build unix

package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path"
	"strings"

	"holdfast/hashing"
	"holdfast/storage"
)

// maxDepth bounds the walk: a name of MaxName bytes has no more segments.
const maxDepth = storage.MaxName/2 + 1

// List implements [storage.Lister]. Of a folder it holds at most 2*pageSize names
// in memory, for each level, and no file open between two yields; a larger folder
// is read once for every pageSize names.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[storage.Entry, error] {
	return s.ListAfter(ctx, prefix, "")
}

// ListAfter implements [storage.AfterLister]. It reads the names in a folder on the way to
// after, and opens no folder before it.
func (s *Store) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		if err := storage.CheckPrefix(prefix); err != nil {
			yield(storage.Entry{Name: prefix}, fmt.Errorf("list: %w", err))
			return
		}
		w := walker{s: s, ctx: ctx, after: after, yield: yield}
		w.walk(path.Dir(prefix+"x"), prefix[strings.LastIndexByte(prefix, '/')+1:], 0)
	}
}

type walker struct {
	s     *Store
	ctx   context.Context
	after string
	yield func(storage.Entry, error) bool
}

// before reports whether nothing of an entry comes after w.after.
func (w *walker) before(it item) bool {
	if it.isDir() {
		return it.rel+"/" < w.after && !strings.HasPrefix(w.after, it.rel+"/")
	}
	return w.after != "" && it.rel <= w.after
}

// walk yields what lies under the folder rel, of its own entries only those that
// begin with prefix, and reports whether to go on.
func (w *walker) walk(rel, prefix string, depth int) bool {
	more := true
	err := w.s.eachEntry(w.ctx, rel, prefix, func(it item) bool {
		more = w.visit(it, depth)
		return more
	})
	if depth == 0 && (errors.Is(err, fs.ErrNotExist) || notFolder(err)) {
		return more // nothing begins with that prefix
	}
	if err != nil {
		return w.fail(rel, err)
	}
	return more
}

func (w *walker) visit(it item, depth int) bool {
	if storage.Reserved(it.rel) && it.isDir() || w.before(it) {
		return true
	}
	if err := storage.CheckName(it.rel); err != nil || depth > maxDepth {
		return w.fail(it.rel, foreign(it.rel, "no store makes such a name"))
	}
	if it.isDir() {
		return w.walk(it.rel, "", depth+1)
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

// checkTop looks at what lies directly in the store's directory, and beside the
// Objects, where no list comes by.
func (s *Store) checkTop() error {
	var bad error
	look := func(it item) bool {
		bad = checkTopItem(it)
		return bad == nil
	}
	if err := s.eachEntry(context.Background(), ".", "", look); err != nil || bad != nil {
		return errors.Join(err, bad)
	}
	err := s.eachEntry(context.Background(), path.Dir(objectsDir), "", look)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !notFolder(err) { // not a folder: it was in the top
		return err
	}
	return bad
}

func checkTopItem(it item) error {
	if it.isDir() && (storage.Reserved(it.rel) || it.rel == objectsDir) {
		return nil
	}
	if storage.CheckName(it.rel) != nil {
		return foreign(it.rel, "no store makes such a name")
	}
	if it.isDir() {
		return nil
	}
	return it.check()
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
	more := true
	err := w.s.eachEntry(w.ctx, rel, "", func(it item) bool {
		more = visit(it)
		return more
	})
	if notFolder(err) {
		err = foreign(rel, "not a folder")
	}
	if err != nil {
		return w.fail(err)
	}
	return more
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
