package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/messages"
)

const shownVisits = 100

func (c *cli) watchShowCmd() *cobra.Command {
	most := shownVisits
	cmd := command("show SOURCE", "Show one watch, and of a page its visits", "holdfast watch show https://example.org/news", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
		if most < 1 {
			return usageError("--visits %d: how many, from the newest", most)
		}
		return c.withNode(func(ctx context.Context, n *node) error { return c.watchShow(ctx, n, args[0], most) })(cmd, args)
	})
	cmd.Long = `The line of 'watch list', and of a page its visits, newest first: which version it
was, and whether the visit before is the one that its Manifest names.

  first      the page was seen for the first time
  changed    what counts on it is another than at the visit before: a new version
  unchanged  what counts is the same
  failed     it did not come, or a wall stood in its place
  unread     it came, without a document that could be compared

  chain: holds (the capture before has the Manifest that this one names), by-id (none
  was fixed then), first, unknown (it is not here), broken (it has another Manifest)

exit status: 0 shown  1 could not, or the chain is broken  2 usage`
	cmd.Flags().IntVar(&most, "visits", shownVisits, "how many visits, from the newest")
	return cmd
}

func (c *cli) watchShow(ctx context.Context, n *node, name string, most int) error {
	sources, err := n.watchNames(ctx, []string{name})
	if err != nil {
		return err
	}
	var found *watch
	if err := n.eachWatch(ctx, func(w *watch, s standing, names map[holdfast.ID]string) {
		if w.Source == sources[0] {
			found = w
			c.sayWatch(w, s, names)
		}
	}); err != nil {
		return err
	}
	if found == nil {
		return fmt.Errorf("%s is not watched: `holdfast watch list` shows what is", sources[0])
	}
	if !found.isPage() {
		return nil
	}
	broken := 0
	err = n.visits(ctx, found, most, func(l visitLine) {
		if l.chain == chainBroken {
			broken++
		}
		c.say(l.row(), "%s  %s  %-9s version %d  %s  %s", l.cp.Started, l.cp.ID, visitWords(l.v, l.cp.ID), l.v.Number, l.cp.Outcome, messages.Visible(l.chain))
	})
	if err == nil && broken > 0 {
		err = fmt.Errorf("the chain is broken at %d visits: a capture that they name has another Manifest", broken)
	}
	return err
}
