package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// chunk is how many captures are looked up and written by one statement each.
const chunk = 256

// Accepted implements [catalog.Writer].
func (c *Catalog) Accepted(ctx context.Context, batch []catalog.Accepted) error {
	if len(batch) == 0 {
		return nil
	}
	err := inTx(ctx, c.write, func(tx *sql.Tx) error {
		who := make(map[agent]int64)
		for part := range slices.Chunk(batch, chunk) {
			if err := addCaptures(ctx, tx, part, who); err != nil {
				return err
			}
		}
		fresh, err := addAnswers(ctx, tx, batch)
		if err != nil {
			return err
		}
		if err := addTexts(ctx, tx, batch, fresh); err != nil {
			return err
		}
		return addCases(ctx, tx, batch)
	})
	if err != nil {
		return fmt.Errorf("index %d captures: %w", len(batch), err)
	}
	return nil
}

// known holds, of one capture ID, the smallest position of each Manifest.
type known map[hashing.Digest]int64

// sealing is the best Seal of a Manifest, from member.
type sealing struct {
	seal, state, position int64
}

type key struct {
	id       holdfast.ID
	manifest hashing.Digest
}

// addCaptures writes what is new. A message that is known costs one look-up.
func addCaptures(ctx context.Context, tx *sql.Tx, part []catalog.Accepted, who map[agent]int64) error {
	ids := make([]any, len(part))
	for i, a := range part {
		ids[i] = catalog.RawID(a.ID)
	}
	have, err := findKnown(ctx, tx, ids)
	if err != nil {
		return err
	}
	seals, err := findSealings(ctx, tx, ids)
	if err != nil {
		return err
	}
	named, err := findNamed(ctx, tx, ids)
	if err != nil {
		return err
	}
	var rows []any
	again := make(map[key]int64)          // known ones, at a smaller position
	touched := make(map[holdfast.ID]bool) // IDs with more than one Manifest
	for _, a := range part {
		s, ok := seals[key{a.ID, a.Manifest}]
		if ok {
			a.Position = min(a.Position, s.position)
		}
		if have[a.ID] == nil {
			have[a.ID] = make(known, 1)
		}
		had, repeated := have[a.ID][a.Manifest]
		if repeated && had <= a.Position {
			continue
		}
		if repeated {
			again[key{a.ID, a.Manifest}] = a.Position
		} else {
			n, err := findWho(ctx, tx, who, agent{a.Agent, a.Node})
			if err != nil {
				return err
			}
			rows = appendRow(rows, a.Capture, s, n, len(have[a.ID]) == 0, named[homeKey{a.Case, a.ID}], len(a.Parts()))
		}
		have[a.ID][a.Manifest] = a.Position
		if len(have[a.ID]) > 1 {
			touched[a.ID] = true
		}
	}
	if err := insert(ctx, tx, `INSERT OR FAIL INTO capture (`+columns+`)`, width, rows); err != nil {
		return err
	}
	for k, position := range again {
		if _, err := tx.ExecContext(ctx, `UPDATE capture SET position = min(position, ?) WHERE id = ? AND manifest = ?`, position, catalog.RawID(k.id), k.manifest[:]); err != nil {
			return err
		}
	}
	for id := range touched {
		if err := reshow(ctx, tx, catalog.RawID(id)); err != nil {
			return err
		}
	}
	return nil
}

const (
	columns = `id, manifest, shown, twice, position, state, seal, event, source, skey, home, started, ended, outcome, who, training, named, texts`
	width   = 18
)

func appendRow(rows []any, c catalog.Capture, s sealing, who int64, shown, named bool, texts int) []any {
	var seal any
	if s.seal != 0 {
		seal = s.seal
	}
	return append(rows, catalog.RawID(c.ID), c.Manifest[:], shown, false, c.Position, s.state, seal,
		c.Kind == holdfast.KindEvent, []byte(c.Source), catalog.SourceKey(c.Source), catalog.RawID(c.Case), c.Started.UnixMilli(), c.Ended.UnixMilli(),
		catalog.OutcomeRank(c.Outcome), who, c.Training, named, texts)
}

// agent is a row of who: there are few, so they are written once.
type agent struct {
	holdfast.Agent
	node string
}

// findWho returns the row of a; known remembers those of this transaction.
func findWho(ctx context.Context, tx *sql.Tx, known map[agent]int64, a agent) (n int64, err error) {
	if n, ok := known[a]; ok {
		return n, nil
	}
	// The update changes nothing; it makes RETURNING answer for a row that was there.
	err = tx.QueryRowContext(ctx, `INSERT INTO who (office, pseudonym, role, node) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET node = node RETURNING n`, []byte(a.Office), []byte(a.Pseudonym), []byte(a.Role), []byte(a.node)).Scan(&n)
	known[a] = n
	return n, err
}

func findKnown(ctx context.Context, tx *sql.Tx, ids []any) (map[holdfast.ID]known, error) {
	have := make(map[holdfast.ID]known, len(ids))
	return have, each(ctx, tx, func(scan func(...any) error) error {
		var raw, d sql.RawBytes
		var position int64
		if err := scan(&raw, &d, &position); err != nil {
			return err
		}
		id := catalog.TextID(raw)
		if have[id] == nil {
			have[id] = make(known, 1)
		}
		have[id][digest(d)] = position
		return nil
	}, `SELECT id, manifest, position FROM capture WHERE id IN (`+holes(len(ids))+`)`, ids...)
}

// findSealings finds Seals that were stated before their captures were.
func findSealings(ctx context.Context, tx *sql.Tx, ids []any) (map[key]sealing, error) {
	best := make(map[key]sealing)
	return best, each(ctx, tx, func(scan func(...any) error) error {
		var id, d sql.RawBytes
		var s sealing
		if err := scan(&id, &d, &s.seal, &s.state, &s.position); err != nil {
			return err
		}
		k := key{catalog.TextID(id), digest(d)}
		if b, ok := best[k]; ok { // the best comes first
			s = sealing{b.seal, b.state, min(b.position, s.position)}
		}
		best[k] = s
		return nil
	}, `SELECT m.id, m.manifest, m.seal, s.state, m.position FROM member m JOIN seal s ON s.n = m.seal
		WHERE m.id IN (`+holes(len(ids))+`) ORDER BY s.state DESC, s.id`, ids...)
}

// reshow chooses among the Manifests of one ID, by what they are and not by
// which came first, so that every order of facts shows the same one.
func reshow(ctx context.Context, tx *sql.Tx, id []byte) error {
	_, err := tx.ExecContext(ctx, `UPDATE capture SET twice = 1,
		shown = (n = (SELECT n FROM capture WHERE id = ?1 ORDER BY position, manifest LIMIT 1)) WHERE id = ?1`, id)
	return err
}
