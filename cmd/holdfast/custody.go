package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/pipeline"
)

func (c *cli) noteCmd() *cobra.Command {
	cmd := command("note CAPTURE|CASE TEXT", "Write a note on a capture or a Case into its custody", "holdfast note 0f3c… 'the account was deleted an hour later'", cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			if err := checkReason("TEXT", args[1]); err != nil {
				return err
			}
			if strings.TrimSpace(args[1]) == "" {
				return usageError("an empty note")
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.note(cmd.Context(), n, args[0], args[1])
		})
	cmd.Long = "A note is a line of custody: it is sealed, it is in every bundle of its Case, and\nit cannot be taken back."
	return cmd
}

// note is filed with a capture's home Case.
func (c *cli) note(ctx context.Context, n *node, what, text string) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	e := pipeline.Entry{Action: "noted", Agent: n.set.Agent, Why: text}
	cp, err := n.captureNamed(ctx, what)
	if err == nil {
		e.Case, e.Objects = cp.Case, []string{string(cp.ID)}
	} else {
		cs, err := n.namedCase(ctx, what)
		if err != nil {
			return fmt.Errorf("%.80q is no capture and no case: %w; `holdfast list` and `holdfast case list` show them", what, err)
		}
		e.Case = cs.ID
	}
	h, err := n.outbox.Append(ctx, e)
	if err != nil {
		return err
	}
	c.say(map[string]any{"event": "noted", "case_id": e.Case, "objects": append([]string{}, e.Objects...), "chain": h.Chain, "n": h.Length}, "noted, line %d of chain %s", h.Length, h.Chain)
	return nil
}

func (c *cli) custodyCmd() *cobra.Command {
	cmd := command("custody CASE", "Show a Case's custody: who did what, when and why", "holdfast custody 2026-017", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		cs, err := n.findCase(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return c.custody(cmd.Context(), n, cs)
	})
	cmd.Long = "Checks the hash chain from its first line, and says up to which line a sealed\nManifest anchors it. A line after that is written and not anchored yet.\n\nexit status: 0 the chain holds  1 it is broken, or could not be read  2 usage"
	return cmd
}

// chainSeen is one chain while it is read: the head behind each line.
type chainSeen struct {
	id       holdfast.ID
	node     string
	heads    []hashing.Digest
	anchored int64
}

// custody prints the lines as they are read.
func (c *cli) custody(ctx context.Context, n *node, cs catalog.Case) error {
	chains, err := n.readChains(ctx, cs.ID, c.sayLine)
	if err != nil {
		return err
	}
	broken := missingLines(cs, chains)
	for _, k := range chains {
		err := n.anchor(ctx, cs.ID, k)
		broken = errors.Join(broken, err)
		c.say(map[string]any{"event": "chain", "case": cs.Name, "case_id": cs.ID, "chain": k.id, "node": k.node, "length": len(k.heads),
			"head": k.heads[len(k.heads)-1], "anchored": k.anchored, "sound": err == nil},
			"chain %s of node %s: %d lines, head %s; anchored by sealed manifests up to line %d", k.id, messages.Visible(k.node), len(k.heads), k.heads[len(k.heads)-1], k.anchored)
	}
	return broken
}

// readChains reads the chains of a Case whole. Outbox.Lines checks them; a broken
// one ends here with its error.
func (n *node) readChains(ctx context.Context, home holdfast.ID, say func(*holdfast.Line)) (chains []*chainSeen, err error) {
	err = n.outbox.AllLines(ctx, home, func(b []byte, h holdfast.Head) error {
		l, err := holdfast.ParseLine(b)
		if err != nil {
			return err
		}
		if len(chains) == 0 || chains[len(chains)-1].id != h.Chain {
			chains = append(chains, &chainSeen{id: h.Chain, node: l.Node})
		}
		k := chains[len(chains)-1]
		k.heads = append(k.heads, h.Head)
		say(l)
		return ctx.Err()
	})
	return chains, err
}

