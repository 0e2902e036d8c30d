package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/verifycmd"
)

// exitRefused: a Bundle is contradicted, and nothing of it was compared.
const exitRefused = 4

// shownExhibits bounds how many exhibits an error names.
const shownExhibits = 10

// diffBundles are the Bundles of one comparison, each verified once.
type diffBundles struct {
	c     *cli
	trust verifycmd.Options
	open  map[string]*verifycmd.Bundle
}

// side verifies the Bundle, unless it was, and reads the capture in it.
func (d *diffBundles) side(ctx context.Context, r diffRef) (s diffSide, err error) {
	b := d.open[r.file]
	if b == nil {
		o, bar := d.trust, d.c.progress("checking")
		o.File, o.Progress = r.file, bar.bytes
		b, err = verifycmd.Open(ctx, o)
		bar.done()
		if bad := (*verifycmd.ContradictedError)(nil); errors.As(err, &bad) {
			return s, &exitError{exitRefused, err}
		}
		if err != nil {
			return s, err
		}
		d.open[r.file] = b
	}
	x, err := exhibitOf(b, r.exhibit)
	if err != nil {
		return s, err
	}
	if s.m, err = b.Manifest(x); err != nil {
		return s, fmt.Errorf("compare %s: %w", r.file, err)
	}
	s.cp = catalog.Capture{ID: x.Capture, Kind: s.m.Kind, Source: s.m.Source, Case: s.m.Case, Started: s.m.Started, Ended: s.m.Ended, Outcome: s.m.Completeness.Outcome,
		Manifest: x.Manifest, Seal: x.Seal, T: x.T.Time, State: catalog.Pending, Training: s.m.Training, Node: x.Node}
	switch {
	case !x.T.IsZero():
		s.cp.State = catalog.Sealed
	case x.Seal != "":
		s.cp.State = catalog.Signed
	}
	s.open = func(o holdfast.Object) (io.ReadCloser, error) { return b.Open(x, o) }
	s.from = fmt.Sprintf("%s, exhibit %s: %s under %s", b.File, x.Number, verdictIn(b, x), policyName(b))
	s.row = map[string]any{"event": "bundle", "file": b.File, "exhibit": x.Number, "capture": x.Capture, "verdict": x.Verdict, "policy": b.Policy, "training": b.Report.Training}
	return s, s.read(ctx)
}

// finished says whether the Bundles are still those that were verified, and lets them go.
func (d *diffBundles) finished() (err error) {
	for _, b := range d.open {
		err = errors.Join(err, b.Unchanged())
	}
	return err
}

func (d *diffBundles) Close() {
	for _, b := range d.open {
		b.Close()
	}
}

func verdictIn(b *verifycmd.Bundle, x holdfast.ExhibitReport) string {
	v := string(x.Verdict)
	if b.Report.Training {
		v += " (training: not evidence)"
	}
	return v
}

func policyName(b *verifycmd.Bundle) string { return cmp.Or(b.Policy, "the built-in policy") }

// exhibitOf finds the one that is meant, by number or by the capture's ID.
func exhibitOf(b *verifycmd.Bundle, want string) (x holdfast.ExhibitReport, err error) {
	var found []holdfast.ExhibitReport
	for _, e := range b.Report.Exhibits {
		if e.Kind == holdfast.KindCapture && (want == "" || want == e.Number || want == string(e.Capture)) {
			found = append(found, e)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	some := found
	if len(some) == 0 {
		some = slices.DeleteFunc(slices.Clone(b.Report.Exhibits), func(e holdfast.ExhibitReport) bool { return e.Kind != holdfast.KindCapture })
	}
	var list []string
	for _, e := range some[:min(len(some), shownExhibits)] {
		list = append(list, fmt.Sprintf("%s#%s (%s, %s, %.200s)", b.File, e.Number, e.Capture, e.Started, e.Source))
	}
	if n := len(some) - shownExhibits; n > 0 {
		list = append(list, fmt.Sprintf("and %d more, which `holdfast verify --all` lists", n))
	}
	if len(found) == 0 {
		return x, usageError("compare: %s has no exhibit %.60q of a capture; it has %s", b.File, want, cmp.Or(strings.Join(list, ", "), "none"))
	}
	return x, usageError("compare: say which capture of %s is meant: %s", b.File, strings.Join(list, ", "))
}
