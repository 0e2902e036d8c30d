package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// freeHeld ends the leases that a process which died has left on Tasks of watches: of this
// node the one before, since watch.lock is this one's, or that of a node whose lease of
// these watches has run out. Else what is watched would stand still for two minutes after
// a kill. Where the other one is alive all the same its move of the Task fails, and what
// both publish has one ID.
func (w *watchRun) freeHeld(ctx context.Context, of func(holdfast.ID) bool) error {
	for t, err := range w.n.waiting(ctx) {
		if err != nil {
			return err
		}
		if id, _ := watchOf(t); id == "" || !of(id) || !t.Lease.Until.After(time.Now()) {
			continue
		}
		if err := w.n.queue.Renew(ctx, t, time.Millisecond); err != nil && !errors.Is(err, pipeline.ErrLease) {
			return fmt.Errorf("take up what a process that died was at: %w", err)
		}
	}
	return nil
}
