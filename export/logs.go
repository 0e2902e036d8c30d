package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"holdfast"
	"holdfast/hashing"
)

// tree remembers a log state that stands somewhere in the Bundle.
func (w *writer) tree(t holdfast.Tree) {
	if w.trees[t.Origin] == nil {
		w.trees[t.Origin] = make(map[int64]hashing.Digest)
	}
	if root, ok := w.trees[t.Origin][t.Size]; ok && root != t.Root {
		w.note("log %s has two different states of size %d: it has forked", t.Origin, t.Size)
		return
	}
	w.trees[t.Origin][t.Size] = t.Root
}

func (w *writer) note(format string, a ...any) {
	w.sum.Notes = append(w.sum.Notes, fmt.Sprintf(format, a...))
}

// logs links all states of each log that the Bundle shows (docs/bundle.md,
// section 8), from the oldest to the newest that is known here.
func (w *writer) logs(ctx context.Context) error {
	if err := w.ownLog(); err != nil {
		return err
	}
	for _, origin := range slices.Sorted(maps.Keys(w.trees)) {
		if err := w.newest(ctx, origin); err != nil {
			return fmt.Errorf("log %s: %w", origin, err)
		}
		shown := slices.Sorted(maps.Keys(w.trees[origin]))
		sizes := slices.Clone(shown)
		// A reader whose Policy pins a state looks for its two neighbours too.
		if n := w.nodes[origin]; n != nil && n.Log.Checkpoint != nil {
			w.tree(holdfast.Tree{Origin: origin, Root: n.Log.Checkpoint.Root, Size: n.Log.Checkpoint.Size})
			sizes = slices.Sorted(maps.Keys(w.trees[origin]))
		}
		done := make(map[[2]int64]bool)
		for _, run := range [][]int64{shown, sizes} {
			for i := 1; i < len(run); i++ {
				pair := [2]int64{run[i-1], run[i]}
				if done[pair] {
					continue
				}
				done[pair] = true
				if err := w.link(ctx, origin, pair[0], pair[1]); err != nil {
					return fmt.Errorf("log %s: %w", origin, err)
				}
			}
		}
	}
	return nil
}

// ownLog shows the exporting node's log even where no Seal here is in it.
func (w *writer) ownLog() error {
	n, err := w.node(w.Node)
	if err == nil && w.trees[n.Name] == nil {
		w.trees[n.Name] = make(map[int64]hashing.Digest)
	}
	return err
}

// newest writes the newest checkpoint that is known, if there is one.
func (w *writer) newest(ctx context.Context, origin string) error {
	text, err := w.Logs.Newest(ctx, origin)
	if errors.Is(err, fs.ErrNotExist) {
		w.note("log %s: no newest checkpoint is known here", origin)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read newest checkpoint: %w", err)
	}
	n, err := w.node(origin)
	if err != nil {
		return err
	}
	t, err := holdfast.OpenCheckpoint(text, n.Log.Key)
	if err != nil {
		return fmt.Errorf("newest checkpoint: %w", err)
	}
	w.tree(t)
	return w.zip.add(dirLogs+origin+"/checkpoint", text)
}

// link writes one consistency proof. One that does not hold is written as it
// is: it shows a fork, and whoever verifies shall see it.
func (w *writer) link(ctx context.Context, origin string, from, to int64) error {
	hashes, err := w.Logs.Consistency(ctx, origin, from, to)
	if errors.Is(err, fs.ErrNotExist) {
		w.note("log %s: that size %d grew into %d cannot be shown", origin, from, to)
		return nil
	}
	if err != nil {
		return fmt.Errorf("prove %d to %d: %w", from, to, err)
	}
	p, err := holdfast.NewConsistency(from, to, hashes)
	if err != nil {
		return fmt.Errorf("prove %d to %d: %w", from, to, err)
	}
	if err := p.Check(w.trees[origin][from], w.trees[origin][to]); err != nil {
		w.note("log %s has forked: %v", origin, err)
	}
	raw, err := p.Encode()
	if err != nil {
		return err
	}
	return w.zip.add(fmt.Sprintf("%s%s/%d-%d.json", dirLogs, origin, from, to), raw)
}
