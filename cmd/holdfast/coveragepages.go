package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/kept"
	"holdfast/messages"
	"holdfast/visits"
)

// visitsDoc is coverage.json of a page that is watched: the times that were due and of
// which there is no page. It follows from the Captures that are visits and from Custody,
// so it is the same after a rebuild. Members stand in canonical order; it holds no time of
// its making.
type visitsDoc struct {
	Class      string          `json:"class"`
	Cut        bool            `json:"cut"` // gaps has less than there is
	Gaps       []visitsGap     `json:"gaps"`
	Kind       string          `json:"kind"`
	Resolution int64           `json:"resolution"` // in s: a visit that came so much late is a gap
	Since      *holdfast.Time  `json:"since,omitempty"`
	Source     holdfast.Source `json:"source"`
	Training   bool            `json:"training"`
	Until      *holdfast.Time  `json:"until,omitempty"`
	Version    int             `json:"version"`
	Visits     visitsCount     `json:"visits"`
	Watch      holdfast.ID     `json:"watch"`
}

// visitsCount is of the visits of the window. Digest is that of their Captures' IDs,
// sorted, each with an LF.
type visitsCount struct {
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

type visitsGap struct {
	Capture holdfast.ID    `json:"capture,omitempty"`
	From    holdfast.Time  `json:"from"`
	Reasons []string       `json:"reasons"`
	Silence *coverageSpan  `json:"silence,omitempty"`
	Times   int64          `json:"times"`
	To      *holdfast.Time `json:"to,omitempty"`
	Why     visits.Why     `json:"why"`
}

// watchVisits are the visits of one watch, newest first, until sorted.
type watchVisits struct {
	id    holdfast.ID
	all   []visits.Visit
	rows  []catalog.Capture
	homes map[holdfast.ID]bool
	last  string // schedule
}

func (c *cli) coveragePage(ctx context.Context, n *node, page holdfast.Source, w window, o coverageOptions) error {
	if err := n.refresh(ctx); err != nil {
		return err
	}
	all, err := n.visitsOf(ctx, page)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("coverage: no capture of %s is a visit on a schedule: `holdfast watch add %s --every 6h` has it visited", page, page)
	}
	var made []derived
	for _, v := range all {
		d, err := n.visitsCoverage(page, v, w, time.Now())
		if err != nil {
			return fmt.Errorf("coverage of %s: %w", page, err)
		}
		c.sayVisits(d)
		if o.seal {
			x, err := coverageObject(page, v.rows[len(v.rows)-1].Case, "which times of its schedule the page was not seen at", "fold of the visits that it counts, and of custody", d)
			if err != nil {
				return err
			}
			made = append(made, x)
		}
	}
	if !o.seal {
		return nil
	}
	return c.sealCoverage(ctx, n, made, o.wait)
}

// visitsOf reads what the Manifests of a page's captures say, of each watch apart, the
// one with the newest visit first.
func (n *node) visitsOf(ctx context.Context, page holdfast.Source) (all []*watchVisits, err error) {
	read, by := n.keptAt(kept.Places{}), map[holdfast.ID]*watchVisits{}
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Source: page, Kind: holdfast.KindCapture}) {
		if err != nil {
			return nil, err
		}
		read.At.Add(cp)
		m, err := read.Parsed(ctx, cp.ID)
		if err != nil {
			return nil, err
		}
		delete(read.At, cp.ID)
		v := visitIn(m)
		if v == nil {
			continue
		}
		k := by[v.Watch]
		if k == nil {
			k = &watchVisits{id: v.Watch, homes: map[holdfast.ID]bool{}, last: v.Schedule}
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
func (n *node) custodyOf(k *watchVisits) (l visits.Lines, err error) {
	for _, home := range slices.Sorted(maps.Keys(k.homes)) {
		err := n.outbox.Lines(home, func(b []byte, _ holdfast.Head) error {
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

// visitsCoverage says it of one watch: of a window the gaps that reach into it. Nothing is
// due behind now, whatever the window's end.
func (n *node) visitsCoverage(page holdfast.Source, k *watchVisits, w window, now time.Time) (*visitsDoc, error) {
	lines, err := n.custodyOf(k)
	if err != nil {
		return nil, err
	}
	d := &visitsDoc{Class: "derived", Gaps: []visitsGap{}, Kind: "coverage", Resolution: int64(visits.Resolution / time.Second), Since: known(w.since), Source: page,
		Training: n.set.Training, Until: known(w.until), Version: 1, Watch: k.id, Visits: visitsCount{Schedule: k.last}}
	d.count(k, w)
	until := w.until.Time
	if until.After(now) {
		until = now
	}
	for _, g := range visits.Fold(k.all, lines, until) {
		if !w.until.IsZero() && g.From.After(w.until.Time) || !w.since.IsZero() && !g.To.IsZero() && g.To.Before(w.since.Time) {
			continue
		}
		if len(d.Gaps) == maxRanges {
			d.Cut = true
			break
		}
		row := visitsGap{Capture: g.Capture, From: holdfast.At(g.From), Reasons: append([]string{}, g.Reasons...), Times: g.Times, Why: g.Why}
		if !g.To.IsZero() {
			row.To = known(holdfast.At(g.To))
		}
		if !g.Silence.To.IsZero() {
			row.Silence = &coverageSpan{known(holdfast.At(g.Silence.From)), known(holdfast.At(g.Silence.To))}
		}
		d.Gaps = append(d.Gaps, row)
	}
	return d, nil
}

func (d *visitsDoc) count(k *watchVisits, w window) {
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

func (c *cli) sayVisits(d *visitsDoc) {
	v := d.Visits
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  watch %s\n", messages.Visible(string(d.Source)), v.Schedule, d.Watch)
	fmt.Fprintf(&b, "visits    %d (%d sealed, %d signed, %d pending; %d without the page)%s\n", v.Count, v.Sealed, v.Signed, v.Pending, v.Failed, spanText(v.First, v.Last))
	for _, g := range d.Gaps[:min(len(d.Gaps), shownRanges)] {
		to := "now"
		if g.To != nil {
			to = g.To.String()
		}
		fmt.Fprintf(&b, "gap       from %s to %s  %d times  %s", g.From, to, g.Times, g.Why)
		if g.Silence != nil {
			fmt.Fprintf(&b, "  no line of custody%s", spanText(g.Silence.After, g.Silence.Before))
		}
		if len(g.Reasons) > 0 {
			fmt.Fprintf(&b, "  %s", messages.Visible(strings.Join(g.Reasons, "; ")))
		}
		b.WriteByte('\n')
	}
	if len(d.Gaps) > shownRanges {
		fmt.Fprintf(&b, "and %d more; --json has %d at most\n", len(d.Gaps)-shownRanges, maxRanges)
	}
	c.say(struct {
		Event string `json:"event"`
		*visitsDoc
	}{"coverage", d}, "%s", strings.TrimSuffix(b.String(), "\n"))
}
