package export

import (
	"context"
	"fmt"

	"holdfast"
	"holdfast/hashing"
)

// surveyFrom is the number of Captures from which their Manifests are read once
// before anything is written: fewer have too many files only with 19 Objects
// each, and are then refused while they are written.
const surveyFrom = 60_000

// room refuses what no verifier would read, while nothing is written yet, no
// number given and no custody line: a Bundle that only its maker takes for one
// is worse than none.
func (w *writer) room(ctx context.Context) error {
	if err := w.custodyRoom(ctx); err != nil {
		return err
	}
	captures := 0
	for _, sel := range w.Cases {
		captures += len(sel.Captures)
	}
	if captures < w.surveyFrom {
		return nil
	}
	return w.listRoom(ctx)
}

func (w *writer) custodyRoom(ctx context.Context) error {
	var n int64
	for _, sel := range w.Cases {
		for row, err := range w.CaseFacts.Custody(ctx, sel.Case) {
			if err != nil {
				return fmt.Errorf("read custody of case %s: %w", sel.Case, err)
			}
			if n += int64(len(row.Line)) + 1; n > w.maxExport {
				return tooMuch("its custody", w.maxExport)
			}
		}
	}
	return nil
}

// listRoom counts what the statement will say of each Capture and its files.
func (w *writer) listRoom(ctx context.Context) error {
	var n int64
	for i, sel := range w.Cases {
		facts, err := w.CaseFacts.Facts(ctx, sel.Case)
		if err != nil {
			return fmt.Errorf("read case %s: %w", sel.Case, err)
		}
		n += int64(len(facts.Captures)) * int64(digestSize+3)
		prefix := len(dirExhibits) + len(exhibitNumber(i, len(w.Cases), "1")) + 1
		for _, id := range sel.Captures {
			files, err := w.surveyed(ctx, id, prefix)
			if err != nil {
				return fmt.Errorf("capture %s: %w", id, err)
			}
			if n += files; envelopeSize(n) > w.maxExport {
				return tooMuch("the list of its files", w.maxExport)
			}
		}
	}
	return nil
}

// surveyed is the least that the statement says of one Capture, in bytes.
func (w *writer) surveyed(ctx context.Context, id holdfast.ID, prefix int) (int64, error) {
	raw, _, err := w.Captures.Manifest(ctx, id)
	if err != nil {
		return 0, fmt.Errorf("read manifest: %w", err)
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return 0, fmt.Errorf("read manifest: %w", err)
	}
	plan, err := w.plan(ctx, m)
	if err != nil {
		return 0, err
	}
	n := int64(exhibitSize) + listed(prefix+len("manifest.json"))
	for _, o := range m.Objects {
		if plan.withheld[o.Name] == "" {
			n += listed(prefix + len(o.Name))
		}
	}
	for _, x := range plan.slices {
		path := prefix + len("slices/") + len(x.object.Name) + 1 + len(x.slice.Name)
		n += listed(path) + listed(path+len(".salt"))
	}
	return n, nil
}

// Bytes of the statement.
const (
	digestSize  = len("sha256:") + 2*hashing.Size
	exhibitSize = len(`{"capture":"","manifest":"","number":"1","seal":""},`) + 32 + digestSize
	fileSize    = len(`{"digest":"","path":"","size":1},`) + digestSize
)

// listed is the least that the list of files takes for a path of n bytes.
func listed(n int) int64 { return int64(fileSize + n) }

// envelopeSize is the most that export.dsse.json has around a payload of n bytes.
func envelopeSize(n int64) int64 { return (n+2)/3*4 + 512 }

func tooMuch(what string, limit int64) error {
	return fmt.Errorf("%s would have more than the %d MiB that a verifier reads: export it in parts with --size, or fewer captures at a time: %w", what, limit>>20, ErrUnread)
}
