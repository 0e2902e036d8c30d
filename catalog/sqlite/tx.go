package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"holdfast/catalog"
)

// inTx runs fn in one transaction: all of it happens or nothing.
func inTx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := fn(tx); err != nil {
		return explain(err)
	}
	return explain(tx.Commit())
}

// errIncomplete refuses a question before anything was read.
var errIncomplete = fmt.Errorf("a rebuild is at work or was broken off: %w", catalog.ErrRebuild)

// view runs fn on one state of a complete catalog. It waits for a rebuild once,
// where it was told how.
func (c *Catalog) view(ctx context.Context, fn func(*sql.Tx) error) error {
	err := c.viewOnce(ctx, fn)
	if c.rebuilding == nil || !errors.Is(err, errIncomplete) {
		return err
	}
	if err := c.rebuilding(ctx); err != nil {
		return err
	}
	return c.viewOnce(ctx, fn)
}

func (c *Catalog) viewOnce(ctx context.Context, fn func(*sql.Tx) error) error {
	return inTx(ctx, c.read, func(tx *sql.Tx) error {
		var complete bool
		if err := tx.QueryRowContext(ctx, `SELECT complete FROM meta`).Scan(&complete); err != nil {
			return err
		}
		if !complete {
			return errIncomplete
		}
		return fn(tx)
	})
}

// each calls fn for every row.
func each(ctx context.Context, tx *sql.Tx, fn func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := tx.QueryContext(ctx, query, args...)
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

func column(ctx context.Context, tx *sql.Tx, query string, args ...any) (out []string, err error) {
	err = each(ctx, tx, func(scan func(...any) error) error {
		var s string
		err := scan(&s)
		out = append(out, s)
		return err
	}, query, args...)
	return out, err
}

// maxArgs is how many values one statement gets at most. SQLite takes 32,766,
// but the driver's time for binding grows with the square.
const maxArgs = 400

// insert runs `head VALUES (…),(…)` over rows of width values each, many rows to
// a statement: the price of a call is paid once for all of them.
//
// head says OR FAIL or OR IGNORE: a statement that could be undone alone, as by
// the default OR ABORT, copies each page that it touches, a sixth of the time.
// Nothing is undone alone here: an error rolls the transaction back.
func insert(ctx context.Context, tx *sql.Tx, head string, width int, values []any) error {
	return upsert(ctx, tx, head, ``, width, values)
}

// upsert is insert with an ON CONFLICT clause at the end.
func upsert(ctx context.Context, tx *sql.Tx, head, tail string, width int, values []any) error {
	per := maxArgs / width
	row := "(?" + strings.Repeat(",?", width-1) + ")"
	for len(values) > 0 {
		n := min(per, len(values)/width)
		stmt := head + " VALUES " + row + strings.Repeat(","+row, n-1) + " " + tail
		if _, err := tx.ExecContext(ctx, stmt, values[:n*width]...); err != nil {
			return err
		}
		values = values[n*width:]
	}
	return nil
}

// holes is `?,?,?` for n values.
func holes(n int) string { return "?" + strings.Repeat(",?", n-1) }
