package alert

import (
	"context"
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
	for _, stmt := range []string{`VACUUM`, `PRAGMA wal_checkpoint(TRUNCATE)`} {
		if _, err := o.db.ExecContext(ctx, stmt); err != nil {
			return fmt.Errorf("forget alerts: %w", err)
		}
	}
	return nil
}
