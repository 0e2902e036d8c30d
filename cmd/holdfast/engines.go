package main

import (
	"context"

	"holdfast/cmd/internal/engineset"
)

// What a node works with, by what its contract says.
type (
	nodeStore   = engineset.Store
	nodeQueue   = engineset.Queue
	nodeCatalog = engineset.Catalog
)

// engines opens those that node.json names.
func (n *node) engines() *engineset.Set {
	return n.set.EngineSet(n.dir, n.log)
}

// makeEngines makes what is asked for and not there yet, and writes into the
// settings where it lies. It may be done again after a crash.
func (n *node) makeEngines(ctx context.Context, asked engineset.URLs, join string) error {
	if asked != (engineset.URLs{}) {
		n.set.Engines = &asked
	}
	all := n.engines()
	if err := all.Make(ctx, join); err != nil {
		return err
	}
	if n.set.Engines != nil {
		n.set.Engines.StoreID = all.StoreID
	}
	return nil
}
