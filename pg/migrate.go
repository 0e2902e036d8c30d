package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// migrate holds the schema's lock while it looks and while it writes. The lock is
// the connection's: who dies with it gives it back.
func migrate(ctx context.Context, pool *pgxpool.Pool, o Options) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, "holdfast "+o.Schema); err != nil {
		return err
	}
	defer conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, "holdfast "+o.Schema)
	var there, used bool
	err = conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1),
		EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'goose_db_version')`, o.Schema).Scan(&there, &used)
	switch {
	case err != nil:
		return err
	case o.Existing && !used:
		return fmt.Errorf("%w: schema %q", ErrNone, o.Schema)
	case !there:
		if _, err := conn.Exec(ctx, `CREATE SCHEMA `+(pgx.Identifier{o.Schema}).Sanitize()); err != nil {
			return err
		}
	}
	return up(ctx, pool, o)
}

func up(ctx context.Context, pool *pgxpool.Pool, o Options) error {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	p, err := goose.NewProvider(goose.DialectPostgres, db, o.Migrations, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	now, known, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if now > known {
		return fmt.Errorf("%w: schema %q has version %d, this program knows %d: use the holdfast that wrote it, or a newer one", ErrNewer, o.Schema, now, known)
	}
	if now == known {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring schema %q from version %d to %d: %w", o.Schema, now, known, err)
	}
	return nil
}
