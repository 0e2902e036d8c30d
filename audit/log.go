package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast"
	"holdfast/preserve"
)

const (
	tileHeight = layout.TileHeight
	maxTile    = layout.TileWidth * 32
	maxBundle  = layout.EntryBundleWidth * (1 << 16)
)

// logs reads each log that the node knows, and misses none that lies in the store.
func (a *Auditor) logs(ctx context.Context) error {
	known := map[string]bool{}
	for _, l := range a.Logs {
		known[l.Origin] = true
		if l.Origin <= a.at.After {
			continue
		}
		if err := a.log(ctx, l, -1); err != nil {
			return err
		}
		a.done(l.Origin)
	}
	last := ""
	for e, err := range a.Store.List(ctx, "tlog/") {
		if err != nil {
			return a.fault(ctx, "tlog", err)
		}
		origin, _, ok := preserve.MirrorSize(e.Name)
		if !ok || !known[origin] && origin != last {
			a.problem(Changed, e.Name, fmt.Errorf("no log of a node in the policy has such a name"))
		}
		last = origin
		if err := a.partial(ctx, e.Name); err != nil {
			return err
		}
	}
	return nil
}

// partial holds a tile, or a bundle of entries, that the log has outgrown against the
// full one, of which it is the beginning. One that is not outgrown was read already.
func (a *Auditor) partial(ctx context.Context, name string) error {
	full, _, ok := strings.Cut(name, ".p/")
	if !ok {
		return nil
	}
	all, err := a.Store.ReadName(ctx, full, maxBundle)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var b []byte
	if err == nil {
		b, err = a.Store.ReadName(ctx, name, maxBundle)
	}
	if err == nil && !bytes.HasPrefix(all, b) {
		err = fmt.Errorf("it is not the beginning of %s: %w", full, errChanged)
	}
	a.at.Counts.Bytes += int64(len(b))
	if err != nil {
		return a.fault(ctx, name, err)
	}
	return nil
}

// log reads the tiles of one log up to its newest checkpoint; only some of them, at
// even steps, if count is not negative.
func (a *Auditor) log(ctx context.Context, l Log, count int64) error {
	m := &preserve.Mirror{Store: a.Store, Origin: l.Origin, VKey: l.VKey}
	_, tree, err := m.Newest(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		if begun, err := a.hasBegun(ctx, l.Origin); err != nil || !begun {
			return err
		}
	}
	a.at.Counts.Logs++
	if err != nil {
		return a.fault(ctx, "tlog/"+l.Origin, err)
	}
	r := &tiles{ctx: ctx, a: a, origin: l.Origin, cache: map[string][]byte{}}
	hashes := tlog.TileHashReader(tlog.Tree{N: tree.Size, Hash: tlog.Hash(tree.Root)}, r)
	n := (tree.Size + layout.TileWidth - 1) / layout.TileWidth
	step := int64(1)
	if count > 0 {
		step = max(1, n/count)
	}
	for i := int64(0); i < n; i += step {
		// The first hash of a tile: the reader holds the tile, and all above it,
		// against the root.
		at := i * layout.TileWidth
		if _, err := hashes.ReadHashes([]int64{tlog.StoredHashIndex(0, at)}); err != nil {
			if r.err != nil {
				err = r.err
			} else {
				err = fmt.Errorf("%w: %w", errChanged, err)
			}
			if err := a.fault(ctx, fmt.Sprintf("tlog/%s/tile/0 from entry %d", l.Origin, at), err); err != nil {
				return err
			}
			continue
		}
		if at+layout.TileWidth <= tree.Size {
			if err := a.bundle(ctx, l.Origin, uint64(i), r.last); err != nil {
				return err
			}
		}
		a.tell()
	}
	return a.checkpoints(ctx, m, tree, count)
}

// checkpoints proves that each one grew into the newest.
func (a *Auditor) checkpoints(ctx context.Context, m *preserve.Mirror, tree holdfast.Tree, count int64) error {
	prefix, done := "tlog/"+m.Origin+"/checkpoint/", int64(0)
	for e, err := range a.Store.List(ctx, prefix) {
		if err != nil {
			return a.fault(ctx, prefix, err)
		}
		if done++; count >= 0 && done > count {
			return nil
		}
		size, err := strconv.ParseInt(strings.TrimPrefix(e.Name, prefix), 10, 64)
		if err != nil {
			a.problem(Changed, e.Name, err)
			continue
		}
		_, t, err := m.Checkpoint(ctx, size)
		if err == nil {
			_, err = m.Consistency(ctx, t, tree)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			a.problem(Changed, e.Name, err)
		}
	}
	return nil
}

// bundle holds 256 entries against the hashes of their tile.
func (a *Auditor) bundle(ctx context.Context, origin string, n uint64, tile []byte) error {
	name := "tlog/" + origin + "/" + layout.EntriesPath(n, 0)
	b, err := a.Store.ReadName(ctx, name, maxBundle)
	if err != nil {
		return a.fault(ctx, name, err)
	}
	a.at.Counts.Bytes += int64(len(b))
	for i := 0; i < layout.EntryBundleWidth; i++ {
		if len(b) < 2 || len(b) < 2+int(binary.BigEndian.Uint16(b)) {
			a.problem(Changed, name, fmt.Errorf("it ends in entry %d", i))
			return nil
		}
		size := int(binary.BigEndian.Uint16(b))
		if h := tlog.RecordHash(b[2 : 2+size]); string(h[:]) != string(tile[32*i:32*i+32]) {
			a.problem(Changed, name, fmt.Errorf("entry %d is not the one in the log", int64(n)*layout.EntryBundleWidth+int64(i)))
			return nil
		}
		b = b[2+size:]
	}
	if len(b) > 0 {
		a.problem(Changed, name, fmt.Errorf("%d bytes behind the last entry", len(b)))
	}
	return nil
}

// tiles reads them for tlog, which holds them against the root. Those above the leaves
// are asked for again and again, so a few are kept.
type tiles struct {
	ctx    context.Context
	a      *Auditor
	origin string
	cache  map[string][]byte
	last   []byte // the newest one of the leaves
	err    error  // why the last one could not be read
}

// maxCached bounds the tiles that are kept: 256 of 8 KiB.
const maxCached = 256

func (t *tiles) Height() int { return tileHeight }

func (t *tiles) ReadTiles(want []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(want))
	for i, w := range want {
		b, err := t.read(w)
		if err != nil {
			t.err = err
			return nil, err
		}
		out[i] = b
	}
	return out, nil
}

func (t *tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t *tiles) read(w tlog.Tile) ([]byte, error) {
	p := uint8(w.W % layout.TileWidth)
	name := "tlog/" + t.origin + "/" + layout.TilePath(uint64(w.L), uint64(w.N), p)
	b, ok := t.cache[name]
	if !ok {
		var err error
		if b, err = (&preserve.Mirror{Store: t.a.Store, Origin: t.origin}).Tile(t.ctx, uint64(w.L), uint64(w.N), p); err != nil {
			return nil, err
		}
		t.a.at.Counts.Bytes += int64(len(b))
		if len(t.cache) >= maxCached {
			clear(t.cache)
		}
		t.cache[name] = b
	}
	if len(b) != 32*w.W {
		return nil, fmt.Errorf("%s has %d bytes: %w", name, len(b), errChanged)
	}
	if w.L == 0 {
		t.last = b
	}
	return b, nil
}
