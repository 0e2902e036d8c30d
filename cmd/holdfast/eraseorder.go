package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"holdfast"
	"holdfast/audit"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/search"
)

// order is what a custody line `erasing` says, and how far it is carried out.
type order struct {
	captures []string // whose Objects they are: the one that was named, then others that were erased before and shared some
	erased   []hashing.Digest
	kept     []keptObject
	order    string
	why      string

	line   *holdfast.Line // of another node's
	home   holdfast.ID
	head   holdfast.Head // of the line: chain and number
	events []holdfast.ID // of the line, then of those that repeat it in other Cases
	seal   string        // of the first
	done   bool          // a line `erased` says so
}

// keptObject stays, because another capture has it too.
type keptObject struct {
	digest hashing.Digest
	by     holdfast.ID
}

func (o *order) target() string { return o.captures[0] }

// erasures reads from the custody of this node what was ordered, oldest first in each
// Case, and what of it is done.
func (n *node) erasures(ctx context.Context) (all []*order, err error) {
	at := map[holdfast.ID]*order{} // by the Event of its line
	repeated := map[holdfast.ID][]holdfast.ID{}
	for _, home := range n.outbox.Homes() {
		err := n.outbox.Lines(home, func(b []byte, h holdfast.Head) error {
			l, err := holdfast.ParseLine(b)
			if err != nil || l.Action != "erasing" && l.Action != "erased" {
				return err
			}
			if l.Action == "erased" {
				x, err := parseErased(l.X)
				if o := at[holdfast.EventID(l.Chain, x.Begun)]; err == nil && o != nil {
					o.done = true
				}
				return err
			}
			x, err := audit.ParseErasing(l.X)
			if err != nil || len(l.Objects) == 0 {
				return fmt.Errorf("line %d of chain %s: %w", l.N, l.Chain, errors.Join(err, holdfast.ErrForm))
			}
			id := holdfast.EventID(l.Chain, l.N)
			if x.Of != "" {
				repeated[x.Of] = append(repeated[x.Of], id)
				return nil
			}
			at[id] = &order{captures: l.Objects, erased: x.Erased, order: x.Order, why: l.Why, home: home, head: holdfast.Head{Chain: l.Chain, Length: l.N}, events: []holdfast.ID{id}}
			all = append(all, at[id])
			return ctx.Err()
		})
		if err != nil {
			return nil, err
		}
	}
	for id, o := range at {
		o.events = append(o.events, repeated[id]...)
	}
	return all, nil
}

// erasuresDone are the Events of those that lines of this node call done. What cannot be
// read is not.
func (n *node) erasuresDone() map[holdfast.ID]bool {
	done := map[holdfast.ID]bool{}
	all, _ := n.erasures(context.Background())
	for _, o := range all {
		done[o.events[0]] = o.done
	}
	return done
}

// erasedX is the `x` of a line `erased`.
type erasedX struct {
	Begun int64            `json:"begun"` // number of the line `erasing` in the same chain
	Kept  []hashing.Digest `json:"kept,omitempty"`
}

func parseErased(x []byte) (e erasedX, err error) { return e, canon.Unmarshal(x, &e) }

// writeOrder writes the line in the home Case of the capture, and the same in the Cases
// of others that lose Objects with it. Who is killed between them finds the first, and
// writes the others before anything is erased.
func (n *node) writeOrder(ctx context.Context, o *order) error {
	h, err := n.erasingLine(ctx, o, o.home, "")
	if err != nil {
		return err
	}
	o.head, o.events = h, []holdfast.ID{holdfast.EventID(h.Chain, h.Length)}
	return n.repeatOrder(ctx, o)
}

// repeatOrder writes what is missing of the lines in other Cases.
func (n *node) repeatOrder(ctx context.Context, o *order) error {
	homes := map[holdfast.ID]bool{o.home: true}
	for _, id := range o.events[1:] {
		cp, err := n.cat.Capture(ctx, id)
		if err != nil {
			return err
		}
		homes[cp.Case] = true
	}
	for _, id := range o.captures {
		cp, err := n.cat.Capture(ctx, holdfast.ID(id))
		if err != nil {
			return err
		}
		if homes[cp.Case] {
			continue
		}
		h, err := n.erasingLine(ctx, o, cp.Case, o.events[0])
		if err != nil {
			return err
		}
		homes[cp.Case], o.events = true, append(o.events, holdfast.EventID(h.Chain, h.Length))
	}
	return nil
}

func (n *node) erasingLine(ctx context.Context, o *order, home, of holdfast.ID) (holdfast.Head, error) {
	x, err := canon.Marshal(audit.Erasing{Erased: o.erased, Of: of, Order: o.order})
	if err != nil {
		return holdfast.Head{}, err
	}
	return n.outbox.Append(ctx, pipeline.Entry{Case: home, Action: "erasing", Agent: n.set.Agent, Objects: o.captures, Why: o.why, X: x})
}

func (n *node) writeErased(ctx context.Context, o *order) error {
	x := erasedX{Begun: o.head.Length}
	for _, k := range o.kept {
		x.Kept = append(x.Kept, k.digest)
	}
	raw, err := canon.Marshal(x)
	if err == nil {
		_, err = n.outbox.Append(ctx, pipeline.Entry{Case: o.home, Action: "erased", Agent: n.set.Agent, Objects: o.captures, X: raw})
	}
	return err
}

