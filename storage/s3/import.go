package s3

import (
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/hashing"
	"holdfast/storage"
)

// importers is how many files of one Import are spooled ahead of the one that is
// written.
const importers = 8

// arrival is an Incoming in the spool, on its way or there.
type arrival struct {
	rel   string
	sp    *spool
	c     content
	taken bool
	err   error
	done  chan struct{}
}

// Import implements [storage.Importer]: files are read, hashed and looked for side by
// side, and written one after the other, since that is their order. Each is durable
// when it is written.
func (s *Store) Import(ctx context.Context, in []storage.Incoming) (int64, error) {
	n, err := s.takeIn(ctx, in)
	if err != nil {
		return n, s.note(fmt.Errorf("import %d files: %w", len(in), err))
	}
	return n, nil
}

func (s *Store) takeIn(ctx context.Context, in []storage.Incoming) (total int64, err error) {
	if len(in) > storage.MaxImport {
		return 0, fmt.Errorf("at most %d are taken in one call", storage.MaxImport)
	}
	if err := s.writable(ctx); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ahead := s.arrive(ctx, in)
	defer func() { // none is left in the spool, whatever happened
		cancel()
		for a := range ahead {
			<-a.done
			a.drop()
		}
	}()
	for a := range ahead {
		<-a.done
		n, err := s.settle(ctx, a)
		a.drop()
		total += n
		if err != nil {
			return total, fmt.Errorf("%q: %w", a.rel, err)
		}
	}
	return total, ctx.Err()
}

// arrive spools the files, some ahead of whoever takes them from the channel, in
// order.
func (s *Store) arrive(ctx context.Context, in []storage.Incoming) <-chan *arrival {
	ahead := make(chan *arrival, importers)
	go func() {
		defer close(ahead)
		for i := range in {
			a := &arrival{done: make(chan struct{})}
			select {
			case ahead <- a:
			case <-ctx.Done():
				return
			}
			go func() {
				defer close(a.done)
				a.err = s.spoolIn(ctx, &in[i], a)
			}()
		}
	}()
	return ahead
}

func (s *Store) spoolIn(ctx context.Context, i *storage.Incoming, a *arrival) (err error) {
	if a.rel, err = keyOf(storage.Key{Name: i.Name, Digest: deref(i.Digest)}); err != nil {
		return err
	}
	if i.Name != "" {
		if a.taken, err = s.look(ctx, i.Name); err != nil {
			return err
		}
	}
	r, err := i.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if a.sp, err = s.spool(); err != nil {
		return err
	}
	if _, err = io.CopyBuffer(a.sp, ctxReader{ctx, r}, make([]byte, 64<<10)); err != nil {
		return err
	}
	a.c = a.sp.content()
	if i.Digest != nil && a.c.digest != *i.Digest {
		return fmt.Errorf("bytes are %s, not %s: %w", a.c.digest, *i.Digest, hashing.ErrMismatch)
	}
	return nil
}

func deref(d *hashing.Digest) (v hashing.Digest) {
	if d != nil {
		v = *d
	}
	return v
}

// keyOf returns where a Key lies.
func keyOf(k storage.Key) (string, error) {
	if k.Name != "" {
		return k.Name, storage.CheckName(k.Name)
	}
	if k.Digest.IsZero() {
		return "", fmt.Errorf("no name and no digest: %w", storage.ErrName)
	}
	return objectKey(k.Digest), nil
}

func (s *Store) settle(ctx context.Context, a *arrival) (int64, error) {
	if a.err != nil {
		return 0, a.err
	}
	taken, err := a.taken, error(nil)
	if !taken {
		taken, err = s.settleNew(ctx, a)
	}
	if err != nil {
		return 0, err
	}
	if !taken {
		return a.c.size, nil
	}
	err = s.compare(ctx, a.rel, "", a.c)
	if errors.Is(err, hashing.ErrMismatch) {
		err = fmt.Errorf("it is there with other bytes: %w", storage.ErrExists)
	}
	return 0, err
}

func (s *Store) settleNew(ctx context.Context, a *arrival) (taken bool, err error) {
	if a.rel == objectKey(a.c.digest) { // names have been looked for
		if taken, err = s.is(ctx, a.rel); err != nil || taken {
			return taken, err
		}
	}
	return s.commitName(ctx, a.rel, a.c)
}

func (a *arrival) drop() {
	if a.sp != nil {
		a.sp.drop()
	}
}
