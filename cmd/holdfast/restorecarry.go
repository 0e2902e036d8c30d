package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/preserve"
	"holdfast/preserve/plans"
)

// carry finishes them in a process that does not seal otherwise.
func (n *node) carry(ctx context.Context, problem func(name string, err error)) error {
	open, err := plans.Unlogged(ctx, n.store)
	if err != nil {
		return err
	}
	if len(open) == 0 {
		return n.carried()
	}
	unlock, err := filelock.Wait(ctx, n.path("preserve.lock"))
	if err != nil {
		return err
	}
	s, err := n.startSealing(ctx, unlock)
	if err != nil {
		return err
	}
	defer s.Close()
	err = s.carry(ctx, n, problem)
	if !n.sharedQueue() { // there whoever indexes does
		err = errors.Join(err, n.refresh(ctx))
	}
	return err
}

// carry finishes what nodedir.FileCarry stands for. The store has all that is needed,
// because a mirror takes a plan only with its packs; what is damaged all the same
// is a problem and is not tried again. A crash leaves the rest to the next one.
func (s *sealing) carry(ctx context.Context, n *node, problem func(name string, err error)) error {
	if _, err := os.Lstat(n.path(nodedir.FileCarry)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	open, err := plans.Unlogged(ctx, n.store)
	for _, seal := range open {
		name := "seals/" + seal + "/plan.json"
		o, cerr := s.carrySeal(ctx, n, name)
		if cerr == nil && o.Seal != "" {
			cerr = n.announce(ctx, o)
		}
		switch {
		case cerr == nil:
		case ctx.Err() == nil && plans.ForGood(cerr):
			problem(name, cerr)
		default:
			err = errors.Join(err, cerr)
		}
	}
	if err != nil {
		return err
	}
	return n.carried()
}

// carried notes that nothing is left to carry.
func (n *node) carried() error {
	if err := os.Remove(n.path(nodedir.FileCarry)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (s *sealing) carrySeal(ctx context.Context, n *node, name string) (preserve.Outcome, error) {
	p, err := plans.Read(ctx, n.store, name)
	if err != nil {
		return preserve.Outcome{}, err
	}
	items, bad := plans.Items(ctx, n.store, p)
	if bad != nil && !plans.ForGood(bad) {
		return preserve.Outcome{}, bad
	}
	o, err := s.sealer.Carry(ctx, p, items) // what is signed already needs no items
	if err != nil {
		err = errors.Join(bad, err)
	}
	return o, err
}

func (n *node) problem(name string, err error) { n.log.Error("restored", "problem", name, "err", err) }
