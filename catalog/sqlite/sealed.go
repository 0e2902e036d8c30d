package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/catalog"
)

// Sealed implements [catalog.Writer].
func (c *Catalog) Sealed(ctx context.Context, batch []catalog.SealState) error {
	for _, st := range batch {
		if err := st.Check(); err != nil {
			return fmt.Errorf("index seal: %w", err)
		}
	}
	if len(batch) == 0 {
		return nil
	}
	err := inTx(ctx, c.write, func(tx *sql.Tx) error {
		packs := make(map[string]int64)
		for _, st := range batch {
			if err := addSeal(ctx, tx, st); err != nil {
				return err
			}
			if err := addPlaces(ctx, tx, packs, st.Placed); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("index %d seals: %w", len(batch), err)
	}
	return nil
}

func addSeal(ctx context.Context, tx *sql.Tx, st catalog.SealState) error {
	n, changed, err := mergeSeal(ctx, tx, st)
	if err != nil {
		return err
	}
	rows := make([]any, 0, 4*len(st.Members))
	// In the order of the key, the rows of one page come together.
	byID := slices.SortedStableFunc(slices.Values(st.Members), func(a, b catalog.Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for _, m := range byID {
		rows = append(rows, catalog.RawID(m.ID), m.Manifest[:], n, m.Position)
	}
	// A plan is write-once, so a row that is there says the same.
	err = insert(ctx, tx, `INSERT OR IGNORE INTO member (id, manifest, seal, position)`, 4, rows)
	if err != nil || !changed && len(rows) == 0 {
		return err
	}
	return advance(ctx, tx, n)
}

// mergeSeal joins st with what is kept of its Seal. changed says whether its
// captures may have to show another state.
func mergeSeal(ctx context.Context, tx *sql.Tx, st catalog.SealState) (n int64, changed bool, err error) {
	placed := st.Members != nil && !st.Partial
	var rank, t, at int64
	var reason []byte
	err = tx.QueryRowContext(ctx, `SELECT n, state, reason, t, at FROM seal WHERE id = ?`, []byte(st.Seal)).Scan(&n, &rank, &reason, &t, &at)
	if errors.Is(err, sql.ErrNoRows) {
		new := catalog.Merge(st, st)
		r, err := tx.ExecContext(ctx, `INSERT INTO seal (id, state, reason, t, at, placed) VALUES (?, ?, ?, ?, ?, ?)`,
			[]byte(new.Seal), catalog.Rank(new.State), []byte(new.Reason), micro(new.T), micro(new.At), placed)
		if err != nil {
			return 0, false, err
		}
		n, err = r.LastInsertId()
		return n, true, err
	}
	if err != nil {
		return 0, false, err
	}
	old := catalog.SealState{Seal: st.Seal, State: catalog.StateName(rank), Reason: string(reason), T: fromMicro(t), At: fromMicro(at)}
	new := catalog.Merge(old, st)
	_, err = tx.ExecContext(ctx, `UPDATE seal SET state = ?, reason = ?, t = ?, at = ?, placed = max(placed, ?) WHERE n = ?`,
		catalog.Rank(new.State), []byte(new.Reason), micro(new.T), micro(new.At), placed, n)
	return n, new.State != old.State, err
}

// Unplaced implements [catalog.Unplaced].
func (c *Catalog) Unplaced(ctx context.Context, limit int) (seals []string, err error) {
	err = c.view(ctx, func(tx *sql.Tx) error {
		seals, err = column(ctx, tx, `SELECT id FROM seal WHERE placed = 0 ORDER BY id LIMIT ?`, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list seals without captures: %w", err)
	}
	return seals, nil
}

// advance gives the captures of a Seal the best state that their Seals have.
// States only grow, so it never takes one back.
func advance(ctx context.Context, tx *sql.Tx, seal int64) error {
	_, err := tx.ExecContext(ctx, `UPDATE capture SET
		(state, seal) = (SELECT s.state, s.n FROM member m JOIN seal s ON s.n = m.seal
			WHERE m.id = capture.id AND m.manifest = capture.manifest ORDER BY s.state DESC, s.id LIMIT 1),
		position = min(position, (SELECT min(m.position) FROM member m WHERE m.id = capture.id AND m.manifest = capture.manifest))
		WHERE n IN (SELECT c.n FROM member m JOIN capture c ON c.id = m.id AND c.manifest = m.manifest WHERE m.seal = ?)`, seal)
	if err != nil {
		return err
	}
	twice, err := column(ctx, tx, `SELECT DISTINCT c.id FROM member m JOIN capture c ON c.id = m.id AND c.manifest = m.manifest WHERE m.seal = ? AND c.twice = 1`, seal)
	for _, id := range twice {
		if err == nil {
			err = reshow(ctx, tx, []byte(id))
		}
	}
	return err
}

// addPlaces writes where small Objects lie; packs remembers rows of pack.
func addPlaces(ctx context.Context, tx *sql.Tx, packs map[string]int64, placed []catalog.Placed) error {
	rows := make([]any, 0, 4*len(placed))
	for _, p := range placed {
		n, ok := packs[p.Ref.Name]
		if !ok {
			// The update changes nothing; it makes RETURNING answer for a row that was there.
			err := tx.QueryRowContext(ctx, `INSERT INTO pack (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING n`, []byte(p.Ref.Name)).Scan(&n)
			if err != nil {
				return err
			}
			packs[p.Ref.Name] = n
		}
		rows = append(rows, p.Digest[:], n, p.Ref.Offset, p.Ref.Size)
	}
	// A pack is write-once too.
	return insert(ctx, tx, `INSERT OR IGNORE INTO ref (digest, pack, start, size)`, 4, rows)
}

func micro(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicro(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
