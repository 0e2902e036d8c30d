package s3

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/minio/minio-go/v7"

	"holdfast/hashing"
	"holdfast/storage"
)

// content is what is sent: it can be read again, and its name is known before
// the first byte leaves.
type content struct {
	r      io.ReaderAt
	size   int64
	digest hashing.Digest
	parts  []hashing.Digest // of PartSize each; none if one request takes it all
}

// tokenHeader carries, in the key's metadata, a random token of the call that
// created it: so a call whose answer was lost finds out whether it was the one.
const tokenHeader = "Holdfast-Call"

// commit creates the key, or finds it taken. It is the one door to a write, and
// its order is the promise (see doc.go).
//
// ctx ends it before a request and between two; what is on its way is waited for,
// because nobody could tell whether it came to be.
func (s *Store) commit(ctx context.Context, rel string, c content) (taken bool, err error) {
	if err := s.writable(ctx); err != nil {
		return false, err
	}
	var random [16]byte
	rand.Read(random[:])
	token := hex.EncodeToString(random[:])
	taken, err = backoff.Retry(ctx, func() (bool, error) {
		return s.try(context.WithoutCancel(ctx), rel, c, token)
	}, backoff.WithBackOff(pause()), backoff.WithMaxTries(uint(s.o.Tries)))
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		err = permanent.Unwrap()
	}
	return taken, s.heed(explain(err))
}

func pause() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = 250*time.Millisecond, 5*time.Second
	return b
}

// try sends once. If no answer tells whether the key is there now, it looks: a
// key with this call's token was created by it, whatever the answer was.
func (s *Store) try(ctx context.Context, rel string, c content, token string) (taken bool, err error) {
	err = s.send(ctx, rel, c, token)
	if err == nil {
		return false, nil
	}
	exists := minio.ToErrorResponse(err).Code == minio.PreconditionFailed
	if !exists && !transient(err) {
		return false, backoff.Permanent(err)
	}
	info, look := s.head(ctx, rel)
	switch {
	case look == nil && info.UserMetadata[tokenHeader] == token:
		return false, nil
	case look == nil:
		return true, nil // somebody else's
	case !missing(look):
		return false, fmt.Errorf("%w; and whether it was created: %w", err, look)
	case exists:
		return false, s.note(foreign(rel, "the server says that it is there, and that it is not (a delete marker may lie over it)"))
	}
	return false, err // it is not there
}

func (s *Store) send(ctx context.Context, rel string, c content, token string) error {
	if len(c.parts) > 0 {
		return s.sendParts(ctx, rel, c, token)
	}
	o := s.putOptions(token)
	o.UserMetadata["x-amz-checksum-sha256"] = b64(c.digest)
	body := io.NewSectionReader(c.r, 0, c.size)
	info, err := s.write.PutObject(ctx, s.o.Bucket, s.key(rel), body, c.size, "", c.digest.Hex(), o)
	if err != nil {
		return err
	}
	return s.same(rel, info.ChecksumSHA256, b64(c.digest))
}

// putOptions asks for the lock, and that nothing be replaced. The digest of the
// whole body goes into the signature, so the server checks it before the checksum.
func (s *Store) putOptions(token string) minio.PutObjectOptions {
	o := minio.PutObjectOptions{DisableContentSha256: true, UserMetadata: map[string]string{tokenHeader: token}}
	if !s.o.Unlocked {
		o.Mode, o.RetainUntilDate = minio.Compliance, time.Now().Add(s.o.Retention)
	}
	o.SetMatchETagExcept("*")
	return o
}

// same compares what the server says that it has with what was sent. A server that
// says nothing has checked the digest in the signature.
func (s *Store) same(rel, got, want string) error {
	if got == "" || got == want {
		return nil
	}
	return s.stop(fmt.Errorf("the server says that it has other bytes under %q than were sent: SHA-256 %.60q, want %q: %w: %w", rel, got, want, hashing.ErrMismatch, errLocal))
}

