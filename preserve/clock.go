package preserve

import (
	"slices"
	"time"
)

const (
	// ClockLimit is how far this node's clock may be from that of the
	// authorities before it is reported. Tokens tell whole seconds, and the way
	// there and back takes some.
	ClockLimit = 5 * time.Second

	clockAgree = 5 * time.Second  // operators this close to their median agree
	clockSlow  = 4 * time.Second  // an answer that took longer measures nothing
	clockFresh = 10 * time.Minute // sightings older than this are not compared with new ones
)

// A Sighting is what one operator's clock showed, against this node's.
type Sighting struct {
	Operator string
	Offset   time.Duration // as in [Timestamp]
	At       time.Time     // by this node's clock
	Bound    bool          // the offset is at least that, away from zero
}

// Sighted makes a Sighting of a Timestamp that came over the network; ok is
// false if the answer took too long to measure with.
func Sighted(operator string, ts *Timestamp, now time.Time) (s Sighting, ok bool) {
	return Sighting{Operator: operator, Offset: ts.Offset, At: now}, ts.Took <= clockSlow
}

// SightedFile makes a Sighting of a reply that was on its way for nobody knows
// how long: asked is when the query was written, now when the reply was taken.
// A token from between the two shows nothing, and ok is false.
func SightedFile(operator string, ts *Timestamp, asked, now time.Time) (s Sighting, ok bool) {
	s = Sighting{Operator: operator, At: now, Bound: true}
	switch at := ts.Token.GenTime; {
	case at.After(now):
		s.Offset = at.Sub(now)
	case ts.Token.Latest().Before(asked):
		s.Offset = ts.Token.Latest().Sub(asked)
	}
	return s, s.Offset.Abs() > ClockLimit
}

// A Drift is how far the authorities are ahead of this node's clock (negative:
// behind). It is for people and for Manifests to state: no time is ever
// corrected by it.
type Drift struct {
	Offset    time.Duration
	Operators []string // that agree, two or more, sorted
	At        time.Time
	Bound     bool // the offset is at least that, away from zero
}

// Wrong reports whether the clocks differ by more than [ClockLimit].
func (d Drift) Wrong() bool { return d.Offset.Abs() > ClockLimit }

// Measure compares the newest sighting of each operator: the median, if two or
// more operators agree with it. One authority alone may be wrong itself.
func Measure(all []Sighting, now time.Time) (d Drift, ok bool) {
	newest := make(map[string]Sighting)
	for _, s := range all {
		if now.Sub(s.At).Abs() <= clockFresh && !s.At.Before(newest[s.Operator].At) {
			newest[s.Operator] = s
		}
	}
	var offsets []time.Duration
	for _, s := range newest {
		offsets = append(offsets, s.Offset)
	}
	if len(offsets) < 2 {
		return d, false
	}
	slices.Sort(offsets)
	d.Offset = (offsets[(len(offsets)-1)/2] + offsets[len(offsets)/2]) / 2
	d.At = now
	for op, s := range newest {
		if (s.Offset - d.Offset).Abs() <= clockAgree {
			d.Operators = append(d.Operators, op)
		}
	}
	slices.Sort(d.Operators)
	return d, len(d.Operators) >= 2
}

// MeasureFiles compares what replies showed that came as files. Each gives a
// bound only, the strongest of an operator counts, and what two operators bear
// out is told.
func MeasureFiles(all []Sighting, now time.Time) (d Drift, ok bool) {
	for _, sign := range []time.Duration{1, -1} {
		most := make(map[string]time.Duration)
		for _, s := range all {
			most[s.Operator] = max(most[s.Operator], sign*s.Offset)
		}
		var offsets []time.Duration
		for _, o := range most {
			offsets = append(offsets, o)
		}
		slices.Sort(offsets)
		if len(offsets) < 2 || offsets[len(offsets)-2] <= ClockLimit {
			continue
		}
		d = Drift{Offset: sign * offsets[len(offsets)-2], At: now, Bound: true}
		for op, o := range most {
			if o >= sign*d.Offset {
				d.Operators = append(d.Operators, op)
			}
		}
		slices.Sort(d.Operators)
		return d, true
	}
	return d, false
}

// sight keeps what a token showed, and reports the clock when operators agree.
func (q *Quorum) sight(operator string, ts *Timestamp) {
	if q.o.Clock == nil {
		return
	}
	now := time.Now()
	s, ok := Sighted(operator, ts, now)
	if !ok {
		return
	}
	q.mu.Lock()
	q.clocks = slices.DeleteFunc(q.clocks, func(o Sighting) bool { return o.Operator == operator })
	q.clocks = append(q.clocks, s)
	d, agreed := Measure(q.clocks, now)
	q.mu.Unlock()
	if agreed {
		q.o.Clock(d)
	}
}
