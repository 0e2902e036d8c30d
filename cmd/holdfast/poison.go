package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"holdfast"
	"holdfast/pipeline"
)

// tellPoison names in custody what was accepted and could not be read when it was to
// be sealed: a line of `lost`, in the Case that the message names where this node knows
// it, else in `unfiled`. So that it is missing is sealed. A crash behind the line and
// before the batch is acknowledged tells nothing twice.
func (n *node) tellPoison(ctx context.Context, all []pipeline.Poisoned) error {
	ids, why := map[holdfast.ID][]string{}, map[holdfast.ID]string{}
	for _, p := range all {
		home, err := n.knownCase(ctx, p.Case)
		if err != nil {
			return err
		}
		if ids[home] = append(ids[home], string(p.ID)); why[home] == "" {
			why[home] = fmt.Sprintf("cannot be read in the queue, where it is kept; partition %d, position %d: %v", p.Place.Partition(), p.Place.Position(), p.Err)
		}
	}
	for home := range ids {
		if err := n.tellLost(ctx, home, ids[home], why[home], nil); err != nil {
			return fmt.Errorf("tell in custody of a message that cannot be read: %w", err)
		}
	}
	return nil
}

// knownCase returns the Case if it has a chain here, else `unfiled`.
func (n *node) knownCase(ctx context.Context, home holdfast.ID) (holdfast.ID, error) {
	if home == "" {
		return n.set.Unfiled, nil
	}
	switch _, err := n.outbox.Head(ctx, home); {
	case errors.Is(err, fs.ErrNotExist):
		return n.set.Unfiled, nil
	case err != nil:
		return "", err
	}
	return home, nil
}
