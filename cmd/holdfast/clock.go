package main

import (
	"holdfast"
	"holdfast/cmd/internal/nodeclock"
	"holdfast/preserve"
)

// knownClock is what a Manifest states of the node's clock.
func (n *node) knownClock() holdfast.Clock { return nodeclock.Known(n.dir) }

// noteClock writes down what tokens showed, for the Manifests that follow.
func (n *node) noteClock(d preserve.Drift) { n.clock.Note(n.dir, n.log, d) }

// sayClock tells scripts of a clock that is known to be wrong.
func (c *cli) sayClock(n *node) {
	if m := nodeclock.Read(n.dir); c.json && m != nil && !m.Stale() && m.Offset().Abs() > preserve.ClockLimit {
		c.say(map[string]any{"event": "clock", "offset_ms": m.OffsetMS, "bound": m.Bound, "operators": m.Operators, "measured": m.Measured}, "")
	}
}
