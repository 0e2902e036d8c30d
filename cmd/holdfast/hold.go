package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/messages"
	"holdfast/pipeline"
)

func (c *cli) holdCmd() *cobra.Command {
	var reason string
	cmd := command("hold CASE on|off [--reason TEXT]", "Forbid to erase what belongs to a Case, or allow it again", "holdfast hold 2026-017 on --reason 'Order of 4 May'", cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			if args[1] != "on" && args[1] != "off" {
				return usageError("hold %.40q: it is on or off", args[1])
			}
			if err := checkReason("--reason", reason); err != nil {
				return err
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.hold(cmd.Context(), n, args[0], args[1] == "on", reason)
		})
	cmd.Long = `A hold is a line of custody, and stands in the Case's record: it is sealed, and in
every bundle of the Case. It protects every capture that belongs to the Case, those
that were added to it and those still to come too: "holdfast erase" refuses them,
whoever ordered it. What was erased before is not brought back. In a bucket each pack
and Object of the Case gets the legal hold of S3 too; what is sealed later gets it
from the next "hold" or "holdfast locks".`
	cmd.Flags().StringVar(&reason, "reason", "", "who wants it and why, for the custody")
	return cmd
}

// hold writes the whole record, as an edit does. The lock keeps two edits from
// taking each other's fields back, and an erasure from being ordered between the
// look and the line.
func (c *cli) hold(ctx context.Context, n *node, name string, on bool, reason string) error {
	unlock, err := n.officeLock(ctx, "cases.lock")
	if err != nil {
		return err
	}
	defer unlock()
	cs, err := n.findCase(ctx, name)
	if err != nil {
		return err
	}
	if newer := newerFields(cs.Record); newer != "" {
		return fmt.Errorf("case %.80q: its record has fields that a newer holdfast wrote (%s): use the newer one", cs.Name, newer)
	}
	if cs.Record.Hold != on {
		if err := n.writeHold(ctx, cs, on, reason); err != nil {
			return err
		}
	}
	keys, err := n.lockCase(ctx, cs, on)
	if err != nil {
		return err
	}
	c.say(map[string]any{"event": "hold", "locked": keys, "case": cs.Name, "case_id": cs.ID, "hold": on, "changed": cs.Record.Hold != on}, "hold     %s  %s", map[bool]string{true: "on", false: "off"}[on], messages.Visible(cs.Name))
	return nil
}

func (n *node) writeHold(ctx context.Context, cs catalog.Case, on bool, reason string) error {
	action := map[bool]string{true: "held", false: "released"}[on]
	r := cs.Record
	r.Hold = on
	x, err := r.Encode("")
	if err != nil {
		return err
	}
	if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: cs.ID, Action: action, Agent: n.set.Agent, X: x, Why: reason}); err != nil {
		return err
	}
	now, err := n.findCase(ctx, string(cs.ID))
	if err == nil && now.Record.Hold != on { // only where a clock went wrong before a new log was begun
		err = fmt.Errorf("case %.80q: the line is written and does not count: a line of an earlier chain has a later time than this node's clock; `holdfast custody` shows them", cs.Name)
	}
	return err
}

// heldBy names the Cases under a hold that a Capture belongs to, at home there or
// added.
func (n *node) heldBy(ctx context.Context, cp catalog.Capture) (names []string, err error) {
	for cs, err := range n.cat.Cases(ctx) {
		if err != nil {
			return nil, err
		}
		if !cs.Record.Hold {
			continue
		}
		in := cs.ID == cp.Case
		if !in && cs.Added > 0 {
			if in, err = n.memberOf(ctx, cs.ID, cp); err != nil {
				return nil, err
			}
		}
		if in {
			names = append(names, cs.Name)
		}
	}
	return names, nil
}

// memberOf goes by the Source, so that a large Case is not read whole.
func (n *node) memberOf(ctx context.Context, id holdfast.ID, cp catalog.Capture) (bool, error) {
	for m, err := range n.cat.Captures(ctx, catalog.Query{Member: id, Source: cp.Source, Kind: holdfast.KindCapture}) {
		if err != nil || m.ID == cp.ID {
			return err == nil, err
		}
	}
	return false, nil
}
