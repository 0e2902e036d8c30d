package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/catalog"
)

// Every transaction locks meta first, so that none of them is at work while a rebuild
// empties the tables (which no snapshot would hide). LOCK TABLE comes before the snapshot
// of a reader is taken.
const (
	beginWrite = `BEGIN ISOLATION LEVEL READ COMMITTED; LOCK TABLE meta IN ACCESS SHARE MODE`
	beginRead  = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; LOCK TABLE meta IN ACCESS SHARE MODE`
)

// change runs fn in one transaction: all of it happens or nothing. fn may run several
// times, and keeps nothing between them.
func (c *Catalog) change(ctx context.Context, fn func(pgx.Tx) error) error {
	return repeat(ctx, c.o.Patience, func() error {
		return pgx.BeginTxFunc(ctx, c.write, pgx.TxOptions{BeginQuery: beginWrite}, fn)
	})
}

// errIncomplete refuses a question before anything was read.
var errIncomplete = fmt.Errorf("a rebuild is at work or was broken off: %w", catalog.ErrRebuild)

// view runs fn on one state of a complete catalog. It waits for a rebuild once,
// where it was told how.
func (c *Catalog) view(ctx context.Context, fn func(pgx.Tx) error) error {
	err := c.viewOnce(ctx, fn)
	if c.o.Rebuilding == nil || !errors.Is(err, errIncomplete) {
		return err
	}
	if err := c.o.Rebuilding(ctx); err != nil {
		return err
	}
	return c.viewOnce(ctx, fn)
}

func (c *Catalog) viewOnce(ctx context.Context, fn func(pgx.Tx) error) error {
	return repeat(ctx, c.o.Patience, func() error {
		return pgx.BeginTxFunc(ctx, c.read, pgx.TxOptions{BeginQuery: beginRead}, func(tx pgx.Tx) error {
			var complete bool
			if err := tx.QueryRow(ctx, `SELECT complete FROM meta`).Scan(&complete); err != nil {
				return err
			}
			if !complete {
				return errIncomplete
			}
			return fn(tx)
		})
	})
}

// each calls fn for every row.
func each(ctx context.Context, tx pgx.Tx, fn func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// list reads rows of one column.
func list[T any](ctx context.Context, tx pgx.Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

// numbers draws n of a sequence.
func numbers(ctx context.Context, tx pgx.Tx, sequence string, n int) ([]int64, error) {
	if n == 0 {
		return nil, nil
	}
	return list[int64](ctx, tx, `SELECT nextval($1::regclass) FROM generate_series(1, $2)`, sequence, n)
}

// bulk copies rows that nobody else can have written.
func bulk(ctx context.Context, tx pgx.Tx, table string, columns string, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, strings.Fields(columns), pgx.CopyFromRows(rows))
	return err
}

// part is SQL with the values of its holes, each of which is a `?`.
type part struct {
	sql  strings.Builder
	args []any
}

func (p *part) add(sql string, args ...any) {
	p.sql.WriteString(sql)
	p.args = append(p.args, args...)
}

// join adds another part behind.
func (p *part) join(o *part) { p.add(o.sql.String(), o.args...) }

// String is the SQL with the holes as the server numbers them.
func (p *part) String() string {
	var b strings.Builder
	for i, s := range strings.Split(p.sql.String(), "?") {
		if i > 0 {
			b.WriteString("$" + strconv.Itoa(i))
		}
		b.WriteString(s)
	}
	return b.String()
}
