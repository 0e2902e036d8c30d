package main

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"

	"holdfast"
	"holdfast/catalog"
	"holdfast/export"
	"holdfast/hashing"
)

// caseFacts gives export what is known of a Case, and writes the custody lines
// of one Bundle: `exporting` before it is written, with the numbers, and
// `exported` once the file is there. A Bundle cannot hold its own digest, so it
// holds the first alone; a crash between the two leaves what says no more than
// that it was begun.
//
// Where a whole Case is exported, other Cases are in the Bundle only as homes of
// what was added to it. Of such a Case the record is left out and the lines that
// name none of these captures are withheld: their Digests hold the chain
// together. Its name and the number of its captures are stated, since an exhibit
// is counted at home.
type caseFacts struct {
	n    *node
	part *export.Part // optional
	why  string
	by   holdfast.Agent

	main   holdfast.ID // the Case that is exported whole; "" if captures were named
	guests []string    // captures of other Cases that are exported with it

	begun map[holdfast.ID]int64 // by Case, the number of its first `exporting` line
}

func newCaseFacts(n *node, sel []export.Selection, o exportOptions) *caseFacts {
	f := &caseFacts{n: n, why: o.why, by: o.by(n)}
	if o.caseName != "" && len(sel) > 0 {
		f.main = sel[0].Case
	}
	return f.of(sel, nil)
}

// of is f for one Bundle of the export.
func (f caseFacts) of(sel []export.Selection, part *export.Part) *caseFacts {
	f.part, f.guests, f.begun = part, nil, map[holdfast.ID]int64{}
	for _, s := range sel {
		if f.isGuest(s.Case) {
			for _, id := range s.Captures {
				f.guests = append(f.guests, string(id))
			}
		}
	}
	slices.Sort(f.guests)
	return &f
}

func (f *caseFacts) isGuest(home holdfast.ID) bool { return f.main != "" && home != f.main }

func (f *caseFacts) Facts(ctx context.Context, id holdfast.ID) (export.Facts, error) {
	cs, err := f.n.cat.Case(ctx, string(id))
	if err != nil {
		return export.Facts{}, err
	}
	x := export.Facts{Name: cs.Name}
	if !f.isGuest(id) {
		r := cs.Record // without what only a newer holdfast can read
		x.Record = &export.Record{Reference: r.Reference, Mandate: r.Mandate, LegalBasis: r.LegalBasis, Purpose: r.Purpose, Sources: r.Sources,
			Keywords: r.Keywords, Depth: r.Depth, Since: r.Since, Until: r.Until, Egress: r.Egress, Canary: r.Canary, Comments: r.Comments}
	}
	for cp, err := range f.n.cat.Captures(ctx, catalog.Query{Case: id, Kind: holdfast.KindCapture}) {
		if err != nil {
			return x, err
		}
		x.Captures = append(x.Captures, cp.Manifest)
	}
	return x, nil
}

// exportingGuests says in the exported Case's own chain what left with it. They
// have their numbers at home, where another line says so.
func (f *caseFacts) exportingGuests(ctx context.Context, home holdfast.ID) error {
	if home != f.main {
		return nil
	}
	for part := range slices.Chunk(f.guests, perLine) {
		ids := make([]holdfast.ID, len(part))
		for i, id := range part {
			ids[i] = holdfast.ID(id)
		}
		if err := f.exportingLine(ctx, home, ids, nil); err != nil {
			return err
		}
	}
	return nil
}

// Custody implements export.Cases.
func (f *caseFacts) Custody(ctx context.Context, home holdfast.ID) iter.Seq2[export.CustodyRow, error] {
	return func(yield func(export.CustodyRow, error) bool) {
		stop := errors.New("stop")
		err := f.n.outbox.AllLines(ctx, home, func(line []byte, h holdfast.Head) error {
			row, err := f.row(home, line, h)
			if err != nil {
				return err
			}
			if ctx.Err() != nil || !yield(row, nil) {
				return stop
			}
			return nil
		})
		if err != nil && !errors.Is(err, stop) {
			yield(export.CustodyRow{}, err)
		}
	}
}

func (f *caseFacts) row(home holdfast.ID, line []byte, h holdfast.Head) (export.CustodyRow, error) {
	if !f.isGuest(home) {
		return export.CustodyRow{Line: bytes.Clone(line)}, nil
	}
	l, err := holdfast.ParseLine(line)
	if err != nil {
		return export.CustodyRow{}, err
	}
	for _, o := range l.Objects {
		if _, ok := slices.BinarySearch(f.guests, o); ok {
			return export.CustodyRow{Line: bytes.Clone(line)}, nil
		}
	}
	return export.CustodyRow{Chain: h.Chain, N: h.Length, Withheld: hashing.Of(line)}, nil
}
