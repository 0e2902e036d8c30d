package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage/file"
)

// carry finishes the Seals that the old node had planned and not yet logged:
// their queue is gone, so nobody else would. The store has all that is needed,
// because a mirror takes a plan only with its packs.
func (r *restoring) carry(ctx context.Context, n *node) error {
	open, err := unlogged(ctx, n.store)
	if err != nil || len(open) == 0 {
		return err
	}
	unlock, err := lockFile(ctx, n.path("preserve.lock"))
	if err != nil {
		return err
	}
	s, err := n.startSealing(ctx, unlock)
	if err != nil {
		return err
	}
	defer s.Close()
	var bad []error
	for _, p := range open {
		items, err := packedItems(ctx, n.store, p)
		if err == nil {
			var o preserve.Outcome
			if o, err = s.sealer.Carry(ctx, p, items); err == nil && o.Seal != "" {
				err = n.announce(ctx, o)
			}
		}
		if err != nil {
			bad = append(bad, err)
		}
	}
	return errors.Join(errors.Join(bad...), n.refresh(ctx))
}

// unlogged lists the plans that have captures and no inclusion.
func unlogged(ctx context.Context, store *file.Store) (open []*holdfast.Plan, err error) {
	logged := map[string]bool{}
	for e, err := range store.List(ctx, "seals/") {
		if err != nil {
			return nil, err
		}
		seal, part, _ := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if strings.HasPrefix(part, "inclusion/") {
			logged[seal] = true
		}
	}
	err = eachPlan(ctx, store, func(p *holdfast.Plan) error {
		if !logged[p.Seal] && len(p.Captures) > 0 {
			open = append(open, p)
		}
		return nil
	})
	return open, err
}

// packedItems reads a plan's captures back from its packs, as the queue had them.
func packedItems(ctx context.Context, store *file.Store, p *holdfast.Plan) ([]preserve.Item, error) {
	at := map[hashing.Digest]holdfast.Planned{}
	for _, c := range p.Captures {
		at[c.Manifest] = c
	}
	var items []preserve.Item
	for _, k := range p.Packs {
		small, err := packed(ctx, store, k.Name)
		if err != nil {
			return nil, fmt.Errorf("read pack %s: %w", k.Name, err)
		}
		for d, b := range small {
			c, ok := at[d]
			if !ok {
				continue
			}
			m, err := holdfast.ParseManifest(b)
			if err != nil {
				return nil, fmt.Errorf("read pack %s: %w", k.Name, err)
			}
			it := preserve.Item{Position: c.Position, ID: c.ID, Case: k.Case, Manifest: b}
			for _, o := range m.Objects {
				if b, ok := small[o.Digest]; ok {
					it.Small = append(it.Small, preserve.Small{Digest: o.Digest, Bytes: b})
				}
			}
			items = append(items, it)
		}
	}
	return items, nil
}

// maxPacked bounds what one pack may hold in memory: a batch has 16 MiB inline,
// and as much again in Manifests.
const maxPacked = 256 << 20

func packed(ctx context.Context, store *file.Store, name string) (map[hashing.Digest][]byte, error) {
	f, err := store.OpenName(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > maxPacked {
		return nil, fmt.Errorf("%d bytes, no pack is larger than %d: %w", f.Size(), maxPacked, fs.ErrInvalid)
	}
	z, err := zip.NewReader(f, f.Size())
	if err != nil {
		return nil, err
	}
	out := make(map[hashing.Digest][]byte, len(z.File))
	for _, e := range z.File {
		d, err := hashing.ParseHex(e.Name)
		if err != nil {
			return nil, err
		}
		r, err := e.Open()
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(io.LimitReader(r, maxPacked))
		r.Close()
		if err != nil {
			return nil, err
		}
		if hashing.Of(b) != d {
			return nil, fmt.Errorf("entry %s: %w", e.Name, hashing.ErrMismatch)
		}
		out[d] = b
	}
	return out, nil
}
