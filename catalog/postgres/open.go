package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/catalog"
	"holdfast/search"
)

// Catalog is an open handle; it implements catalog.Catalog. Every method may be
// called concurrently, and by several processes.
type Catalog struct {
	write, read *pgxpool.Pool
	o           Options
}

// Open opens the catalog in the database at url, postgres://USER@HOST:PORT/DATABASE, and
// brings its schema to that of this program. Errors wrap catalog.ErrRebuild if there is
// none, or it is damaged or half made, and catalog.ErrNewer.
func Open(ctx context.Context, url string, o Options) (*Catalog, error) {
	c, err := open(ctx, url, o.filled(), false)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return c, nil
}

// Create makes an empty catalog, for a store that is empty, or opens the one
// that is there. A crash inside it leaves either none or a whole one.
func Create(ctx context.Context, url string, o Options) (*Catalog, error) {
	c, err := open(ctx, url, o.filled(), true)
	if err != nil {
		return nil, fmt.Errorf("create catalog: %w", err)
	}
	return c, nil
}

func open(ctx context.Context, url string, o Options, create bool) (c *Catalog, err error) {
	cfg, err := config(url, o)
	if err != nil {
		return nil, err
	}
	err = repeat(ctx, o.Patience, func() error { return prepare(ctx, cfg, o, create) })
	if err != nil {
		return nil, err
	}
	c = &Catalog{o: o}
	if c.write, err = pgxpool.NewWithConfig(ctx, writing(cfg, o)); err == nil {
		c.read, err = pgxpool.NewWithConfig(ctx, reading(cfg, o))
	}
	if err == nil { // refuses a catalog whose rebuild has not ended
		err = c.view(ctx, func(pgx.Tx) error { return nil })
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// prepare looks at the schema and makes it, or brings it up to date, where that is to be
// done. Processes that do it come one after another.
func prepare(ctx context.Context, cfg *pgxpool.Config, o Options, create bool) error {
	return alone(ctx, cfg, func(db *pgxpool.Pool) error {
		err := check(ctx, db, o)
		if errors.Is(err, errLater) || create && errors.Is(err, errBlank) {
			if err := migrate(ctx, cfg, o, true); err != nil {
				return err
			}
			err = check(ctx, db, o)
		}
		return err
	}, "schema")
}

// alone runs fn while no other process runs one of that name for the same schema. The
// server frees the lock of a process that dies.
func alone(ctx context.Context, cfg *pgxpool.Config, fn func(*pgxpool.Pool) error, name string) error {
	cfg = cfg.Copy()
	cfg.MaxConns = 2 // one that holds the lock
	db, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	key := lockKey(cfg, name)
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, key); err != nil {
		return err
	}
	err = fn(db)
	// The connection still has the lock if it lives: what fn did nobody else did meanwhile.
	if _, uerr := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, key); err == nil {
		err = uerr
	}
	return err
}

func lockKey(cfg *pgxpool.Config, name string) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "holdfast catalog %s %s", cfg.ConnConfig.RuntimeParams["search_path"], name)
	return int64(h.Sum64())
}

// Rebuild empties the catalog, lets fill bring every fact (by catalog.Fold), and
// only then are questions answered again; if fill fails, or a crash comes between, they
// are refused until a later Rebuild ends. A second Rebuild waits for the first.
// catalog.ErrNewer, and what is another program's, leaves all as it is.
func Rebuild(ctx context.Context, url string, o Options, fill func(context.Context, catalog.Writer) error) error {
	o = o.filled()
	cfg, err := config(url, o)
	if err == nil {
		err = alone(ctx, cfg, func(db *pgxpool.Pool) error { return rebuild(ctx, db, cfg, o, fill) }, "rebuild")
	}
	if err != nil {
		return fmt.Errorf("rebuild catalog: %w", explain(err))
	}
	return nil
}

func rebuild(ctx context.Context, db *pgxpool.Pool, cfg *pgxpool.Config, o Options, fill func(context.Context, catalog.Writer) error) error {
	name := rand.Text()
	if err := empty(ctx, db, cfg, o, name); err != nil {
		return err
	}
	c := &Catalog{o: o}
	var err error
	if c.write, err = pgxpool.NewWithConfig(ctx, writing(cfg, o)); err != nil {
		return err
	}
	defer c.Close()
	if err := fill(ctx, c); err != nil {
		return err
	}
	// A server that was started anew has forgotten the lock: if another has begun a
	// rebuild since, what this one brought first is gone.
	return c.change(ctx, func(tx pgx.Tx) error {
		if err := analyze(ctx, tx); err != nil {
			return err
		}
		t, err := tx.Exec(ctx, `UPDATE meta SET complete = true WHERE rebuild = $1`, name)
		if err == nil && t.RowsAffected() == 0 {
			err = fmt.Errorf("another rebuild has begun behind this one: %w", catalog.ErrRebuild)
		}
		return err
	})
}

// empty leaves an incomplete catalog without facts, under the name of a rebuild. What has
// lost tables is made anew.
func empty(ctx context.Context, db *pgxpool.Pool, cfg *pgxpool.Config, o Options, name string) error {
	err := check(ctx, db, o)
	if errors.Is(err, errLost) {
		for _, t := range append(strings.Fields(tables), versions) {
			if _, err := db.Exec(ctx, `DROP TABLE IF EXISTS `+t); err != nil {
				return err
			}
		}
		if _, err := db.Exec(ctx, `DROP SEQUENCE IF EXISTS capture_n, answer_n`); err != nil {
			return err
		}
		err = errBlank
	}
	if errors.Is(err, errBlank) || errors.Is(err, errLater) {
		err = migrate(ctx, cfg, o, false)
	}
	if err != nil && !errors.Is(err, catalog.ErrRebuild) { // older words are no matter
		return err
	}
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{BeginQuery: `BEGIN; LOCK TABLE meta IN ACCESS EXCLUSIVE MODE`}, func(tx pgx.Tx) error {
		rest := strings.Join(strings.Fields(tables)[1:], `, `)
		if _, err := tx.Exec(ctx, `TRUNCATE `+rest+` RESTART IDENTITY`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE meta SET complete = false, folding = $1, owner = coalesce(nullif($2, ''), owner), rebuild = $3`, search.Version, o.Owner, name)
		return err
	})
}

// Close ends the handle. Call it when all other calls have returned.
func (c *Catalog) Close() error {
	for _, db := range []*pgxpool.Pool{c.read, c.write} {
		if db != nil {
			db.Close()
		}
	}
	return nil
}

// Sync implements [catalog.Syncer]: each commit has waited for the disk.
func (c *Catalog) Sync(ctx context.Context) error { return context.Cause(ctx) }
