package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// catalogSample is how many rows doctor holds against the store, and catalogSpan how far
// back it picks them.
const (
	catalogSample = 16
	catalogSpan   = 90 * 24 * time.Hour
)

// Catalog is the rows of captures.
type Catalog interface {
	Captures(ctx context.Context, q catalog.Query) iter.Seq2[catalog.Capture, error]
}

// Stored is what the store says of captures.
type Stored interface {
	// ReadName reads a name of the store whole, at most limit bytes.
	ReadName(ctx context.Context, name string, limit int64) ([]byte, error)
	// Manifest is that of a capture, and the Seal that has it; see package kept.
	Manifest(ctx context.Context, id holdfast.ID) ([]byte, string, error)
}

// Catalog holds some rows against what the store says of the same captures: a copy that
// was put back, or a hand in the database, shows by it. The catalog is a fold, so what is
// wrong there is no loss.
func (d *Report) Catalog(ctx context.Context, cat Catalog, stored Stored) {
	rows, err := sampleRows(ctx, cat)
	if err != nil {
		d.Check("catalog", "", err)
		return
	}
	bad := 0
	for _, cp := range rows {
		if err := asStored(ctx, stored, cp); err != nil {
			bad++
			d.Check("catalog", "", fmt.Errorf("its row of capture %s is not what the store says: %w: `holdfast rebuild` makes it again from the store, `holdfast audit` looks at the store", cp.ID, err))
		}
	}
	if bad == 0 {
		d.Check("catalog", fmt.Sprintf("%d sealed rows of it are as the store has them", len(rows)), nil)
	}
}

// sampleRows are the newest sealed rows, and some behind moments that are drawn.
func sampleRows(ctx context.Context, cat Catalog) (rows []catalog.Capture, err error) {
	seen := map[holdfast.ID]bool{}
	take := func(q catalog.Query) error {
		for cp, err := range cat.Captures(ctx, q) {
			if err != nil {
				return err
			}
			if !seen[cp.ID] {
				seen[cp.ID], rows = true, append(rows, cp)
			}
		}
		return nil
	}
	if err = take(catalog.Query{State: pipeline.StateSealed, Limit: catalogSample / 2}); err != nil || len(rows) == 0 {
		return rows, err
	}
	newest := rows[0].Started
	for range catalogSample / 2 {
		at := holdfast.At(newest.Add(-rand.N(catalogSpan)))
		if err := take(catalog.Query{State: pipeline.StateSealed, Limit: 1, After: catalog.Cursor{Started: at, ID: holdfast.NewID()}}); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// asStored compares a row with the plan of its Seal and with its Manifest, which the
// plan names by its Digest.
func asStored(ctx context.Context, s Stored, cp catalog.Capture) error {
	b, err := s.ReadName(ctx, "seals/"+cp.Seal+"/plan.json", holdfast.MaxDocument)
	if err != nil {
		return fmt.Errorf("its Seal %s: %w", cp.Seal, err)
	}
	plan, err := holdfast.ParsePlan(b)
	if err != nil {
		return fmt.Errorf("plan of its Seal %s: %w", cp.Seal, err)
	}
	planned := hashing.Digest{}
	for _, c := range plan.Captures {
		if c.ID == cp.ID {
			planned = c.Manifest
		}
	}
	if planned != cp.Manifest {
		return fmt.Errorf("it names Manifest %s, and the plan of its Seal %s does not", cp.Manifest, cp.Seal)
	}
	raw, _, err := s.Manifest(ctx, cp.ID)
	if errors.Is(err, fs.ErrNotExist) { // erased by order, or the store lacks it: the audit's affair
		return nil
	}
	if err != nil {
		return err
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		return err
	}
	if m.ID != cp.ID || m.Source != cp.Source || m.Case != cp.Case || m.Kind != cp.Kind || m.Started != cp.Started || m.Completeness.Outcome != cp.Outcome {
		return fmt.Errorf("it says %s of %s in case %s at %s (%s), the Manifest %s of %s in case %s at %s (%s)", cp.Kind, cp.Source, cp.Case, cp.Started, cp.Outcome,
			m.Kind, m.Source, m.Case, m.Started, m.Completeness.Outcome)
	}
	return nil
}
