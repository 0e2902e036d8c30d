//go:build unix

package file

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"holdfast/storage"
)

// Create implements [storage.Creator].
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	return s.CreateFunc(ctx, name, func(w io.Writer) error {
		_, err := io.Copy(w, ctxReader{ctx, r})
		return err
	})
}

// CreateFunc implements [storage.Creator].
func (s *Store) CreateFunc(ctx context.Context, name string, write func(io.Writer) error) error {
	exists, err := s.create(ctx, name, write)
	if err != nil {
		return s.note(fmt.Errorf("create %q: %w", name, err))
	}
	if exists {
		return fmt.Errorf("create %q: %w", name, storage.ErrExists)
	}
	return nil
}

func (s *Store) create(ctx context.Context, name string, write func(io.Writer) error) (exists bool, err error) {
	if err := errors.Join(storage.CheckName(name), s.writable(ctx)); err != nil {
		return false, err
	}
	p, err := s.prepare(name, write)
	if err != nil {
		return false, err
	}
	defer p.drop()
	err = s.commit(ctx, []*pending{p})
	return p.taken, err
}

// CreateAll implements [storage.Creator].
func (s *Store) CreateAll(ctx context.Context, items ...storage.Item) (exist []string, err error) {
	exist, err = s.createAll(ctx, items)
	if err != nil {
		return nil, s.note(fmt.Errorf("create %d names: %w", len(items), err))
	}
	return exist, nil
}

func (s *Store) createAll(ctx context.Context, items []storage.Item) (exist []string, err error) {
	if err := errors.Join(checkItems(items), s.writable(ctx)); err != nil {
		return nil, err
	}
	ps := make([]*pending, 0, len(items))
	defer func() {
		for _, p := range ps {
			p.drop()
		}
	}()
	for _, it := range items {
		p, err := s.prepare(it.Name, func(w io.Writer) error { _, err := w.Write(it.Data); return err })
		if err != nil {
			return nil, fmt.Errorf("%q: %w", it.Name, err)
		}
		ps = append(ps, p)
	}
	if err := s.commit(ctx, ps); err != nil {
		return nil, err
	}
	for _, p := range ps {
		if p.taken {
			exist = append(exist, p.rel)
		}
	}
	return exist, nil
}

func checkItems(items []storage.Item) error {
	if len(items) > storage.MaxItems {
		return fmt.Errorf("at most %d are created in one call", storage.MaxItems)
	}
	seen := make(map[string]bool, len(items))
	for _, it := range items {
		if err := storage.CheckName(it.Name); err != nil {
			return err
		}
		if seen[it.Name] {
			return fmt.Errorf("%q is given twice: %w", it.Name, storage.ErrName)
		}
		seen[it.Name] = true
	}
	return nil
}

// prepare spools what write writes, unless the name is taken already.
func (s *Store) prepare(name string, write func(io.Writer) error) (*pending, error) {
	p := &pending{rel: name}
	f, _, err := s.openFile(name)
	if err == nil {
		return p, f.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, taken(err)
	}
	if p.spool, err = s.spool(); err != nil {
		return nil, err
	}
	done := false
	defer func() {
		if !done { // also when write panics
			p.drop()
		}
	}()
	w := bufio.NewWriterSize(p.spool, 64<<10)
	if err := write(w); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	done = true
	return p, nil
}

func (p *pending) drop() {
	if p.spool != nil {
		p.spool.drop()
	}
}

// named is an open name.
type named struct {
	*os.File
	size int64
}

// Size implements [storage.File].
func (n named) Size() int64 { return n.size }

// OpenName implements [storage.Reader].
func (s *Store) OpenName(ctx context.Context, name string) (storage.File, error) {
	f, size, err := s.openName(ctx, name)
	if err != nil {
		return nil, s.note(fmt.Errorf("open %q: %w", name, err))
	}
	return named{f, size}, nil
}

func (s *Store) openName(ctx context.Context, name string) (*os.File, int64, error) {
	if err := errors.Join(storage.CheckName(name), ctx.Err()); err != nil {
		return nil, 0, err
	}
	f, size, err := s.openFile(name)
	if errors.Is(err, errIsDir) || notFolder(err) {
		// A folder is not a name, and below a name there is none.
		err = &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return f, size, err
}

// notFolder reports whether a path went through one of the store's own files.
func notFolder(err error) bool { return errors.Is(err, unix.ENOTDIR) }

// ReadName implements [storage.Reader].
func (s *Store) ReadName(ctx context.Context, name string, limit int64) ([]byte, error) {
	f, size, err := s.openName(ctx, name)
	if err != nil {
		return nil, s.note(fmt.Errorf("read %q: %w", name, err))
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("read %q: %d bytes, at most %d are read", name, size, limit)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return b, nil
}
