package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// chainsGrown makes the node's Custody chains as long as others have seen them. A line
// is published before anything names it, so what the mirror lacks is an Event in the
// store or in the queue; to write another line under its number would contradict it.
// Where one is nowhere the chains are not continued: the node gets a new name.
func (r *restoring) chainsGrown(ctx context.Context) error {
	r.short = ""
	if !r.back && !r.merged() {
		return nil // all that the store has came from this node's own mirror, whose chains are as long
	}
	n := r.half()
	if err := r.openHalf(ctx, n); err != nil {
		return err
	}
	defer n.Close()
	if err := r.seen(ctx, n); err != nil {
		return err
	}
	k := &custody{nil, n}
	for cs, err := range n.cat.Cases(ctx) {
		if err != nil {
			return err
		}
		for _, c := range cs.Chains {
			if c.Node != r.mark.Node && !r.set.Mirrored().IsFormer(c.Node) {
				continue
			}
			if err := r.grow(ctx, k, cs.ID, c); err != nil {
				return fmt.Errorf("custody chain %s: %w", c.ID, err)
			}
		}
	}
	return nil
}

// openHalf opens the engines of a node that has no node.json yet.
func (r *restoring) openHalf(ctx context.Context, n *node) (err error) {
	n.store, err = n.engines().OpenStore(ctx) // of its own: who closes n closes it
	if err == nil {
		n.engine, err = n.engines().OpenQueue(ctx)
		n.queue = n.engine
	}
	if err == nil {
		err = n.openKeys(ctx, r.c.vault())
	}
	if err == nil {
		n.trust, err = n.openTrust()
	}
	if err == nil && r.mine.Rebuild {
		if err = r.caughtUp(ctx, n); err == nil { // what is captured is normalised first
			_, err = n.rebuild(ctx)
		}
	}
	if err == nil {
		n.cat, err = n.engines().OpenCatalog(ctx)
	}
	if err != nil {
		n.Close()
	}
	return err
}

// seen brings the catalog up to what was accepted, by those who are at work or, where
// nobody is, by this process.
func (r *restoring) seen(ctx context.Context, n *node) error {
	n.index = &pipeline.Index{Queue: n.queue, Indexer: &indexer{cat: n.cat, store: n.store, log: n.log, told: &n.told}, Prune: pruner{n}, Window: pipeline.WindowOwn, Log: n.log}
	return r.caughtUp(ctx, n)
}

// restorePatience is how long a restore waits for others before it does it itself.
const restorePatience = 10 * time.Second

func (r *restoring) caughtUp(ctx context.Context, n *node) error {
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

// grow takes what others have seen of a chain and the mirror has not.
func (r *restoring) grow(ctx context.Context, k *custody, home holdfast.ID, c catalog.Chain) error {
	name := r.path("outbox/" + string(c.ID) + ".jsonl")
	b, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	had := len(b)
	read := &captures{n: k.n}
	for n := int64(bytes.Count(b, []byte{'\n'})) + 1; n <= c.Length; n++ {
		line, err := k.line(ctx, read, holdfast.EventID(c.ID, n))
		if errors.Is(err, catalog.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
			r.short = fmt.Sprintf("line %d of its custody is named by what is sealed, and is lost", n)
			r.c.log().WarnContext(ctx, "a custody line is lost", "chain", c.ID, "line", n, "known to exist", c.Length)
			break
		}
		if err != nil {
			return err
		}
		l, err := holdfast.ParseLine(line)
		if err == nil && (l.Chain != c.ID || l.N != n || l.Case != home) {
			err = errors.New("its Event holds another line")
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if r.keys != nil && (strings.HasPrefix(l.Action, "key-rotated") || l.Action == "key-compromised" || l.Action == "log-begun") {
			return fmt.Errorf("line %d says %q, and the mirror is older than that: its settings name other keys than the node had. Restore from a newer mirror, or without --keys", n, l.Action)
		}
		b = append(append(b, line...), '\n')
	}
	if len(b) == had {
		return nil
	}
	return wholefile.Update(name, b)
}
