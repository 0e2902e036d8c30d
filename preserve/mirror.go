package preserve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast"
	"holdfast/storage"
)

// ErrFork: two states of one log contradict each other. One of them was made
// by somebody else who holds the log key, or by a copy of the node's directory.
var ErrFork = errors.New("log has forked")

const (
	maxTile       = layout.TileWidth * 32
	maxCheckpoint = 64 << 10
	maxMirrorFile = layout.EntryBundleWidth * (1 << 16) // 256 entries of at most 65,535 bytes
)

// Mirror is the copy of a log that lies in the store, of this node or of
// another one. It needs no key but the one to verify with, and computes every
// proof from tiles.
type Mirror struct {
	Store  PartReader
	Origin string
	VKey   string // C2SP vkey; its name is Origin
}

func mirrorName(origin, file string) string { return "tlog/" + origin + "/" + file }

// Newest returns the largest checkpoint of the mirror, verified. If there is
// none, the error wraps [fs.ErrNotExist]. It lists all of them: 100,000 take
// about a second.
func (m *Mirror) Newest(ctx context.Context) (text []byte, tree holdfast.Tree, err error) {
	prefix, largest := mirrorName(m.Origin, "checkpoint/"), int64(0)
	for e, err := range m.Store.List(ctx, prefix) {
		if err != nil {
			return nil, tree, fmt.Errorf("list mirror of log %s: %w", m.Origin, err)
		}
		n, err := strconv.ParseInt(strings.TrimPrefix(e.Name, prefix), 10, 64)
		if err != nil {
			return nil, tree, fmt.Errorf("list mirror of log %s: %q: %w", m.Origin, e.Name, storage.ErrForeign)
		}
		largest = max(largest, n)
	}
	if largest == 0 {
		return nil, tree, fmt.Errorf("mirror of log %s: no checkpoint: %w", m.Origin, fs.ErrNotExist)
	}
	return m.Checkpoint(ctx, largest)
}

// Checkpoint returns the checkpoint of one size, verified. A size that was
// never mirrored wraps [fs.ErrNotExist].
func (m *Mirror) Checkpoint(ctx context.Context, size int64) (text []byte, tree holdfast.Tree, err error) {
	name := mirrorName(m.Origin, "checkpoint/"+strconv.FormatInt(size, 10))
	if text, err = m.Store.ReadName(ctx, name, maxCheckpoint); err != nil {
		return nil, tree, fmt.Errorf("read mirror: %w", err)
	}
	if tree, err = holdfast.OpenCheckpoint(text, m.VKey); err != nil {
		return nil, tree, fmt.Errorf("read mirror: %s: %w", name, err)
	}
	if tree.Size != size {
		return nil, tree, fmt.Errorf("read mirror: %s is of size %d: %w", name, tree.Size, ErrFork)
	}
	return text, tree, nil
}

// Consistency proves that the log of tree from grew into the log of tree to,
// and checks the proof before it returns it: [ErrFork] if it does not hold.
// Neither tree must be newer than the mirror. Equal sizes have no proof: nil.
func (m *Mirror) Consistency(ctx context.Context, from, to holdfast.Tree) (*holdfast.Consistency, error) {
	return consistency(ctx, m.tile, from, to)
}

// Inclusion proves that leaf is entry index of tree, checked.
func (m *Mirror) Inclusion(ctx context.Context, index int64, tree holdfast.Tree, leaf []byte) (*holdfast.Inclusion, error) {
	return inclusion(ctx, m.tile, index, tree, leaf)
}

// Tile returns a tile of the mirror of width p (0: full), unverified.
func (m *Mirror) Tile(ctx context.Context, level, index uint64, p uint8) ([]byte, error) {
	return m.tile(ctx, level, index, p)
}

// tile reads a tile of width p (0: full). Where the partial one was never
// mirrored because the log had grown on at once, any wider one begins with the
// same hashes.
func (m *Mirror) tile(ctx context.Context, level, index uint64, p uint8) ([]byte, error) {
	full := mirrorName(m.Origin, layout.TilePath(level, index, 0))
	b, err := m.Store.ReadName(ctx, mirrorName(m.Origin, layout.TilePath(level, index, p)), maxTile)
	if p > 0 && errors.Is(err, fs.ErrNotExist) {
		b, err = m.Store.ReadName(ctx, full, maxTile)
	}
	if p > 0 && errors.Is(err, fs.ErrNotExist) {
		b, err = m.wider(ctx, full+".p/", int(p))
	}
	return narrow(b, p), err
}

func (m *Mirror) wider(ctx context.Context, prefix string, p int) ([]byte, error) {
	for e, err := range m.Store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("list mirror of log %s: %w", m.Origin, err)
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(e.Name, prefix)); err == nil && n >= p {
			return m.Store.ReadName(ctx, e.Name, maxTile)
		}
	}
	return nil, fmt.Errorf("read mirror: no tile %s%d or wider: %w", prefix, p, fs.ErrNotExist)
}

// narrow cuts a tile to the width that was asked for.
func narrow(tile []byte, p uint8) []byte {
	if n := 32 * int(p); n > 0 && len(tile) > n {
		return tile[:n]
	}
	return tile
}

