package sqlite

import (
	"context"
	"database/sql"

	"holdfast"
	"holdfast/catalog"
)

// addCases writes what a batch says of Cases, chains and exhibits. Each row is
// joined with what is there by a rule that does not know which came first.
func addCases(ctx context.Context, tx *sql.Tx, batch []catalog.Accepted) error {
	homes := make(map[holdfast.ID]bool)
	for _, a := range batch {
		homes[a.Case] = true
	}
	var rows []any
	for id := range homes {
		rows = append(rows, catalog.RawID(id))
	}
	if err := insert(ctx, tx, `INSERT OR IGNORE INTO home (id)`, 1, rows); err != nil {
		return err
	}
	if err := addChains(ctx, tx, catalog.ChainHeads(batch)); err != nil {
		return err
	}
	for _, a := range batch {
		if a.Line == nil {
			continue
		}
		if err := addLine(ctx, tx, a.Case, a.Line); err != nil {
			return err
		}
	}
	return nil
}

func addChains(ctx context.Context, tx *sql.Tx, heads []catalog.ChainHead) error {
	var rows []any
	for _, h := range heads {
		rows = append(rows, catalog.RawID(h.Case), catalog.RawID(h.Chain), []byte(h.Node), h.Length)
	}
	return upsert(ctx, tx, `INSERT INTO chain (home, id, node, length)`,
		`ON CONFLICT (home, id) DO UPDATE SET length = max(length, excluded.length), node = min(node, excluded.node)`, 4, rows)
}

// addLine keeps the earliest name of a Case and the earliest number of a
// capture in it; chain and line decide between lines of one millisecond.
func addLine(ctx context.Context, tx *sql.Tx, home holdfast.ID, l *catalog.Line) error {
	at, chain := l.At.UnixMilli(), catalog.RawID(l.Chain)
	if l.Name != "" {
		_, err := tx.ExecContext(ctx, `UPDATE home SET name = ?2, opened = ?3, chain = ?4, line = ?5
			WHERE id = ?1 AND (name IS NULL OR (opened, chain, line) > (?3, ?4, ?5))`, catalog.RawID(home), []byte(l.Name), at, chain, l.N)
		if err != nil {
			return err
		}
	}
	if err := addRecord(ctx, tx, home, l); err != nil {
		return err
	}
	if err := addMembers(ctx, tx, home, l); err != nil {
		return err
	}
	var rows []any
	for _, g := range l.Given {
		rows = append(rows, catalog.RawID(home), catalog.RawID(g.Capture), number(g.Number), at, chain, l.N)
	}
	return upsert(ctx, tx, `INSERT INTO exhibit (home, capture, number, at, chain, line)`,
		`ON CONFLICT (home, capture) DO UPDATE SET number = excluded.number, at = excluded.at, chain = excluded.chain, line = excluded.line
		 WHERE (exhibit.at, exhibit.chain, exhibit.line, exhibit.number) > (excluded.at, excluded.chain, excluded.line, excluded.number)`, 6, rows)
}
