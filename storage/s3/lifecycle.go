package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"holdfast/storage"
)

// checkLifecycle makes no store in a bucket whose own rules would hide, remove or move
// away what lies there: a lock keeps a version from being removed, but an expiry lays a
// delete marker over it at once, and the version goes when the lock has lapsed. A store
// that is there already is opened, and each start says so, as [Store.BucketFaults] does:
// a capture that is not made is lost for good, and what is hidden can be brought back.
//
// A server that has no such rules, or keys that may not ask for them, are told in the
// log: then nobody knows.
func (s *Store) checkLifecycle(ctx context.Context) error {
	found, err := s.lifecycleFaults(ctx)
	if err != nil {
		s.unasked(err)
		return ctx.Err()
	}
	if len(found) == 0 {
		return nil
	}
	if !s.o.Create {
		s.o.Log.Error("the bucket has lifecycle rules that take evidence out of sight or away: remove them now", "bucket", s.o.Bucket, "rules", strings.Join(found, "; "))
		return nil
	}
	return fmt.Errorf("the bucket has lifecycle rules that take evidence out of sight or away: %s (remove them; one that aborts unfinished uploads may stay)", strings.Join(found, "; "))
}

func (s *Store) unasked(err error) {
	s.o.Log.Warn("nobody knows whether a lifecycle rule of the bucket removes what lies there (let the keys do s3:GetLifecycleConfiguration)", "bucket", s.o.Bucket, "error", err)
}

// lifecycleFaults says of each rule that reaches this store what it does; errors of a
// server that is asked wrongly or too early are errors.
func (s *Store) lifecycleFaults(ctx context.Context) (found []string, err error) {
	c, err := s.read.GetBucketLifecycle(ctx, s.o.Bucket)
	if minio.ToErrorResponse(err).Code == "NoSuchLifecycleConfiguration" {
		return nil, nil
	}
	if err != nil {
		return nil, errors.Join(ctx.Err(), explain(err))
	}
	for i, r := range c.Rules {
		if !strings.EqualFold(r.Status, "Enabled") || !s.reaches(r) {
			continue
		}
		if what := harm(r); what != "" {
			name := r.ID
			if name == "" {
				name = fmt.Sprint("number ", i+1)
			}
			found = append(found, fmt.Sprintf("rule %.80q %s", name, what))
		}
	}
	return found, nil
}

// reaches reports whether a rule is about keys of this store. Tags and sizes narrow a
// rule and do not end it: who has the keys can set a tag.
func (s *Store) reaches(r lifecycle.Rule) bool {
	of := r.Prefix + r.RuleFilter.Prefix + r.RuleFilter.And.Prefix // one of them at most
	own := s.key("")
	return strings.HasPrefix(own, of) || strings.HasPrefix(of, own)
}

// harm is what a rule does to a key that should be there as it was written.
func harm(r lifecycle.Rule) string {
	switch {
	case !r.Expiration.IsDaysNull() || !r.Expiration.IsDateNull() || r.Expiration.DeleteAll.IsEnabled() || !r.AllVersionsExpiration.IsNull():
		return "expires keys"
	case !r.NoncurrentVersionExpiration.IsDaysNull() || r.NoncurrentVersionExpiration.NewerNoncurrentVersions > 0:
		return "removes older versions, which are the right ones where somebody has written over them"
	case !r.DelMarkerExpiration.IsNull():
		return "removes what lies under a delete marker"
	case !r.Transition.IsNull() || r.NoncurrentVersionTransition.StorageClass != "":
		return "moves keys to a class of storage that may not answer at once"
	}
	return ""
}

// BucketFaults are what is wrong with the bucket itself by now: its versions are
// suspended, or a lifecycle rule takes away what lies there.
func (s *Store) BucketFaults(ctx context.Context) (faults []storage.Fault, err error) {
	fault := func(detail string) {
		faults = append(faults, storage.Fault{Kind: storage.FaultBucket, Name: markerKey, Detail: detail})
	}
	if err := s.checkLocks(ctx); errors.Is(err, errLoose) {
		fault(err.Error())
	} else if err != nil {
		return nil, err
	}
	found, err := s.lifecycleFaults(ctx)
	if err != nil {
		s.unasked(err) // not let in, or not known to this server: the rest is told all the same
	}
	for _, what := range found {
		fault("the bucket's " + what)
	}
	return faults, ctx.Err()
}
