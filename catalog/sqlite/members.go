package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"holdfast"
	"holdfast/catalog"
)

// homeKey is a capture under the home Case that a line, or its Manifest, gives.
type homeKey struct{ home, capture holdfast.ID }

// addRecord keeps of each chain the last line that gives a Case's record. The
// time and the bytes decide between two lines of one number, which only a
// forged Event can have: so the answer does not hang on the order.
func addRecord(ctx context.Context, tx *sql.Tx, home holdfast.ID, l *catalog.Line) error {
	if l.Record == nil {
		return nil
	}
	body, err := l.Record.Encode("")
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO record (home, chain, line, at, body) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (home, chain) DO UPDATE SET line = excluded.line, at = excluded.at, body = excluded.body
		WHERE (excluded.line, excluded.at, excluded.body) > (record.line, record.at, record.body)`,
		catalog.RawID(home), catalog.RawID(l.Chain), l.N, l.At.UnixMilli(), append([]byte{}, body...))
	return err
}

// addMembers keeps which captures a line names or adds. Rows are never taken
// back, so any order of lines and captures gives the same.
func addMembers(ctx context.Context, tx *sql.Tx, home holdfast.ID, l *catalog.Line) error {
	var named, added []any
	for _, id := range l.Named {
		named = append(named, catalog.RawID(id), catalog.RawID(home))
	}
	for _, id := range l.Added {
		added = append(added, catalog.RawID(home), catalog.RawID(id))
	}
	if err := insert(ctx, tx, `INSERT OR IGNORE INTO added (home, capture)`, 2, added); err != nil {
		return err
	}
	if err := insert(ctx, tx, `INSERT OR IGNORE INTO named (capture, home)`, 2, named); err != nil {
		return err
	}
	for part := range slices.Chunk(l.Named, chunk) {
		args := []any{catalog.RawID(home)}
		for _, id := range part {
			args = append(args, catalog.RawID(id))
		}
		if _, err := tx.ExecContext(ctx, `UPDATE capture SET named = 1 WHERE home = ? AND +named = 0 AND id IN (`+holes(len(part))+`)`, args...); err != nil {
			return err
		}
	}
	return nil
}

// findNamed finds lines that were indexed before their captures were.
func findNamed(ctx context.Context, tx *sql.Tx, ids []any) (map[homeKey]bool, error) {
	named := make(map[homeKey]bool)
	return named, each(ctx, tx, func(scan func(...any) error) error {
		var home, id sql.RawBytes
		err := scan(&home, &id)
		named[homeKey{catalog.TextID(home), catalog.TextID(id)}] = true
		return err
	}, `SELECT home, capture FROM named WHERE capture IN (`+holes(len(ids))+`)`, ids...)
}

// members is a page of those that are at home in a Case or were added to it:
// two pages, each by its own index, joined in the order of lists.
func (c *Catalog) members(ctx context.Context, q catalog.Query, limit int) ([]catalog.Capture, error) {
	raw, err := catalog.ParseID(q.Member)
	if err != nil {
		return nil, err
	}
	rest := q
	rest.Member = ""
	where, args, err := conditions(rest)
	if err != nil {
		return nil, err
	}
	home, err := c.captures(ctx, where+` AND c.home = ?`, append(slices.Clone(args), raw), limit)
	if err != nil {
		return nil, err
	}
	added, err := c.captures(ctx, where+` AND c.id IN (SELECT capture FROM added WHERE home = ?) AND c.home <> ?`, append(slices.Clone(args), raw, raw), limit)
	if err != nil {
		return nil, err
	}
	all := append(home, added...)
	slices.SortFunc(all, func(a, b catalog.Capture) int {
		if n := b.Started.Compare(a.Started.Time); n != 0 {
			return n
		}
		return cmpID(b.ID, a.ID)
	})
	return all[:min(len(all), limit)], nil
}

func cmpID(a, b holdfast.ID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// readRecord is what a row of record says; the catalog wrote it.
func readRecord(body []byte) (catalog.Record, error) {
	if len(body) == 0 {
		return catalog.Record{}, nil
	}
	r, err := catalog.ParseRecord(body)
	if err != nil {
		return r, fmt.Errorf("read record: %w", err)
	}
	return r, nil
}
