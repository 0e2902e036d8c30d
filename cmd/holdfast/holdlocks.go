package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
	"holdfast/storage"
)

// lockCase puts the legal hold of a store that has one on all that belongs to a Case, or
// takes it off what no other Case under a hold has. It may be done again: `hold` does,
// each time, and so does `holdfast locks`, for what has come since. A kill leaves some of
// it; that nothing is erased does not rest on it, but on the line.
func (n *node) lockCase(ctx context.Context, cs catalog.Case, on bool) (keys int, err error) {
	s, ok := n.store.(storage.Retainer)
	if !ok {
		return 0, nil
	}
	stays := map[storage.Key]bool{}
	if !on {
		for other, err := range n.cat.Cases(ctx) {
			if err == nil && other.Record.Hold && other.ID != cs.ID {
				err = n.keysOf(ctx, other.ID, func(k storage.Key) error { stays[k] = true; return nil })
			}
			if err != nil {
				return 0, err
			}
		}
	}
	err = n.keysOf(ctx, cs.ID, func(k storage.Key) error {
		if stays[k] {
			return nil
		}
		err := s.SetHold(ctx, k, on)
		if errors.Is(err, fs.ErrNotExist) { // erased by order
			return nil
		}
		keys++
		return err
	})
	if err != nil {
		return keys, fmt.Errorf("the hold of case %s is in the custody and counts; the store's own legal holds are not all set: %w; run it again", cs.ID, err)
	}
	return keys, nil
}

// keysOf yields the packs and the Objects of their own of all that belongs to a Case
// and is sealed, each once for a Seal or a capture.
func (n *node) keysOf(ctx context.Context, id holdfast.ID, yield func(storage.Key) error) error {
	packs, read := map[string]bool{}, n.kept()
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Member: id, Kind: holdfast.KindCapture}) {
		if err != nil {
			return err
		}
		if cp.Seal == "" || cp.State == pipeline.StatePending {
			continue
		}
		name, err := storage.FollowPack(ctx, n.store, holdfast.PackName(cp.Case, cp.Seal))
		if err != nil {
			return err
		}
		if !packs[name] {
			packs[name] = true
			if err := yield(storage.Key{Name: name}); err != nil {
				return err
			}
		}
		raw, _, err := read.Manifest(ctx, cp.ID)
		if err != nil {
			return err
		}
		m, err := holdfast.ParseManifest(raw)
		if err != nil {
			return err
		}
		for _, o := range m.Objects {
			if o.Size <= pipeline.MaxInline { // it may ride in the pack
				has, err := n.store.Has(ctx, o.Digest)
				if err != nil {
					return err
				}
				if !has {
					continue
				}
			}
			if err := yield(storage.Key{Digest: o.Digest}); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockHeld does it for every Case under a hold.
func (n *node) lockHeld(ctx context.Context) error {
	for cs, err := range n.cat.Cases(ctx) {
		if err == nil && cs.Record.Hold {
			_, err = n.lockCase(ctx, cs, true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
