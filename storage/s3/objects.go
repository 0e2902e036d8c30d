package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"time"

	"github.com/minio/minio-go/v7"

	"holdfast/hashing"
	"holdfast/storage"
)

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
	if _, err = io.CopyBuffer(sp, ctxReader{ctx, r}, make([]byte, 64<<10)); err != nil {
		return d, sp.whole.Size(), err
	}
	c := sp.content()
	if err = check(c.digest, c.size); err != nil {
		return c.digest, c.size, err
	}
	return c.digest, c.size, s.keep(ctx, c)
}

// keep commits an Object, or confirms the one that is there. The look before the
// commit saves a duplicate its way over the line, and meets a delete marker, over
// which the server would write; the one after it is for two writers at once.
func (s *Store) keep(ctx context.Context, c content) error {
	err := s.confirm(ctx, c)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	taken, err := s.commit(ctx, objectKey(c.digest), c)
	if err != nil || !taken {
		return err
	}
	if err = s.confirm(ctx, c); errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: it was erased by order between two looks: put it again", err)
	}
	return err
}

// confirm reads the Object that is there. To trust its name and drop the good bytes
// at hand would lose them if they had decayed.
func (s *Store) confirm(ctx context.Context, c content) error {
	rel := objectKey(c.digest)
	info, err := s.head(ctx, rel)
	if missing(err) {
		return gone(rel)
	}
	if err != nil {
		return errors.Join(ctx.Err(), explain(err))
	}
	if info.Size != c.size {
		err = fmt.Errorf("%d bytes, want %d: %w", info.Size, c.size, hashing.ErrMismatch)
	} else {
		err = s.compare(ctx, rel, info.VersionID, c)
	}
	if errors.Is(err, hashing.ErrMismatch) {
		return fmt.Errorf("the copy in the store is damaged: %w: %w", err, foreign(rel, "not the bytes of its name (look for its older versions)"))
	}
	if err != nil {
		return err
	}
	return s.renew(ctx, rel, info)
}

// renew gives an Object that somebody puts again a lock as if it were new, where the one
// that it has ends soon: it may be left to lapse, because its erasure was ordered by a
// node that does not know of this call. Where it is gone meanwhile the error says that
// it is not there, and the caller writes it.
func (s *Store) renew(ctx context.Context, rel string, info minio.ObjectInfo) error {
	if s.o.Unlocked {
		return nil
	}
	now := time.Now()
	r, err := retention(info)
	if err == nil && r.Until.Before(now.Add(2*s.o.Interval)) {
		_, err = s.lengthen(ctx, rel, info.VersionID, now.Add(s.o.Retention))
	}
	return err
}

// Open implements [storage.Opener].
func (s *Store) Open(ctx context.Context, d hashing.Digest) (io.ReadCloser, int64, error) {
	b, err := s.openBody(ctx, objectKey(d), "")
	if err != nil {
		return nil, 0, s.note(fmt.Errorf("open %s: %w", d, err))
	}
	return object{hashing.NewReader(b, d, b.size), b}, b.size, nil
}

type object struct {
	io.Reader
	io.Closer
}

// OpenUnread is Open without its hashing, for who compares the bytes with the
// Digest himself, as Import does.
func (s *Store) OpenUnread(d hashing.Digest) (io.ReadCloser, error) {
	b, err := s.openBody(context.Background(), objectKey(d), "")
	if err != nil {
		return nil, s.note(fmt.Errorf("open %s: %w", d, err))
	}
	return b, nil
}

// Has implements [storage.Opener].
func (s *Store) Has(ctx context.Context, d hashing.Digest) (bool, error) {
	_, err := s.head(ctx, objectKey(d))
	if missing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", d, errors.Join(ctx.Err(), explain(err)))
	}
	return true, nil
}

var (
	_ storage.Store        = (*Store)(nil)
	_ storage.ObjectLister = (*Store)(nil)
	_ storage.Importer     = (*Store)(nil)
	_ storage.Accepter     = (*Store)(nil)
	_ storage.Retainer     = (*Store)(nil)
	_ storage.Eraser       = (*Store)(nil)
	_ storage.Inspector    = (*Store)(nil)
)
