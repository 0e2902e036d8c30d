package mirror

import (
	"context"
	"errors"
	"fmt"

	"holdfast/storage"
)

// lookErased takes the tombstones of the source, and decides what the target loses with
// them. A tombstone alone is not believed: whoever can remove a file of the source can
// write one, and the copy is what that file is brought back from. So nothing leaves the
// target but what Ordered has found a sealed order for, whose Seal the copy has too.
func (c *Copier) lookErased(ctx context.Context) error {
	c.plan.gone = map[string]string{}
	err := storage.EachTombstone(ctx, c.From, c.Problem, func(t *storage.Tombstone) error {
		if t.New != nil {
			c.plan.gone[t.Name] = t.New.Name
			c.plan.digests[t.New.Name] = t.New.Digest
		}
		c.plan.tombs = append(c.plan.tombs, t)
		return nil
	})
	if err != nil {
		return err
	}
	return c.both(ctx, storage.ErasedPrefix, func(e storage.Entry, there bool) error {
		if !there {
			c.plan.erased = append(c.plan.erased, e)
		}
		return nil
	})
}

// packNow is the name under which a pack of the source lies now.
func (c *Copier) packNow(name string) string {
	for range len(c.plan.gone) {
		next, ok := c.plan.gone[name]
		if !ok {
			break
		}
		name = next
	}
	return name
}

// erase takes out of the target what the source has lost by order. It is the last thing
// of a run: all that stands in its place is there. A crash leaves some of it, which the
// next run finds by the same tombstones.
func (c *Copier) erase(ctx context.Context) error {
	to, ok := c.To.(storage.Eraser)
	if !ok || c.Ordered == nil {
		return nil
	}
	for _, t := range c.plan.tombs {
		k := storage.Key{Name: t.Name}
		if t.New == nil {
			if len(t.Erased) != 1 || storage.ObjectName(t.Erased[0]) != t.Name {
				c.Problem(storage.TombstoneName(t.Name), fmt.Errorf("it is not of the object that it lies beside: %w", storage.ErrTombstone))
				continue
			}
			k = storage.Key{Digest: t.Erased[0]}
			has, err := c.From.Has(ctx, k.Digest)
			if err != nil {
				return err
			}
			if has { // a lock keeps it yet, or it was captured again
				continue
			}
		}
		if !c.plan.kept[t.Seal] {
			continue // the next run has it
		}
		there, err := c.targetHas(ctx, k)
		if err != nil || !there {
			if err != nil {
				return err
			}
			continue
		}
		if err := c.Ordered(ctx, t); err != nil {
			if ctx.Err() != nil {
				return err
			}
			c.Problem(storage.TombstoneName(t.Name), fmt.Errorf("nothing was erased for it here: %w", err))
			continue
		}
		locked := (*storage.LockedError)(nil)
		switch err := to.Erase(ctx, k); {
		case err == nil:
		case c.Locked != nil && errors.As(err, &locked) && !locked.Hold:
			c.Locked(locked)
			continue
		default:
			c.Problem(k.String(), err)
			continue
		}
		c.erasedHere++
	}
	return nil
}

func (c *Copier) targetHas(ctx context.Context, k storage.Key) (bool, error) {
	if k.Name == "" {
		return c.To.Has(ctx, k.Digest)
	}
	f, err := c.To.OpenName(ctx, k.Name)
	if err != nil {
		return false, missing(err)
	}
	return true, f.Close()
}