func b64(d hashing.Digest) string { return base64.StdEncoding.EncodeToString(d[:]) }

// sendParts makes an upload of parts. Each part is checked by its own digest, which
// was computed in the same pass as that of the whole; so if all parts are right, and
// in order, the whole is. An upload that is not completed is invisible.
func (s *Store) sendParts(ctx context.Context, rel string, c content, token string) (err error) {
	if len(c.parts) > maxParts {
		return fmt.Errorf("%d bytes are more than %d parts of %d: %w", c.size, maxParts, s.o.PartSize, errLocal)
	}
	key, o := s.key(rel), s.putOptions(token)
	o.UserMetadata["x-amz-checksum-algorithm"] = "SHA256"
	upload, err := s.write.NewMultipartUpload(ctx, s.o.Bucket, key, o)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.write.AbortMultipartUpload(ctx, s.o.Bucket, key, upload) // if this fails too, it is left: see doc.go
		}
	}()
	parts := make([]minio.CompletePart, len(c.parts))
	for i := range c.parts {
		if parts[i], err = s.sendPart(ctx, key, upload, c, i); err != nil {
			return err
		}
	}
	done := minio.PutObjectOptions{}
	done.SetMatchETagExcept("*")
	info, err := s.write.CompleteMultipartUpload(ctx, s.o.Bucket, key, upload, parts, done)
	if err != nil {
		return err
	}
	return s.whole(ctx, rel, info, c)
}

func (s *Store) sendPart(ctx context.Context, key, upload string, c content, i int) (minio.CompletePart, error) {
	at := int64(i) * s.o.PartSize
	size := min(s.o.PartSize, c.size-at)
	want := b64(c.parts[i])
	part, err := backoff.Retry(ctx, func() (minio.ObjectPart, error) {
		header := http.Header{}
		header.Set("X-Amz-Checksum-Sha256", want)
		p, err := s.write.PutObjectPart(ctx, s.o.Bucket, key, upload, i+1, io.NewSectionReader(c.r, at, size), size,
			minio.PutObjectPartOptions{Sha256Hex: c.parts[i].Hex(), CustomHeader: header, DisableContentSha256: true})
		if err != nil && !transient(err) {
			err = backoff.Permanent(err)
		}
		return p, err
	}, backoff.WithBackOff(pause()), backoff.WithMaxTries(uint(s.o.Tries)))
	if err != nil {
		return minio.CompletePart{}, err
	}
	return minio.CompletePart{PartNumber: i + 1, ETag: part.ETag, ChecksumSHA256: want}, s.same(key, part.ChecksumSHA256, want)
}

// whole compares the checksum over all parts; a server that gives none is read back.
func (s *Store) whole(ctx context.Context, rel string, info minio.UploadInfo, c content) error {
	if info.ChecksumSHA256 == "" {
		return s.compare(ctx, rel, info.VersionID, c)
	}
	all := make([]byte, 0, len(c.parts)*hashing.Size)
	for _, d := range c.parts {
		all = append(all, d[:]...)
	}
	return s.same(rel, info.ChecksumSHA256, fmt.Sprintf("%s-%d", b64(hashing.Of(all)), len(c.parts)))
}

// writable is asked before each write.
func (s *Store) writable(ctx context.Context) error {
	if e := s.stopped.Load(); e != nil {
		return fmt.Errorf("%w: %w", *e, storage.ErrStopped)
	}
	return ctx.Err()
}

// stop ends all writing by this handle: what the server says of itself cannot be
// true.
func (s *Store) stop(err error) error {
	s.stopped.CompareAndSwap(nil, &err)
	return fmt.Errorf("%w: %w", err, storage.ErrStopped)
}

// heed remembers for Accept that the store is full, or no longer.
func (s *Store) heed(err error) error {
	switch {
	case err == nil:
		s.full.forget()
	case errors.Is(err, storage.ErrFull):
		s.full.set()
	}
	return err
}
