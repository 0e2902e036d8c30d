package main

import (
	"context"
	mrand "math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"holdfast"
	"holdfast/collectors"
)

// freeze has a process stand still, as one that is swapped out or whose machine is
// suspended; thaw lets it go on, and it knows nothing of it.
func (p *process) freeze() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

func (p *process) thaw() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// gatherer is `node collect` but for the browser, for which slow stands: it takes any Task
// of the shared queue.
func gatherer() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := &cli{out: os.Stdout, errs: os.Stderr, data: os.Args[1], json: true}
	for ctx.Err() == nil {
		if err := c.gather(ctx); err != nil && ctx.Err() == nil {
			c.say(map[string]any{"event": "halted", "error": err.Error()}, "halted: %v", err)
			time.Sleep(300 * time.Millisecond)
		}
	}
}

func (c *cli) gather(ctx context.Context) error {
	n, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer n.Close()
	l := newCollectLoop(n)
	l.r.by["http"], l.r.by["https"] = slow{}, slow{}
	l.r.seen = func(t taken, id holdfast.ID) {
		c.sayAccepted(captured{id: id, source: t.Task.Source, outcome: t.Acquired.Outcome})
	}
	return l.run(ctx)
}

// slow is trickle that takes some time, so that a stop or a kill may fall into it.
type slow struct{ trickle }

func (s slow) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(mrand.N(200 * time.Millisecond)):
	}
	return s.trickle.Collect(ctx, req, keep)
}
