package main

import (
	"context"
	"errors"
	"fmt"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/doctor"
)

// doctorCustody reads every chain from its first line, which other commands do only
// with those that they use, and compares it with what was published and sealed.
// Each Case that does not hold is a fault of its own.
func (n *node) doctorCustody(ctx context.Context, d *doctor.Report) {
	cases, err := n.allCases(ctx)
	lines, chains, faults := 0, 0, d.Faults
	if err != nil {
		d.Check("custody", "", err)
		return
	}
	for _, cs := range cases {
		seen, err := n.readChains(ctx, cs.ID, func(*holdfast.Line) {})
		if err == nil {
			err = missingLines(cs, seen)
		}
		for _, k := range seen {
			lines, chains = lines+len(k.heads), chains+1
			if err == nil {
				err = n.anchor(ctx, cs.ID, k)
			}
		}
		if err != nil {
			d.Check("custody", "", fmt.Errorf("case %s: %w", cs.ID, err))
		}
	}
	if d.Faults == faults {
		d.Check("custody", fmt.Sprintf("%d lines in %d chains hold, and are what was published and sealed", lines, chains), nil)
	}
}

// allCases are those of the catalog, with what it knows of their chains, and those
// that have a chain and are not in it.
func (n *node) allCases(ctx context.Context) (cases []catalog.Case, err error) {
	known := map[holdfast.ID]bool{}
	for cs, cerr := range n.cat.Cases(ctx) {
		if err = errors.Join(err, cerr); cerr == nil {
			cases, known[cs.ID] = append(cases, cs), true
		}
	}
	for _, home := range n.outbox.Homes() {
		if !known[home] {
			cases = append(cases, catalog.Case{ID: home})
		}
	}
	return cases, err
}
