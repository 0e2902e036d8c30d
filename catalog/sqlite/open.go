package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	lib "modernc.org/sqlite"

	"holdfast/catalog"
)

// Options are the settings of a handle; the zero value is good.
type Options struct {
	// Busy is how long a write waits for the writers of other processes.
	// Default 30 s.
	Busy time.Duration

	// Readers is how many questions are answered at once. Default 4.
	Readers int

	// Rebuilding waits until no rebuild is at work. A question that is refused
	// because of one is then asked once more. Optional: it is refused.
	Rebuilding func(context.Context) error
}

// Catalog is an open handle; it implements catalog.Catalog. Every method may be
// called concurrently, and by several processes.
type Catalog struct {
	path   string
	write  *sql.DB // one connection, BEGIN IMMEDIATE, synchronous=NORMAL
	syncer *sql.DB // one connection, synchronous=FULL
	read   *sql.DB // query_only

	rebuilding func(context.Context) error // Options.Rebuilding
}

// errBlank says that there is no file, or one in which nothing was ever kept.
var errBlank = fmt.Errorf("there is none: %w", catalog.ErrRebuild)

// Open opens the catalog at path. Errors wrap catalog.ErrRebuild if there is
// none, or it is damaged, older or half made, and catalog.ErrNewer.
func Open(ctx context.Context, path string, o Options) (*Catalog, error) {
	c, err := open(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	if err := c.ready(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	return c, nil
}

// Create makes an empty catalog, for a store that is empty, or opens the one
// that is there. A crash inside it leaves either none or a whole one.
func Create(ctx context.Context, path string, o Options) (*Catalog, error) {
	unlock, err := lock(ctx, path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	c, err := open(ctx, path, o)
	if err == nil {
		c.Close()
	}
	// Blank is also what a crash leaves that came before the first commit.
	if errors.Is(err, errBlank) {
		if err := layOut(ctx, path, o, 1); err != nil {
			return nil, fmt.Errorf("create catalog %s: %w", path, err)
		}
	}
	return Open(ctx, path, o)
}

// Rebuild empties the catalog, lets fill bring every fact (by catalog.Fold), and
// makes the result durable. Only then are questions answered again; if fill
// fails, or a crash comes between, they are refused until a later Rebuild ends.
// A second Rebuild waits for the first. catalog.ErrNewer leaves all as it is.
func Rebuild(ctx context.Context, path string, o Options, fill func(context.Context, catalog.Writer) error) error {
	unlock, err := lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	if err := rebuild(ctx, path, o, fill); err != nil {
		return fmt.Errorf("rebuild catalog %s: %w", path, err)
	}
	return nil
}

func rebuild(ctx context.Context, path string, o Options, fill func(context.Context, catalog.Writer) error) error {
	if err := empty(ctx, path, o); err != nil {
		return err
	}
	c, err := open(ctx, path, o)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := fill(ctx, c); err != nil {
		return err
	}
	// FULL: when this commit is on the disk, so are all before it.
	if _, err := c.syncer.ExecContext(ctx, `UPDATE meta SET complete = 1`); err != nil {
		return explain(err)
	}
	return nil
}

// empty leaves an incomplete catalog without facts. What SQLite cannot read is
// removed; then no other process may have it open, and none that works does.
func empty(ctx context.Context, path string, o Options) error {
	c, err := open(ctx, path, o)
	if err == nil {
		c.Close()
	}
	if errors.Is(err, catalog.ErrNewer) {
		return err
	}
	err = layOut(ctx, path, o, 0)
	if err == nil || !errors.Is(err, catalog.ErrRebuild) {
		return err
	}
	for _, end := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + end); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return layOut(ctx, path, o, 0)
}

// layOut drops every table and makes the schema, in one transaction: other
// processes see the old catalog or the new one. The file is for its owner alone,
// and SQLite gives its WAL the same mode.
func layOut(ctx context.Context, path string, o Options, complete int) error {
	// Only a new file: closing one that another handle of this process has open
	// would drop that handle's POSIX locks.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		f.Close()
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	db, err := connect(path, o, "rw", 1, "_txlock=immediate", pragma("synchronous(FULL)"))
	if err != nil {
		return err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, `PRAGMA journal_mode = WAL`); err != nil {
		return explain(err)
	}
	return inTx(ctx, db, func(tx *sql.Tx) error {
		// Virtual tables first: they take those that they are made of with them.
		drop, err := column(ctx, tx, `SELECT 'DROP TABLE IF EXISTS "' || replace(name, '"', '""') || '"' FROM sqlite_schema
			WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY sql NOT LIKE 'CREATE VIRTUAL%'`)
		if err != nil {
			return err
		}
		for _, stmt := range append(drop, schema,
			fmt.Sprintf(`PRAGMA application_id = %d`, applicationID), fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion),
			fmt.Sprintf(`INSERT INTO meta VALUES (1, %d, 0)`, complete)) {
			if _, err := tx.ExecContext(ctx, stmt); err != nil {
				return err
			}
		}
		return nil
	})
}

func open(ctx context.Context, path string, o Options) (*Catalog, error) {
	if fi, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && fi.Size() == 0 {
		return nil, errBlank
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	c := &Catalog{path: path, rebuilding: o.Rebuilding}
	var errs [3]error
	c.write, errs[0] = connect(path, o, "rw", 1, "_txlock=immediate", pragma("synchronous(NORMAL)"))
	c.syncer, errs[1] = connect(path, o, "rw", 1, "_txlock=immediate", pragma("synchronous(FULL)"))
	c.read, errs[2] = connect(path, o, "rw", o.Readers, pragma("query_only(1)"))
	err := errors.Join(errs[:]...)
	if err == nil {
		err = c.checkVersion(ctx)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Catalog) checkVersion(ctx context.Context) error {
	var app, version, tables int
	if err := c.read.QueryRowContext(ctx, `SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id a, pragma_user_version v`).Scan(&app, &version, &tables); err != nil {
		return explain(err)
	}
	switch {
	case app == 0 && version == 0 && tables == 0:
		return errBlank
	case app != applicationID:
		return fmt.Errorf("the file is another program's database: %w", catalog.ErrRebuild)
	case version > schemaVersion:
		return fmt.Errorf("schema %d, this program knows %d: %w", version, schemaVersion, catalog.ErrNewer)
	case version < schemaVersion:
		return fmt.Errorf("schema %d, this program needs %d: %w", version, schemaVersion, catalog.ErrRebuild)
	}
	return nil
}

// ready refuses a catalog whose rebuild has not ended.
func (c *Catalog) ready(ctx context.Context) error {
	return c.view(ctx, func(*sql.Tx) error { return nil })
}

// Close ends the handle. Call it when all other calls have returned.
func (c *Catalog) Close() error {
	var errs []error
	for _, db := range []*sql.DB{c.read, c.syncer, c.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// Sync implements [catalog.Syncer]: one commit that waits for the disk. It waits
// for the whole WAL file, so for every commit before it, of whichever process.
func (c *Catalog) Sync(ctx context.Context) error {
	if _, err := c.syncer.ExecContext(ctx, `UPDATE meta SET syncs = syncs + 1`); err != nil {
		return fmt.Errorf("sync catalog: %w", explain(err))
	}
	return nil
}

func pragma(s string) string { return "_pragma=" + s }

// connect does not open the file yet; each connection runs the pragmas.
func connect(path string, o Options, mode string, conns int, query ...string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if o.Busy <= 0 {
		o.Busy = 30 * time.Second
	}
	q := append([]string{"mode=" + mode, pragma(fmt.Sprintf("busy_timeout(%d)", o.Busy.Milliseconds())), pragma("temp_store(2)"), pragma("wal_autocheckpoint(16384)"), pragma("cache_size(-65536)")}, query...)
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: abs}).EscapedPath()+"?"+strings.Join(q, "&"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// SQLite's result codes that mean "these are not the bytes that I wrote".
const (
	codeError, codeCorrupt, codeFormat, codeNotADB = 1, 11, 24, 26
)

// explain adds what the user can do about a damaged file.
func explain(err error) error {
	var e *lib.Error
	if !errors.As(err, &e) {
		return err
	}
	switch code := e.Code() & 0xff; {
	case code == codeCorrupt, code == codeFormat, code == codeNotADB,
		code == codeError && strings.Contains(e.Error(), "no such "):
		return fmt.Errorf("%w: %w", err, catalog.ErrRebuild)
	}
	return err
}
