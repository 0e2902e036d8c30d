package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/minio/minio-go/v7"

	"holdfast/hashing"
)

// head asks for a key. A missing one is an answer for which missing() is true; one
// over which a delete marker lies is storage.ErrForeign, because its bytes are
// there and somebody took them out of sight.
func (s *Store) head(ctx context.Context, rel string) (minio.ObjectInfo, error) {
	info, err := s.read.StatObject(ctx, s.o.Bucket, s.key(rel), minio.StatObjectOptions{})
	if err != nil && info.IsDeleteMarker {
		return info, s.note(hidden(rel))
	}
	return info, err
}

func hidden(rel string) error {
	return foreign(rel, "a delete marker lies over it (find out who removed it, then remove the marker: the bytes are still there while their lock lasts)")
}

// get opens a key at an offset. version is what every later request of one reader
// names, so that what somebody writes over it meanwhile is not mixed in; empty: the
// newest.
func (s *Store) get(ctx context.Context, rel, version string, off, n int64) (io.ReadCloser, minio.ObjectInfo, error) {
	o := minio.GetObjectOptions{VersionID: version}
	if n <= 0 && off == 0 {
		o.Set("X-Amz-Checksum-Mode", "ENABLED") // of the whole, as it was sent with it; readKey compares
	}
	if n > 0 {
		if err := o.SetRange(off, off+n-1); err != nil {
			return nil, minio.ObjectInfo{}, err
		}
	} else if off > 0 {
		o.Set("Range", fmt.Sprintf("bytes=%d-", off))
	}
	rc, info, _, err := s.read.GetObject(ctx, s.o.Bucket, s.key(rel), o)
	if missing(err) && version == "" {
		if _, look := s.head(ctx, rel); look != nil {
			err = look // it may be hidden, which is not missing
		}
	}
	return rc, info, err
}

// body reads a key to its end, and goes on where the line broke or stood still.
type body struct {
	s            *Store
	ctx          context.Context
	cancel       context.CancelFunc
	rel, version string
	sum          string // SHA-256 in base64 that the server keeps; "" if it tells none
	off, size    int64
	rc           io.ReadCloser
	tries        int
}

// open returns a reader that outlives ctx; ctx ends only the opening.
func (s *Store) openBody(ctx context.Context, rel, version string) (*body, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	rc, info, err := s.get(life, rel, version, 0, 0)
	if !stop() && err == nil { // ctx ended while the answer came
		rc.Close()
		err = ctx.Err()
	}
	if err == nil && info.Size < 0 {
		rc.Close()
		err = fmt.Errorf("read %q: the answer has no length", rel)
	}
	if err != nil {
		cancel()
		return nil, errors.Join(ctx.Err(), explain(err))
	}
	return &body{s: s, ctx: life, cancel: cancel, rel: rel, version: info.VersionID, sum: info.ChecksumSHA256, size: info.Size, rc: rc}, nil
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	for {
		n, err := b.some(p)
		if b.off += int64(n); err == io.EOF && b.off < b.size {
			err = io.ErrUnexpectedEOF
		}
		if n > 0 && err != io.EOF {
			return n, nil // what is wrong will be so the next time
		}
		if err == nil || err == io.EOF {
			return n, err
		}
		if err := b.again(err); err != nil {
			return 0, fmt.Errorf("read %q at %d of %d: %w", b.rel, b.off, b.size, err)
		}
	}
}

func (b *body) some(p []byte) (int, error) {
	if b.rc == nil {
		return 0, io.ErrUnexpectedEOF
	}
	return b.rc.Read(p)
}

// again opens the same version where the last byte was.
func (b *body) again(cause error) error {
	b.rc.Close()
	b.rc = nil
	if b.tries++; b.tries >= b.s.o.Tries || b.off > b.size {
		return cause
	}
	rc, _, err := b.s.get(b.ctx, b.rel, b.version, b.off, 0)
	if err != nil {
		return errors.Join(cause, explain(err))
	}
	b.rc = rc
	return nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.cancel()
	if b.rc == nil {
		return nil
	}
	return b.rc.Close()
}

// compare reads a key back and holds it against what was sent.
func (s *Store) compare(ctx context.Context, rel, version string, c content) error {
	b, err := s.openBody(ctx, rel, version)
	if err != nil {
		return err
	}
	defer b.Close()
	if b.size != c.size {
		return fmt.Errorf("%d bytes, want %d: %w", b.size, c.size, hashing.ErrMismatch)
	}
	_, err = io.Copy(io.Discard, ctxReader{ctx, hashing.NewReader(b, c.digest, c.size)})
	return err
}

// readKey returns all bytes of a key, or an error if they are more than limit. What stands
// under a name has its digest nowhere in our own hands, and a plan with one hex digit
// changed on its way is a plan: so the bytes are held against the checksum that was sent
// with them, where the server tells it, and are asked for again where they are others.
func (s *Store) readKey(ctx context.Context, rel string, limit int64) (data []byte, err error) {
	for range max(1, s.o.Tries) {
		if data, err = s.readOnce(ctx, rel, limit); !errors.Is(err, hashing.ErrMismatch) {
			break
		}
	}
	return data, err
}

func (s *Store) readOnce(ctx context.Context, rel string, limit int64) ([]byte, error) {
	b, err := s.openBody(ctx, rel, "")
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if b.size > limit {
		return nil, fmt.Errorf("%d bytes, at most %d are read", b.size, limit)
	}
	data := make([]byte, b.size)
	if _, err := io.ReadFull(ctxReader{ctx, b}, data); err != nil {
		return nil, err
	}
	if b.sum != "" && !strings.Contains(b.sum, "-") && b.sum != b64(hashing.Of(data)) { // "-": of parts
		return nil, fmt.Errorf("the server gave other bytes than it was sent (the line, a proxy or a disk changed them): %w", hashing.ErrMismatch)
	}
	return data, nil
}

// gone is the error for what is not there.
func gone(rel string) error { return &fs.PathError{Op: "open", Path: rel, Err: fs.ErrNotExist} }
