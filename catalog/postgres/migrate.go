package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"holdfast/catalog"
	"holdfast/search"
)

//go:embed migrations/*.sql
var migrations embed.FS

// program marks a schema as a catalog.
const program = "holdfast catalog"

// errBlank says that there is no catalog in the database.
var errBlank = fmt.Errorf("there is none: %w", catalog.ErrRebuild)

// errLater says that migrations are to be run.
var errLater = errors.New("the schema is older than this program")

// errLost says that some of its tables are gone.
var errLost = fmt.Errorf("it has lost tables: %w", catalog.ErrRebuild)

// tables are all that the migrations make.
const tables = `meta ident who capture seal member pack ref home chain exhibit record named added answer called sight text said page address linked object document unread`

// migrations are those of this program.
func (o Options) migrations() (fs.FS, error) {
	if o.steps != nil {
		return o.steps, nil
	}
	return fs.Sub(migrations, "migrations")
}

// known is the newest schema that this program knows.
func (o Options) known() (int64, error) {
	steps, err := o.migrations()
	if err != nil {
		return 0, err
	}
	entries, err := fs.ReadDir(steps, ".")
	if err != nil {
		return 0, err
	}
	return goose.NumericComponent(entries[len(entries)-1].Name())
}

// check looks at what is in the schema before anything else is done with it.
func check(ctx context.Context, db *pgxpool.Pool, o Options) error {
	rows, err := db.Query(ctx, `SELECT tablename FROM pg_tables WHERE schemaname = $1`, o.Schema)
	if err != nil {
		return err
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	ours := append(strings.Fields(tables), versions)
	stranger := slices.ContainsFunc(have, func(t string) bool { return !slices.Contains(ours, t) })
	lost := slices.ContainsFunc(ours, func(t string) bool { return !slices.Contains(have, t) })
	switch {
	case len(have) == 0 || len(have) == 1 && have[0] == versions: // goose makes its table first
		return errBlank
	case slices.Contains(have, "meta") && slices.Contains(have, versions):
		return checkMeta(ctx, db, o, lost)
	case stranger:
		return foreign(o)
	}
	return errLost
}

func checkMeta(ctx context.Context, db *pgxpool.Pool, o Options, lost bool) error {
	newest, err := o.known()
	if err != nil {
		return err
	}
	var version int64
	var name, owner string
	var folding int
	err = db.QueryRow(ctx, `SELECT (SELECT coalesce(max(version_id), 0) FROM `+versions+` WHERE is_applied), program, owner, folding FROM meta`).Scan(&version, &name, &owner, &folding)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	switch {
	case version > newest:
		return fmt.Errorf("schema %d, this program knows %d: %w", version, newest, catalog.ErrNewer)
	case err != nil:
		return errLost
	case name != program:
		return foreign(o)
	case folding == 0:
		return errBlank
	case folding > search.Version:
		return fmt.Errorf("its words are of version %d, this program folds by %d: %w", folding, search.Version, catalog.ErrNewer)
	case o.Owner != "" && owner != "" && owner != o.Owner:
		return fmt.Errorf("it is the catalog of another store (%.80q, this one is %.80q): give each store a database, or a schema, of its own", owner, o.Owner)
	case version < newest:
		return errLater
	case lost:
		return errLost
	case folding < search.Version:
		return fmt.Errorf("its words are of version %d, this program folds by %d: %w", folding, search.Version, catalog.ErrRebuild)
	}
	return nil
}

func foreign(o Options) error {
	return fmt.Errorf("schema %s of this database has tables of another program: the URL names the wrong database, or another schema is to be taken", o.Schema)
}

// migrate makes the schema, or brings it to what this program knows, one transaction a
// step.
func migrate(ctx context.Context, cfg *pgxpool.Config, o Options, complete bool) error {
	db := stdlib.OpenDB(*cfg.ConnConfig)
	defer db.Close()
	db.SetMaxOpenConns(1)
	var there bool // a database's operator may have made it, for a user who may not
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, o.Schema).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := db.ExecContext(ctx, `CREATE SCHEMA `+o.Schema); err != nil {
			return err
		}
	}
	if err := trigrams(ctx, db, o); err != nil {
		return err
	}
	steps, err := o.migrations()
	if err != nil {
		return err
	}
	g, err := goose.NewProvider(goose.DialectPostgres, db, steps, goose.WithDisableGlobalRegistry(true), goose.WithTableName(versions), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	if _, err := g.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema to this program's: %w", err)
	}
	// A crash before this leaves what is taken for none (errBlank), and has no facts.
	_, err = db.ExecContext(ctx, `UPDATE meta SET owner = $1, folding = $2, complete = $3 WHERE folding = 0`, o.Owner, search.Version, complete)
	return err
}

// versions is goose's table.
const versions = "goose_db_version"

// trigrams makes the extension if nobody has, and lets the connection find it.
func trigrams(ctx context.Context, db *sql.DB, o Options) error {
	const where = `SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_trgm'`
	var schema string
	err := db.QueryRowContext(ctx, where).Scan(&schema)
	if errors.Is(err, sql.ErrNoRows) {
		_, cerr := db.ExecContext(ctx, `CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public`)
		if err = db.QueryRowContext(ctx, where).Scan(&schema); errors.Is(err, sql.ErrNoRows) { // another may have made it meanwhile
			return noTrigrams(cerr)
		}
	}
	if err == nil {
		_, err = db.ExecContext(ctx, `SET search_path TO `+o.Schema+`, `+pgx.Identifier{schema}.Sanitize())
	}
	return err
}

// noTrigrams says what to do where the extension cannot be made.
func noTrigrams(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		switch e.Code {
		case codeForbidden:
			return fmt.Errorf("the catalog needs PostgreSQL's extension pg_trgm, and this user may not make it: the database's owner does it once (CREATE EXTENSION pg_trgm WITH SCHEMA public): %w", err)
		case codeNoFile, codeNoFeature:
			return fmt.Errorf("the catalog needs PostgreSQL's extension pg_trgm, which the server has not: its operator installs it (Debian: in postgresql-15 itself; elsewhere often postgresql-contrib): %w", err)
		}
	}
	return err
}
