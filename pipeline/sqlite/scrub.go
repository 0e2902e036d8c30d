package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Scrub writes the file anew without what was pruned, whose bytes stay in free pages
// until then, and empties the log beside it. Others may use the queue meanwhile; one
// that reads for longer than the time to wait is an error, and nothing is changed. It
// takes as long, and as much disk, as what is left.
func (q *Queue) Scrub(ctx context.Context) error {
	db, err := sql.Open("sqlite", dsn(q.path, "journal_mode(WAL)", "synchronous(FULL)"))
	if err != nil {
		return fmt.Errorf("scrub queue: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, `VACUUM`); err != nil {
		return fmt.Errorf("scrub queue: %w", explain(err))
	}
	var busy, log, done int
	if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &done); err != nil {
		return fmt.Errorf("scrub queue: %w", explain(err))
	}
	if busy != 0 {
		return errors.New("scrub queue: somebody reads it: run it again")
	}
	return nil
}
