package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"holdfast"
	"holdfast/audit"
	"holdfast/catalog"
	"holdfast/cmd/internal/spool"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/storage"
	"holdfast/wholefile"
)

// Several nodes may work on one store. What another of them has ordered is known here
// from its tombstones, each of which names a sealed line; before there is one, nothing
// is gone.

// othersErasures are the orders of other nodes on the same store, by their tombstones.
// One that no sealed line bears out, or whose node this one does not know, is told in
// the log and counts for nothing. It reads all tombstones.
func (n *node) othersErasures(ctx context.Context) (all []*order, err error) {
	if n.bucket() == nil { // a directory is of one node
		return nil, nil
	}
	a, seen := n.auditor(func(audit.Problem) {}), map[string]bool{}
	unread := func(name string, err error) {
		n.log.WarnContext(ctx, "a tombstone of which no sealed order is known", "name", name, "err", err)
	}
	err = storage.EachTombstone(ctx, n.store, unread, func(t *storage.Tombstone) error {
		if seen[t.Event] {
			return nil
		}
		l, err := a.Order(ctx, t)
		if err != nil {
			unread(storage.TombstoneName(t.Name), err)
			return ctx.Err()
		}
		seen[t.Event] = true
		x, err := audit.ParseErasing(l.X)
		if err != nil || len(l.Objects) == 0 || l.Node == n.set.Name || n.set.Mirrored().IsFormer(l.Node) {
			return err
		}
		all = append(all, &order{captures: l.Objects, erased: x.Erased, order: x.Order, why: l.Why, line: l, home: l.Case,
			head: holdfast.Head{Chain: l.Chain, Length: l.N}, events: []holdfast.ID{holdfast.ID(t.Event)}, seal: t.Seal})
		return nil
	})
	return all, err
}

// othersLines calls add for each line by which another node has ordered an erasure in a
// Case. Where the order names a capture of this Case, and its own line stands in another
// one, the line that repeats it here is looked for.
func (n *node) othersLines(ctx context.Context, home holdfast.ID, add func(*holdfast.Line) error) error {
	others, err := n.othersErasures(ctx)
	if err != nil {
		return err
	}
	repeated := false
	for _, o := range others {
		if o.home == home {
			if err := add(o.line); err != nil {
				return err
			}
			continue
		}
		for _, id := range o.captures {
			cp, err := n.cat.Capture(ctx, holdfast.ID(id))
			if err != nil && !errors.Is(err, catalog.ErrNotFound) {
				return err
			}
			repeated = repeated || err == nil && cp.Case == home
		}
	}
	if !repeated {
		return nil
	}
	return n.outbox.AllLines(ctx, home, func(b []byte, _ holdfast.Head) error {
		l, err := holdfast.ParseLine(b)
		if err != nil || l.Action != "erasing" {
			return err
		}
		return add(l)
	})
}

// again takes away what tombstones name and lies there all the same: a node that stood
// still for long has written a pack that it had planned, or another node's order waits
// for a lock that has ended by now. What this node has ordered and not done is not
// looked at: that was tried just now.
func (e *erasure) again(ctx context.Context) error {
	open := map[string]bool{}
	for _, o := range e.orders {
		open[string(o.events[0])] = !o.done
	}
	a := e.n.auditor(func(audit.Problem) {})
	var errs []error
	late := false
	told := func(name string, err error) {
		errs = append(errs, fmt.Errorf("%s: %w; nothing was erased for it here", messages.Visible(name), err))
	}
	err := storage.EachTombstone(ctx, e.n.store, told, func(t *storage.Tombstone) error {
		if open[t.Event] {
			return nil
		}
		there, err := e.there(ctx, stoneKey(t))
		if err != nil || !there {
			return err
		}
		if err = a.Ordered(ctx, t); err == nil { // whoever can write can write a tombstone
			err = e.takeAgain(ctx, t)
		}
		l, x := (*storage.LockedError)(nil), (*exitError)(nil)
		switch {
		case err == nil:
		case errors.As(err, &l), errors.As(err, &x):
			late = true
			e.c.complain(fmt.Errorf("erase %s, which lies there again: %w", messages.Visible(t.Name), err))
		default:
			told(storage.TombstoneName(t.Name), err)
		}
		return ctx.Err()
	})
	if err = errors.Join(append(errs, err)...); err == nil && late {
		err = &exitError{exitUnsealed, errors.New("some of what was ordered lies there yet: `holdfast erase --resume` later")}
	}
	return err
}

