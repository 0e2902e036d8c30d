// Package visits accounts for the times at which a watched page was due to be visited:
// for which of them there is no page, from when to when, and why as far as that is known.
//
// It reads nothing and asks no clock: [Fold] is given what sealed Captures and Custody
// state, and the same is said of the same, on any machine and after a rebuild. What it is
// given is stated by the node, and so is what follows.
//
// # Bounds
//
// A gap counts at most schedule.MaxMissed times, which then means as many or more. Memory
// is that of what is given; of Custody that is the times of lines alone.
package visits

import (
	"slices"
	"time"

	"holdfast"
	"holdfast/schedule"
)

// Resolution: a visit that came so much behind its time is a gap, though no other time of
// the schedule fell into it.
const Resolution = 15 * time.Minute

// Why there is no page of a time that was due.
type Why string

// The reasons, in the order in which they go before each other.
const (
	Failed     Why = "failed"      // it was visited, and did not come, or not it: Reasons and Capture say more
	Paused     Why = "paused"      // a person had paused the watch, by Custody
	Rest       Why = "rest"        // the visit before had failed, and the page was let rest
	UnderWay   Why = "under-way"   // the visit before was still being made
	Silent     Why = "silent"      // nothing was done: of most of it Custody has no line at all
	NotVisited Why = "not-visited" // nothing was done, though Custody has lines of it
)

// Visit is what a sealed Capture states of one.
type Visit struct {
	Capture        holdfast.ID
	Due            time.Time // of the schedule
	Started, Ended time.Time
	Missed         int64 // times behind Due that nobody was there for
	Failures       int64 // in a row without the page, this one among them
	Reasons        []string
	Schedule       string
	Began          time.Time // of the schedule; zero: not stated, by an older program
}

// Lines are what the Custody of the page's Cases states.
type Lines struct {
	At      []time.Time // of each line, of whatever it tells
	Added   time.Time   // when the watch was added; zero: no line tells it
	Removed time.Time   // zero: it was not
	Pauses  []Span      // a pause that was not ended has no To
}

// Span is a time; To is zero where it has no end.
type Span struct{ From, To time.Time }

// Gap is a time in which the page was due, and is not there.
type Gap struct {
	Span
	Times   int64 // of the schedule
	Why     Why
	Reasons []string    // of a visit that failed
	Capture holdfast.ID // the visit that ends it; of one that failed, that visit; "": none since
	Silence Span        // the longest time in it of which Custody has no line; of Silent and NotVisited
}

// Fold lists the gaps between visits, which stand in the order of Started, and behind the
// last one up to until; zero is: up to the last visit.
func Fold(all []Visit, l Lines, until time.Time) []Gap {
	f := &fold{Lines: l}
	slices.SortFunc(f.At, time.Time.Compare)
	for i, v := range all {
		if i == 0 {
			if !l.Added.IsZero() && v.Due.Sub(l.Added) > Resolution {
				f.add(Gap{Span: Span{l.Added, v.Started}, Times: 1, Capture: v.Capture}, "")
			}
		} else {
			f.between(all[i-1], v)
		}
		if v.Missed > 0 || v.Started.Sub(v.Due) > Resolution {
			f.add(Gap{Span: Span{v.Due, v.Started}, Times: v.Missed + 1, Capture: v.Capture}, "")
		}
		if v.Failures > 0 {
			g := Gap{Span: Span{From: v.Started, To: until}, Times: 1, Why: Failed, Reasons: v.Reasons, Capture: v.Capture}
			if i+1 < len(all) {
				g.To = all[i+1].Started
			}
			f.gaps = append(f.gaps, g)
		}
	}
	if len(all) > 0 && !until.IsZero() {
		f.end(all[len(all)-1], until)
	}
	return f.gaps
}

type fold struct {
	Lines
	gaps []Gap
}

// between lists the times of the schedule between two visits that neither stands for.
func (f *fold) between(p, v Visit) {
	first, n := skipped(p, v.Due)
	if n == 0 {
		return
	}
	why := Why("")
	switch {
	case p.Failures > 0:
		why = Rest
	case !first.After(p.Ended):
		why = UnderWay
	}
	f.add(Gap{Span: Span{first, v.Started}, Times: n, Capture: v.Capture}, why)
}

// skipped counts the times behind a visit's begin and before end, and says the first.
func skipped(p Visit, end time.Time) (first time.Time, n int64) {
	s, err := schedule.Parse(p.Schedule)
	if err != nil || p.Began.IsZero() {
		return first, 0
	}
	from := p.Started
	if from.Before(p.Due) { // the clock was set back
		from = p.Due
	}
	if first = s.Next(p.Began, from); !first.Before(end) {
		return first, 0
	}
	n = 1 + s.Missed(p.Began, first, end)
	if !s.Next(p.Began, end.Add(-time.Millisecond)).After(end) { // end itself is one of them, and is another's
		n--
	}
	return first, max(n, 1)
}

// end lists what was due behind the last visit.
func (f *fold) end(p Visit, until time.Time) {
	if !f.Removed.IsZero() && f.Removed.Before(until) {
		until = f.Removed
	}
	first, n := skipped(p, until)
	if n == 0 || until.Sub(first) <= Resolution {
		return
	}
	why := Why("")
	if p.Failures > 0 {
		why = Rest
	}
	f.add(Gap{Span: Span{first, until}, Times: n}, why)
}

// add says why, where the visits themselves do not.
func (f *fold) add(g Gap, why Why) {
	if g.Why = why; f.paused(g.Span) {
		g.Why = Paused
	}
	if g.Why == "" {
		g.Silence = f.silence(g.Span)
		if g.Why = NotVisited; 2*g.Silence.To.Sub(g.Silence.From) > g.To.Sub(g.From) {
			g.Why = Silent
		}
	}
	f.gaps = append(f.gaps, g)
}

func (f *fold) paused(s Span) bool {
	return slices.ContainsFunc(f.Pauses, func(p Span) bool {
		return p.From.Before(s.To) && (p.To.IsZero() || p.To.After(s.From))
	})
}

// silence is the longest time within s of which there is no line.
func (f *fold) silence(s Span) (longest Span) {
	from, _ := slices.BinarySearchFunc(f.At, s.From, time.Time.Compare)
	last := s.From
	hold := func(t time.Time) {
		if t.Sub(last) > longest.To.Sub(longest.From) {
			longest = Span{last, t}
		}
		last = t
	}
	for _, t := range f.At[from:] {
		if t.After(s.To) {
			break
		}
		hold(t)
	}
	hold(s.To)
	return longest
}
