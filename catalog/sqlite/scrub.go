package sqlite

import (
	"context"
	"errors"
	"fmt"
)

// Scrub writes the file anew without what was deleted from it, whose bytes stay in free
// pages until then, and empties the log beside it. Others may use the catalog meanwhile;
// one that reads for longer than the time to wait is an error. It takes as long, and as
// much disk, as the catalog has.
func (c *Catalog) Scrub(ctx context.Context) error {
	db, err := connect(c.path, Options{}, "rw", 1, pragma("temp_store(1)"))
	if err != nil {
		return fmt.Errorf("scrub catalog: %w", err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `VACUUM`); err != nil {
		return fmt.Errorf("scrub catalog: %w", explain(err))
	}
	var busy, log, done int
	if err := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &done); err != nil {
		return fmt.Errorf("scrub catalog: %w", explain(err))
	}
	if busy != 0 {
		return errors.New("scrub catalog: somebody reads it: run it again")
	}
	return nil
}
