package s3

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sync"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"holdfast/hashing"
	"holdfast/storage"
)

// atOnce is how many questions of one call are asked side by side.
const atOnce = 16

// Create implements [storage.Creator].
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	return s.CreateFunc(ctx, name, func(w io.Writer) error {
		_, err := io.Copy(w, ctxReader{ctx, r})
		return err
	})
}

// CreateFunc implements [storage.Creator].
func (s *Store) CreateFunc(ctx context.Context, name string, write func(io.Writer) error) error {
	taken, err := s.create(ctx, name, write)
	if err == nil && taken {
		err = storage.ErrExists
	}
	if err != nil {
		return s.note(fmt.Errorf("create %q: %w", name, err))
	}
	return nil
}

func (s *Store) create(ctx context.Context, name string, write func(io.Writer) error) (taken bool, err error) {
	if err := errors.Join(storage.CheckName(name), s.writable(ctx)); err != nil {
		return false, err
	}
	if taken, err := s.look(ctx, name); err != nil || taken {
		return taken, err
	}
	sp, err := s.spool()
	if err != nil {
		return false, err
	}
	defer sp.drop() // also when write panics
	w := bufio.NewWriterSize(sp, 64<<10)
	if err := write(w); err != nil {
		return false, err
	}
	if err := w.Flush(); err != nil {
		return false, err
	}
	return s.commitName(ctx, name, sp.content())
}

func (s *Store) commitName(ctx context.Context, name string, c content) (taken bool, err error) {
	taken, err = s.commit(ctx, name, c)
	if err == nil {
		s.folders.add(parents(name))
	}
	return taken, err
}

// look reports whether name is taken. It is storage.ErrName if name is the folder of
// another one, or the converse, and storage.ErrForeign if somebody took it out of
// sight. S3 has no folders, so nothing but this keeps them apart; two calls that
// create a name and its folder at once are not: List finds that.
func (s *Store) look(ctx context.Context, name string) (taken bool, err error) {
	if taken, err := s.is(ctx, name); err != nil || taken {
		return taken, err
	}
	for _, p := range parents(name) {
		if s.folders.has(p) {
			continue
		}
		if taken, err := s.is(ctx, p); err != nil || taken {
			return false, errors.Join(err, notFolder(taken, p))
		}
	}
	for info := range s.read.ListObjectsIter(ctx, s.o.Bucket, minio.ListObjectsOptions{Prefix: s.key(name) + "/", Recursive: true, MaxKeys: 1}) {
		if info.Err != nil {
			return false, explain(info.Err)
		}
		return false, notFolder(true, name)
	}
	return false, ctx.Err()
}

func (s *Store) is(ctx context.Context, name string) (bool, error) {
	_, err := s.head(ctx, name)
	if missing(err) {
		return false, nil
	}
	return err == nil, errors.Join(ctx.Err(), explain(err))
}

func notFolder(clash bool, name string) error {
	if !clash {
		return nil
	}
	return fmt.Errorf("%q: a name cannot be the folder of another: %w", name, storage.ErrName)
}

// parents are the folders of a name, the nearest first.
func parents(name string) (ps []string) {
	for p := path.Dir(name); p != "."; p = path.Dir(p) {
		ps = append(ps, p)
	}
	return ps
}

// CreateAll implements [storage.Creator]: all questions at once, then one key after
// the other, since a later one may be seen only after an earlier one.
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
	taken := make([]bool, len(items))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, it := range items {
		g.Go(func() (err error) {
			taken[i], err = s.look(gctx, it.Name)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, it := range items {
		if !taken[i] {
			if taken[i], err = s.commitName(ctx, it.Name, inMemory(it.Data)); err != nil {
				return nil, fmt.Errorf("%q: %w", it.Name, err)
			}
		}
		if taken[i] {
			exist = append(exist, it.Name)
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
	for _, it := range items {
		for _, p := range parents(it.Name) {
			if seen[p] {
				return notFolder(true, p)
			}
		}
	}
	return nil
}

// known is a bounded set of names that are folders, which they stay. Forgetting one
// costs a question, nothing else.
type known struct {
	mu sync.Mutex
	m  map[string]bool
}

const maxKnown = 4096

func (k *known) has(dir string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.m[dir]
}

func (k *known) add(dirs []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.m == nil || len(k.m)+len(dirs) > maxKnown {
		k.m = make(map[string]bool)
	}
	for _, d := range dirs {
		k.m[d] = true
	}
}

// forget is for an erasure, which may leave a folder without a name.
func (k *known) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.m = nil
}

// note keeps the first foreign thing met, for Accept, and returns err. Bytes that were
// read wrong are not kept: the line may have changed them.
func (s *Store) note(err error) error {
	if err != nil && errors.Is(err, storage.ErrForeign) && !errors.Is(err, hashing.ErrMismatch) {
		s.foreign.CompareAndSwap(nil, &err)
	}
	return err
}
