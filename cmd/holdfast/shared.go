package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/filelock"
	"holdfast/pipeline"
)

// What nodes share, where their queue, store and catalog do not lie in their data
// directories. Each still has keys, a log and Custody chains of its own.

func (n *node) sharedQueue() bool   { return n.set.SharedQueue() }
func (n *node) sharedCatalog() bool { return n.set.SharedCatalog() }

// locker is an engine that has locks for all nodes, by name.
type locker interface {
	// Lock waits for the lock; who dies gives it back.
	Lock(ctx context.Context, name string) (unlock func(), err error)
	// TryLock returns nil, nil where somebody has it.
	TryLock(ctx context.Context, name string) (unlock func(), err error)
}

// officeLock is filelock.Wait for what nodes share: the file keeps this node's processes
// apart, and the engine the nodes.
func (n *node) officeLock(ctx context.Context, name string) (unlock func(), err error) {
	here, err := filelock.Wait(ctx, n.path(name))
	if err != nil {
		return nil, err
	}
	l := n.locker()
	if l == nil {
		return here, nil
	}
	there, err := l.Lock(ctx, name)
	if err != nil {
		here()
		return nil, fmt.Errorf("wait for %s of all nodes: %w", name, err)
	}
	return func() { there(); here() }, nil
}

// locker is the engine that has this node's locks in common with others, or nil.
func (n *node) locker() locker {
	for _, e := range []any{n.engine, n.cat} {
		if l, ok := e.(locker); ok {
			return l
		}
	}
	return nil
}

// tryOfficeLock is officeLock that does not wait: nil, nil means that somebody has it.
func (n *node) tryOfficeLock(ctx context.Context, name string) (unlock func(), err error) {
	here, err := filelock.Try(n.path(name))
	if here == nil || err != nil {
		return nil, err
	}
	l := n.locker()
	if l == nil {
		return here, nil
	}
	there, err := l.TryLock(ctx, name)
	if there == nil || err != nil {
		here()
		return nil, err
	}
	return func() { there(); here() }, nil
}

// custody is the node's outbox. Where a catalog is shared a Case may have been opened
// by another node: then the first line that this one writes, or the first head that it
// states, begins a chain of its own with the Case's record, as a new log does.
type custody struct {
	*pipeline.Outbox
	n *node
}

func (k *custody) Append(ctx context.Context, e pipeline.Entry) (holdfast.Head, error) {
	if e.Action != "opened" && k.n.sharedCatalog() {
		if _, err := k.Head(ctx, e.Case); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return holdfast.Head{}, err
		}
	}
	return k.Outbox.Append(ctx, e)
}

func (k *custody) Head(ctx context.Context, home holdfast.ID) (holdfast.Head, error) {
	h, err := k.Outbox.Head(ctx, home)
	if !errors.Is(err, fs.ErrNotExist) || k.n.cat == nil || !k.n.sharedCatalog() || home == k.n.set.Unfiled {
		return h, err
	}
	cs, cerr := k.n.cat.Case(ctx, string(home))
	if errors.Is(cerr, catalog.ErrNotFound) { // opened a moment ago, elsewhere
		if cerr = k.n.refresh(ctx); cerr == nil {
			cs, cerr = k.n.cat.Case(ctx, string(home))
		}
	}
	if errors.Is(cerr, catalog.ErrNotFound) {
		return h, err
	}
	if cerr != nil {
		return h, fmt.Errorf("begin a chain for case %s: %w", home, cerr)
	}
	unlock, err := k.n.officeLock(ctx, "chains.lock")
	if err != nil {
		return h, err
	}
	defer unlock()
	if h, err = k.Outbox.Head(ctx, home); !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	if err := k.n.openCase(ctx, cs.ID, cs.Name, cs.Record); err != nil {
		return h, err
	}
	return k.Outbox.Head(ctx, home)
}

// isMine reports whether this node has accepted a capture, under any name that it had.
func (n *node) isMine(cp catalog.Capture) bool {
	if cp.Node == n.set.Name {
		return true
	}
	return n.set.Mirrored().IsFormer(cp.Node)
}

// catchUpTime is how long a command waits for what other processes normalise and index,
// while nothing moves. Of a process that was killed Kafka gives the partitions to others
// after its session (10 s) and a rebalance: who gives up sooner says that nobody is at work
// while somebody is about to be.
const catchUpTime = 30 * time.Second

// errBehind says which role is not at work.
type errBehind struct {
	stage pipeline.Stage
	left  int64
}

func (e errBehind) Error() string {
	return fmt.Sprintf("the catalog is behind: %d messages have not been through %s yet, and nothing happens: is `holdfast node %s` at work?", e.left, e.stage, e.stage)
}

// caughtUp waits until the stages have done all that was accepted before it was called:
// then the catalog knows it. Only processes of `holdfast node` do them. Where nothing
// moves for as long as patience the error is an errBehind.
func (n *node) caughtUp(ctx context.Context, patience time.Duration) error {
	id, err := n.queue.Identity(ctx)
	if err != nil {
		return err
	}
	for _, s := range []pipeline.Stage{pipeline.StageNormalise, pipeline.StageIndex} {
		if err := n.reached(ctx, s, id.Partitions, patience); err != nil {
			return err
		}
	}
	return nil
}

// reached waits until a stage is where its partitions end now.
func (n *node) reached(ctx context.Context, s pipeline.Stage, partitions int, patience time.Duration) error {
	ends := make([]int64, partitions)
	for p := range ends {
		var err error
		if ends[p], err = n.queue.End(ctx, s, p); err != nil {
			return err
		}
	}
	moved, last := time.Now(), int64(-1)
	for {
		left := int64(0)
		for p, end := range ends {
			at, err := n.queue.Position(ctx, s, p)
			if err != nil {
				return err
			}
			left += max(end-at, 0)
		}
		if left == 0 {
			return nil
		}
		if left != last {
			moved, last = time.Now(), left
		}
		if time.Since(moved) > patience {
			return errBehind{s, left}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// normaliseNow has all normalised that is accepted: by this process, or where others
// have the partitions, by them.
func (n *node) normaliseNow(ctx context.Context) error {
	if n.sharedQueue() {
		id, err := n.queue.Identity(ctx)
		if err == nil {
			err = n.reached(ctx, pipeline.StageNormalise, id.Partitions, catchUpTime)
		}
		return err
	}
	_, err := (&pipeline.Normalise{Queue: n.queue, By: n.normalisers(), Log: n.log}).Drain(ctx)
	return err
}

// behind counts the messages that a stage has before it, in all partitions.
func (n *node) behind(ctx context.Context, s pipeline.Stage) (left int64, err error) {
	id, err := n.queue.Identity(ctx)
	for p := 0; p < id.Partitions && err == nil; p++ {
		var end, at int64
		if end, err = n.queue.End(ctx, s, p); err == nil {
			at, err = n.queue.Position(ctx, s, p)
		}
		left += max(end-at, 0)
	}
	return left, err
}
