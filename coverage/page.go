package coverage

import (
	"context"
	"maps"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/visits"
)

// Page is coverage.json of a page that is watched: the times that were due and of
// which there is no page. It follows from the Captures that are visits and from Custody,
// so it is the same after a rebuild. Members stand in canonical order; it holds no time of
// its making.
type Page struct {
	Class      string          `json:"class"`
	Cut        bool            `json:"cut"` // gaps has less than there is
	Gaps       []Gap           `json:"gaps"`
	Kind       string          `json:"kind"`
	Resolution int64           `json:"resolution"` // in s: a visit that came so much late is a gap
	Since      *holdfast.Time  `json:"since,omitempty"`
	Source     holdfast.Source `json:"source"`
	Training   bool            `json:"training"`
	Until      *holdfast.Time  `json:"until,omitempty"`
	Version    int             `json:"version"`
	Visits     Visits          `json:"visits"`
	Watch      holdfast.ID     `json:"watch"`
}

// Visits is of the visits of the window. Digest is that of their Captures' IDs,
// sorted, each with an LF.
type Visits struct {
	Count    int64          `json:"count"`
	Digest   hashing.Digest `json:"digest"`
	Failed   int64          `json:"failed"` // without the page
	First    *holdfast.Time `json:"first,omitempty"`
	Last     *holdfast.Time `json:"last,omitempty"`
	Pending  int64          `json:"pending"`
	Schedule string         `json:"schedule"` // of the last one
	Sealed   int64          `json:"sealed"`
	Signed   int64          `json:"signed"`
}

// Gap is times of a schedule that stand side by side, of which there is no page.
type Gap struct {
	Capture holdfast.ID    `json:"capture,omitempty"`
	From    holdfast.Time  `json:"from"`
	Reasons []string       `json:"reasons"`
	Silence *Span          `json:"silence,omitempty"`
	Times   int64          `json:"times"`
	To      *holdfast.Time `json:"to,omitempty"`
	Why     visits.Why     `json:"why"`
}

// Watched are the visits of one watch, oldest first.
type Watched struct {
	id    holdfast.ID
	all   []visits.Visit
	rows  []catalog.Capture
	homes map[holdfast.ID]bool
	last  string // schedule
}

// Watched reads what the Manifests of a page's captures say, of each watch apart, the
// one with the newest visit first.
func (f *Facts) Watched(ctx context.Context, page holdfast.Source) (all []*Watched, err error) {
	read, by := f.read(), map[holdfast.ID]*Watched{}
	for cp, err := range f.Captures.Captures(ctx, catalog.Query{Source: page, Kind: holdfast.KindCapture}) {
		if err != nil {
			return nil, err
		}
		read.At.Add(cp)
		m, err := read.Parsed(ctx, cp.ID)
		if err != nil {
			return nil, err
		}
		delete(read.At, cp.ID)
		v := pipeline.VersionIn(m)
		if v == nil {
			continue
		}
		k := by[v.Watch]
		if k == nil {
			k = &Watched{id: v.Watch, homes: map[holdfast.ID]bool{}, last: v.Schedule}
			by[v.Watch], all = k, append(all, k)
		}
		k.homes[cp.Case] = true
		k.rows = append(k.rows, cp)
		k.all = append(k.all, visits.Visit{Capture: cp.ID, Due: v.Due.Time, Started: m.Started.Time, Ended: m.Ended.Time, Missed: v.Missed, Failures: v.Failures,
			Reasons: m.Completeness.Reasons, Schedule: v.Schedule, Began: v.Began.Time})
	}
	for _, k := range all {
		slices.Reverse(k.rows)
		slices.Reverse(k.all)
	}
	return all, nil
}

// custodyOf reads what lines tell of a watch, and when there was a line of anything.
func (f *Facts) custodyOf(k *Watched) (l visits.Lines, err error) {
	for _, home := range slices.Sorted(maps.Keys(k.homes)) {
		err := f.Custody.Lines(home, func(b []byte, _ holdfast.Head) error {
			line, err := holdfast.ParseLine(b)
			if err != nil {
				return err
			}
			at := line.At.Time
			if l.At = append(l.At, at); !slices.Contains(line.Objects, string(k.id)) {
				return nil
			}
			open := len(l.Pauses) - 1
			switch line.Action {
			case "watch-added":
				if l.Added.IsZero() || at.Before(l.Added) {
					l.Added = at
				}
			case "watch-removed":
				l.Removed = at
			case "watch-paused":
				l.Pauses = append(l.Pauses, visits.Span{From: at})
			case "watch-resumed":
				if open >= 0 && l.Pauses[open].To.IsZero() {
					l.Pauses[open].To = at
				}
			}
			return nil
		})
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

// Page says it of one watch: of a window the gaps that reach into it. Nothing is
// due behind now, whatever the window's end.
func (f *Facts) Page(page holdfast.Source, k *Watched, w Window, now time.Time) (*Page, error) {
	lines, err := f.custodyOf(k)
	if err != nil {
		return nil, err
	}
	d := &Page{Class: "derived", Gaps: []Gap{}, Kind: "coverage", Resolution: int64(visits.Resolution / time.Second), Since: known(w.Since), Source: page,
		Training: f.Training, Until: known(w.Until), Version: 1, Watch: k.id, Visits: Visits{Schedule: k.last}}
	d.count(k, w)
	until := w.Until.Time
	if until.After(now) {
		until = now
	}
	for _, g := range visits.Fold(k.all, lines, until) {
		if !w.Until.IsZero() && g.From.After(w.Until.Time) || !w.Since.IsZero() && !g.To.IsZero() && g.To.Before(w.Since.Time) {
			continue
		}
		if len(d.Gaps) == MaxRanges {
			d.Cut = true
			break
		}
		row := Gap{Capture: g.Capture, From: holdfast.At(g.From), Reasons: append([]string{}, g.Reasons...), Times: g.Times, Why: g.Why}
		if !g.To.IsZero() {
			row.To = known(holdfast.At(g.To))
		}
		if !g.Silence.To.IsZero() {
			row.Silence = &Span{known(holdfast.At(g.Silence.From)), known(holdfast.At(g.Silence.To))}
		}
		d.Gaps = append(d.Gaps, row)
	}
	return d, nil
}

func (d *Page) count(k *Watched, w Window) {
	ids := map[holdfast.ID]bool{}
	for i, cp := range k.rows {
		if !w.has(cp.Started) {
			continue
		}
		ids[cp.ID] = true
		v := &d.Visits
		if v.Count++; v.First == nil {
			v.First = known(cp.Started)
		}
		v.Last = known(cp.Started)
		if k.all[i].Failures > 0 {
			v.Failed++
		}
		switch cp.State {
		case catalog.Sealed:
			v.Sealed++
		case catalog.Signed:
			v.Signed++
		default:
			v.Pending++
		}
	}
	d.Visits.Digest = idsDigest(ids)
}

// Home is the Case of the newest visit.
func (k *Watched) Home() holdfast.ID { return k.rows[len(k.rows)-1].Case }
