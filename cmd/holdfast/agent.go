package main

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
)

// maxAgent bounds each member of the node's Agent, in bytes.
const maxAgent = 200

func (o initOptions) checkAgent() error {
	for flag, s := range map[string]string{"agent": o.agent.Pseudonym, "role": o.agent.Role, "office": o.agent.Office} {
		if len(s) > maxAgent || !utf8.ValidString(s) {
			return usageError("--%s: at most %d bytes of UTF-8", flag, maxAgent)
		}
	}
	return nil
}

// agentOf is the Agent that the node has, with what was given in its place.
func (o initOptions) agentOf(cmd *cobra.Command, a holdfast.Agent) holdfast.Agent {
	for flag, to := range map[string]struct {
		from string
		to   *string
	}{"agent": {o.agent.Pseudonym, &a.Pseudonym}, "role": {o.agent.Role, &a.Role}, "office": {o.agent.Office, &a.Office}} {
		if cmd.Flags().Changed(flag) {
			*to.to = to.from
		}
	}
	return a
}

// setAgent writes who works here. The settings are read again under the lock, so
// that what another process has changed in them stays. Processes that are at
// work go on under the Agent that they have read.
func (n *node) setAgent(ctx context.Context, a holdfast.Agent) error {
	if a == n.set.Agent {
		return nil
	}
	if err := n.changeSettings(ctx, func(s *nodedir.Settings) error { s.Agent = a; return nil }); err != nil {
		return fmt.Errorf("write who works here: %w", err)
	}
	n.set.Agent = a
	return nil
}
