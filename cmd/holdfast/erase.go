package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/storage"
)

type eraseOptions struct {
	order, reason string
	resume        bool
	wait          time.Duration
}

func (c *cli) eraseCmd() *cobra.Command {
	var o eraseOptions
	cmd := command("erase (CAPTURE --order TEXT --reason TEXT | --resume) [--wait 30s]", "Erase the bytes of a capture by order, and keep the proof that it was", "holdfast erase 0f3c… --order 'District Court 4, order of 3 May, 7 Gs 12/26' --reason 'right to be forgotten'", cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return err
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.erase(cmd.Context(), n, args, o)
		})
	cmd.Long = `Manifest and Seal stay, and verify goes on saying what was sealed and when; of the
Objects it says "erased by order". First a line of custody says who ordered it and
why, and is sealed: it stands in every bundle of the Case. Then the bytes leave the
store, the catalog and its search, what the queue held of them, and the mirrors at
their next "holdfast mirror". An Object that another capture has too stays, and that
is said. A capture that belongs to a Case under a hold is refused ("holdfast hold").
Bundles that were given out, exhibits made of it, backups, and whatever other tools
have copied, are not reached from here.

Where several nodes have one store, run "holdfast erase --resume" on each: they take
what they have of it out of their own directories. What the disks of Kafka and of
PostgreSQL have for a while, which no reader gets any more, is said.

An erasure that was cut short, or that a lock of the store does not allow yet, is
finished by the next "holdfast erase", of whatever capture, or with --resume.

exit status: 0 done  1 could not  2 usage
             3 the order is written and not carried out yet: it is not sealed, or
               a lock keeps the bytes until a date, which is said`
	cmd.Flags().StringVar(&o.order, "order", "", "who has ordered it: court, date, file number")
	cmd.Flags().StringVar(&o.reason, "reason", "", "why")
	cmd.Flags().BoolVar(&o.resume, "resume", false, "carry out what was ordered and is not done yet")
	cmd.Flags().DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for the seal of the order")
	return cmd
}

func (o eraseOptions) check(args []string) error {
	if o.resume {
		if len(args) > 0 || o.order != "" || o.reason != "" {
			return usageError("--resume carries out what was ordered: it takes no capture, --order or --reason")
		}
		return nil
	}
	if len(args) == 0 || strings.TrimSpace(o.order) == "" || strings.TrimSpace(o.reason) == "" {
		return usageError("name a capture, and say with --order who has ordered it and with --reason why: both stand in the custody")
	}
	return errors.Join(checkReason("--order", o.order), checkReason("--reason", o.reason))
}

// erasure is one run: it orders one erasure at most, and carries out all that are not
// done. One process at a time does.
type erasure struct {
	c      *cli
	n      *node
	eraser storage.Eraser
	orders []*order // of this node
	others []*order // of other nodes on the same store, as far as their tombstones are there
	wait   time.Duration
}

func (c *cli) erase(ctx context.Context, n *node, args []string, o eraseOptions) error {
	eraser, ok := n.store.(storage.Eraser)
	if !ok {
		return errors.New("erase: this store takes nothing out")
	}
	unlock, err := n.tryOfficeLock(ctx, "erase.lock")
	if err == nil && unlock == nil {
		err = errors.New("another erasure is at work")
	}
	if err != nil {
		return err
	}
	defer unlock()
	if err := errors.Join(n.still(), n.refresh(ctx)); err != nil {
		return err
	}
	e := &erasure{c: c, n: n, eraser: eraser, wait: o.wait}
	if e.orders, err = n.erasures(ctx); err != nil {
		return err
	}
	if e.others, err = n.othersErasures(ctx); err != nil {
		return err
	}
	if len(args) > 0 {
		if err := e.order(ctx, args[0], o); err != nil {
			return err
		}
	}
	return errors.Join(e.carryOut(ctx), e.forgetOthers(ctx))
}

