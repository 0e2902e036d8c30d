package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors/received"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/pipeline"
)

func (c *cli) listCmd() *cobra.Command {
	var caseName, state string
	var r remote
	cmd := command("list [--case NAME] [--state pending|signed|sealed]", "List captures, newest first", "holdfast list --case 2026-017 --json", cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if state != "" && state != pipeline.StatePending && state != pipeline.StateSigned && state != pipeline.StateSealed {
				return usageError("--state %.40q: it is pending, signed or sealed", state)
			}
			if there, err := r.asked(cmd); err != nil {
				return err
			} else if there {
				return c.listRemote(cmd.Context(), r, caseName, state)
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.list(cmd.Context(), n, caseName, state)
		})
	r.flags(cmd)
	cmd.Flags().StringVar(&caseName, "case", "", "only of this Case")
	cmd.Flags().StringVar(&state, "state", "", "only in this state")
	return cmd
}

func (c *cli) list(ctx context.Context, n *node, caseName, state string) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	q := catalog.Query{State: state, Kind: holdfast.KindCapture}
	if caseName != "" {
		cs, err := n.namedCase(ctx, caseName)
		if err != nil {
			return fmt.Errorf("list: case %.80q: %w; `holdfast case list` shows the cases", caseName, err)
		}
		q.Member = cs.ID
	}
	names := map[holdfast.ID]string{}
	for cp, err := range n.cat.Captures(ctx, q) {
		if err != nil {
			return err
		}
		if _, ok := names[cp.Case]; !ok {
			cs, err := n.cat.Case(ctx, string(cp.Case))
			if err != nil && !errors.Is(err, catalog.ErrNotFound) {
				return err
			}
			names[cp.Case] = cs.Name
		}
		c.sayListed(cp, names[cp.Case])
	}
	return nil
}

func (c *cli) sayListed(cp catalog.Capture, name string) {
	c.say(listed(cp, name), "%s  %-7s  %s  %-16s  %s%s", cp.ID, cp.State, cp.Started, messages.Visible(name), messages.Visible(string(cp.Source)), why(cp))
}

func why(cp catalog.Capture) string {
	s := ""
	if cp.Outcome != "complete" {
		s += "  [" + cp.Outcome + "]"
	}
	if cp.Reason != "" {
		s += "  (" + messages.Visible(cp.Reason) + ")"
	}
	if len(cp.Conflicts) > 0 {
		s += fmt.Sprintf("  CONFLICT: %d other manifests have this id", len(cp.Conflicts))
	}
	return s
}

// listed is one row of `list --json`, a contract.
func listed(cp catalog.Capture, caseName string) map[string]any {
	m := map[string]any{"id": cp.ID, "source": cp.Source, "case": caseName, "case_id": cp.Case, "started": cp.Started, "ended": cp.Ended, "outcome": cp.Outcome,
		"state": cp.State, "reason": cp.Reason, "seal": cp.Seal, "manifest": cp.Manifest, "exhibit": cp.Exhibit, "training": cp.Training, "conflicts": len(cp.Conflicts)}
	if !cp.T.IsZero() {
		m["not_after"] = holdfast.At(cp.T)
	}
	return m
}

type showOptions struct {
	open bool
	why  string
}

func (c *cli) showCmd() *cobra.Command {
	var o showOptions
	var r remote
	cmd := command("show CAPTURE [--open] [--why TEXT]", "Show one capture: its manifest and its state", "holdfast show 0f3c… --open", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		id, err := holdfast.ParseID(args[0])
		if err != nil {
			return usageError("%w; `holdfast list` shows the ids", err)
		}
		if err := checkReason("--why", o.why); err != nil {
			return err
		}
		if there, err := r.asked(cmd, "open"); err != nil {
			return err
		} else if there {
			return c.showRemote(cmd.Context(), r, id, o)
		}
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		return c.show(cmd.Context(), n, id, o)
	})
	cmd.Long = "That it was looked at, by whom and why, becomes a line of custody (`accessed`).\n--open copies the picture, or else the first object, checks its digest and hands\nthe copy to the desktop. It stays in the folder for temporary files."
	r.flags(cmd)
	cmd.Flags().BoolVar(&o.open, "open", false, "open the picture of the page, or else the first object, with the desktop's program")
	cmd.Flags().StringVar(&o.why, "why", "", "why it is looked at, for the custody")
	return cmd
}

