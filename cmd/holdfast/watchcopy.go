package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"holdfast"
	officedb "holdfast/office"
	"holdfast/wholefile"
)

// fileWatchCopy is the office's list as a node has seen it last. Nothing reads it but a
// node that finds an office which has never had a list: one whose database was lost.
const fileWatchCopy = "watches.copy.json"

// watchDocument is the list as DIR/watches.json has it, for mirrors and copies: who
// restores a node without the office takes it back into one.
func (n *node) watchDocument(ctx context.Context) ([]byte, error) {
	list, err := n.watches(ctx)
	if err != nil {
		return nil, err
	}
	return wholefile.EncodeJSON(watchDoc{Version: 1, Watches: append([]*watch{}, list...)})
}

// copyWatches keeps a copy of the office's list here. It is no part of a change: who is
// killed before it keeps an older one.
func (n *node) copyWatches(ctx context.Context) {
	if !n.sharedQueue() {
		return
	}
	b, err := n.watchDocument(ctx)
	if err == nil {
		err = wholefile.Update(n.path(fileWatchCopy), b)
	}
	if err != nil {
		n.log.WarnContext(ctx, "the list of what is watched was not copied into this node's directory", "err", err)
	}
}

// watchesIntoOffice takes over what this node watched before its queue was shared, or what
// its mirror had; and where the office has never had a list, the copy of the one before.
// What the office knows of a Source stays: of another node's watch of it this one adds the
// Cases. A Source that was removed there is not brought back.
func (n *node) watchesIntoOffice(ctx context.Context, b *officedb.Book) error {
	list, err := readWatches(n.path(fileWatches))
	if err != nil {
		return err
	}
	if list == nil {
		v, err := b.Watches().Version(ctx)
		if err != nil || v > 0 {
			return err
		}
		if list, err = readWatches(n.path(fileWatchCopy)); err != nil || len(list) == 0 {
			return err
		}
	}
	rows, _, err := b.Watches().Since(ctx, 0)
	if err != nil {
		return err
	}
	removed := map[holdfast.Source]bool{}
	for _, k := range rows {
		removed[holdfast.Source(k.Source)] = len(k.Body) == 0
	}
	err = watchRows{n, b.Watches()}.Change(ctx, func(there []*watch) ([]*watch, error) {
		for _, k := range list {
			old := findWatch(there, k.Source)
			switch {
			case old != nil && old.ID != k.ID:
				cases := slices.Clone(old.Cases)
				if _, err := old.take(wanted{watch: watch{Source: k.Source}, cases: k.Cases, given: watchRow{cases: []string{""}}}); err != nil {
					n.log.WarnContext(ctx, "the office watches it already, for as many cases as it can have", "source", k.Source, "err", err)
					old.Cases = cases
				}
			case old != nil:
			case removed[k.Source]:
				n.log.WarnContext(ctx, "the office watches it no more: it was not taken over", "source", k.Source)
			default:
				if k.Node == "" {
					k.Node = n.set.Name
				}
				there = append(there, k)
			}
		}
		return there, nil
	})
	if err != nil {
		return fmt.Errorf("take what is watched into the office: %w", err)
	}
	if _, err := os.Lstat(n.path(fileWatches)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return n.setAside(fileWatches)
}
