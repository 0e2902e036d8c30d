package main

import (
	"context"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/catalog"
	"holdfast/messages"
	"holdfast/pipeline"
)

// maxCaseName is the longest name that a Case is given here, in bytes.
const maxCaseName = 200

func (c *cli) caseCmd() *cobra.Command {
	return group("case", "Cases: what is recorded of them, and what belongs to them", "holdfast case new 2026-017 --reference 'Ref 17/26' --scope-source example.org",
		c.caseNewCmd(), c.caseListCmd(), c.caseShowCmd(), c.caseEditCmd(), c.caseAddCmd())
}

func (c *cli) caseNewCmd() *cobra.Command {
	var f recordFlags
	cmd := command("new NAME [--reference TEXT] [--mandate TEXT] [--legal-basis TEXT] [--purpose TEXT] [--scope-source [https://]HOST[/PATH]]… [--keyword TEXT]… [--canary CHANNEL]… [--comments yes] [--depth N] [--since TIME] [--until TIME] [--egress NAME]",
		"Open a Case and record on what ground", "holdfast case new 2026-017 --mandate 'Order of 3 May' --scope-source '*.example.org' --until 2026-12-31", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			var r catalog.Record
			if err := f.apply(cmd, &r); err != nil {
				return err
			}
			if err := checkCaseName(args[0]); err != nil {
				return err
			}
			n, err := c.captureNode(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.caseNew(cmd.Context(), n, args[0], r)
		})
	cmd.Long = "Everything is optional and can be recorded later with `case edit`; what is not is\nshown as \"not recorded\". It is stated in the Case's custody and in every bundle.\n\n" + scopeHelp
	f.add(cmd)
	return cmd
}

const scopeHelp = `Sources, period and egress are enforced by "capture", and the period by "add":
what is outside is refused, or with --reason captured, flagged and sealed so.
A source HOST is that host alone, *.HOST its subdomains alone; a path takes whole
segments. A page that has none of the keywords in its text, or that redirects out
of the scope, is flagged. The depth is recorded and not enforced: one capture is
of one page. Nothing is written anywhere, but in the channels of --canary by
"watch canary". With --comments yes, what people answered to posts is captured too.`

func checkCaseName(name string) error {
	if _, err := holdfast.ParseID(name); err == nil {
		return usageError("case %s: that is the form of an id; choose another name", name)
	}
	if name == "" || len(name) > maxCaseName || !utf8.ValidString(name) {
		return usageError("case %.80q: a name has 1 to %d bytes of UTF-8", name, maxCaseName)
	}
	return nil
}

// caseNew opens a Case. The lock keeps two processes from making two Cases of
// one name. The record is in the one line that opens it: a crash leaves all or
// nothing.
func (c *cli) caseNew(ctx context.Context, n *node, name string, r catalog.Record) error {
	unlock, err := n.officeLock(ctx, "cases.lock")
	if err != nil {
		return err
	}
	defer unlock()
	if err := n.refresh(ctx); err != nil {
		return err
	}
	if _, err := n.cat.Case(ctx, name); !errors.Is(err, catalog.ErrNotFound) {
		if err == nil {
			err = fmt.Errorf("case %.80q exists: `holdfast case edit` changes what is recorded of it", name)
		}
		return err
	}
	id := holdfast.NewID()
	if err := n.openCase(ctx, id, name, r); err != nil {
		return err
	}
	return c.sayCase(ctx, n, id)
}

// findCase finds one by name or ID, with the catalog brought up to date.
func (n *node) findCase(ctx context.Context, name string) (catalog.Case, error) {
	if err := n.refresh(ctx); err != nil {
		return catalog.Case{}, err
	}
	cs, err := n.namedCase(ctx, name)
	if err != nil {
		err = fmt.Errorf("case %.80q: %w; `holdfast case list` shows the cases", name, err)
	}
	return cs, err
}

// namedCase is the catalog's, and `unfiled` is this node's own, also where several nodes
// have one each in a catalog that they share.
func (n *node) namedCase(ctx context.Context, name string) (catalog.Case, error) {
	cs, err := n.cat.Case(ctx, name)
	if name == unfiled && errors.Is(err, catalog.ErrNotFound) {
		return n.cat.Case(ctx, string(n.set.Unfiled))
	}
	return cs, err
}

func (c *cli) caseListCmd() *cobra.Command {
	return command("list", "List the Cases", "holdfast case list --json", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		if err := n.refresh(cmd.Context()); err != nil {
			return err
		}
		for cs, err := range n.cat.Cases(cmd.Context()) {
			if err != nil {
				return err
			}
			c.say(caseRow(cs), "%s  %5d captures  %-16s  %s%s", cs.ID, cs.Captures+cs.Added, messages.Visible(cs.Name), messages.Visible(orNone(cs.Record.Reference)), unrecorded(cs.Record))
		}
		return nil
	})
}

