package restore

import (
	"context"
	"fmt"

	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/mirrors"
	"holdfast/mirror"
	"holdfast/storage/file"
	"holdfast/storage/s3"
)

// shelf opens what lies beside the store of the mirror. Nothing is written there.
func (r *Restore) shelf(ctx context.Context) (mirror.Shelf, error) {
	if engineset.KindOf(r.at) == engineset.KindS3 {
		s, err := r.bucketOf(ctx)
		if err != nil {
			return nil, err
		}
		return mirror.OpenVersions(ctx, s, "")
	}
	d := mirror.Dir(r.at)
	if err := d.CheckLinks(); err != nil {
		return nil, err
	}
	switch ok, err := mirror.Apart(r.at, r.Dir); {
	case err != nil:
		return nil, err
	case !ok:
		return nil, engineset.Usage("--data: the new node must lie outside the mirror")
	}
	return d, nil
}

// bucketOf opens the bucket of the mirror, once.
func (r *Restore) bucketOf(ctx context.Context) (*s3.Store, error) {
	if r.bucket != nil {
		return r.bucket, nil
	}
	s, err := mirrors.OpenBucket(ctx, r.at, "", r.Log, mirrors.ToRead)
	if err == nil {
		r.bucket = s
	}
	return s, err
}

// fromStore opens the store of a mirror. The caller closes it.
func (r *Restore) fromStore(ctx context.Context, at, id string) (engineset.Store, error) {
	if engineset.KindOf(at) == engineset.KindS3 {
		s, err := mirrors.OpenBucket(ctx, at, id, r.Log, mirrors.ToRead)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	s, err := file.Open(mirror.Dir(at).Path("store"), file.Options{ReadOnly: true})
	if err != nil {
		return nil, err // not s: a nil *file.Store in an interface is no nil
	}
	return s, nil
}

// others copies the stores of the mirrors of other nodes that shared the lost store:
// each is a state of that same store, and together they are the newest that there is.
// It is done before anything is finished, or published again, by what one of them lacks.
func (r *Restore) others(ctx context.Context, to mirror.Target) error {
	for _, at := range r.o.With {
		if err := r.other(ctx, at, to); err != nil {
			return fmt.Errorf("copy mirror %s: %w", at, err)
		}
	}
	return nil
}

func (r *Restore) other(ctx context.Context, at string, to mirror.Target) error {
	from, err := r.fromStore(ctx, at, "")
	if err != nil {
		return err
	}
	defer from.Close()
	k := &mirror.Copier{From: from, To: to, Shared: true, Problem: r.Problem}
	if err := k.Look(ctx); err != nil {
		return err
	}
	return k.Run(ctx)
}

// mirrorID is the id of the mirror's store, where it is a bucket.
func (r *Restore) mirrorID() string {
	if r.bucket == nil {
		return ""
	}
	return r.bucket.ID()
}
