package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"golang.org/x/sys/unix"

	"holdfast/hashing"
	"holdfast/storage"
	"holdfast/storage/file"
)

// importBytes is about how much is written between two waits for the disk.
const importBytes = 256 << 20

// load collects files until there are enough for one Import.
type load struct {
	c     *copier
	files []file.Incoming
	bytes int64
}

func (l *load) add(ctx context.Context, in file.Incoming, size int64) error {
	l.files, l.bytes = append(l.files, in), l.bytes+size
	if len(l.files) < file.MaxImport && l.bytes < importBytes {
		return nil
	}
	return l.flush(ctx)
}

func (l *load) flush(ctx context.Context) error {
	if len(l.files) == 0 {
		return nil
	}
	n, err := l.c.to.Import(ctx, l.files)
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
	if l.c.told != nil {
		l.c.told(l.c.files, l.c.bytes)
	}
	return nil
}

// damaged reports whether one file of many could not be read or has decayed,
// which must not keep the others from being copied.
func damaged(err error) bool {
	return errors.Is(err, hashing.ErrMismatch) || errors.Is(err, storage.ErrForeign) || errors.Is(err, unix.EIO)
}

// singly copies what can be copied, file by file, and says of each other one.
func (l *load) singly(ctx context.Context) error {
	for _, in := range l.files {
		n, err := l.c.to.Import(ctx, []file.Incoming{in})
		l.c.bytes += n
		switch {
		case err == nil:
			l.c.files++
		case errors.Is(err, storage.ErrStopped) || !damaged(err):
			return err
		case in.Name != "":
			l.c.problem(in.Name, err)
		default:
			l.c.problem(in.Digest.String(), err)
		}
	}
	return nil
}

// run carries out what look has decided.
func (c *copier) run(ctx context.Context) error {
	l := &load{c: c}
	if err := c.objects(ctx, l); err != nil {
		return err
	}
	for _, step := range [][]storage.Entry{c.plan.packs, c.plan.parts, c.plan.tiles, c.plan.points, c.plan.proofs} {
		for _, e := range step {
			in := file.Incoming{Name: e.Name, Open: func() (io.ReadCloser, error) {
				f, err := c.from.OpenName(ctx, e.Name)
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
	return l.flush(ctx)
}

type sectioned struct {
	io.Reader
	io.Closer
}

func (c *copier) objects(ctx context.Context, l *load) error {
	next, stop := iter.Pull2(c.to.Objects(ctx))
	defer stop()
	have, herr, ok := next()
	for e, err := range c.from.Objects(ctx) {
		if errors.Is(err, storage.ErrForeign) {
			c.problem("objects", err)
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
				c.problem(e.Digest.String(), err)
			}
			continue
		}
		in := file.Incoming{Digest: &e.Digest, Open: func() (io.ReadCloser, error) { return c.from.OpenUnread(e.Digest) }}
		if err := l.add(ctx, in, e.Size); err != nil {
			return err
		}
	}
	return l.flush(ctx)
}

func (c *copier) sameObject(ctx context.Context, a, b storage.ObjectEntry) error {
	if a.Size != b.Size {
		return fmt.Errorf("%d bytes, the copy has %d: one of them was changed", a.Size, b.Size)
	}
	if !c.check {
		return nil
	}
	for _, s := range []*file.Store{c.from, c.to} {
		r, _, err := s.Open(ctx, a.Digest)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
