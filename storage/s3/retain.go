package s3

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"

	"holdfast/storage"
)

// Retention implements [storage.Retainer].
func (s *Store) Retention(ctx context.Context, k storage.Key) (storage.Retention, error) {
	_, _, r, err := s.locked(ctx, k)
	if err != nil {
		return r, s.note(fmt.Errorf("look for the lock of %s: %w", k, err))
	}
	return r, nil
}

// locked returns a key's version and what keeps it. GOVERNANCE keeps nothing: who has
// the right may lift it.
func (s *Store) locked(ctx context.Context, k storage.Key) (rel, version string, r storage.Retention, err error) {
	if rel, err = keyOf(k); err == nil {
		version, r, err = s.lockedAt(ctx, rel)
	}
	return rel, version, r, err
}

func (s *Store) lockedAt(ctx context.Context, rel string) (version string, r storage.Retention, err error) {
	info, err := s.head(ctx, rel)
	if missing(err) {
		return "", r, gone(rel)
	}
	if err != nil {
		return "", r, errors.Join(ctx.Err(), explain(err))
	}
	r, err = retention(info)
	return info.VersionID, r, err
}

func retention(info minio.ObjectInfo) (r storage.Retention, err error) {
	r.Hold = info.Headers.Get("X-Amz-Object-Lock-Legal-Hold") == "ON"
	if info.Headers.Get("X-Amz-Object-Lock-Mode") != string(minio.Compliance) {
		return r, nil
	}
	until := info.Headers.Get("X-Amz-Object-Lock-Retain-Until-Date")
	if r.Until, err = time.Parse(time.RFC3339, until); err != nil {
		return r, fmt.Errorf("the server says that it is kept until %.60q", until)
	}
	return r, nil
}

// Extend implements [storage.Retainer]. It asks first: the server refuses what
// would shorten.
func (s *Store) Extend(ctx context.Context, k storage.Key, until time.Time) error {
	rel, version, r, err := s.locked(ctx, k)
	if err == nil && r.Until.Before(until) {
		_, err = s.lengthen(ctx, rel, version, until)
	}
	if err != nil {
		return s.note(fmt.Errorf("keep %s until %s: %w", k, until.UTC().Format(time.RFC3339), err))
	}
	return nil
}

// lengthen returns until when the version is kept then.
func (s *Store) lengthen(ctx context.Context, rel, version string, until time.Time) (time.Time, error) {
	if err := s.lockable(ctx); err != nil {
		return time.Time{}, err
	}
	until = until.UTC().Truncate(time.Second).Add(time.Second) // S3 counts seconds
	mode := minio.Compliance
	return until, explain(s.read.PutObjectRetention(ctx, s.o.Bucket, s.key(rel),
		minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until, VersionID: version}))
}

// SetHold implements [storage.Retainer].
func (s *Store) SetHold(ctx context.Context, k storage.Key, on bool) error {
	rel, version, r, err := s.locked(ctx, k)
	if err == nil && r.Hold != on {
		err = s.setHold(ctx, rel, version, on)
	}
	if err != nil {
		return s.note(fmt.Errorf("set the legal hold of %s: %w", k, err))
	}
	return nil
}

func (s *Store) setHold(ctx context.Context, rel, version string, on bool) error {
	if err := s.lockable(ctx); err != nil {
		return err
	}
	status := minio.LegalHoldDisabled
	if on {
		status = minio.LegalHoldEnabled
	}
	return explain(s.read.PutObjectLegalHold(ctx, s.o.Bucket, s.key(rel), minio.PutObjectLegalHoldOptions{Status: &status, VersionID: version}))
}

func (s *Store) lockable(ctx context.Context) error {
	if s.o.Unlocked {
		return fmt.Errorf("the bucket was taken without object lock (lock=none): %w", errors.ErrUnsupported)
	}
	return s.writable(ctx)
}
