package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/pg"
)

// lockEvery is how often Lock asks again.
const lockEvery = 100 * time.Millisecond

// Lock waits for a lock that all who have this queue open know by its name. The
// server gives it back when who has it dies, or cannot be reached any more: so it
// saves work, and nothing that must be true may hang on it.
func (q *Tasks) Lock(ctx context.Context, name string) (unlock func(), err error) {
	for {
		unlock, err = q.TryLock(ctx, name)
		if unlock != nil || err != nil {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lock %s: %w", name, context.Cause(ctx))
		case <-time.After(lockEvery):
		}
	}
}

// TryLock is Lock that does not wait: nil, nil means that somebody has it. It has a
// connection of its own until it is unlocked.
func (q *Tasks) TryLock(ctx context.Context, name string) (unlock func(), err error) {
	c, err := pgx.ConnectConfig(ctx, q.pool.Config().ConnConfig)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, pg.Explain(err))
	}
	free := func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		c.Close(limited) // the lock goes with the connection
	}
	var mine bool
	err = c.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, "holdfast "+q.o.Schema+" lock "+name).Scan(&mine)
	if err != nil || !mine {
		free()
		if err != nil {
			err = fmt.Errorf("lock %s: %w", name, pg.Explain(err))
		}
		return nil, err
	}
	return free, nil
}
