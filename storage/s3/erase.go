package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"holdfast/storage"
)

// Erase implements [storage.Eraser]. It removes the one version that the store made,
// not its sight: no delete marker is left. A kill before the one request leaves the
// bytes, one after it leaves nothing.
func (s *Store) Erase(ctx context.Context, k storage.Key) error {
	rel, err := keyOf(k)
	if err == nil {
		err = s.erase(ctx, k, rel)
	}
	if err != nil {
		return s.note(fmt.Errorf("erase %s: %w", k, err))
	}
	s.folders.forget()
	return nil
}

func (s *Store) erase(ctx context.Context, k storage.Key, rel string) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	f, err := s.versionsOf(ctx, rel)
	if err != nil || f.rel == "" {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	version, r, err := s.lockedAt(ctx, rel)
	switch {
	case errors.Is(err, fs.ErrNotExist): // another process was faster
		return nil
	case err != nil:
		return err
	case r.Hold || r.Until.After(time.Now()):
		return &storage.LockedError{Key: k, Retention: r}
	}
	return explain(s.read.RemoveObject(ctx, s.o.Bucket, s.key(rel), minio.RemoveObjectOptions{VersionID: version}))
}

// versionsOf returns all that lies under one key; no rel if nothing does.
func (s *Store) versionsOf(ctx context.Context, rel string) (one found, err error) {
	err = s.each(ctx, rel, "", everything, func(f found) bool {
		if f.rel == rel {
			one = f
		}
		return false // a key comes before all that begin with it
	})
	return one, err
}

// Faults implements [storage.Inspector]. A lock that ends within twice
// Options.Interval is one, but for what has a tombstone: the Extender should have made
// it longer. What is wrong with the bucket itself comes first.
func (s *Store) Faults(ctx context.Context) iter.Seq2[storage.Fault, error] {
	return func(yield func(storage.Fault, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		faults, end := make(chan storage.Fault, atOnce), make(chan error, 1)
		go func() {
			defer close(faults)
			end <- s.inspect(ctx, faults)
		}()
		for f := range faults {
			if !yield(f, nil) {
				cancel()
				for range faults { // until who asks has stopped
				}
				return
			}
		}
		if err := <-end; err != nil {
			yield(storage.Fault{}, fmt.Errorf("inspect the store: %w", err))
		}
	}
}

func (s *Store) inspect(ctx context.Context, faults chan<- storage.Fault) error {
	ordered, err := s.ordered(ctx)
	if err != nil {
		return err
	}
	bucket, err := s.BucketFaults(ctx)
	if err != nil {
		return err
	}
	for _, f := range bucket {
		select {
		case faults <- f:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	err = s.each(gctx, "", "", everything, func(f found) bool {
		g.Go(func() error {
			fault, err := s.fault(gctx, f, f.lapses(ordered))
			if err != nil || fault.Kind == "" {
				return err
			}
			select {
			case faults <- fault:
				return nil
			case <-gctx.Done():
				return gctx.Err()
			}
		})
		return gctx.Err() == nil
	})
	if werr := g.Wait(); werr != nil {
		return werr
	}
	return errors.Join(err, ctx.Err())
}

func (s *Store) fault(ctx context.Context, f found, lapses bool) (storage.Fault, error) {
	fault := func(kind, detail string) (storage.Fault, error) {
		return storage.Fault{Name: f.rel, Kind: kind, Detail: detail}, nil
	}
	switch {
	case f.markers > 0:
		return fault(storage.FaultDeleted, f.check().Error())
	case f.versions > 1:
		return fault(storage.FaultForeign, f.check().Error())
	}
	info, err := s.head(ctx, f.rel)
	if missing(err) {
		return storage.Fault{}, nil // lawfully erased meanwhile
	}
	if errors.Is(err, storage.ErrForeign) {
		return fault(storage.FaultDeleted, err.Error())
	}
	if err != nil {
		return storage.Fault{}, fmt.Errorf("%q: %w", f.rel, explain(err))
	}
	if info.UserMetadata[tokenHeader] == "" {
		return fault(storage.FaultForeign, "no store has put it there (where it is named as a folder, MinIO lists nothing that lies in that)")
	}
	if s.o.Unlocked || lapses {
		return storage.Fault{}, nil
	}
	r, err := retention(info)
	switch soon := time.Now().Add(2 * s.o.Interval); {
	case err != nil:
		return fault(storage.FaultRetention, err.Error())
	case r.Until.IsZero():
		return fault(storage.FaultRetention, "no lock keeps it")
	case r.Until.Before(soon):
		return fault(storage.FaultRetention, fmt.Sprintf("its lock ends %s, sooner than in twice the interval of %v", r.Until.UTC().Format(time.RFC3339), s.o.Interval))
	}
	return storage.Fault{}, nil
}

// everything skips nothing.
func everything(string) string { return "" }