func consistency(ctx context.Context, tile client.TileFetcherFunc, from, to holdfast.Tree) (*holdfast.Consistency, error) {
	if from.Origin != to.Origin || from.Size > to.Size || from.Size < 1 {
		return nil, fmt.Errorf("prove consistency: %s %d and %s %d are not two states in order", from.Origin, from.Size, to.Origin, to.Size)
	}
	if from.Size == to.Size {
		if from.Root != to.Root {
			return nil, fmt.Errorf("prove consistency: log %s has two roots of size %d: %w", to.Origin, to.Size, ErrFork)
		}
		return nil, nil
	}
	b, err := client.NewProofBuilder(ctx, uint64(to.Size), tile)
	if err != nil {
		return nil, fmt.Errorf("prove consistency of log %s: %w", to.Origin, err)
	}
	hashes, err := b.ConsistencyProof(ctx, uint64(from.Size), uint64(to.Size))
	if err != nil {
		return nil, fmt.Errorf("prove consistency of log %s, %d to %d: %w", to.Origin, from.Size, to.Size, err)
	}
	p, err := holdfast.NewConsistency(from.Size, to.Size, hashes)
	if err == nil {
		if err = p.Check(from.Root, to.Root); err != nil {
			err = fmt.Errorf("%w: %w", ErrFork, err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("prove consistency of log %s: %w", to.Origin, err)
	}
	return p, nil
}

func inclusion(ctx context.Context, tile client.TileFetcherFunc, index int64, tree holdfast.Tree, leaf []byte) (*holdfast.Inclusion, error) {
	b, err := client.NewProofBuilder(ctx, uint64(tree.Size), tile)
	if err != nil {
		return nil, fmt.Errorf("prove inclusion in log %s: %w", tree.Origin, err)
	}
	hashes, err := b.InclusionProof(ctx, uint64(index))
	if err != nil {
		return nil, fmt.Errorf("prove inclusion of entry %d in log %s: %w", index, tree.Origin, err)
	}
	p, err := holdfast.NewInclusion(index, tree.Size, hashes)
	if err == nil {
		err = p.Check(tree.Root, leaf)
	}
	if err != nil {
		return nil, fmt.Errorf("prove inclusion in log %s: %w", tree.Origin, err)
	}
	return p, nil
}

// mirrorItems lists what the mirror needs on its way from one size to a larger
// one: tiles that became full, the partial ones at the right edge, entry
// bundles that became full (and entry 0 alone, since it holds the log's birth,
// which nobody could compute again), and the checkpoint last. Then a checkpoint
// that is seen has all its tiles.
func mirrorItems(ctx context.Context, r tileReader, origin string, from int64, to holdfast.Tree, text []byte) ([]storage.Item, error) {
	var items []storage.Item
	for _, t := range tlog.NewTiles(layout.TileHeight, from, to.Size) {
		p := uint8(t.W % layout.TileWidth)
		b, err := r.ReadTile(ctx, uint64(t.L), uint64(t.N), p)
		if b = narrow(b, p); err == nil && len(b) != 32*t.W {
			err = fmt.Errorf("%d bytes", len(b))
		}
		if err != nil {
			return nil, fmt.Errorf("read tile %d/%d of log %s: %w", t.L, t.N, origin, err)
		}
		items = append(items, storage.Item{Name: mirrorName(origin, layout.TilePath(uint64(t.L), uint64(t.N), p)), Data: b})
	}
	for n := uint64(from) / layout.EntryBundleWidth; n < uint64(to.Size)/layout.EntryBundleWidth; n++ {
		b, err := r.ReadEntryBundle(ctx, n, 0)
		if err != nil {
			return nil, fmt.Errorf("read entries %d of log %s: %w", n, origin, err)
		}
		items = append(items, storage.Item{Name: mirrorName(origin, layout.EntriesPath(n, 0)), Data: b})
	}
	if from == 0 && to.Size < layout.EntryBundleWidth {
		p := uint8(to.Size)
		b, err := r.ReadEntryBundle(ctx, 0, p)
		if err != nil {
			return nil, fmt.Errorf("read birth of log %s: %w", origin, err)
		}
		items = append(items, storage.Item{Name: mirrorName(origin, layout.EntriesPath(0, p)), Data: b})
	}
	return append(items, storage.Item{Name: mirrorName(origin, "checkpoint/"+strconv.FormatInt(to.Size, 10)), Data: text}), nil
}

// tileReader is what the mirror takes from Tessera.
type tileReader interface {
	ReadTile(ctx context.Context, level, index uint64, p uint8) ([]byte, error)
	ReadEntryBundle(ctx context.Context, index uint64, p uint8) ([]byte, error)
}

// LastTree returns the newest state of a log in the store, for the Birth of the
// log that follows it.
func LastTree(ctx context.Context, store PartReader, vkey string) (*holdfast.Tree, error) {
	origin, _, err := holdfast.VKeyEd25519(vkey)
	if err != nil {
		return nil, fmt.Errorf("find last checkpoint: %w", err)
	}
	_, t, err := (&Mirror{store, origin, vkey}).Newest(ctx)
	if err != nil {
		return nil, err
	}
	return &t, nil
}