func unrecorded(r catalog.Record) string {
	if r.IsZero() {
		return "  (nothing is recorded of its ground and scope)"
	}
	return ""
}

func (c *cli) caseShowCmd() *cobra.Command {
	return command("show NAME", "Show what is recorded of a Case", "holdfast case show 2026-017", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		cs, err := n.findCase(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return c.sayCase(cmd.Context(), n, cs.ID)
	})
}

func (c *cli) caseEditCmd() *cobra.Command {
	var f recordFlags
	cmd := command("edit NAME [--FIELD VALUE]…", "Change what is recorded of a Case", "holdfast case edit 2026-017 --until 2027-06-30 --egress ''", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if !f.given(cmd) {
				return usageError("nothing to change: give a field, as --reference TEXT; `holdfast case edit --help` lists them")
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			return c.caseEdit(cmd, n, args[0], &f)
		})
	cmd.Long = "Fields that are not given stay; an empty value takes one back. A list (--scope-source,\n--keyword) is replaced as a whole. What was recorded before stays in the custody.\n\n" + scopeHelp
	f.add(cmd)
	return cmd
}

// caseEdit writes the whole new record into one line: the newest counts. The
// lock keeps two edits from taking each other's fields back.
func (c *cli) caseEdit(cmd *cobra.Command, n *node, name string, f *recordFlags) error {
	ctx := cmd.Context()
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
		return fmt.Errorf("case %.80q: its record has fields that a newer holdfast wrote (%s), and this one does not know what an edit would do to them: edit it with the newer one", cs.Name, newer)
	}
	r := cs.Record
	if err := f.apply(cmd, &r); err != nil {
		return err
	}
	if r.String() != cs.Record.String() {
		x, err := r.Encode("")
		if err != nil {
			return usageError("%w", err)
		}
		if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: cs.ID, Action: "changed", Agent: n.set.Agent, X: x}); err != nil {
			return err
		}
		if cs, err = n.findCase(ctx, string(cs.ID)); err != nil {
			return err
		}
		if r.String() != cs.Record.String() { // only where a clock went wrong before a new log was begun
			return fmt.Errorf("case %.80q: the change is written and does not count: a line of an earlier chain has a later time than this node's clock; `holdfast custody` shows them", cs.Name)
		}
	}
	return c.sayCase(ctx, n, cs.ID)
}

func (c *cli) caseAddCmd() *cobra.Command {
	return command("add NAME CAPTURE…", "Let captures of other Cases belong to a Case too", "holdfast case add 2026-017 0f3c…", cobra.MinimumNArgs(2), func(cmd *cobra.Command, args []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		return c.caseAdd(cmd.Context(), n, args[0], args[1:])
	})
}

// caseAdd writes who else belongs to a Case. A capture's home, and where its
// bytes lie, stay as they are.
func (c *cli) caseAdd(ctx context.Context, n *node, name string, args []string) error {
	cs, err := n.findCase(ctx, name)
	if err != nil {
		return err
	}
	here := map[holdfast.ID]bool{}
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Member: cs.ID, Kind: holdfast.KindCapture}) {
		if err != nil {
			return err
		}
		here[cp.ID] = true
	}
	var ids []string
	for _, a := range args {
		cp, err := n.captureNamed(ctx, a)
		if err != nil {
			return err
		}
		if !here[cp.ID] {
			here[cp.ID], ids = true, append(ids, string(cp.ID))
		}
	}
	added := len(ids)
	for len(ids) > 0 {
		k := min(len(ids), perLine)
		if _, err := n.outbox.Append(ctx, pipeline.Entry{Case: cs.ID, Action: "added", Agent: n.set.Agent, Objects: ids[:k]}); err != nil {
			return err
		}
		ids = ids[k:]
	}
	c.say(map[string]any{"event": "added", "case": cs.Name, "case_id": cs.ID, "added": added, "asked": len(args)}, "%d of %d captures added to case %s; the others belong to it already",
		added, len(args), messages.Visible(cs.Name))
	return nil
}

// captureNamed finds a Capture, not an Event, by its ID.
func (n *node) captureNamed(ctx context.Context, arg string) (catalog.Capture, error) {
	id, err := holdfast.ParseID(arg)
	if err != nil {
		return catalog.Capture{}, usageError("%w; `holdfast list` shows the ids", err)
	}
	cp, err := n.cat.Capture(ctx, id)
	if err != nil {
		return cp, fmt.Errorf("capture %s: %w; `holdfast list` shows the ids", id, err)
	}
	if cp.Kind != holdfast.KindCapture {
		return cp, fmt.Errorf("%s is an event of custody, not a capture; `holdfast list` shows the ids", id)
	}
	return cp, nil
}
