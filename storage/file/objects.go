//go:build unix

package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"holdfast/hashing"
	"holdfast/storage"
)

const objectsDir = "objects/sha256"

func objectPath(d hashing.Digest) string {
	h := d.Hex()
	return objectsDir + "/" + h[:2] + "/" + h
}

// Put implements [storage.Putter].
func (s *Store) Put(ctx context.Context, r io.Reader) (hashing.Digest, int64, error) {
	d, n, err := s.put(ctx, r, func(hashing.Digest, int64) error { return nil })
	if err != nil {
		return d, n, s.note(fmt.Errorf("put object: %w", err))
	}
	return d, n, nil
}

// PutDigest implements [storage.Putter].
func (s *Store) PutDigest(ctx context.Context, d hashing.Digest, size int64, r io.Reader) error {
	if size >= 0 && size < math.MaxInt64 {
		r = io.LimitReader(r, size+1) // one more shows that it is too long, and bounds the spool
	}
	_, _, err := s.put(ctx, r, func(got hashing.Digest, n int64) error {
		if size >= 0 && n != size {
			return fmt.Errorf("not %d bytes: %w", size, hashing.ErrMismatch)
		}
		if got != d {
			return fmt.Errorf("bytes are %s: %w", got, hashing.ErrMismatch)
		}
		return nil
	})
	if err != nil {
		return s.note(fmt.Errorf("put %s: %w", d, err))
	}
	return nil
}

func (s *Store) put(ctx context.Context, r io.Reader, check func(hashing.Digest, int64) error) (d hashing.Digest, n int64, err error) {
	if err := s.writable(ctx); err != nil {
		return d, 0, err
	}
	sp, err := s.spool()
	if err != nil {
		return d, 0, err
	}
	defer sp.drop()
	if d, n, err = hashing.Copy(sp, ctxReader{ctx, r}); err != nil {
		return d, n, err
	}
	if err = check(d, n); err != nil {
		return d, n, err
	}
	return d, n, s.keep(ctx, sp, d, n)
}

// keep commits the spool, or confirms the Object that is there. The look before
// the commit saves a duplicate its fsync; the one after it is for two writers
// of the same bytes at once.
func (s *Store) keep(ctx context.Context, sp *spool, d hashing.Digest, n int64) error {
	p := &pending{rel: objectPath(d), spool: sp}
	err := s.confirm(ctx, d, n)
	switch {
	case err == nil:
		p.spool = nil // the commit makes durable what is there
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := s.commit(ctx, []*pending{p}); err != nil {
		return err
	}
	if p.taken && sp == p.spool {
		return s.confirm(ctx, d, n)
	}
	return nil
}

// confirm reads the Object that lies under d. To trust its name and drop the
// good bytes at hand would lose them if the file had decayed.
func (s *Store) confirm(ctx context.Context, d hashing.Digest, n int64) error {
	f, size, err := s.openObject(d)
	if err != nil {
		return err
	}
	defer f.Close()
	if size == n {
		_, err = io.Copy(io.Discard, ctxReader{ctx, hashing.NewReader(f, d, n)})
	} else {
		err = fmt.Errorf("%d bytes, want %d: %w", size, n, hashing.ErrMismatch)
	}
	if errors.Is(err, hashing.ErrMismatch) {
		return fmt.Errorf("the copy in the store is damaged: %w: %w", err, foreign(objectPath(d), "not the bytes of its name"))
	}
	return err
}

func (s *Store) openObject(d hashing.Digest) (*os.File, int64, error) {
	f, size, err := s.openFile(objectPath(d))
	if errors.Is(err, errIsDir) || notFolder(err) {
		err = foreign(objectPath(d), "a folder or file where there should be none")
	}
	return f, size, err
}

// Open implements [storage.Opener].
func (s *Store) Open(ctx context.Context, d hashing.Digest) (io.ReadCloser, int64, error) {
	f, size, err := s.openObject(d)
	if err != nil {
		return nil, 0, s.note(fmt.Errorf("open %s: %w", d, err))
	}
	if err := ctx.Err(); err != nil {
		f.Close()
		return nil, 0, err
	}
	return object{hashing.NewReader(f, d, size), f}, size, nil
}

type object struct {
	io.Reader
	io.Closer
}

// Has implements [storage.Opener].
func (s *Store) Has(_ context.Context, d hashing.Digest) (bool, error) {
	f, _, err := s.openObject(d)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, s.note(fmt.Errorf("look for %s: %w", d, err))
	}
	return true, f.Close()
}

var (
	_ storage.Store        = (*Store)(nil)
	_ storage.ObjectLister = (*Store)(nil)
	_ storage.Accepter     = (*Store)(nil)
)
