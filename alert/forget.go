package alert

import (
	"context"
	"errors"
	"fmt"
)

// Forget removes what is told, or waits to be, of these captures, and writes the file
// anew: what was deleted stays in its free pages until then.
func (o *Outbox) Forget(ctx context.Context, captures []string) error {
	for _, c := range captures {
		if _, err := o.db.ExecContext(ctx, `DELETE FROM event WHERE json_extract(body, '$.capture') = ?`, c); err != nil {
			return fmt.Errorf("forget alerts: %w", err)
		}
	}
	if _, err := o.db.ExecContext(ctx, `VACUUM`); err != nil {
		return fmt.Errorf("forget alerts: %w", err)
	}
	var busy, log, done int
	if err := o.db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &log, &done); err != nil {
		return fmt.Errorf("forget alerts: %w", err)
	}
	if busy != 0 {
		return errors.New("forget alerts: somebody reads them: run it again")
	}
	return nil
}
