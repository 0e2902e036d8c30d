package postgres

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/catalog"
)

// homeKey is a capture under the home Case that a line, or its Manifest, gives.
type homeKey struct{ home, capture holdfast.ID }

func mapKeys[K comparable, V any](m map[K]V) iter.Seq[K] { return maps.Keys(m) }

// addCases writes what a batch says of Cases, chains and exhibits. Each row is
// joined with what is there by a rule that does not know which came first. It comes last,
// since writers of one Case wait here for each other.
func addCases(ctx context.Context, tx pgx.Tx, batch []catalog.Accepted) error {
	homes, lined := map[holdfast.ID]bool{}, map[holdfast.ID]bool{}
	var lines []caseLine
	for _, a := range batch {
		homes[a.Case] = true
		if a.Line != nil {
			lined[a.Case] = true
			lines = append(lines, caseLine{a.Case, a.Line})
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO home (id) SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING`, rawIDs(homes)); err != nil {
		return err
	}
	if len(lines) > 0 { // all that lines say is under the lock of their Cases
		if _, err := tx.Exec(ctx, `SELECT FROM home WHERE id = ANY ($1::bytea[]) ORDER BY id FOR UPDATE`, rawIDs(lined)); err != nil {
			return err
		}
	}
	slices.SortFunc(lines, func(a, b caseLine) int {
		return cmp.Or(cmp.Compare(a.home, b.home), cmp.Compare(a.Chain, b.Chain), cmp.Compare(a.N, b.N))
	})
	for _, l := range lines {
		if err := addLine(ctx, tx, l); err != nil {
			return err
		}
	}
	return addChains(ctx, tx, catalog.ChainHeads(batch))
}

func addChains(ctx context.Context, tx pgx.Tx, heads []catalog.ChainHead) error {
	var homes, ids, nodes [][]byte
	var lengths []int64
	for _, h := range heads {
		homes, ids, nodes, lengths = append(homes, catalog.RawID(h.Case)), append(ids, catalog.RawID(h.Chain)), append(nodes, []byte(h.Node)), append(lengths, h.Length)
	}
	_, err := tx.Exec(ctx, `INSERT INTO chain (home, id, node, length) SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[])
		ON CONFLICT (home, id) DO UPDATE SET length = greatest(chain.length, excluded.length), node = least(chain.node, excluded.node)
		WHERE chain.length < excluded.length OR chain.node > excluded.node`, homes, ids, nodes, lengths)
	return err
}

// caseLine is a line of a Case.
type caseLine struct {
	home holdfast.ID
	*catalog.Line
}

// addLine keeps the earliest name of a Case and the earliest number of a
// capture in it; chain and line decide between lines of one millisecond.
func addLine(ctx context.Context, tx pgx.Tx, l caseLine) error {
	home, at, chain := catalog.RawID(l.home), l.At.UnixMilli(), catalog.RawID(l.Chain)
	if l.Name != "" {
		_, err := tx.Exec(ctx, `UPDATE home SET name = $2, opened = $3, chain = $4, line = $5
			WHERE id = $1 AND (name IS NULL OR (opened, chain, line) > ($3, $4, $5))`, home, []byte(l.Name), at, chain, l.N)
		if err != nil {
			return err
		}
	}
	if err := addRecord(ctx, tx, l); err != nil {
		return err
	}
	if err := addMembers(ctx, tx, l); err != nil || len(l.Given) == 0 {
		return err
	}
	given := map[holdfast.ID]int64{} // of two numbers in one line the smaller
	for _, g := range l.Given {
		n, known := given[g.Capture]
		if m := number(g.Number); !known || m < n {
			given[g.Capture] = m
		}
	}
	var captures [][]byte
	var ns []int64
	for _, id := range slices.Sorted(mapKeys(given)) {
		captures, ns = append(captures, catalog.RawID(id)), append(ns, given[id])
	}
	_, err := tx.Exec(ctx, `INSERT INTO exhibit (home, capture, number, at, chain, line) SELECT $1::bytea, u.capture, u.number, $2::bigint, $3::bytea, $4::bigint FROM unnest($5::bytea[], $6::bigint[]) u (capture, number)
		ON CONFLICT (home, capture) DO UPDATE SET number = excluded.number, at = excluded.at, chain = excluded.chain, line = excluded.line
		WHERE (exhibit.at, exhibit.chain, exhibit.line, exhibit.number) > (excluded.at, excluded.chain, excluded.line, excluded.number)`, home, at, chain, l.N, captures, ns)
	return err
}

// addRecord keeps of each chain the last line that gives a Case's record. The
// time and the bytes decide between two lines of one number, which only a
// forged Event can have: so the answer does not hang on the order.
func addRecord(ctx context.Context, tx pgx.Tx, l caseLine) error {
	if l.Record == nil {
		return nil
	}
	body, err := l.Record.Encode("")
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO record (home, chain, line, at, body) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (home, chain) DO UPDATE SET line = excluded.line, at = excluded.at, body = excluded.body
		WHERE (excluded.line, excluded.at, excluded.body) > (record.line, record.at, record.body)`,
		catalog.RawID(l.home), catalog.RawID(l.Chain), l.N, l.At.UnixMilli(), append([]byte{}, body...))
	return err
}

// addMembers keeps which captures a line names or adds. Rows are never taken
// back, so any order of lines and captures gives the same. The IDs that are named are
// locked: their captures are there, or come later and find the names.
func addMembers(ctx context.Context, tx pgx.Tx, l caseLine) error {
	home := catalog.RawID(l.home)
	if len(l.Added) > 0 {
		if _, err := tx.Exec(ctx, `INSERT INTO added (home, capture) SELECT $1, unnest($2::bytea[]) ON CONFLICT DO NOTHING`, home, rawIDs(set(l.Added))); err != nil {
			return err
		}
	}
	if len(l.Named) == 0 {
		return nil
	}
	named := rawIDs(set(l.Named))
	if _, err := tx.Exec(ctx, `INSERT INTO named (capture, home) SELECT unnest($2::bytea[]), $1 ON CONFLICT DO NOTHING`, home, named); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE capture SET named = true WHERE home = $1 AND NOT named AND id = ANY ($2::bytea[])`, home, named)
	return err
}

func set(ids []holdfast.ID) map[holdfast.ID]bool {
	out := make(map[holdfast.ID]bool, len(ids))
	for _, id := range ids {
		out[id] = true
	}
	return out
}

// number is that of an exhibit; catalog.Accepted.ReadLine has checked the form.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
