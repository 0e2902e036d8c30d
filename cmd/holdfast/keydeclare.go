package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast"
)

func (c *cli) keyCompromisedCmd() *cobra.Command {
	var since string
	cmd := command("compromised KEY --since TIME", "Say that a key which signs no more was in other hands", "holdfast key compromised 0f3c… --since 2026-03-01T09:00:00Z", cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if since == "" {
				return usageError("--since is missing: the last time at which the key was surely yours alone")
			}
			return c.withNode(func(ctx context.Context, n *node) error { return c.declareKey(ctx, n, args[0], since) })(cmd, args)
		})
	cmd.Long = `KEY is an id that "holdfast key show" lists: of a key that is retired, or was lost
before a restore. It ends at TIME: what is sealed with it before stays proven, what
is sealed at or after it is contradicted. The key that signs is ended by "holdfast key
rotate --compromised-since", which also ends all others that were good then.`
	cmd.Flags().StringVar(&since, "since", "", "since when somebody else may have the key: RFC 3339, as 2026-03-01T09:00:00Z")
	return cmd
}

func (c *cli) declareKey(ctx context.Context, n *node, id, when string) error {
	unlock, err := c.holdKeys(ctx, n)
	if err != nil {
		return err
	}
	defer unlock()
	since, err := n.sinceWhen("--since", when)
	if err != nil {
		return err
	}
	if id == n.keys.Newest().ID() {
		return usageError("key %s signs now: `holdfast key rotate --compromised-since %s` ends it and makes another", id, since)
	}
	ch, err := n.keeper().Declare(ctx, id, *since)
	if err != nil {
		return err
	}
	if err := n.finishKeys(ctx); err != nil {
		return fmt.Errorf("the key is ended, and the rest is left to the next command: %w", err)
	}
	fp, err := n.fingerprint()
	if err != nil {
		return err
	}
	c.say(map[string]any{"event": ch.Action, "old": id, "since": since, "fingerprint": fp},
		"key %s ends at %s: what was sealed with it at or after that is contradicted, `holdfast list` shows it.\nGive the policy to those who verify: an older one knows nothing of it.", id, since)
	return nil
}

// showLostKeys shows those of before a restore without keys.
func (c *cli) showLostKeys(n *node) {
	for _, f := range n.formerLogs() {
		for _, k := range f.Keys {
			id := holdfast.KeyID(k.SPKI)
			c.say(map[string]any{"key": id, "for": "seal", "state": "lost", "from": k.From, "until": k.Until, "file": "", "encrypted": false, "node": f.Name},
				"%-10s %s\n  %-11s from %s until %s\n  lost before a restore; of node %s", "seal", id, "lost", k.From, until(k.Until), f.Name)
		}
	}
}
