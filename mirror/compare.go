package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"holdfast/hashing"
	"holdfast/storage"
)

// both yields every name of from, and whether to has it, of the same size (and
// with check: the same bytes). Names that only `to` has are a problem: then it
// is not a copy of an older state of from.
func (c *Copier) both(ctx context.Context, prefix string, each func(e storage.Entry, there bool) error) error {
	next, stop := iter.Pull2(c.To.List(ctx, prefix))
	defer stop()
	have, herr, ok := next()
	for e, err := range c.From.List(ctx, prefix) {
		if errors.Is(err, storage.ErrForeign) {
			c.Problem(e.Name, err)
			continue
		}
		if err != nil {
			return err
		}
		for ok && herr == nil && have.Name < e.Name {
			c.extra(have.Name)
			have, herr, ok = next()
		}
		if herr != nil {
			return herr
		}
		there := ok && have.Name == e.Name
		if there {
			if err := c.same(ctx, e, have); err != nil {
				c.Problem(e.Name, err)
			}
			have, herr, ok = next()
		}
		if err := each(e, there); err != nil {
			return err
		}
	}
	for ; ok && herr == nil; have, herr, ok = next() {
		c.extra(have.Name)
	}
	return herr
}

func (c *Copier) extra(name string) {
	switch {
	case c.Shared:
	case c.plan.gone[name] != "": // erased by order in the source
	case c.After != nil && strings.HasPrefix(name, "seals/"):
		c.plan.only = append(c.plan.only, name) // what else there is of its Seal tells
	case !c.After.logged(name):
		c.Problem(name, ErrOnlyCopy)
	}
}

func (c *Copier) same(ctx context.Context, a, b storage.Entry) error {
	if a.Size != b.Size {
		return fmt.Errorf("%d bytes, the copy has %d: one of them was changed", a.Size, b.Size)
	}
	if !c.Check {
		return nil
	}
	x, err := nameDigest(ctx, c.From, a.Name)
	if err != nil {
		return err
	}
	y, err := nameDigest(ctx, c.To, a.Name)
	if err == nil && x != y {
		err = fmt.Errorf("%s, the copy has %s: one of them was changed", x, y)
	}
	return err
}

func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func nameDigest(ctx context.Context, s Source, name string) (hashing.Digest, error) {
	f, err := s.OpenName(ctx, name)
	if err != nil {
		return hashing.Digest{}, err
	}
	defer f.Close()
	d, _, err := hashing.Copy(io.Discard, io.NewSectionReader(f, 0, f.Size()))
	return d, err
}

func (c *Copier) sameObject(ctx context.Context, a, b storage.ObjectEntry) error {
	if a.Size != b.Size {
		return fmt.Errorf("%d bytes, the copy has %d: one of them was changed", a.Size, b.Size)
	}
	if !c.Check {
		return nil
	}
	for _, s := range []Source{c.From, c.To} {
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
