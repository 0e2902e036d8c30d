package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/restore"
	"holdfast/kept"
	"holdfast/pipeline"
	"holdfast/vault"
)

// What only an open node can do for a restore.

// seenCustody is what others have seen of a node that has no node.json yet.
type seenCustody struct {
	*node
	custody *custody
	read    *kept.Reader
}

func (s *seenCustody) Cases(ctx context.Context) iter.Seq2[catalog.Case, error] {
	return s.cat.Cases(ctx)
}

func (s *seenCustody) Line(ctx context.Context, event holdfast.ID) ([]byte, error) {
	return s.custody.line(ctx, s.read, event)
}

// lookSeen opens the engines of a node that has no node.json yet, and brings its catalog up to
// what was accepted.
func (c *cli) lookSeen(ctx context.Context, set *nodedir.Settings, rebuild bool) (restore.Seen, error) {
	n := &node{dir: c.data, set: set, log: c.log()}
	err := n.openHalf(ctx, c.vault(), rebuild)
	if err == nil {
		n.index = n.newIndex()
		err = n.caughtUpSomehow(ctx)
	}
	if err != nil {
		n.Close()
		return nil, err
	}
	return &seenCustody{n, &custody{nil, n}, n.kept()}, nil
}

func (n *node) openHalf(ctx context.Context, v *vault.Vault, rebuild bool) (err error) {
	if n.store, err = n.engines().OpenStore(ctx); err == nil {
		n.engine, err = n.engines().OpenQueue(ctx)
		n.queue = n.engine
	}
	if err == nil {
		err = n.openKeys(ctx, v)
	}
	if err == nil {
		n.trust, err = n.openTrust()
	}
	if err == nil && rebuild {
		if err = n.caughtUpSomehow(ctx); err == nil { // what is captured is normalised first
			_, err = n.rebuild(ctx)
		}
	}
	if err == nil {
		n.cat, err = n.engines().OpenCatalog(ctx)
	}
	return err
}

// restorePatience is how long a restore waits for others before it does it itself.
const restorePatience = 10 * time.Second

// caughtUpSomehow has what was accepted gone through the stages, by those who are at work or,
// where nobody is, by this process; without a catalog, through the first of them.
func (n *node) caughtUpSomehow(ctx context.Context) error {
	if !n.sharedQueue() {
		if n.cat == nil {
			return nil
		}
		return n.refresh(ctx)
	}
	wait := func(ctx context.Context) error {
		if n.cat == nil {
			return n.normaliseNow(ctx)
		}
		return n.caughtUp(ctx, restorePatience)
	}
	err := wait(ctx)
	if !errors.As(err, new(errBehind)) {
		return err
	}
	work, stop := context.WithCancel(ctx)
	g, gctx := errgroup.WithContext(work)
	g.Go(func() error { return n.normaliseLoop(gctx) })
	if n.cat != nil {
		g.Go(func() error { return n.indexLoop(gctx) })
	}
	for range 6 { // a group takes some time to give its partitions away
		if err = wait(gctx); err == nil || !errors.As(err, new(errBehind)) {
			break
		}
	}
	stop()
	if gerr := g.Wait(); gerr != nil && !errors.Is(gerr, context.Canceled) {
		err = errors.Join(err, gerr)
	}
	return err
}

// tellRestored writes the custody line, once for each restore.
func (n *node) tellRestored(ctx context.Context, r *restore.Restore) error {
	there := false
	err := n.outbox.Lines(n.set.Unfiled, func(line []byte, _ holdfast.Head) error {
		there = there || bytes.Contains(line, []byte(`"restore":"`+r.ID()+`"`))
		return nil
	})
	if err != nil || there {
		return err
	}
	x, err := r.Told()
	if err != nil {
		return err
	}
	_, err = n.outbox.Append(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: "restored", Agent: n.set.Agent, X: x,
		Why: "the node was made again from its mirror"})
	return err
}

// tellLosses names in custody, in each Case, what its lines name and no plan has.
func (n *node) tellLosses(ctx context.Context) error {
	planned, err := n.planned(ctx)
	if err != nil {
		return err
	}
	cases := map[holdfast.ID]bool{}
	for k, err := range n.cat.Cases(ctx) {
		if err != nil {
			return err
		}
		cases[k.ID] = true
	}
	for home := range cases {
		k := restore.Unsealed{Planned: planned}
		err := n.outbox.Lines(home, func(raw []byte, _ holdfast.Head) error { k.Take(raw); return nil })
		if err == nil {
			err = n.tellLost(ctx, home, k.Lost(), "not in the mirror that this node was made from: it was in the old queue, or in a Seal that the mirror lacks", nil)
		}
		if err != nil {
			return fmt.Errorf("say what is lost: %w", err)
		}
	}
	return nil
}
