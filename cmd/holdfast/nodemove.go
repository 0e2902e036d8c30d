package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/canon"
	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/pipeline"
)

func (c *cli) nodeMoveCmd() *cobra.Command {
	var to engineset.URLs
	wait := 30 * time.Second
	cmd := command("move [--to-queue URL] --to-catalog URL", "Take this node from the queue and catalog in its directory to others", "holdfast node move --to-queue kafka://b1,b2,b3/office --to-catalog postgres://holdfast@db/holdfast", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if to == (engineset.URLs{}) {
				return usageError("give --to-queue, --to-catalog, or both")
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.moveNode(cmd.Context(), n, to, wait)
		})
	cmd.Long = `Everything that was accepted must be in a Seal's plan: run "holdfast seal" before. Tasks
are taken over as they are, and the catalog is folded again from the store. Name, keys,
log, Custody and old Seals stay; the new queue has another name. One write of node.json
is the change: before it the node works as before, and the same command goes on. The old
queue and catalog are left where they are. "holdfast move" takes the store.

exit status: 0 done  1 could not  2 usage`
	cmd.Flags().StringVar(&to.Queue, "to-queue", "", "sqlite:PATH, or kafka://HOST,…/PREFIX")
	cmd.Flags().StringVar(&to.Catalog, "to-catalog", "", "sqlite:PATH, or postgres://USER@HOST/DATABASE")
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long to wait for those who accept or seal")
	return cmd
}

// moveNode holds the locks of all who accept, seal or capture for this node, so nothing
// comes into the old queue behind the look at it.
func (c *cli) moveNode(ctx context.Context, n *node, to engineset.URLs, wait time.Duration) error {
	if n.sharedQueue() {
		return usageError("node move: this node's queue is shared, and what is in it is not this node's alone: make a new node on the other queue")
	}
	next := n.set.URLs()
	if to.Queue != "" {
		next.Queue = to.Queue
	}
	if to.Catalog != "" {
		next.Catalog = to.Catalog
	}
	next, err := next.Checked()
	if err != nil {
		return err
	}
	limited, stop := context.WithTimeout(ctx, wait)
	defer stop()
	for _, name := range []string{fileCollecting, "preserve.lock", "watch.lock"} {
		unlock, err := filelock.Wait(limited, n.path(name))
		if err != nil {
			return fmt.Errorf("node move: somebody captures or seals: stop `holdfast watch run` and `holdfast node`, or give it longer with --wait: %w", err)
		}
		defer unlock()
	}
	if err := n.nothingWaits(ctx); err != nil {
		return err
	}
	set := *n.set
	set.Engines = &next
	there := &node{dir: n.dir, set: &set, log: n.log, vault: n.vault, accounts: n.accounts, keys: n.keys, former: n.former, trust: n.trust, facts: n.facts, store: n.store}
	was, err := n.queue.Identity(ctx)
	if err != nil {
		return err
	}
	tasks, is, err := there.takeOver(ctx, n, next)
	if err != nil {
		return fmt.Errorf("node move: %w; the node works as before", err)
	}
	if err := n.changeSettings(ctx, func(s *nodedir.Settings) error { s.Engines = &next; return nil }); err != nil {
		return err
	}
	after, err := c.open(ctx)
	if err != nil {
		return fmt.Errorf("node move: the node is moved, and does not open: %w", err)
	}
	defer after.Close()
	if err := after.watchOn(ctx); err != nil {
		return fmt.Errorf("node move: the node is moved; its alerts were not taken over (whoever works takes them, and what is accepted until then is not looked at): %w", err)
	}
	if err := after.movedLine(ctx, was.Queue, is); err != nil {
		return fmt.Errorf("node move: the node is moved; the custody line of it was not written: %w", err)
	}
	c.say(map[string]any{"event": "moved", "queue": is, "tasks": tasks}, "moved    queue %s is %s now, %d Tasks taken over; the old queue and catalog were left as they are", was.Queue, is, tasks)
	return nil
}

// nothingWaits refuses while the queue holds what no plan has: it has the only copy.
func (n *node) nothingWaits(ctx context.Context) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	left, err := n.behind(ctx, pipeline.StagePreserve)
	if err == nil && left > 0 {
		err = fmt.Errorf("node move: %d messages are in no Seal yet, and the queue has the only copy of them: `holdfast seal`, and then again", left)
	}
	if err != nil {
		return err
	}
	return n.allTold(ctx)
}

// allTold refuses while alerts have found what they have not told: it lies here alone.
func (n *node) allTold(ctx context.Context) error {
	all, err := n.alerts(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	out, err := n.alertBox(ctx)
	if err != nil {
		return err
	}
	defer out.Close()
	for _, r := range all {
		for _, to := range r.To {
			s, err := out.State(ctx, r.Name, to)
			if err == nil && s.Waiting > 0 {
				err = fmt.Errorf("node move: alert %s has not told %d events yet: `holdfast alert send`, or `holdfast alert remove %s`, and then again", r.Name, s.Waiting, r.Name)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// watchOn has the alerts that this node brought look at all that is accepted from now on.
func (n *node) watchOn(ctx context.Context) error {
	all, err := n.alerts(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	return n.queue.Start(ctx, pipeline.StageAlerts)
}

// takeOver makes the new engines and fills them. It may be done again after a crash: a
// Task that is there stays as it is.
func (there *node) takeOver(ctx context.Context, n *node, next engineset.URLs) (tasks int, queue string, err error) {
	if err := there.engines().MakeCatalog(ctx); err != nil {
		return 0, "", err
	}
	if err := there.engines().MakeQueue(ctx); err != nil {
		return 0, "", err
	}
	q, err := there.engines().OpenQueue(ctx)
	if err != nil {
		return 0, "", err
	}
	defer q.Close()
	there.engine, there.queue = q, q
	for t, err := range n.waiting(ctx) {
		if err != nil {
			return tasks, "", err
		}
		if t.Lease.Until.After(time.Now()) {
			return tasks, "", fmt.Errorf("task %s is being captured: stop who does it, or wait until its lease ends at %s", t.ID, t.Lease.Until.UTC().Format(time.RFC3339))
		}
		if t.Damaged {
			return tasks, "", fmt.Errorf("task %s: %w", t.ID, errDamaged)
		}
		t.Lease = pipeline.Lease{}
		if _, err := q.AddTasks(ctx, t); err != nil {
			return tasks, "", err
		}
		tasks++
	}
	id, err := q.Identity(ctx)
	if err != nil {
		return tasks, "", err
	}
	if next.Catalog == n.set.URLs().Catalog {
		return tasks, id.Queue, nil
	}
	f, err := there.rebuild(ctx)
	if err == nil && f.Problems > 0 {
		err = errors.New("not all of the store could be read; `holdfast rebuild` says what")
	}
	return tasks, id.Queue, err
}

// movedLine says in custody which queue follows which.
func (n *node) movedLine(ctx context.Context, was, is string) error {
	if was == is {
		return nil
	}
	x, err := canon.Marshal(struct {
		From string `json:"from"`
	}{was})
	if err != nil {
		return err
	}
	return n.tellOnce(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: "queue-moved", Agent: n.set.Agent, Objects: []string{is}, X: x})
}
