package postgres

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/pg"
	"holdfast/pipeline"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options are the settings of the Tasks.
type Options struct {
	URL      string // see pg.Options.URL: without a password
	Password string // optional: see pg.Options.Password

	// Schema is the namespace of this queue in the database, at most 63 bytes.
	Schema string

	// Existing refuses to make the queue: the error wraps pipeline.ErrNoQueue.
	Existing bool

	// Names, optional, are what the queue was called, newest first, where its database
	// was lost: an empty one takes them up instead of drawing a name.
	Names []string

	// Patience is how long a call is repeated while the server cannot be reached.
	// Optional: 30 s.
	Patience time.Duration

	// Now is the clock of leases. Optional: the server's.
	Now func() time.Time

	// Mine is this process's own clock, in whose time callers speak. Optional:
	// time.Now, and Now where that is given.
	Mine func() time.Time
}

// Tasks is an open handle. Every method may be called concurrently.
type Tasks struct {
	o      Options
	pool   *pgxpool.Pool
	closed atomic.Bool
}

// Open connects and, unless o says otherwise, makes the tables if they are not
// there. Errors wrap those of pg.Open, and pipeline.ErrNoQueue or
// pipeline.ErrForeign where that is what pg.ErrNone or pg.ErrNewer means.
func Open(ctx context.Context, o Options) (*Tasks, error) {
	if o.Patience <= 0 {
		o.Patience = 30 * time.Second
	}
	if o.Mine == nil {
		o.Mine = time.Now
		if o.Now != nil {
			o.Mine = o.Now
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, pg.Options{URL: o.URL, Password: o.Password, Schema: o.Schema, Migrations: files, Existing: o.Existing})
	switch {
	case errors.Is(err, pg.ErrNone):
		return nil, fmt.Errorf("open tasks: %w: %w", pipeline.ErrNoQueue, err)
	case errors.Is(err, pg.ErrNewer):
		return nil, fmt.Errorf("open tasks: %w: %w", pipeline.ErrForeign, err)
	case err != nil:
		return nil, fmt.Errorf("open tasks: %w", err)
	}
	q := &Tasks{o: o, pool: pool}
	if err := q.named(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open tasks: %w", err)
	}
	return q, nil
}

// named draws the first name, or takes up those that are given. Of several that do, one
// is first.
func (q *Tasks) named(ctx context.Context) error {
	return q.do(ctx, false, func(t *tx) error {
		for i := range q.o.Names {
			name := q.o.Names[len(q.o.Names)-1-i]
			if err := t.exec(`INSERT INTO names (n, name, drawn) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, i+1, name, t.now.UnixMilli()); err != nil {
				return err
			}
		}
		return t.exec(`INSERT INTO names (n, name, drawn) VALUES (1, $1, $2) ON CONFLICT (n) DO NOTHING`, drawName(), t.now.UnixMilli())
	})
}

func drawName() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// Close ends the connections. Calls after it get an error that wraps
// pipeline.ErrStopped.
func (q *Tasks) Close() error {
	q.closed.Store(true)
	q.pool.Close()
	return nil
}

// Ping asks the server once, without patience: nil says that it answers and that
// the tables are there.
func (q *Tasks) Ping(ctx context.Context) error {
	var n int
	if err := pg.Explain(q.pool.QueryRow(ctx, `SELECT count(*) FROM names`).Scan(&n)); err != nil {
		return fmt.Errorf("ask for the queue's name: %w", err)
	}
	return nil
}

// tx is one transaction.
type tx struct {
	ctx   context.Context
	now   time.Time
	ahead time.Duration // of the caller's clock that the server's is; 0 where they agree
	again bool          // an earlier attempt may have been committed
	pgx.Tx
}

func (t *tx) exec(text string, args ...any) error {
	_, err := t.Exec(t.ctx, text, args...)
	return err
}

// count is exec, and returns the number of rows that changed.
func (t *tx) count(text string, args ...any) (int64, error) {
	tag, err := t.Exec(t.ctx, text, args...)
	return tag.RowsAffected(), err
}