// order writes the lines, unless they are written. The lock keeps a hold from coming
// between the look and the line.
func (e *erasure) order(ctx context.Context, arg string, o eraseOptions) error {
	unlock, err := e.n.officeLock(ctx, "cases.lock")
	if err != nil {
		return err
	}
	defer unlock()
	cp, err := e.n.captureNamed(ctx, arg)
	if err != nil {
		return err
	}
	for _, old := range e.orders {
		if old.target() == string(cp.ID) {
			return nil // what is left of it is done now
		}
	}
	if cp.State != catalog.Sealed {
		return fmt.Errorf("capture %s is %s: `holdfast seal` it first, so that what is erased can be proven to have been", cp.ID, cp.State)
	}
	if len(cp.Conflicts) > 0 {
		return fmt.Errorf("capture %s has %d more manifests: that is looked into before anything is erased", cp.ID, len(cp.Conflicts))
	}
	if held, err := e.n.heldBy(ctx, cp); err != nil || len(held) > 0 {
		if err == nil {
			err = fmt.Errorf("capture %s is under the hold of case %s: nothing was erased; `holdfast hold CASE off` ends it", cp.ID, messages.Visible(strings.Join(held, ", ")))
		}
		return err
	}
	p, err := e.choose(ctx, cp)
	if err != nil {
		return err
	}
	p.order, p.why = o.order, o.reason
	if err := e.n.writeOrder(ctx, p); err != nil {
		return err
	}
	e.orders = append(e.orders, p)
	e.c.say(map[string]any{"event": "ordered", "id": cp.ID, "objects": len(p.erased), "kept": len(p.kept), "chain": p.head.Chain, "n": p.head.Length},
		"ordered  %s  %d objects, line %d of chain %s", cp.ID, len(p.erased), p.head.Length, p.head.Chain)
	for _, k := range p.kept {
		e.c.say(map[string]any{"event": "kept", "id": cp.ID, "object": k.digest, "for": k.by}, "kept     %s  capture %s has it too", k.digest, k.by)
	}
	return nil
}

// carryOut does what is ordered and not done, oldest first. What one order waits for
// keeps no other from being done.
func (e *erasure) carryOut(ctx context.Context) error {
	var late *exitError
	var errs []error
	for _, o := range e.orders {
		if o.done {
			continue
		}
		err := e.carry(ctx, o)
		switch x := (*exitError)(nil); {
		case err == nil:
		case errors.As(err, &x):
			late = x
			e.c.complain(err)
		default:
			errs = append(errs, fmt.Errorf("erase %s: %w", o.target(), err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := e.again(ctx); errors.As(err, &late) {
		e.c.complain(err)
	} else {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if late != nil {
		return &exitError{late.code, errors.New("an order is written and not carried out yet")}
	}
	return nil
}

// carry carries out one order. Each step finds what was done of it before, so a crash
// anywhere is taken up by the next run.
func (e *erasure) carry(ctx context.Context, o *order) error {
	if err := e.sealed(ctx, o); err != nil {
		return err
	}
	until, err := e.remove(ctx, o)
	if err != nil {
		return err
	}
	if err := e.forget(ctx, o); err != nil {
		return fmt.Errorf("the store is done; what else had the bytes is not: %w", err)
	}
	if until != nil {
		e.c.say(map[string]any{"event": "locked", "id": o.target(), "until": timeOrNil(holdfast.At(until.Until)), "hold": until.Hold}, "locked   %s  %s", o.target(), messages.Visible(until.Error()))
		from := "when the legal hold on it is taken off"
		if !until.Hold {
			from = "from " + holdfast.At(until.Until).String() + " on"
		}
		return &exitError{exitUnsealed, fmt.Errorf("erase %s: a lock of the store keeps bytes; `holdfast erase --resume` erases them %s", o.target(), from)}
	}
	if err := e.n.writeErased(ctx, o); err != nil {
		return err
	}
	o.done = true
	if err := e.lingers(ctx, o); err != nil {
		e.c.complain(fmt.Errorf("erase %s: what the engines' disks still have is not known: %w", o.target(), err))
	}
	e.c.say(map[string]any{"event": "erased", "id": o.target(), "objects": len(o.erased), "chain": o.head.Chain, "n": o.head.Length},
		"erased   %s  %d objects; the mirrors lose them at their next run", o.target(), len(o.erased))
	return nil
}

// sealed waits until the lines are.
func (e *erasure) sealed(ctx context.Context, o *order) error {
	left, err := e.n.sealDerived(ctx, o.events, e.wait)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return &exitError{exitUnsealed, fmt.Errorf("erase %s: the order is written, and not sealed yet (%s): nothing was erased; `holdfast erase --resume` goes on", o.target(), e.n.whyOpen(left[0], "out of time"))}
	}
	cp, err := e.n.cat.Capture(ctx, o.events[0])
	o.seal = cp.Seal
	return err
}

// acknowledged makes sure that nobody makes a pack of these captures again: a batch is
// carried out anew until the queue has moved past it.
func (e *erasure) acknowledged(ctx context.Context, cp catalog.Capture) error {
	id, err := e.n.queue.Identity(ctx)
	if err != nil || !strings.HasPrefix(cp.Seal, id.Queue+"-") {
		return err // an older queue's: nobody reads it any more
	}
	partition, position := pipeline.Place(cp.Position).Partition(), pipeline.Place(cp.Position).Position()
	at, err := e.n.queue.Position(ctx, pipeline.StagePreserve, partition)
	if err == nil && at < position {
		err = fmt.Errorf("the batch of capture %s is sealed and not acknowledged yet: run it again", cp.ID)
	}
	return err
}
