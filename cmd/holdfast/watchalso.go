package main

import (
	"context"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
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
func (w *watchRun) alsoRest(ctx context.Context) error {
	for _, k := range w.list {
		for _, other := range k.Cases[1:] {
			has := map[holdfast.ID]bool{}
			for cp, err := range w.n.cat.Captures(ctx, catalog.Query{Member: other, Source: k.Source, Kind: holdfast.KindCapture}) {
				if err != nil {
					return err
				}
				has[cp.ID] = true
			}
			for cp, err := range w.n.cat.Captures(ctx, catalog.Query{Case: k.home(), Source: k.Source, Kind: holdfast.KindCapture}) {
				if err != nil {
					return err
				}
				if cp.Started.Before(k.Added.Time) {
					break
				}
				if !has[cp.ID] {
					w.also.add([]holdfast.ID{other}, w.n.set.Agent, cp.ID)
				}
			}
		}
	}
	w.also.flush(ctx)
	return nil
}
