package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"holdfast/hashing"
	"holdfast/storage"
)

// found is all that a bucket has under one key.
type found struct {
	rel      string
	size     int64     // of the newest version
	modified time.Time // when that was written
	versions int
	markers  int // delete markers
}

// check returns nil if the key is as the store made it: one version, and in sight.
func (f found) check() error {
	switch {
	case f.markers > 0:
		return hidden(f.rel)
	case f.versions > 1:
		return foreign(f.rel, fmt.Sprintf("%d versions: somebody wrote over it (the oldest is the store's own; remove the others)", f.versions))
	}
	return nil
}

// each visits what begins with prefix and comes after a name (or ""), by key, without
// what skip names, until visit returns false. Everything is seen: older versions and delete markers too. It holds
// two answers of 1,000 versions.
func (s *Store) each(ctx context.Context, prefix, after string, skip func(rel string) (until string), visit func(found) bool) error {
	if after != "" {
		after = s.key(after)
	}
	for {
		next, err := s.eachAfter(ctx, prefix, after, skip, visit)
		if err != nil || next == "" {
			return err
		}
		after = next
	}
}

// eachAfter visits what comes after a key; it returns the key from which to go on
// where skip said so.
func (s *Store) eachAfter(ctx context.Context, prefix, after string, skip func(string) string, visit func(found) bool) (next string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o := minio.ListObjectsOptions{Prefix: s.key(prefix), Recursive: true, WithVersions: true, StartAfter: after, MaxKeys: pageSize}
	var f found
	for info := range inOrder(s.read.ListObjectsIter(ctx, s.o.Bucket, o)) {
		if info.Err != nil {
			return "", explain(info.Err)
		}
		rel := strings.TrimPrefix(info.Key, s.key(""))
		if rel != f.rel {
			if f.rel != "" && !visit(f) {
				return "", nil
			}
			if until := skip(rel); until != "" {
				return s.key(until), ctx.Err()
			}
			f = found{rel: rel}
		}
		f.add(info)
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if f.rel != "" {
		visit(f)
	}
	return "", nil
}

func (f *found) add(info minio.ObjectInfo) {
	if info.IsDeleteMarker {
		f.markers++
		return
	}
	if f.versions == 0 {
		f.size, f.modified = info.Size, info.LastModified
	}
	f.versions++
}

// List implements [storage.Lister].
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[storage.Entry, error] {
	return s.ListAfter(ctx, prefix, "")
}

// ListAfter implements [storage.AfterLister].
func (s *Store) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		if err := storage.CheckPrefix(prefix); err != nil {
			yield(storage.Entry{Name: prefix}, fmt.Errorf("list: %w", err))
			return
		}
		switch { // some servers refuse to begin outside prefix
		case after <= prefix && !strings.HasPrefix(after, prefix):
			after = ""
		case !strings.HasPrefix(after, prefix):
			return
		}
		var above []string // names seen with which the next one begins
		err := s.each(ctx, prefix, after, reserved, func(f found) bool {
			if f.rel <= after && after != "" { // some servers begin with after itself
				return true
			}
			if storage.Reserved(first(f.rel)) && strings.Contains(f.rel, "/") {
				return true
			}
			for len(above) > 0 && !strings.HasPrefix(f.rel, above[len(above)-1]) {
				above = above[:len(above)-1]
			}
			err := checkName(f, above)
			above = append(above, f.rel)
			if err != nil {
				return yield(storage.Entry{Name: f.rel}, s.note(fmt.Errorf("list %q: %w", f.rel, err)))
			}
			return yield(storage.Entry{Name: f.rel, Size: f.size}, nil)
		})
		if err != nil {
			yield(storage.Entry{Name: prefix}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

// reserved leaps over the store's own folders: the Objects may be many.
func reserved(rel string) (until string) {
	if f := first(rel); storage.Reserved(f) && strings.HasPrefix(rel, f+"/") && rel < f+"/~" {
		return f + "/~"
	}
	return ""
}

func first(rel string) string {
	f, _, _ := strings.Cut(rel, "/")
	return f
}

func checkName(f found, above []string) error {
	if storage.CheckName(f.rel) != nil {
		return foreign(f.rel, "no store makes such a name")
	}
	for _, a := range above {
		if strings.HasPrefix(f.rel, a+"/") {
			return foreign(f.rel, fmt.Sprintf("%q is a name, and cannot be its folder", a))
		}
	}
	return f.check()
}

// Objects implements [storage.ObjectLister].
func (s *Store) Objects(ctx context.Context) iter.Seq2[storage.ObjectEntry, error] {
	return func(yield func(storage.ObjectEntry, error) bool) {
		err := s.each(ctx, "objects/", "", everything, func(f found) bool {
			if f.rel == markerKey {
				return true
			}
			d, err := hashing.ParseHex(path.Base(f.rel))
			if err != nil || objectKey(d) != f.rel {
				err = foreign(f.rel, "not an Object's name")
			} else {
				err = f.check()
			}
			if err != nil {
				return yield(storage.ObjectEntry{Digest: d}, s.note(fmt.Errorf("list objects: %w", err)))
			}
			return yield(storage.ObjectEntry{Digest: d, Size: f.size}, nil)
		})
		if err != nil {
			yield(storage.ObjectEntry{}, fmt.Errorf("list objects: %w", errors.Join(ctx.Err(), err)))
		}
	}
}
