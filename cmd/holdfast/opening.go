package main

import (
	"context"
	"errors"

	"holdfast/cmd/internal/nodedir"
)

// openProcess opens the node for a process that works until it is stopped: nil, nil where
// it was asked to stop before that was done. Then nothing of its work is under way, so it
// has ended as well as one that was drained; what a start mends the next one mends.
//
// Where there is no node, or one whose settings a person has to see to, the status is that
// of wrong usage: whoever starts processes anew (systemd's RestartPreventExitStatus) does
// not do it for ever.
func (c *cli) openProcess(ctx context.Context) (*node, error) {
	if err := c.notHalfRestored(); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	if _, err := nodedir.Read(c.data); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	n, err := c.open(ctx)
	if err == nil || ctx.Err() == nil {
		return n, err
	}
	if !errors.Is(err, context.Canceled) {
		c.complain(err)
	}
	c.say(map[string]any{"event": "stopped"}, "stopped")
	return nil, nil
}
