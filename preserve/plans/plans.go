package plans

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
	"holdfast/storage"
)

// ErrUnsound is wrapped where a plan or a pack is not what its name says.
var ErrUnsound = errors.New("damaged, or not what holdfast wrote")

// ForGood reports whether an error will come again.
func ForGood(err error) bool {
	for _, is := range []error{ErrUnsound, hashing.ErrMismatch, storage.ErrForeign, preserve.ErrPlan, preserve.ErrItems, preserve.ErrContradicted} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// Read reads one plan, by its name in the store; an error that wraps [ErrUnsound] if it is
// there and is none.
func Read(ctx context.Context, store storage.Store, name string) (*holdfast.Plan, error) {
	b, err := store.ReadName(ctx, name, holdfast.MaxDocument)
	if err != nil {
		return nil, err
	}
	p, err := holdfast.ParsePlan(b)
	if err != nil {
		err = fmt.Errorf("read %s: %w: %w", name, ErrUnsound, err)
	}
	return p, err
}

// Unlogged lists the Seals that have a plan with captures, and no inclusion.
func Unlogged(ctx context.Context, store storage.Store) (open []string, err error) {
	last := "" // the newest inclusion that went by; it comes before its plan
	for e, err := range store.List(ctx, "seals/") {
		seal, part, _ := strings.Cut(strings.TrimPrefix(e.Name, "seals/"), "/")
		switch {
		case errors.Is(err, storage.ErrForeign): // the catalog's fold says so, as of an unsound plan
		case err != nil:
			return nil, err
		case strings.HasPrefix(part, "inclusion/"):
			last = seal
		case part == "plan.json" && last != seal:
			p, err := Read(ctx, store, e.Name)
			if err != nil && !errors.Is(err, ErrUnsound) {
				return nil, err
			}
			if err == nil && len(p.Captures) > 0 {
				open = append(open, seal)
			}
		}
	}
	return open, nil
}

// Items reads a plan's captures back from its packs, as the queue had them.
func Items(ctx context.Context, store storage.Store, p *holdfast.Plan) ([]preserve.Item, error) {
	at := map[hashing.Digest]holdfast.Planned{}
	for _, c := range p.Captures {
		at[c.Manifest] = c
	}
	var items []preserve.Item
	for _, k := range p.Packs {
		small, err := Packed(ctx, store, k.Name)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", ErrUnsound, err)
		}
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
				return nil, fmt.Errorf("read pack %s: %w: %w", k.Name, ErrUnsound, err)
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

// Packed reads a pack: each entry by its Digest, which it is held against. Of an erased
// Object the pack has a tombstone, see package storage.
func Packed(ctx context.Context, store storage.Store, name string) (map[hashing.Digest][]byte, error) {
	f, _, err := storage.OpenPack(ctx, store, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > maxPacked {
		return nil, fmt.Errorf("%d bytes, no pack is larger than %d: %w", f.Size(), maxPacked, ErrUnsound)
	}
	z, err := zip.NewReader(f, f.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsound, err)
	}
	out := make(map[hashing.Digest][]byte, len(z.File))
	for left := int64(maxPacked); len(z.File) > 0; z.File = z.File[1:] {
		d, b, err := entry(z.File[0], left)
		if err != nil {
			return nil, fmt.Errorf("entry %.80q: %w: %w", z.File[0].Name, ErrUnsound, err)
		}
		left -= int64(len(b))
		out[d] = b
	}
	return out, nil
}

// entry reads one entry of a pack, of at most limit bytes, which its name is the
// digest of.
func entry(e *zip.File, limit int64) (d hashing.Digest, b []byte, err error) {
	if d, err = hashing.ParseHex(e.Name); err != nil {
		return d, nil, err
	}
	r, err := e.Open()
	if err != nil {
		return d, nil, err
	}
	defer r.Close()
	if b, err = io.ReadAll(io.LimitReader(r, limit+1)); err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("a pack holds at most %d bytes", int64(maxPacked))
	}
	if err == nil && hashing.Of(b) != d {
		err = hashing.ErrMismatch
	}
	return d, b, err
}

// Each calls yield with the plans of a store that can be read, in order of their Seals;
// others are left out.
func Each(ctx context.Context, s storage.Store, yield func(*holdfast.Plan) error) error {
	for e, err := range s.List(ctx, "seals/") {
		if err != nil {
			return err
		}
		if !strings.HasSuffix(e.Name, "/plan.json") {
			continue
		}
		p, err := Read(ctx, s, e.Name)
		if errors.Is(err, ErrUnsound) {
			continue // the catalog's fold says so
		}
		if err != nil {
			return err
		}
		if err := yield(p); err != nil {
			return err
		}
	}
	return nil
}
