package main

import (
	"context"
	"errors"

	"holdfast/catalog"
)

// These rooms are not there yet; each says so.

func (n *node) openBucket(ctx context.Context, url, id string, make bool) (nodeStore, error) {
	return nil, errNotYet
}

func (n *node) openBroker(ctx context.Context, e engines, existing bool) (nodeQueue, error) {
	return nil, errNotYet
}

func (n *node) openDatabase(ctx context.Context, e engines, make bool) (nodeCatalog, error) {
	return nil, errNotYet
}

func (n *node) rebuildDatabase(ctx context.Context, e engines, fill func(context.Context, catalog.Writer) error) error {
	return errNotYet
}

var errNotYet = errors.New("this program cannot open it yet: leave --queue, --store or --catalog away")
