package pipeline

import (
	"slices"
	"time"

	"holdfast"
)

// How far back published IDs are remembered: whichever reaches further.
const (
	memoryPlans = 64
	memoryTime  = time.Hour
)

// memory is the capture IDs of the newest plans. A queue that lost its answer to
// a publisher may hold one capture twice; the second one is skipped.
type memory struct {
	plans []remembered // oldest first
	seen  map[holdfast.ID]int
}

type remembered struct {
	seal string
	at   time.Time // when it was added, by a clock that nobody sets
	ids  []holdfast.ID
}

func newMemory() *memory { return &memory{seen: map[holdfast.ID]int{}} }

func (m *memory) has(id holdfast.ID) bool { return m.seen[id] > 0 }

// add remembers a plan and forgets what is older than both limits. Its age counts from
// here on: what a plan says was the clock of whichever node made it, and now may be
// another's, or the same clock after a jump; an hour would then be over at once.
func (m *memory) add(p *holdfast.Plan, now time.Time) {
	r := remembered{seal: p.Seal, at: now, ids: make([]holdfast.ID, len(p.Captures))}
	for i, c := range p.Captures {
		r.ids[i] = c.ID
		m.seen[c.ID]++
	}
	m.plans = append(m.plans, r)
	for len(m.plans) > memoryPlans && now.Sub(m.plans[0].at) > memoryTime {
		m.forget(m.plans[0].ids)
		m.plans[0].ids = nil
		m.plans = m.plans[1:]
	}
}

func (m *memory) forget(ids []holdfast.ID) {
	for _, id := range ids {
		if m.seen[id]--; m.seen[id] == 0 {
			delete(m.seen, id)
		}
	}
}

// drop forgets one plan: what it holds may be planned again.
func (m *memory) drop(seal string) {
	for i, r := range m.plans {
		if r.seal == seal {
			m.forget(r.ids)
			m.plans[i].ids = nil
		}
	}
}

// elsewhere reports whether another plan holds a capture of this one.
func (m *memory) elsewhere(p *holdfast.Plan) bool {
	for _, r := range m.plans {
		if r.seal == p.Seal {
			continue
		}
		for _, id := range r.ids {
			if slices.ContainsFunc(p.Captures, func(c holdfast.Planned) bool { return c.ID == id }) {
				return true
			}
		}
	}
	return false
}
