package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"holdfast"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage"
)

// fileCarry is in a restored node, or one with a new queue, until the Seals that
// were planned and not logged are finished. Their queue is gone, so nobody else
// would: a restore that could not finish them leaves them to whoever seals next.
const fileCarry = "carry.todo"

// carry finishes them in a process that does not seal otherwise.
func (n *node) carry(ctx context.Context, problem func(name string, err error)) error {
	open, err := unlogged(ctx, n.store)
	if err != nil {
		return err
	}
	if len(open) == 0 {
		return n.carried()
	}
	unlock, err := filelock.Wait(ctx, n.path("preserve.lock"))
	if err != nil {
		return err
	}
	s, err := n.startSealing(ctx, unlock)
	if err != nil {
		return err
	}
	defer s.Close()
	err = s.carry(ctx, n, problem)
	if !n.sharedQueue() { // there whoever indexes does
		err = errors.Join(err, n.refresh(ctx))
	}
	return err
}

// carry finishes what fileCarry stands for. The store has all that is needed,
// because a mirror takes a plan only with its packs; what is damaged all the same
// is a problem and is not tried again. A crash leaves the rest to the next one.
func (s *sealing) carry(ctx context.Context, n *node, problem func(name string, err error)) error {
	if _, err := os.Lstat(n.path(fileCarry)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	open, err := unlogged(ctx, n.store)
	for _, seal := range open {
		name := "seals/" + seal + "/plan.json"
		o, cerr := s.carrySeal(ctx, n, name)
		if cerr == nil && o.Seal != "" {
			cerr = n.announce(ctx, o)
		}
		switch {
		case cerr == nil:
		case ctx.Err() == nil && forGood(cerr):
			problem(name, cerr)
		default:
			err = errors.Join(err, cerr)
		}
	}
	if err != nil {
		return err
	}
	return n.carried()
}

// carried notes that nothing is left to carry.
func (n *node) carried() error {
	if err := os.Remove(n.path(fileCarry)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// errUnsound is wrapped where a plan or a pack is not what its name says.
var errUnsound = errors.New("damaged, or not what holdfast wrote")

// forGood reports whether an error will come again.
func forGood(err error) bool {
	for _, is := range []error{errUnsound, hashing.ErrMismatch, storage.ErrForeign, preserve.ErrPlan, preserve.ErrItems, preserve.ErrContradicted} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

func (s *sealing) carrySeal(ctx context.Context, n *node, name string) (preserve.Outcome, error) {
	p, err := readPlan(ctx, n.store, name)
	if err != nil {
		return preserve.Outcome{}, err
	}
	items, bad := packedItems(ctx, n.store, p)
	if bad != nil && !forGood(bad) {
		return preserve.Outcome{}, bad
	}
	o, err := s.sealer.Carry(ctx, p, items) // what is signed already needs no items
	if err != nil {
		err = errors.Join(bad, err)
	}
	return o, err
}

func readPlan(ctx context.Context, store storage.Store, name string) (*holdfast.Plan, error) {
	b, err := store.ReadName(ctx, name, holdfast.MaxDocument)
	if err != nil {
		return nil, err
	}
	p, err := holdfast.ParsePlan(b)
	if err != nil {
		err = fmt.Errorf("read %s: %w: %w", name, errUnsound, err)
	}
	return p, err
}

// unlogged lists the Seals that have a plan with captures, and no inclusion.
func unlogged(ctx context.Context, store storage.Store) (open []string, err error) {
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
			p, err := readPlan(ctx, store, e.Name)
			if err != nil && !errors.Is(err, errUnsound) {
				return nil, err
			}
			if err == nil && len(p.Captures) > 0 {
				open = append(open, seal)
			}
		}
	}
	return open, nil
}

// packedItems reads a plan's captures back from its packs, as the queue had them.
func packedItems(ctx context.Context, store storage.Store, p *holdfast.Plan) ([]preserve.Item, error) {
	at := map[hashing.Digest]holdfast.Planned{}
	for _, c := range p.Captures {
		at[c.Manifest] = c
	}
	var items []preserve.Item
	for _, k := range p.Packs {
		small, err := packed(ctx, store, k.Name)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %w", errUnsound, err)
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
				return nil, fmt.Errorf("read pack %s: %w: %w", k.Name, errUnsound, err)
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

func packed(ctx context.Context, store storage.Store, name string) (map[hashing.Digest][]byte, error) {
	f, _, err := storage.OpenPack(ctx, store, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > maxPacked {
		return nil, fmt.Errorf("%d bytes, no pack is larger than %d: %w", f.Size(), maxPacked, errUnsound)
	}
	z, err := zip.NewReader(f, f.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsound, err)
	}
	out := make(map[hashing.Digest][]byte, len(z.File))
	for left := int64(maxPacked); len(z.File) > 0; z.File = z.File[1:] {
		d, b, err := entry(z.File[0], left)
		if err != nil {
			return nil, fmt.Errorf("entry %.80q: %w: %w", z.File[0].Name, errUnsound, err)
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

func (n *node) problem(name string, err error) { n.log.Error("restored", "problem", name, "err", err) }
