package main

import (
	"context"
	"iter"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/kept"
	"holdfast/pipeline"
	"holdfast/tme"
)

// adding lets captures of a watch that serves several Cases belong to the others
// too: an `added` line in each, for many captures together, as with `collected`. A
// crash leaves captures without it; the next run finds them (alsoRest).
type adding struct {
	n    *node
	open map[holdfast.ID][]string
	from time.Time // of the oldest
	who  holdfast.Agent
}

func (a *adding) add(cases []holdfast.ID, who holdfast.Agent, id holdfast.ID) {
	if len(cases) == 0 {
		return
	}
	if a.open == nil {
		a.open = map[holdfast.ID][]string{}
	}
	if len(a.open) == 0 {
		a.from = time.Now()
	}
	a.who = who
	for _, k := range cases {
		a.open[k] = append(a.open[k], string(id))
	}
}

// flushOld writes what waits when there is enough of it, or when it is old.
func (a *adding) flushOld(ctx context.Context, now time.Time) {
	many := false
	for _, ids := range a.open {
		many = many || len(ids) >= namesPerLine
	}
	if len(a.open) > 0 && (many || now.Sub(a.from) >= namesAge) {
		a.flush(ctx)
	}
}

func (a *adding) flush(ctx context.Context) {
	for home, ids := range a.open {
		for part := range slices.Chunk(ids, perLine) {
			if _, err := a.n.outbox.Append(ctx, pipeline.Entry{Case: home, Action: "added", Agent: a.who, Objects: part}); err != nil {
				a.n.log.WarnContext(ctx, "captures not added to a case yet; the next run does it", "case", home, "err", err)
			}
		}
	}
	a.open = nil
}

// alsoRest adds what a crash left between the acceptance and the line.
func (w *watchRun) alsoRest(ctx context.Context, list map[holdfast.ID]*watched) error {
	from := w.n.kept()
	for _, k := range list {
		if len(k.Cases) < 2 {
			continue
		}
		var own []holdfast.ID
		for cp, err := range w.since(ctx, k, catalog.Query{Case: k.home()}) {
			if err != nil {
				return err
			}
			if w.isOf(ctx, from, k, cp) {
				own = append(own, cp.ID)
			}
		}
		for _, other := range k.Cases[1:] {
			has := map[holdfast.ID]bool{}
			for cp, err := range w.since(ctx, k, catalog.Query{Member: other}) {
				if err != nil {
					return err
				}
				has[cp.ID] = true
			}
			for _, id := range own {
				if !has[id] {
					w.also.add([]holdfast.ID{other}, w.n.set.Agent, id)
				}
			}
		}
	}
	w.also.flush(ctx)
	return nil
}

// since are the captures from when a source was first watched on, newest first.
func (w *watchRun) since(ctx context.Context, k *watched, q catalog.Query) iter.Seq2[catalog.Capture, error] {
	q.Kind = holdfast.KindCapture
	return func(yield func(catalog.Capture, error) bool) {
		for cp, err := range w.n.cat.Captures(ctx, q) {
			if err == nil && cp.Started.Before(k.Added.Time) || !yield(cp, err) {
				return
			}
		}
	}
}

// isOf says whether a capture is one of the source itself, of a public page of it, or
// of what an answer about it asked for: a file, comments. Not what somebody asked for
// of one of its posts, nor the page of one, which is of the Case that names the egress.
func (w *watchRun) isOf(ctx context.Context, from *kept.Reader, k *watched, cp catalog.Capture) bool {
	if cp.Source == k.Source && !k.isPage() {
		return true
	}
	if k.isPage() { // else it is one that somebody asked for
		m, err := from.Parsed(ctx, cp.ID)
		if cp.Source != k.Source || err != nil {
			return false
		}
		v := pipeline.VersionIn(m)
		return v != nil && v.Watch == k.ID
	}
	if a, ok := tme.ParseAddress(string(cp.Source), w.site.hosts); ok {
		return a.Post == 0 && "telegram:@"+a.Channel == string(k.Source)
	}
	if channelIn(cp.Source) != string(k.Source) {
		return false
	}
	m, err := from.Parsed(ctx, cp.ID)
	if err != nil {
		w.n.log.WarnContext(ctx, "not added to other cases: what asked for it cannot be read", "capture", cp.ID, "err", err)
		return false
	}
	by, _ := linkFrom(m.Found)
	return m.Found == foundIn(by, k.Source)
}
