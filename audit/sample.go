package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"math/big"
	"strings"

	"holdfast/hashing"
	"holdfast/storage"
)

// sampled is one thing of the store: a Seal with all that is its, or an Object.
type sampled struct {
	seal   string
	object hashing.Digest
}

// Sample reads so many Seals and Objects, of each log its newest checkpoint and some
// tiles, every tombstone, and what a store says of its locks. What it draws from it
// lists by name; it holds n names.
func (a *Auditor) Sample(ctx context.Context, n int, at *State) error {
	if err := a.begin(ctx, at); err != nil {
		return err
	}
	picked, err := a.draw(ctx, n)
	if err != nil {
		return err
	}
	for _, p := range picked {
		if p.seal != "" {
			err = a.seal(ctx, p.seal, false)
		} else {
			err = a.object(ctx, p.object)
		}
		if err != nil {
			return err
		}
		a.tell()
	}
	for _, l := range a.Logs {
		if err := a.log(ctx, l, int64(n)); err != nil {
			return err
		}
	}
	if err := a.tombstones(ctx); err != nil {
		return err
	}
	if err := a.locks(ctx); err != nil {
		return err
	}
	at.Phase = "done"
	return nil
}

// draw is a reservoir: after k things each is in it with the chance n/k.
func (a *Auditor) draw(ctx context.Context, n int) (picked []sampled, err error) {
	seen := int64(0)
	take := func(s sampled) error {
		if seen++; len(picked) < n {
			picked = append(picked, s)
			return nil
		}
		k, err := rand.Int(rand.Reader, big.NewInt(seen))
		if err == nil && k.Int64() < int64(n) {
			picked[k.Int64()] = s
		}
		return err
	}
	last := ""
	for e, err := range a.Store.List(ctx, "seals/") {
		if errors.Is(err, storage.ErrForeign) {
			a.problem(Changed, e.Name, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		seal, _, _ := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		if seal == last {
			continue
		}
		last = seal
		if err := take(sampled{seal: seal}); err != nil {
			return nil, err
		}
	}
	for o, err := range a.Store.Objects(ctx) {
		if errors.Is(err, storage.ErrForeign) {
			a.problem(Changed, "objects", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := take(sampled{object: o.Digest}); err != nil {
			return nil, err
		}
	}
	return picked, nil
}
