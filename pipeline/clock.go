package pipeline

import (
	"fmt"
	"time"

	"holdfast"
)

// clockReason is how far a clock that was measured may be off before every
// Capture says so among its reasons. It takes nothing from the outcome.
const clockReason = time.Minute

// clockDiffers is the reason to state for a node's clock, or "".
func clockDiffers(c holdfast.Clock) string {
	by := time.Duration(c.OffsetMS) * time.Millisecond
	if by.Abs() <= clockReason {
		return ""
	}
	side := "behind"
	if by < 0 {
		side = "ahead"
	}
	return fmt.Sprintf("clock-differs: the node's clock was %v %s: %s", by.Abs().Round(time.Second), side, c.Source)
}
