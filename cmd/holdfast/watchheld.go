package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/pipeline"
)

// freeHeld ends the leases that the process before this one has left on Tasks of
// watches: it died, since watch.lock is this one's, and nobody else takes these
// Tasks. Else what is watched would stand still for two minutes after a kill.
func (w *watchRun) freeHeld(ctx context.Context) error {
	for t, err := range w.n.waiting(ctx) {
		if err != nil {
			return err
		}
		if !isWatched(t) || !t.Lease.Until.After(time.Now()) {
			continue
		}
		if err := w.n.queue.Renew(ctx, t, time.Millisecond); err != nil && !errors.Is(err, pipeline.ErrLease) {
			return fmt.Errorf("take up what a process that died was at: %w", err)
		}
	}
	return nil
}
