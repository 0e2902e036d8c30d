package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/seams"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/preserve/plans"
)

func (c *cli) sealCmd() *cobra.Command {
	var wait time.Duration
	var requests, replies string
	cmd := command("seal [--wait 30s] [--requests DIR | --replies DIR]", "Seal what is not sealed yet", "holdfast seal --wait 5m", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		if requests != "" && replies != "" {
			return usageError("--requests and --replies are two journeys: give one of them")
		}
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		switch {
		case requests != "":
			return c.writeRequests(cmd.Context(), n, requests, wait)
		case replies != "":
			return c.takeReplies(cmd.Context(), n, replies)
		}
		if _, err := n.sealSigner(cmd.Context()); err != nil {
			return err
		}
		return c.seal(cmd.Context(), n, wait)
	})
	cmd.Long = `Carries out what a stop, a crash or an authority out of reach has left.

Without a line, --requests DIR signs and logs everything, asks nobody, and writes
a time-stamp query for each Seal and authority into DIR. README.txt there says
how to send them from another machine. --replies DIR takes the answers, *.tsr
beside their *.tsq: each is checked as one that came over the network, a wrong
one is refused by name, and the same answers may be brought twice.

exit status: 0 all is sealed (--requests: the queries are written)
             1 could not (--replies: a reply was refused; the others were taken)
             2 usage
             3 something is still not sealed (--requests: not signed)`
	cmd.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to try")
	cmd.Flags().StringVar(&requests, "requests", "", "write time-stamp queries into this directory, for a node without a line")
	cmd.Flags().StringVar(&replies, "replies", "", "take time-stamp replies from this directory")
	return cmd
}

func (c *cli) seal(ctx context.Context, n *node, wait time.Duration) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	ids, err := n.unsealed(ctx)
	if err != nil {
		return err
	}
	if len(ids) == 0 {
		if err := n.voided(ctx); err != nil {
			return err
		}
		c.say(map[string]any{"event": "all-sealed"}, "all is sealed")
		return nil
	}
	wctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- unlessStopped(wctx, n.work); stop() }()
	left := n.waitSealed(wctx, ids, func(id holdfast.ID) { c.saySealed(n, id) })
	stop()
	err = <-done
	c.sayClock(n)
	if len(left) == 0 {
		return errors.Join(err, n.voided(ctx))
	}
	if err != nil { // more time would not have helped
		return fmt.Errorf("sealing stopped, %d of %d are still not sealed: %w", len(left), len(ids), err)
	}
	return &exitError{exitUnsealed, fmt.Errorf("%d of %d are still not sealed: %s", len(left), len(ids), n.whyOpen(left[0], "out of time; give it more with --wait"))}
}

// unlessStopped is the error of work, but for one that comes after ctx has ended:
// that --wait is over is no failure of the stages.
func unlessStopped(ctx context.Context, work func(context.Context) error) error {
	if err := work(ctx); ctx.Err() == nil {
		return err
	}
	return nil
}

// unsealed lists captures and Events that are less than sealed and may become it.
func (n *node) unsealed(ctx context.Context) (ids []holdfast.ID, err error) {
	for _, state := range []string{pipeline.StatePending, pipeline.StateSigned} {
		for cp, err := range n.cat.Captures(ctx, catalog.Query{State: state}) {
			if err != nil {
				return nil, err
			}
			if void(cp) {
				continue
			}
			ids = append(ids, cp.ID)
		}
	}
	return ids, nil
}

func (c *cli) rebuildCmd() *cobra.Command {
	return command("rebuild", "Make the catalog again from the store", "holdfast rebuild", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.openStore(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		f, err := n.rebuild(cmd.Context())
		if err != nil {
			return err
		}
		c.say(map[string]any{"seals": f.Seals, "captures": f.Captures, "events": f.Events, "problems": f.Problems},
			"%d seals, %d captures and %d events read from the store", f.Seals, f.Captures, f.Events)
		if f.Problems > 0 {
			return fmt.Errorf("%d things in the store could not be read; they are on stderr", f.Problems)
		}
		return nil
	})
}

// rebuild folds the store, and adds what lies in the queue alone: everything
// that no plan has taken is still there.
//
// Other processes may accept and seal meanwhile. What is sealed after the fold
// looked was in the queue before it looked: so the position is read first, and
// nobody prunes the queue until it was read. A plan behind it is at work, or a crash has left it to the next who seals: its
// packs may not be there yet, and its captures are in the queue.
func (n *node) rebuild(ctx context.Context) (f catalog.Folded, err error) {
	unlock, err := n.officeLock(ctx, nodedir.FileNoPrune)
	if err != nil {
		return f, err
	}
	defer unlock()
	q, err := n.queue.Identity(ctx)
	if err != nil {
		return f, err
	}
	at := make([]int64, q.Partitions)
	for p := range at {
		if at[p], err = n.queue.Position(ctx, pipeline.StagePreserve, p); err != nil {
			return f, err
		}
	}
	open := int64(0)
	problem := func(p catalog.Problem) {
		if part, from := plans.Of(p.Name, q.Queue); part < len(at) && from > at[part] {
			open++
			n.log.DebugContext(ctx, "not carried out yet", "name", p.Name, "err", p.Err)
			return
		}
		n.log.ErrorContext(ctx, "store", "problem", p.Name, "err", p.Err)
	}
	err = n.engines().RebuildCatalog(ctx, func(ctx context.Context, w catalog.Writer) error {
		f, err = catalog.Fold(ctx, n.store, w, seams.Judge{Judge: &preserve.Judge{Store: n.store, Trust: n.trust}}, catalog.Options{Problem: problem})
		if err != nil {
			return err
		}
		if err := n.normaliseNow(ctx); err != nil {
			return err
		}
		for p := range at {
			end, err := n.queue.End(ctx, pipeline.StagePreserve, p)
			if err != nil {
				return err
			}
			if err := n.queued(ctx, p, at[p], end, func(items []pipeline.Item) error { return seams.Accepted(ctx, items, w, n.store, n.log) }); err != nil {
				return err
			}
		}
		return nil
	})
	f.Problems -= open
	return f, err
}

// pruner frees the queue, but not while a rebuild reads it.
type pruner struct{ n *node }

func (p pruner) Prune(ctx context.Context, limit int, stages ...pipeline.Stage) (int, error) {
	unlock, err := p.n.tryOfficeLock(ctx, nodedir.FileNoPrune)
	if err != nil || unlock == nil {
		return 0, err // the next one prunes it
	}
	defer unlock()
	alerts, err := p.n.queue.Started(ctx, pipeline.StageAlerts)
	if err != nil {
		return 0, err
	}
	if alerts {
		stages = append(slices.Clone(stages), pipeline.StageAlerts)
	}
	return p.n.queue.Prune(ctx, limit, stages...)
}

// queued yields what lies in the queue behind a position, up to another: what came
// behind that is told to the new catalog by whoever sees it, and who waited for the
// end of a queue that grows might wait for long.
func (n *node) queued(ctx context.Context, partition int, at, end int64, yield func([]pipeline.Item) error) error {
	for at < end {
		ms, err := n.queue.Receive(ctx, pipeline.StagePreserve, partition, at, pipeline.Bounds{NoWait: true})
		if err != nil || len(ms) == 0 {
			return err
		}
		items := make([]pipeline.Item, 0, len(ms))
		for _, m := range ms {
			at = m.Position
			if it, err := m.Item(); err == nil {
				items = append(items, it)
			}
		}
		if err := yield(items); err != nil {
			return err
		}
	}
	return nil
}
