package mirror

import (
	"context"
	"errors"
	"io"
	"iter"
	"syscall"

	"holdfast/hashing"
	"holdfast/storage"
)

// importBytes is about how much is written between two waits for the disk.
const importBytes = 256 << 20

// load collects files until there are enough for one Import.
type load struct {
	c     *Copier
	files []storage.Incoming
	bytes int64
}

func (l *load) add(ctx context.Context, in storage.Incoming, size int64) error {
	l.files, l.bytes = append(l.files, in), l.bytes+size
	if len(l.files) < storage.MaxImport && l.bytes < importBytes {
		return nil
	}
	return l.flush(ctx)
}

func (l *load) flush(ctx context.Context) error {
	if len(l.files) == 0 {
		return nil
	}
	n, err := l.c.To.Import(ctx, l.files)
	l.c.bytes += n
	if damaged(err) && ctx.Err() == nil {
		err = l.singly(ctx)
	} else if err == nil {
		l.c.files += int64(len(l.files))
	}
	if err != nil {
		return err
	}
	l.files, l.bytes = l.files[:0], 0
	if l.c.Told != nil {
		l.c.Told(l.c.files, l.c.bytes)
	}
	return nil
}

// damaged reports whether one file of many could not be read or has decayed,
// which must not keep the others from being copied.
func damaged(err error) bool {
	return errors.Is(err, hashing.ErrMismatch) || errors.Is(err, storage.ErrForeign) || errors.Is(err, syscall.EIO)
}

// singly copies what can be copied, file by file, and says of each other one.
func (l *load) singly(ctx context.Context) error {
	for _, in := range l.files {
		n, err := l.c.To.Import(ctx, []storage.Incoming{in})
		l.c.bytes += n
		switch {
		case err == nil:
			l.c.files++
		case errors.Is(err, storage.ErrStopped) || !damaged(err):
			return err
		case in.Name != "":
			l.c.Problem(in.Name, err)
		default:
			l.c.Problem(in.Digest.String(), err)
		}
	}
	return nil
}

// Run carries out what Look has decided, after the Objects, which it lists itself.
// An error other than a Problem has cut it short: look and run again.
func (c *Copier) Run(ctx context.Context) error {
	l := &load{c: c}
	if err := c.objects(ctx, l); err != nil {
		return err
	}
	for _, step := range [][]storage.Entry{c.plan.packs, c.plan.erased, c.plan.parts, c.plan.tiles, c.plan.points, c.plan.proofs} {
		for _, e := range step {
			in := storage.Incoming{Name: e.Name, Open: func() (io.ReadCloser, error) {
				f, err := c.From.OpenName(ctx, e.Name)
				if err != nil {
					return nil, err
				}
				return sectioned{io.NewSectionReader(f, 0, f.Size()), f}, nil
			}}
			if d, ok := c.plan.digests[e.Name]; ok {
				in.Digest = &d
			}
			if err := l.add(ctx, in, e.Size); err != nil {
				return err
			}
		}
	}
	if err := l.flush(ctx); err != nil {
		return err
	}
	return c.erase(ctx)
}

type sectioned struct {
	io.Reader
	io.Closer
}

func (c *Copier) objects(ctx context.Context, l *load) error {
	next, stop := iter.Pull2(c.To.Objects(ctx))
	defer stop()
	have, herr, ok := next()
	for e, err := range c.From.Objects(ctx) {
		if errors.Is(err, storage.ErrForeign) {
			c.Problem("objects", err)
			continue
		}
		if err != nil {
			return err
		}
		for ok && herr == nil && have.Digest.Compare(e.Digest) < 0 {
			have, herr, ok = next()
		}
		if herr != nil {
			return herr
		}
		if ok && have.Digest == e.Digest {
			if err := c.sameObject(ctx, e, have); err != nil {
				c.Problem(e.Digest.String(), err)
			}
			continue
		}
		in := storage.Incoming{Digest: &e.Digest, Open: func() (io.ReadCloser, error) { return c.openObject(ctx, e.Digest) }}
		if err := l.add(ctx, in, e.Size); err != nil {
			return err
		}
	}
	return l.flush(ctx)
}

// openObject leaves the hashing to the target, where the source can.
func (c *Copier) openObject(ctx context.Context, d hashing.Digest) (io.ReadCloser, error) {
	if from, ok := c.From.(unreadOpener); ok {
		return from.OpenUnread(d)
	}
	r, _, err := c.From.Open(ctx, d)
	return r, err
}