func (c *cli) show(ctx context.Context, n *node, id holdfast.ID, o showOptions) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	cp, err := n.cat.Capture(ctx, id)
	if err != nil {
		return fmt.Errorf("show %s: %w; `holdfast list` shows the ids", id, err)
	}
	from := n.kept()
	raw, _, err := from.Manifest(ctx, id)
	if err != nil {
		return fmt.Errorf("show %s: %w", id, err)
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return fmt.Errorf("show %s: %w", id, err)
	}
	cs, err := n.cat.Case(ctx, string(cp.Case))
	if err != nil && !errors.Is(err, catalog.ErrNotFound) {
		return err
	}
	if err := n.accessed(ctx, cp, n.set.Agent, o.why); err != nil {
		return err
	}
	by, err := n.erasedBy(ctx, cp.Case)
	if err != nil {
		return fmt.Errorf("show %s: %w", id, err)
	}
	erased := by[string(cp.ID)]
	row, text := listed(cp, cs.Name), describe(cp, cs.Name, m, erased)
	row["manifest_json"], row["erased"] = json.RawMessage(raw), erasedRows(m, erased)
	giver := ""
	if o := m.Object(received.NameGiver); o != nil && erased[o.Digest] == "" {
		if giver, err = giverOf(ctx, from, m); err != nil {
			return fmt.Errorf("show %s: %w", id, err)
		}
	}
	if giver != "" {
		row["giver"] = giver
		text += "\ngiver    " + messages.Visible(giver) + "  (restricted)"
	}
	if o.open {
		if p := pictured(m); p != nil && erased[p.Digest] != "" {
			return fmt.Errorf("show --open %s: %s: %s", id, p.Name, erased[p.Digest])
		}
		file, err := openCopy(ctx, from, m)
		if err != nil {
			return fmt.Errorf("show --open %s: %w", id, err)
		}
		row["opened"] = file
		text += "\nopened   " + messages.Visible(file)
	}
	c.say(row, "%s", text)
	return nil
}

// erasedRows are the Objects that were erased by order, for --json.
func erasedRows(m *holdfast.Manifest, erased map[hashing.Digest]string) []map[string]any {
	rows := []map[string]any{}
	for _, o := range m.Objects {
		if why := erased[o.Digest]; why != "" {
			rows = append(rows, map[string]any{"object": o.Name, "digest": o.Digest, "why": why})
		}
	}
	return rows
}

func describe(cp catalog.Capture, caseName string, m *holdfast.Manifest, erased map[hashing.Digest]string) string {
	s := fmt.Sprintf("capture  %s\nsource   %s\ncase     %s\nstate    %s%s\nstated   from %s to %s by the clock of %s\nmanifest %s\n", cp.ID, messages.Visible(string(cp.Source)),
		messages.Visible(caseName), cp.State, why(cp), cp.Started, cp.Ended, cp.Node, cp.Manifest)
	if !cp.T.IsZero() {
		s += fmt.Sprintf("proven   not later than %s\nseal     %s\n", holdfast.At(cp.T), cp.Seal)
	}
	for _, r := range m.Completeness.Reasons {
		s += "reason   " + messages.Visible(r) + "\n"
	}
	if out := readOutside(m.X); len(out.Rules) > 0 {
		s += "outside  " + messages.Visible(strings.Join(out.Rules, "; ")) + "\n"
		if out.Reason != "" {
			s += "because  " + messages.Visible(out.Reason) + "\n"
		}
	}
	for _, o := range m.Objects {
		restricted := ""
		if o.Restricted {
			restricted = "  restricted"
		}
		if why := erased[o.Digest]; why != "" {
			restricted += "  (" + why + ")"
		}
		s += fmt.Sprintf("object   %-22s %12d  %s%s\n", o.Name, o.Size, o.Digest, restricted)
	}
	return s[:len(s)-1]
}
