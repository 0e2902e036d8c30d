package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
)

// pageStanding is how a watch of a page is.
type pageStanding struct {
	Number   int64         // of versions that were seen
	Since    holdfast.ID   // the capture that showed the newest one first,
	Changed  holdfast.Time // and when that was
	Visited  holdfast.Time // the newest visit
	Failures int64         // visits in a row without the page
	Waits    string        // for a session; "": it does not
	Again    holdfast.Time // until when its site asked to be left alone; zero: it did not, or that is over
}

// pageStanding follows from the Task and the newest visit, whoever asks.
func (n *node) pageStanding(ctx context.Context, w *watch, parts map[string]pipeline.Task, now time.Time) (s standing, err error) {
	s.Page, s.Mode = &pageStanding{}, modePage
	visit, ok := parts[partVisit]
	if ok && !visit.Due.IsZero() {
		s.Due = holdfast.At(visit.Due)
		s.Late = max(now.Sub(visit.Due), 0).Truncate(time.Second)
	}
	cp, v, err := n.lastVisit(ctx, w.Source, w.ID)
	if err != nil {
		return s, err
	}
	if v != nil {
		s.Page.Number, s.Page.Since, s.Page.Visited, s.Page.Failures = v.Number, v.Since, cp.Started, v.Failures
		if v.Again.After(now) {
			s.Page.Again = v.Again
		}
		first, err := n.cat.Capture(ctx, v.Since)
		if err == nil {
			s.Page.Changed = first.Started
		}
	}
	s.Page.Waits = n.waitsFor(w)
	switch {
	case w.Paused != nil:
		s.State = "paused"
	case s.Page.Waits != "":
		s.State = "waiting"
	case s.Late > time.Minute && !visit.Lease.Until.After(now):
		s.State = "waiting"
	case s.Page.Failures > 0:
		s.State = "resting"
	default:
		s.State = "scheduled"
	}
	return s, nil
}

// modePage is the mode of a watch that is of a page.
const modePage = "page"

// row adds it to a line of `watch list`.
func (p *pageStanding) row(w *watch, row map[string]any) {
	row["schedule"], row["versions"], row["since"], row["changed"], row["visited"], row["failures"] = w.Schedule, p.Number, p.Since, stated(p.Changed), stated(p.Visited), p.Failures
	row["left_alone"], row["waits"] = stated(p.Again), p.Waits
	w.visitHow.row(row)
}

func (p *pageStanding) text(w *watch, s standing) string {
	text := fmt.Sprintf("  %s  %d versions", w.Schedule, p.Number)
	if !p.Changed.IsZero() {
		text += fmt.Sprintf(", the last since %s", p.Changed)
	}
	if !s.Due.IsZero() && w.Paused == nil {
		text += fmt.Sprintf("  next %s", s.Due)
	}
	if p.Failures > 0 {
		text += fmt.Sprintf("\n  the page did not come %d times in a row; it is asked for again, ever more rarely, once a day at least if its schedule has that", p.Failures)
	}
	if !p.Again.IsZero() {
		text += fmt.Sprintf("\n  the site asked to be left alone until %s", p.Again)
	}
	return text
}

// sayPage is the line of a page in `watch list`.
func (c *cli) sayPage(w *watch, s standing, row map[string]any, text string) {
	s.Page.row(w, row)
	text += w.visitHow.text() + s.Page.text(w, s)
	for _, more := range []string{s.NotRun, s.Page.Waits} {
		if more != "" {
			text += "\n  " + more
		}
	}
	c.say(row, "%s", text)
}

// visit is one line of `watch show`.
type visitLine struct {
	cp    catalog.Capture
	v     *pipeline.Version
	chain string
}

// How the chain stands at a visit.
const (
	chainFirst   = "first"   // it names none before it
	chainHolds   = "holds"   // the one that it names has the Manifest that it names
	chainByID    = "by-id"   // it names one, and no Manifest: that was not fixed yet
	chainUnknown = "unknown" // the one that it names is not here
	chainBroken  = "broken"  // the one that it names has another Manifest
)

// visits yields the visits of a watch, newest first, each held against the one that it
// names as the one before.
func (n *node) visits(ctx context.Context, w *watch, most int, tell func(visitLine)) error {
	from, count := n.kept(), 0
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Source: w.Source, Kind: holdfast.KindCapture}) {
		if err != nil {
			return err
		}
		m, err := from.Parsed(ctx, cp.ID)
		if err != nil {
			return err
		}
		v := pipeline.VersionIn(m)
		if v == nil || v.Watch != w.ID {
			continue
		}
		if count++; count > most {
			return nil
		}
		line := visitLine{cp: cp, v: v, chain: chainFirst}
		if p := v.Previous; p != nil {
			switch before, err := n.cat.Capture(ctx, p.Capture); {
			case err != nil:
				line.chain = chainUnknown
			case p.Manifest == "":
				line.chain = chainByID
			case before.Manifest.String() == p.Manifest:
				line.chain = chainHolds
			default:
				line.chain = chainBroken
			}
		}
		tell(line)
	}
	return nil
}

func (l visitLine) row() map[string]any {
	b, err := json.Marshal(l.v)
	if err != nil {
		b = nil
	}
	return map[string]any{"event": "visit", "id": l.cp.ID, "at": l.cp.Started, "outcome": l.cp.Outcome, "state": l.cp.State, "what": visitWords(l.v, l.cp.ID), "chain": l.chain, "version": json.RawMessage(b)}
}
