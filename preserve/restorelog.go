package preserve

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/tlog"

	"holdfast"
)

// ErrIncomplete: a mirror does not hold all that its log was made of.
var ErrIncomplete = errors.New("mirror of the log is not complete")

// restoreWait bounds the making of a log's directory: Tessera integrates about
// 70,000 entries each second, and tries for ever what it cannot read.
const restoreWait = 30 * time.Minute

// RestoreTlog makes Tessera's directory of a log again from the log's mirror, at
// the mirror's newest checkpoint, so that OpenTlog goes on with the same log.
// Only who knows that no newer state was ever signed may do that; else draw a
// new log key. keys are the seal keys (SPKI) that the log's Seals were signed
// with: the entries behind the last full bundle are not mirrored and are
// computed again from the Seals' statements. Every entry is compared with the
// checkpoint's root.
//
// dir must not exist. A crash leaves a directory without a checkpoint, which is
// no log: remove it and call again.
func RestoreTlog(ctx context.Context, dir string, store PartReader, vkey string, keys [][]byte) (holdfast.Tree, error) {
	origin, _, err := holdfast.VKeyEd25519(vkey)
	if err != nil {
		return holdfast.Tree{}, fmt.Errorf("restore log: %w", err)
	}
	m := &Mirror{store, origin, vkey}
	text, tree, err := m.Newest(ctx)
	if err == nil {
		ctx, stop := context.WithTimeout(ctx, restoreWait)
		defer stop()
		err = m.restore(ctx, dir, tree, text, keys)
	}
	if err != nil {
		return holdfast.Tree{}, fmt.Errorf("restore log %s: %w", origin, err)
	}
	return tree, nil
}

func (m *Mirror) restore(ctx context.Context, dir string, tree holdfast.Tree, text []byte, keys [][]byte) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	bundle, err := m.lastBundle(ctx, tree, keys)
	if err != nil {
		return err
	}
	driver, err := posix.New(ctx, posix.Config{Path: dir})
	if err != nil {
		return err
	}
	target, err := tessera.NewMigrationTarget(ctx, driver, tessera.NewMigrationOptions())
	if err != nil {
		return err
	}
	err = target.Migrate(ctx, 1, uint64(tree.Size), tree.Root[:], func(ctx context.Context, index uint64, p uint8) ([]byte, error) {
		if p > 0 {
			return bundle, nil
		}
		return m.Store.ReadName(ctx, mirrorName(m.Origin, layout.EntriesPath(index, 0)), maxMirrorFile)
	})
	if err != nil {
		return err
	}
	return writeCheckpoint(filepath.Join(dir, layout.CheckpointPath), text)
}

// writeCheckpoint is the last write: without it the directory is no log.
func writeCheckpoint(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lastBundle is the partial entry bundle at the right edge, or nil.
func (m *Mirror) lastBundle(ctx context.Context, tree holdfast.Tree, keys [][]byte) ([]byte, error) {
	index, p := uint64(tree.Size)/layout.EntryBundleWidth, uint8(tree.Size%layout.EntryBundleWidth)
	if p == 0 {
		return nil, nil
	}
	hashes, err := m.tile(ctx, 0, index, p)
	if err != nil {
		return nil, err
	}
	if len(hashes) != 32*int(p) {
		return nil, fmt.Errorf("tile of the last %d entries has %d bytes: %w", p, len(hashes), ErrIncomplete)
	}
	want := make(map[tlog.Hash][]byte, p)
	for h := range slices.Chunk(hashes, 32) {
		want[tlog.Hash(h)] = nil
	}
	if err := m.findLeaves(ctx, index, want, keys); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for i := range int(p) {
		leaf := want[tlog.Hash(hashes[32*i:][:32])]
		if leaf == nil {
			return nil, fmt.Errorf("no statement in the store gives entry %d: %w", index*layout.EntryBundleWidth+uint64(i), ErrIncomplete)
		}
		out.Write(binary.BigEndian.AppendUint16(nil, uint16(len(leaf))))
		out.Write(leaf)
	}
	return out.Bytes(), nil
}

// findLeaves fills want: the log's birth is mirrored, every other entry is the
// leaf of a statement.
func (m *Mirror) findLeaves(ctx context.Context, index uint64, want map[tlog.Hash][]byte, keys [][]byte) error {
	missing := len(want)
	found := func(leaf []byte) {
		if b, ok := want[tlog.RecordHash(leaf)]; ok && b == nil && len(leaf) < 1<<16 {
			want[tlog.RecordHash(leaf)] = leaf
			missing--
		}
	}
	if index == 0 {
		if err := m.birth(ctx, found); err != nil {
			return err
		}
	}
	var names []string
	for e, err := range m.Store.List(ctx, "seals/") {
		if err != nil {
			return fmt.Errorf("list seals: %w", err)
		}
		if strings.HasSuffix(e.Name, "/"+partStatement) {
			names = append(names, e.Name)
		}
	}
	for _, name := range slices.Backward(names) { // the newest of a queue stand last
		if missing == 0 {
			return nil
		}
		raw, err := m.Store.ReadName(ctx, name, maxEnvelope)
		if err != nil {
			return err
		}
		e, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, maxEnvelope)
		if err != nil {
			continue // no reader takes it for a statement either
		}
		for _, k := range keys {
			found(e.Leaf(k))
		}
	}
	return nil
}

// birth yields the entries of the partial first bundles that were mirrored.
func (m *Mirror) birth(ctx context.Context, found func([]byte)) error {
	for e, err := range m.Store.List(ctx, mirrorName(m.Origin, layout.EntriesPath(0, 0))) {
		if err != nil {
			return fmt.Errorf("list mirror of log %s: %w", m.Origin, err)
		}
		raw, err := m.Store.ReadName(ctx, e.Name, maxMirrorFile)
		if err != nil {
			return err
		}
		var b api.EntryBundle
		if err := b.UnmarshalText(raw); err != nil {
			return fmt.Errorf("read %s: %w", e.Name, err)
		}
		for _, leaf := range b.Entries {
			found(leaf)
		}
	}
	return nil
}

// MirrorSize reads a name below tlog/: whose log it belongs to, and how many
// entries that log must have for it. A copy that is to be a state of the log
// takes names up to one checkpoint's size and no others: what lies beyond
// belongs to a history that may yet be written otherwise.
func MirrorSize(name string) (origin string, size int64, ok bool) {
	rest, ok := strings.CutPrefix(name, "tlog/")
	origin, rest, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 {
		return "", 0, false
	}
	if n, is := strings.CutPrefix(rest, "checkpoint/"); is {
		size, err := strconv.ParseInt(n, 10, 64)
		return origin, size, err == nil && size > 0
	}
	rest, ok = strings.CutPrefix(rest, "tile/")
	kind, rest, ok2 := strings.Cut(rest, "/")
	width := int64(layout.TileWidth)
	if n, p, is := strings.Cut(rest, ".p/"); is {
		w, err := strconv.ParseInt(p, 10, 16)
		rest, width, ok = n, w, ok && err == nil && w > 0
	}
	index, err := strconv.ParseInt(strings.ReplaceAll(strings.ReplaceAll(rest, "/", ""), "x", ""), 10, 48)
	level := int64(0)
	if err == nil && kind != "entries" {
		level, err = strconv.ParseInt(kind, 10, 8)
	}
	if !ok || !ok2 || err != nil || level < 0 || level > 6 || index >= 1<<(55-8*level)/layout.TileWidth {
		return "", 0, false
	}
	return origin, (index*layout.TileWidth + width) << (8 * level), true
}