// missingLines compares with the lengths that Events and Manifests gave the
// catalog, which was asked before the lines were read: there can only be more.
func missingLines(cs catalog.Case, chains []*chainSeen) (err error) {
	for _, known := range cs.Chains {
		here := 0
		for _, k := range chains {
			if k.id == known.ID {
				here = len(k.heads)
			}
		}
		if int64(here) < known.Length {
			err = errors.Join(err, fmt.Errorf("%w: chain %s has %d lines here, and %d were published: bring the folder outbox back from a copy", pipeline.ErrChain, known.ID, here, known.Length))
		}
	}
	return err
}

// maxNamed is how many objects of a line are printed for people; --json has all.
const maxNamed = 3

func (c *cli) sayLine(l *holdfast.Line) {
	row := map[string]any{"event": "line", "chain": l.Chain, "n": l.N, "at": l.At, "action": l.Action, "agent": l.Agent, "objects": append([]string{}, l.Objects...), "why": l.Why, "node": l.Node}
	if l.X != nil {
		row["x"] = l.X
	}
	objects := strings.Join(l.Objects[:min(len(l.Objects), maxNamed)], " ")
	if k := len(l.Objects) - maxNamed; k > 0 {
		objects += fmt.Sprintf(" and %d more", k)
	}
	text := fmt.Sprintf("%5d  %s  %-12s %s", l.N, l.At, messages.Visible(l.Action), messages.Visible(agentText(l.Agent)))
	for _, s := range []string{objects, l.Why} {
		if s != "" {
			text += "  " + messages.Visible(s)
		}
	}
	if l.X != nil && l.Action != "exporting" {
		text += "  " + messages.Visible(string(l.X))
	}
	c.say(row, "%s", text)
}

func agentText(a holdfast.Agent) string {
	var parts []string
	for _, s := range []string{a.Pseudonym, a.Role, a.Office} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		return "(agent not recorded)"
	}
	return strings.Join(parts, ", ")
}

// looksAtMost is how many of a Case's newest sealed captures anchor looks at.
const looksAtMost = 64

// anchor finds up to which line sealed Manifests hold the chain: by the last
// sealed Event of its own lines, and by the Case's newest sealed captures, which
// name the head at their acceptance. That is at least so much; a Manifest that
// names another head than the chain has is an error.
func (n *node) anchor(ctx context.Context, home holdfast.ID, k *chainSeen) error {
	read, broken := n.kept(), error(nil)
	look := func(id holdfast.ID) error {
		raw, _, err := read.Manifest(ctx, id)
		if err != nil {
			return err
		}
		m, err := holdfast.ParseManifest(raw)
		if err != nil {
			return err
		}
		h := m.Custody
		if h.Chain != k.id || h.Length <= k.anchored {
			return nil
		}
		if h.Length > int64(len(k.heads)) {
			if now, err := n.outbox.Head(ctx, home); err == nil && now.Chain == k.id && now.Length >= h.Length {
				return nil // written since the lines were read
			}
		}
		if h.Length > int64(len(k.heads)) || k.heads[h.Length-1] != h.Head {
			return fmt.Errorf("%w: capture %s is sealed with another head of chain %s at line %d", pipeline.ErrChain, id, k.id, h.Length)
		}
		k.anchored = h.Length
		return nil
	}
	for i := len(k.heads); i > 0; i-- {
		cp, err := n.cat.Capture(ctx, holdfast.EventID(k.id, int64(i)))
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			return err
		}
		if err == nil && cp.State == catalog.Sealed {
			broken = errors.Join(broken, look(cp.ID))
			break
		}
	}
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Case: home, Kind: holdfast.KindCapture, State: catalog.Sealed, Limit: looksAtMost}) {
		if err != nil {
			return err
		}
		broken = errors.Join(broken, look(cp.ID))
	}
	return broken
}
