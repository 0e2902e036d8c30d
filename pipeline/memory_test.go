package pipeline

import (
	"testing"
	"time"

	"holdfast"
)

// An hour of plans is an hour of this process's time: what a clock said that was set, or
// another node's, lets none of them go earlier. TestNewest in preserve has the other half.
func TestMemoryIsNotOfTheClock(t *testing.T) {
	now := time.Now()
	first := holdfast.NewID()
	plan := func(id holdfast.ID, planned time.Time) *holdfast.Plan {
		return &holdfast.Plan{Planned: holdfast.At(planned), Captures: []holdfast.Planned{{ID: id}}}
	}
	m := newMemory()
	m.add(plan(first, now.Add(-2*time.Hour)), now) // a node whose clock was two hours behind
	for i := range 3 * memoryPlans {
		m.add(plan(holdfast.NewID(), now), now.Add(time.Duration(i)*time.Second))
	}
	if !m.has(first) {
		t.Error("a plan of a few minutes ago was forgotten for what its node's clock said")
	}
	m.add(plan(holdfast.NewID(), now), now.Add(memoryTime+time.Second))
	if m.has(first) {
		t.Error("a plan of more than an hour ago, and many plans, is kept for ever")
	}
}
