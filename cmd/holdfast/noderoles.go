package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast/metrics"
	"holdfast/pipeline"
)

// A role is a stage, or all of them, as a process that runs until it is stopped.
// Several processes of one role, of one node or of several, share the partitions of
// the queue; a killed one loses nothing, since each stage begins where it was
// acknowledged.

type roleOptions struct {
	drain time.Duration
}

func (c *cli) nodeRoleCmds() (cmds []*cobra.Command) {
	for _, r := range []struct{ name, short string }{
		{"collect", "Capture what waits, as Tasks come due"},
		{"normalise", "Derive Pages and Posts of what was captured"},
		{"preserve", "Seal: with this node's keys, in this node's log"},
		{"index", "Keep the catalog"},
		{"all", "All of these in one process"},
	} {
		cmds = append(cmds, c.nodeRoleCmd(r.name, r.short))
	}
	return cmds
}

func (c *cli) nodeRoleCmd(role, short string) *cobra.Command {
	var o roleOptions
	cmd := command(role+" [--metrics ADDR] [--drain 30s]", short, "holdfast node "+role+" --metrics 127.0.0.1:9464", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		if o.drain <= 0 {
			return usageError("--drain: give a time, such as 30s")
		}
		c.role = role
		n, err := c.openProcess(cmd.Context())
		if n == nil {
			return err
		}
		defer n.Close()
		if role == "preserve" || role == "all" {
			if _, err := n.sealSigner(cmd.Context()); err != nil {
				return err
			}
		}
		return c.nodeRole(cmd.Context(), n, role, o)
	})
	cmd.Long = `Works until it is stopped. Of a queue that several nodes share, each process is given
some partitions, and those of a process that ends go to the others. SIGTERM lets what
is under way end (batches are sealed, pages are captured), for at most --drain, and is
exit 0; a kill loses nothing either.

--metrics answers on HTTP, without TLS and to everybody who reaches it: /metrics for
Prometheus, /livez, and /readyz, which asks queue, store and catalog.

exit status: 0 stopped  1 could not  2 usage, or no node: starting it anew is no help`
	c.metricsFlag(cmd, role)
	cmd.Flags().DurationVar(&o.drain, "drain", 30*time.Second, "how long what is under way may take to end")
	return cmd
}

// nodeRole runs the loops of a role. One that fails is begun again, ever more rarely:
// an engine that is away comes back, and until then the process is not ready.
func (c *cli) nodeRole(ctx context.Context, n *node, role string, o roleOptions) error {
	w := &worker{n: n, failed: map[string]error{}}
	stopping := make(chan struct{})
	n.stopping = stopping
	work, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	if err := n.serveMetrics(work, w.ready); err != nil {
		return err
	}
	if n.meter != nil {
		n.meter.Backlog(n.backlog)
		n.measureLocks(n.meter)
	}
	g, gctx := errgroup.WithContext(work)
	for name, loop := range w.loops(role) {
		g.Go(func() error { return w.again(gctx, name, loop) })
	}
	ends := make(chan struct{})
	go func() { _ = g.Wait(); close(ends) }()
	c.say(map[string]any{"event": "working", "role": role, "node": n.set.Name}, "working  %s  %s", role, n.set.Name)
	select {
	case <-ends:
		return g.Wait()
	case <-ctx.Done():
	}
	w.fail("process", errors.New("it is stopping"))
	close(stopping) // batches that are planned, and pages that are open, are brought to their end
	drained := true
	select {
	case <-ends:
	case <-time.After(o.drain):
		drained = false // as after a kill: whoever has the work next finds it
		n.log.WarnContext(ctx, "not all that was under way has ended: it is cut off, and taken up again by whoever has it next")
		stop(context.Canceled)
		select {
		case <-ends:
		case <-time.After(drainRest):
		}
	}
	c.say(map[string]any{"event": "stopped", "role": role, "drained": drained}, "stopped  %s", role)
	return nil
}

// drainRest is how long what was cut off may take to let go.
const drainRest = 10 * time.Second

// worker is one process of a role.
type worker struct {
	n *node

	mu     sync.Mutex
	failed map[string]error // of the loops that do not work now
}

type loop func(context.Context) error

func (w *worker) loops(role string) map[string]loop {
	n := w.n
	all := map[string]loop{
		"collect":   func(ctx context.Context) error { return newCollectLoop(n).run(ctx) },
		"normalise": n.normaliseLoop,
		"preserve":  n.sealWhenFree,
		"index":     n.indexLoop,
		"locks":     n.lockLoop,
		"alerts":    n.alertLoop,
	}
	if role == "all" {
		return all
	}
	switch role {
	case "preserve":
		return map[string]loop{role: all[role], "locks": all["locks"]}
	case "index":
		return map[string]loop{role: all[role], "alerts": all["alerts"]}
	}
	return map[string]loop{role: all[role]}
}

// normaliseLoop and indexLoop work on the partitions that this process is given.
func (n *node) normaliseLoop(ctx context.Context) error {
	return n.share(ctx, pipeline.StageNormalise, func(ctx context.Context, p int) error {
		return (&pipeline.Normalise{Queue: n.queue, Partition: p, By: n.normalisers(), Stop: n.stopping, Log: n.log}).Run(ctx)
	})
}

func (n *node) indexLoop(ctx context.Context) error {
	return n.share(ctx, pipeline.StageIndex, func(ctx context.Context, p int) error {
		x := *n.index
		x.Partition, x.Stop = p, n.stopping
		return x.Run(ctx)
	})
}

// again runs a loop until ctx ends. A restart is the recovery of every loop.
func (w *worker) again(ctx context.Context, name string, l loop) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval, wait.Multiplier = 500*time.Millisecond, 30*time.Second, 2
	for {
		begun := time.Now()
		w.fail(name, nil)
		err := l(ctx)
		if ctx.Err() != nil || w.n.isStopping() {
			return nil
		}
		if err == nil {
			err = errors.New("it ended by itself")
		}
		w.fail(name, err)
		w.n.log.ErrorContext(ctx, "it is begun again", "loop", name, "err", err)
		if time.Since(begun) > time.Minute {
			wait.Reset()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.n.stopping:
			return nil
		case <-time.After(wait.NextBackOff()):
		}
	}
}

func (w *worker) fail(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.failed, name)
	if err != nil {
		w.failed[name] = err
	}
}

// ready is nil while every loop works.
func (w *worker) ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for name, err := range w.failed {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	return errors.Join(errs...)
}

// backlog counts the Tasks that are due.
func (n *node) backlog(ctx context.Context) (b metrics.Backlog, err error) {
	now := time.Now()
	count := func(t pipeline.Task) {
		if b.Due++; !t.Due.IsZero() {
			b.Oldest = max(b.Oldest, now.Sub(t.Due))
		}
	}
	if q, ok := n.engine.(dueQueue); ok {
		due, held, err := q.Waiting(ctx, maxDue)
		for _, t := range due {
			if !isWatched(t) {
				count(t)
			}
		}
		b.Held = held
		return b, err
	}
	for t, err := range n.waiting(ctx) {
		switch {
		case err != nil:
			return b, err
		case t.Lease.Until.After(now):
			b.Held++
		case !t.Due.After(now) && !isWatched(t):
			count(t)
		}
	}
	return b, nil
}

// dueQueue is a queue of so many Tasks that not all are read to count those that are due.
type dueQueue interface {
	Waiting(ctx context.Context, limit int) (due []pipeline.Task, held int64, err error)
}

// maxDue is how many due Tasks are counted at most.
const maxDue = 10_000
