package office

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/pg"
)

//go:embed migrations/*.sql
var migrations embed.FS

const schema = "holdfast_office"

// ErrOther says that the database is of another office.
var ErrOther = errors.New("the database keeps the tokens, asks, alerts and watches of another office")

// Options are the settings of a Book.
type Options struct {
	URL      string // see pg.Options.URL: without a password
	Password string // optional: see pg.Options.Password

	// Store is the id of the store that all nodes of the office share.
	Store string

	// Patience is how long a call is repeated while the server cannot be reached.
	// Optional: 10 s.
	Patience time.Duration
}

// Book is an open handle.
type Book struct {
	pool     *pgxpool.Pool
	patience time.Duration
}

// Open connects, and makes the tables if they are not there. Errors wrap those of
// pg.Open, or [ErrOther].
func Open(ctx context.Context, o Options) (*Book, error) {
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	pool, err := pg.Open(ctx, pg.Options{URL: o.URL, Password: o.Password, Schema: schema, Migrations: files, Params: map[string]string{"application_name": "holdfast office"}})
	if err != nil {
		return nil, fmt.Errorf("open the office's book: %w", err)
	}
	b := &Book{pool, o.Patience}
	if err := b.of(ctx, o.Store); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the office's book: %w", err)
	}
	return b, nil
}

// of binds the book to the first office that opens it.
func (b *Book) of(ctx context.Context, store string) error {
	return b.do(ctx, func(t *tx) error {
		if _, err := t.Exec(t.ctx, `INSERT INTO owner (store) VALUES ($1) ON CONFLICT (one) DO NOTHING`, store); err != nil {
			return err
		}
		var is string
		if err := t.QueryRow(t.ctx, `SELECT store FROM owner`).Scan(&is); err != nil {
			return err
		}
		if is != store {
			return fmt.Errorf("%w: of store %s, not %s: give each office a database of its own", ErrOther, is, store)
		}
		return nil
	})
}

// Close ends the connections.
func (b *Book) Close() error {
	b.pool.Close()
	return nil
}

// tx is one attempt at a transaction.
type tx struct {
	ctx   context.Context
	again bool // an earlier attempt may have been committed
	pgx.Tx
}

// attempt bounds one of them, so that a server that is silent is noticed.
const attempt = 10 * time.Second

// do runs f in a transaction, and again while the server cannot be reached: f must do no
// harm twice. The error then wraps pg.ErrUnavailable.
func (b *Book) do(ctx context.Context, f func(*tx) error) error {
	wait := &backoff.ExponentialBackOff{InitialInterval: 50 * time.Millisecond, Multiplier: 2, MaxInterval: time.Second, RandomizationFactor: 0.3}
	again := false
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		limited, cancel := context.WithTimeout(ctx, attempt)
		defer cancel()
		err := pg.Explain(pgx.BeginFunc(limited, b.pool, func(p pgx.Tx) error { return f(&tx{limited, again, p}) }))
		again = true
		if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: no answer in %v: %w", pg.ErrUnavailable, attempt, err)
		}
		if err != nil && !errors.Is(err, pg.ErrUnavailable) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(b.patience))
	return err
}
