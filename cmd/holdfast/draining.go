package main

import (
	"context"
	"errors"
	"sync"

	"holdfast/pipeline"
)

// isStopping reports that this process is to end behind what it has begun.
func (n *node) isStopping() bool {
	select {
	case <-n.stopping:
		return true
	default:
		return false
	}
}

// untilStopping is ctx that ends also when the process is to stop: for what waits, or can
// be begun again as if it had not been.
func (n *node) untilStopping(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-n.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// errDrained is the cause of the end of a stage that has brought all of its partitions
// to rest.
var errDrained = errors.New("drained")

// share has run called for the partitions of a stage that this process is given. When the
// process is to stop, run returns behind what it has begun; a partition whose run has is
// kept until the others' have too, since to give one up takes all away for a moment. It
// returns nil then.
func (n *node) share(ctx context.Context, s pipeline.Stage, run func(context.Context, int) error) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	d := &draining{home: make(chan struct{})}
	go func() {
		select {
		case <-n.stopping:
			d.stop()
		case <-ctx.Done():
			return
		}
		select {
		case <-d.home:
			end(errDrained)
		case <-ctx.Done():
		}
	}()
	err := n.queue.Share(ctx, s, func(ctx context.Context, p int) error {
		if d.enter() {
			err := run(ctx, p)
			d.leave()
			if err != nil || !n.isStopping() {
				return err
			}
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	if errors.Is(err, errDrained) {
		return nil
	}
	return err
}

// draining counts the runs that are under way.
type draining struct {
	mu     sync.Mutex
	runs   int
	closed bool
	home   chan struct{} // closed when none is, and none begins any more
}

func (d *draining) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return false
	}
	d.runs++
	return true
}

func (d *draining) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.runs--; d.closed && d.runs == 0 {
		close(d.home)
	}
}

func (d *draining) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed = true; d.runs == 0 {
		close(d.home)
	}
}
