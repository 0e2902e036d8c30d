package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"modernc.org/sqlite" // the driver registers itself as "sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"holdfast/pipeline"
)

// application is written into the file's header (offset 68): "hfq1".
const application = 0x68667131

// version is the schema's; a larger one is refused, there is no smaller one.
const version = 1

// Columns that are read alone stand before the payload, so that SQLite does
// not walk a payload's overflow pages to reach them. Times are milliseconds.
const schema = `
CREATE TABLE names    (n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, drawn INTEGER NOT NULL);
CREATE TABLE ends     (topic TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE stages   (stage TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE ids      (id BLOB PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE captured (position INTEGER PRIMARY KEY, id BLOB NOT NULL, crc INTEGER NOT NULL, keep INTEGER NOT NULL DEFAULT 0, body BLOB NOT NULL);
CREATE TABLE notes    (position INTEGER PRIMARY KEY, crc INTEGER NOT NULL, note BLOB NOT NULL);
CREATE TABLE results  (position INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE tasks    (id TEXT PRIMARY KEY, scheme TEXT NOT NULL, due INTEGER NOT NULL, token INTEGER NOT NULL DEFAULT 0,
                       until INTEGER NOT NULL DEFAULT 0, seen INTEGER NOT NULL DEFAULT 0, step INTEGER NOT NULL,
                       attempt INTEGER NOT NULL, fixed BLOB NOT NULL, cursor BLOB);
CREATE INDEX tasks_due ON tasks (due);
INSERT INTO ends VALUES ('captured', 0), ('results', 0);
INSERT INTO stages VALUES ('normalise', 0), ('preserve', 0), ('index', 0), ('results', 0);
`

func dsn(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(20000)"}, pragmas...), "mode": {"rw"}}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// ready makes sure that path is a queue. A file that is not ours is looked at
// and not touched: even switching it to WAL would change somebody's data.
func ready(ctx context.Context, path string, o Options) error {
	if o.Existing {
		// An empty file is not even opened: SQLite would delete the -wal beside it,
		// which may hold all that is left.
		if st, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) || err == nil && st.Mode().IsRegular() && st.Size() == 0 {
			return fmt.Errorf("open queue %s: %w: the file is missing or empty", path, pipeline.ErrNoQueue)
		}
	}
	if err := touch(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return fmt.Errorf("open queue %s: %w", path, err)
	}
	defer db.Close()
	fresh, err := inspect(ctx, db, path)
	if err != nil || !fresh {
		return err
	}
	if o.Existing {
		return fmt.Errorf("open queue %s: %w: it is an empty database", path, pipeline.ErrNoQueue)
	}
	return create(ctx, path, o.Now())
}

// touch creates the file, private to its owner, and makes the name durable.
func touch(path string) error {
	st, err := os.Lstat(path)
	if err == nil {
		if !st.Mode().IsRegular() {
			return fmt.Errorf("open queue %s: %w: not a regular file; move it away", path, pipeline.ErrForeign)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("open queue: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create queue: %w", err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		f.Close()
		return fmt.Errorf("create queue: %w", err)
	}
	defer dir.Close()
	return errors.Join(f.Sync(), f.Close(), dir.Sync())
}

type rower interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// inspect reports whether the file is empty, and refuses what is not a queue.
func inspect(ctx context.Context, db rower, path string) (fresh bool, err error) {
	var app, ver, tables int64
	err = errors.Join(
		db.QueryRowContext(ctx, `PRAGMA application_id`).Scan(&app),
		db.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&ver),
		db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema`).Scan(&tables))
	switch {
	case err != nil:
		return false, fmt.Errorf("open queue %s: %w", path, explain(err))
	case app == 0 && ver == 0 && tables == 0:
		return true, nil
	case app != application:
		return false, fmt.Errorf("open queue %s: %w: a database of another program (application id %#x); move it away", path, pipeline.ErrForeign, app)
	case ver != version:
		return false, fmt.Errorf("open queue %s: %w: format %d, this program knows %d; use the holdfast that wrote it", path, pipeline.ErrForeign, ver, version)
	}
	return false, nil
}

// create makes the tables and draws the queue's name in one transaction; of
// several processes that try, the first does it and the others find it done. A
// crash leaves an empty file, which is fresh again.
func create(ctx context.Context, path string, now time.Time) error {
	db, err := sql.Open("sqlite", dsn(path, "synchronous(FULL)")+"&_txlock=immediate")
	if err != nil {
		return fmt.Errorf("create queue: %w", err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	// The page size counts only before WAL, and only in an empty file. It is
	// large because a page write costs a call whatever its size.
	if _, err := db.ExecContext(ctx, `PRAGMA page_size=16384; PRAGMA journal_mode=WAL`); err != nil {
		return fmt.Errorf("create queue: %w", explain(err))
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("create queue: %w", explain(err))
	}
	defer tx.Rollback()
	fresh, err := inspect(ctx, tx, path)
	if err != nil || !fresh {
		return err
	}
	_, err = tx.ExecContext(ctx, schema+`INSERT INTO names (name, drawn) VALUES (?, ?); PRAGMA application_id=`+strconv.Itoa(application)+`; PRAGMA user_version=`+strconv.Itoa(version),
		drawName(), now.UnixMilli())
	if err != nil {
		return fmt.Errorf("create queue: %w", explain(err))
	}
	return tx.Commit()
}

func drawName() string {
	b := make([]byte, 8)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// explain adds what a caller branches on, and what a person can do, to an error
// of SQLite. The texts keep the cause.
func explain(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: the file is damaged or not a database: stop, copy it away with its -wal, and restore a backup: %w", pipeline.ErrForeign, err)
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("disk is full, free space and go on: %w", err)
	case sqlite3.SQLITE_IOERR:
		return fmt.Errorf("%w: the disk refused a read or write: check it, then start again: %w", pipeline.ErrStopped, err)
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
		return fmt.Errorf("check the owner and mode of the queue file and its folder: %w", err)
	}
	return err
}
