package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"

	"holdfast/pg"
	"holdfast/pipeline"
)

// attempt bounds one transaction, so that a server that is silent is noticed.
const attempt = 10 * time.Second

// do runs f in a transaction, and again while the server cannot be reached. f must
// therefore do no harm twice; t.again tells it that this may be so. A lazy one
// returns before the disk has it.
func (q *Tasks) do(ctx context.Context, lazy bool, f func(*tx) error) error {
	if q.closed.Load() {
		return fmt.Errorf("%w: it is closed", pipeline.ErrStopped)
	}
	wait := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, MaxInterval: time.Second, RandomizationFactor: 0.3}
	again := false
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := pg.Explain(q.once(ctx, lazy, again, f))
		again = true
		if err != nil && (q.closed.Load() || !errors.Is(err, pg.ErrUnavailable)) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(q.o.Patience))
	if err != nil && q.closed.Load() {
		return fmt.Errorf("%w: it was closed meanwhile: %w", pipeline.ErrStopped, err)
	}
	if errors.Is(err, pg.ErrUnavailable) {
		return fmt.Errorf("%w: %w", pipeline.ErrUnavailable, err)
	}
	return err
}

func (q *Tasks) once(ctx context.Context, lazy, again bool, f func(*tx) error) error {
	limited, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	o := pgx.TxOptions{}
	if lazy {
		o.BeginQuery = `BEGIN; SET LOCAL synchronous_commit = off`
	}
	err := pgx.BeginTxFunc(limited, q.pool, o, func(p pgx.Tx) error {
		now, err := q.now(limited, p)
		if err != nil {
			return err
		}
		return f(&tx{ctx: limited, now: now, ahead: apart(now, q.o.Mine()), again: again, Tx: p})
	})
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: no answer in %v: %w", pg.ErrUnavailable, attempt, err)
	}
	return err
}

// now is the clock of leases, in the transaction.
func (q *Tasks) now(ctx context.Context, p pgx.Tx) (time.Time, error) {
	if q.o.Now != nil {
		return q.o.Now(), nil
	}
	var t time.Time
	err := p.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&t)
	return t, err
}

// clocksAgree is how far two clocks may be apart, an answer's way included, and still
// count as one: then times stay as they were given, to the millisecond.
const clocksAgree = 2 * time.Second

func apart(server, mine time.Time) time.Duration {
	if d := server.Sub(mine.Round(0)).Truncate(time.Millisecond); d.Abs() > clocksAgree {
		return d
	}
	return 0
}

// theirs is a moment of the caller's clock by the server's: "in ten seconds" is in ten
// seconds, whatever hour either of them believes it is.
func (t *tx) theirs(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.Add(t.ahead).UnixMilli()
}

// ours is the way back.
func (t *tx) ours(k pipeline.Task) pipeline.Task {
	if !k.Due.IsZero() {
		k.Due = k.Due.Add(-t.ahead)
	}
	if !k.Lease.Until.IsZero() {
		k.Lease.Until = k.Lease.Until.Add(-t.ahead)
	}
	return k
}