// takeErased takes away what a restore has copied of what was erased by order: a mirror
// in a bucket keeps it under its locks, and one whose run was cut short until the next.
// Orders that were not carried out yet are said.
func (c *cli) takeErased(ctx context.Context, n *node) error {
	eraser, ok := n.store.(storage.Eraser)
	if !ok {
		return nil
	}
	unlock, err := n.tryOfficeLock(ctx, "erase.lock")
	if err != nil || unlock == nil { // then somebody else does it
		return err
	}
	defer unlock()
	e := &erasure{c: c, n: n, eraser: eraser}
	if e.orders, err = n.erasures(ctx); err != nil {
		return err
	}
	if e.others, err = n.othersErasures(ctx); err != nil {
		return err
	}
	for _, o := range e.orders {
		if !o.done {
			c.complain(fmt.Errorf("the erasure of capture %s was ordered and not carried out yet: `holdfast erase --resume`", o.target()))
		}
	}
	return e.again(ctx)
}

// stoneKey is what a tombstone is of.
func stoneKey(t *storage.Tombstone) storage.Key {
	if t.New == nil && t.Name == storage.ObjectName(t.Digest) {
		return storage.Key{Digest: t.Digest}
	}
	return storage.Key{Name: t.Name}
}

func (e *erasure) there(ctx context.Context, k storage.Key) (bool, error) {
	if k.Name == "" {
		return e.n.store.Has(ctx, k.Digest)
	}
	f, err := e.n.store.OpenName(ctx, k.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		f.Close()
	}
	return err == nil, err
}

// takeAgain erases a pack whose rest lies under its own name, or an Object that no
// other capture needs.
func (e *erasure) takeAgain(ctx context.Context, t *storage.Tombstone) error {
	k := stoneKey(t)
	if k.Name == "" {
		alone, err := e.alone(ctx, &order{captures: t.Captures, erased: []hashing.Digest{t.Digest}})
		if err != nil {
			return err
		}
		defer alone()
	}
	unlock, err := e.n.officeLock(ctx, "cases.lock")
	if err != nil {
		return err
	}
	defer unlock()
	if err := e.mayGo(ctx, t); err != nil {
		return err
	}
	if k.Name == "" {
		if by, _, err := e.needs(ctx, t.Digest, t.Captures); by != "" || err != nil {
			return err
		}
	} else if err := e.rest(ctx, t); err != nil {
		return err
	}
	if err := e.eraser.Erase(ctx, k); err != nil {
		return err
	}
	e.c.say(map[string]any{"event": "erased-again", "name": t.Name}, "erased   %s, which lay there again", t.Name)
	return nil
}

// rest looks whether what was left of a pack is there.
func (e *erasure) rest(ctx context.Context, t *storage.Tombstone) error {
	if t.New == nil || !strings.HasPrefix(t.Name, "cases/") {
		return fmt.Errorf("it is of no pack and of no Object: %w", storage.ErrTombstone)
	}
	now, err := storage.FollowPack(ctx, e.n.store, t.New.Name)
	if err != nil {
		return err
	}
	f, err := e.n.store.OpenName(ctx, now)
	if err != nil {
		return fmt.Errorf("what was left of it: %w", err)
	}
	return f.Close()
}

// fileForgotten names the orders of other nodes whose bytes this one has taken out of
// its own directory. Without it that is done again, which does no harm.
const fileForgotten = "forgotten.json"

type forgotten struct {
	Events []holdfast.ID `json:"events"`
}

// forgetOthers takes out of this node's own directory what others have erased: alerts,
// what was received by half, and its catalog where that is a file of its own.
func (e *erasure) forgetOthers(ctx context.Context) error {
	var done forgotten
	if err := wholefile.ReadJSON(e.n.path(fileForgotten), &done); err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.n.log.WarnContext(ctx, "which orders of other nodes were carried out here cannot be read; all are again", "err", err)
		done = forgotten{}
	}
	for _, o := range e.others {
		if slices.Contains(done.Events, o.events[0]) {
			continue
		}
		if err := e.forgetHere(ctx, o); err != nil {
			return fmt.Errorf("erase %s, which another node has ordered, from this node's directory: %w; run it again", o.target(), err)
		}
		done.Events = append(done.Events, o.events[0])
		if err := wholefile.WriteJSON(e.n.path(fileForgotten), done); err != nil {
			return err
		}
		e.c.say(map[string]any{"event": "forgotten", "id": o.target(), "node": o.line.Node}, "forgot   %s  ordered on %s", o.target(), messages.Visible(o.line.Node))
	}
	return nil
}

func (e *erasure) forgetHere(ctx context.Context, o *order) error {
	if !e.n.sharedCatalog() {
		if err := e.forgetCatalog(ctx, o); err != nil {
			return err
		}
		if s, ok := any(e.n.cat).(scrubber); ok {
			if err := s.Scrub(ctx); err != nil {
				return err
			}
		}
	}
	if err := e.forgetAlerts(ctx, o); err != nil {
		return err
	}
	if err := spool.Sweep(e.n.dir); err != nil {
		return err
	}
	return e.forgetPartial(o)
}