// choose decides what of a capture is erased: each Object that no other capture needs.
// One that was erased before needs nothing, unless it is under a hold by now.
func (e *erasure) choose(ctx context.Context, cp catalog.Capture) (*order, error) {
	m, err := e.n.manifestOf(ctx, cp)
	if err != nil {
		return nil, err
	}
	o := &order{captures: []string{string(cp.ID)}, home: cp.Case}
	seen := map[hashing.Digest]bool{}
	for _, ob := range m.Objects {
		if seen[ob.Digest] {
			continue
		}
		seen[ob.Digest] = true
		by, sharers, err := e.needs(ctx, ob.Digest, o.captures[:1])
		if err != nil {
			return nil, err
		}
		if by != "" {
			o.kept = append(o.kept, keptObject{ob.Digest, by})
			continue
		}
		o.erased = append(o.erased, ob.Digest)
		for _, s := range sharers {
			if !slices.Contains(o.captures, s) {
				o.captures = append(o.captures, s)
			}
		}
	}
	if len(o.erased) == 0 {
		return nil, fmt.Errorf("erase %s: nothing of it can be erased alone: each of its %d objects is in another capture too, such as %s; erase that one with it", cp.ID, len(o.kept), keptBy(o.kept))
	}
	slices.SortFunc(o.erased, hashing.Digest.Compare)
	return o, nil
}

func keptBy(kept []keptObject) holdfast.ID {
	if len(kept) == 0 {
		return "none"
	}
	return kept[0].by
}

func (n *node) manifestOf(ctx context.Context, cp catalog.Capture) (*holdfast.Manifest, error) {
	raw, _, err := n.kept().Manifest(ctx, cp.ID)
	if err != nil {
		return nil, err
	}
	return holdfast.ParseManifest(raw)
}

// needs says which capture keeps an Object from being erased, or else who has shared
// it and was erased before. More captures than one answer holds: it stays.
func (e *erasure) needs(ctx context.Context, d hashing.Digest, of []string) (by holdfast.ID, sharers []string, err error) {
	words, err := search.Parse("hash:" + d.Hex())
	if err != nil {
		return "", nil, err
	}
	found, err := e.n.cat.Search(ctx, catalog.TextQuery{Words: words, Limit: catalog.MaxHits})
	if err != nil {
		return "", nil, err
	}
	known := false
	for _, h := range found.Objects {
		if mine := slices.Contains(of, string(h.Capture.ID)); mine || h.Digest != d {
			known = known || mine && h.Digest == d
			continue
		}
		if h.Capture.Kind != holdfast.KindCapture || found.More || !e.ordered(h.Capture.ID) {
			return h.Capture.ID, nil, nil
		}
		held, err := e.n.heldBy(ctx, h.Capture)
		if err != nil {
			return "", nil, err
		}
		if len(held) > 0 {
			return h.Capture.ID, nil, nil
		}
		sharers = append(sharers, string(h.Capture.ID))
	}
	if !known { // then it does not know others either, and would take what they need
		return "", nil, fmt.Errorf("the catalog does not know object %s of capture %s: `holdfast rebuild`, then again", d, of[0])
	}
	return "", sharers, nil
}

// ordered reports whether the erasure of a capture itself was ordered.
func (e *erasure) ordered(id holdfast.ID) bool {
	of := func(o *order) bool { return o.target() == string(id) }
	return slices.ContainsFunc(e.orders, of) || slices.ContainsFunc(e.others, of)
}

// erasedIn is erasedBy for all Cases of an export.
func (n *node) erasedIn(ctx context.Context, sel []export.Selection) (map[string]map[hashing.Digest]string, error) {
	all := map[string]map[hashing.Digest]string{}
	for _, s := range sel {
		by, err := n.erasedBy(ctx, s.Case)
		if err != nil {
			return nil, err
		}
		maps.Copy(all, by)
	}
	return all, nil
}

// erasedBy is where the custody of a Case says of which Objects of its captures that
// they were erased: by capture, then Digest, the first line that does. Lines of other
// nodes count from the moment when their tombstones are there, before which nothing is
// gone.
func (n *node) erasedBy(ctx context.Context, home holdfast.ID) (map[string]map[hashing.Digest]string, error) {
	by := map[string]map[hashing.Digest]string{}
	add := func(l *holdfast.Line) error {
		x, err := audit.ParseErasing(l.X)
		if err != nil {
			return err
		}
		for _, c := range l.Objects {
			if by[c] == nil {
				by[c] = map[hashing.Digest]string{}
			}
			for _, d := range x.Erased {
				if by[c][d] == "" {
					by[c][d] = holdfast.ErasedReason(l.Chain, l.N)
				}
			}
		}
		return nil
	}
	err := n.outbox.Lines(home, func(b []byte, h holdfast.Head) error {
		l, err := holdfast.ParseLine(b)
		if err != nil || l.Action != "erasing" {
			return err
		}
		return add(l)
	})
	if err != nil || !n.sharedCatalog() {
		return by, err
	}
	return by, n.othersLines(ctx, home, add)
}
