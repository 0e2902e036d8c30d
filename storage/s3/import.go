package s3

import (
	"context"
	"errors"
	"fmt"
	"io"

	"holdfast/hashing"
	"holdfast/storage"
)

// importers is how many files of one Import are on their way at once. Those behind the
// first may fill half of the spool, however large they are, and wait then.
const importers = 16

// arrival is an Incoming in the spool, on its way or there.
type arrival struct {
	rel   string
	sp    *spool
	c     content
	taken bool
	kept  bool // an Object is written at once
	err   error
	turn  chan struct{} // closed when all ahead of it are written
	done  chan struct{}
}

// Import implements [storage.Importer]: files are read, hashed and looked for side by
// side. Objects are written at once, names one after the other, each when all ahead of
// it is. Each is durable when it is written.
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
		close(a.turn)
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

// arrive begins the files, some ahead of whoever takes them from the channel, in order.
func (s *Store) arrive(ctx context.Context, in []storage.Incoming) <-chan *arrival {
	ahead := make(chan *arrival, importers)
	go func() {
		defer close(ahead)
		for i := range in {
			a := &arrival{turn: make(chan struct{}), done: make(chan struct{})}
			select {
			case ahead <- a:
			case <-ctx.Done():
				return
			}
			go func() {
				defer close(a.done)
				if a.err = s.spoolIn(ctx, &in[i], a); a.err == nil && in[i].Name == "" {
					a.err = s.keepArrival(ctx, a)
				}
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
		a.taken, err = s.look(ctx, i.Name)
	} else {
		a.taken, err = s.is(ctx, a.rel)
	}
	if err != nil {
		return err
	}
	r, err := i.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	if a.sp, err = s.spool(); err != nil {
		return err
	}
	if _, err = io.CopyBuffer(a.sp, &turnReader{ctx: ctx, r: r, left: s.o.MaxSpool / (2 * importers), turn: a.turn}, make([]byte, 64<<10)); err != nil {
		return err
	}
	a.c = a.sp.content()
	if i.Digest != nil && a.c.digest != *i.Digest {
		return fmt.Errorf("bytes are %s, not %s: %w", a.c.digest, *i.Digest, hashing.ErrMismatch)
	}
	return nil
}

// turnReader reads left bytes and a little more, and the rest when it is its turn.
type turnReader struct {
	ctx  context.Context
	r    io.Reader
	left int64
	turn <-chan struct{}
}

func (t *turnReader) Read(p []byte) (int, error) {
	if t.left <= 0 {
		select {
		case <-t.turn:
		case <-t.ctx.Done():
		}
	}
	n, err := ctxReader{t.ctx, t.r}.Read(p)
	t.left -= int64(n)
	return n, err
}

func (s *Store) keepArrival(ctx context.Context, a *arrival) (err error) {
	if !a.taken {
		a.taken, err = s.commit(ctx, a.rel, a.c)
		a.kept = err == nil
	}
	return err
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

func (s *Store) settle(ctx context.Context, a *arrival) (n int64, err error) {
	if a.err != nil {
		return 0, a.err
	}
	if !a.taken && !a.kept {
		if a.taken, err = s.commitName(ctx, a.rel, a.c); err != nil {
			return 0, err
		}
	}
	if !a.taken {
		return a.c.size, nil
	}
	err = s.compare(ctx, a.rel, "", a.c)
	if errors.Is(err, hashing.ErrMismatch) {
		err = fmt.Errorf("it is there with other bytes: %w", storage.ErrExists)
	}
	return 0, err
}

func (a *arrival) drop() {
	if a.sp != nil {
		a.sp.drop()
	}
}
