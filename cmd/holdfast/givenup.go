package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/cmd/internal/doctor"
	"holdfast/messages"
	"holdfast/pipeline"
)

// tellGivenUp names in custody the captures of a plan that the queue has lost: a line
// `lost` in the Case of each, as far as that is known (see lostHome), else in `unfiled`.
// So that they are missing, of which plan, and why is sealed. Events are not named: their
// lines are in the outbox of their node, which publishes them again. Each capture is named
// once, also where a crash has this called again; two nodes may both name it.
func (n *node) tellGivenUp(ctx context.Context, g pipeline.GivenUp) error {
	events, at, err := n.ownNames(ctx, g.Lost)
	if err != nil {
		return fmt.Errorf("read custody: %w", err)
	}
	ids := map[holdfast.ID][]string{}
	for _, id := range g.Lost {
		if events[id] {
			continue
		}
		home, event, err := n.lostHome(ctx, id, at[id], g.Plan)
		if err != nil {
			return err
		}
		if !event {
			ids[home] = append(ids[home], string(id))
		}
	}
	x, err := canon.Marshal(struct {
		Plan string `json:"plan"`
	}{g.Plan.Seal})
	if err != nil {
		return err
	}
	why := fmt.Sprintf("accepted and planned, and lost by the queue before they were kept: plan %s was given up, with %d of its %d captures and events; one that is published again under its ID is in a later seal",
		g.Plan.Seal, len(g.Lost), len(g.Plan.Captures))
	for _, home := range slices.Sorted(maps.Keys(ids)) {
		if err := n.tellLost(ctx, home, ids[home], why, x); err != nil {
			return fmt.Errorf("tell in custody of captures that are lost: %w", err)
		}
	}
	return nil
}

// ownNames looks for IDs in this node's custody: which are Events of its own, and in
// which Case others were received or collected. It reads all lines.
func (n *node) ownNames(ctx context.Context, ids []holdfast.ID) (events map[holdfast.ID]bool, at map[holdfast.ID]holdfast.ID, err error) {
	events, at = map[holdfast.ID]bool{}, map[holdfast.ID]holdfast.ID{}
	asked := make(map[holdfast.ID]bool, len(ids))
	for _, id := range ids {
		asked[id] = true
	}
	for _, home := range n.outbox.Homes() {
		err := n.outbox.Lines(home, func(raw []byte, _ holdfast.Head) error {
			l, err := holdfast.ParseLine(raw)
			if err != nil {
				return err
			}
			if id := holdfast.EventID(l.Chain, l.N); asked[id] {
				events[id] = true
			}
			for _, o := range l.Objects {
				if id := holdfast.ID(o); asked[id] && (l.Action == "received" || l.Action == "collected") {
					at[id] = home
				}
			}
			return ctx.Err()
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return events, at, nil
}

// lostHome is the Case of a capture that is nowhere any more: the one where this node's
// custody has it, else the catalog, else the only one of which the plan has a pack, if it
// has a chain here; else `unfiled`. A catalog that does not answer keeps nothing waiting.
func (n *node) lostHome(ctx context.Context, id, named holdfast.ID, p *holdfast.Plan) (home holdfast.ID, event bool, err error) {
	if named != "" {
		return named, false, nil
	}
	switch cp, err := n.cat.Capture(ctx, id); {
	case err == nil:
		return cp.Case, cp.Kind == holdfast.KindEvent, nil
	case !errors.Is(err, catalog.ErrNotFound):
		n.log.WarnContext(ctx, "whose a lost capture is cannot be asked of the catalog", "capture", id, "err", err)
	}
	if len(p.Packs) == 1 {
		home = p.Packs[0].Case
	}
	home, err = n.knownCase(ctx, home)
	return home, false, err
}

// lostShown is for how long doctor speaks of what was lost.
const lostShown = 30 * 24 * time.Hour

// doctorLost speaks of what this node's custody has named as lost of late.
func (n *node) doctorLost(d *doctor.Report) {
	count, last := 0, (*holdfast.Line)(nil)
	for _, home := range n.outbox.Homes() {
		err := n.outbox.Lines(home, func(raw []byte, _ holdfast.Head) error {
			l, err := holdfast.ParseLine(raw)
			if err != nil || l.Action != "lost" || time.Since(l.At.Time) > lostShown {
				return err
			}
			if count += len(l.Objects); last == nil || l.At.After(last.At.Time) {
				last = l
			}
			return nil
		})
		if err != nil {
			d.Check("lost", "", err)
			return
		}
	}
	if last != nil {
		d.Note("lost", fmt.Sprintf("%d captures were accepted and come into no Seal, the last of them on %s: %s; line %d of the custody of case %s names them (`holdfast custody`); have them captured again",
			count, last.At, messages.Visible(last.Why), last.N, last.Case))
	}
}
