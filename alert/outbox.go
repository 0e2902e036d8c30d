package alert

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver registers itself as "sqlite"
)

// Limits.
const (
	MaxBatch = 100           // events in one message
	maxText  = 4000          // bytes of what went wrong
	firstTry = time.Minute   // until the second attempt, then doubled
	lastTry  = 3 * time.Hour // at most between two

	// Kept is of how many events of one destination the text is kept once it was told.
	Kept = 200
)

// Event is something to tell. Its members are a contract: they are the body of a
// webhook, and what a program reads.
type Event struct {
	ID      string `json:"id"` // follows from rule and what happened
	Rule    string `json:"rule"`
	Kind    string `json:"kind"` // match, edited, deleted, silent
	At      string `json:"at"`   // when it was found
	Node    string `json:"node"`
	Source  string `json:"source"`
	Channel string `json:"channel,omitempty"`
	Post    int64  `json:"post,omitempty"`
	Posted  string `json:"posted,omitempty"`
	Version int    `json:"version,omitempty"`
	Capture string `json:"capture,omitempty"`
	Case    string `json:"case,omitempty"`
	Text    string `json:"text,omitempty"` // made visible, cut
	Words   string `json:"words"`          // the sentence for a person

	Training bool `json:"training"` // of a node for exercises
}

// Outbox holds what is to be told, in a file of its own. Several processes may use it;
// each call is one transaction. Safe for concurrent use.
type Outbox struct{ db *sql.DB }

const schema = `
CREATE TABLE IF NOT EXISTS event (
	n    INTEGER PRIMARY KEY,
	id   TEXT NOT NULL,
	rule TEXT NOT NULL,
	dest TEXT NOT NULL,
	body TEXT NOT NULL,
	sent INTEGER NOT NULL DEFAULT 0,
	UNIQUE (id, dest)
);
CREATE INDEX IF NOT EXISTS event_due ON event (rule, dest, n) WHERE sent = 0;
CREATE TABLE IF NOT EXISTS dest (
	rule  TEXT NOT NULL,
	dest  TEXT NOT NULL,
	tries INTEGER NOT NULL,
	next  INTEGER NOT NULL,
	error TEXT NOT NULL,
	PRIMARY KEY (rule, dest)
) WITHOUT ROWID;
`

// Open opens the outbox at path, or makes it, readable for its owner alone.
func Open(ctx context.Context, path string) (*Outbox, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open alerts: %w", err)
	}
	f.Close()
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open alerts: %w", err)
	}
	q := url.Values{"_pragma": {"busy_timeout(20000)", "journal_mode(WAL)", "synchronous(FULL)"}, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fmt.Errorf("open alerts: %w", err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		db.Close()
		return nil, fmt.Errorf("open alerts %s: %w; if the file is damaged, remove it: what was told may then be told again", path, err)
	}
	return &Outbox{db}, nil
}

// Close ends the handle.
func (o *Outbox) Close() error { return o.db.Close() }

// Add takes events in for each destination, durably; those that are known are left as
// they are. It returns how many are new.
func (o *Outbox) Add(ctx context.Context, events []Event, dests ...string) (n int64, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, fmt.Errorf("add alerts: %w", err)
	}
	defer tx.Rollback()
	for _, e := range events {
		b, err := json.Marshal(e)
		if err != nil {
			return 0, fmt.Errorf("add alerts: %w", err)
		}
		for _, d := range dests {
			r, err := tx.ExecContext(ctx, `INSERT OR IGNORE INTO event (id, rule, dest, body) VALUES (?, ?, ?, ?)`, e.ID, e.Rule, d, string(b))
			if err != nil {
				return 0, fmt.Errorf("add alerts: %w", err)
			}
			k, _ := r.RowsAffected()
			n += k
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("add alerts: %w", err)
	}
	return n, nil
}

// Due returns the oldest events that a destination was not told, at most MaxBatch;
// none while it is waited with it.
func (o *Outbox) Due(ctx context.Context, rule, dest string, now time.Time) (events []Event, err error) {
	var next int64
	err = o.db.QueryRowContext(ctx, `SELECT next FROM dest WHERE rule = ? AND dest = ?`, rule, dest).Scan(&next)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	if (State{Next: time.UnixMilli(next)}).Waits(now) {
		return nil, nil
	}
	return o.events(ctx, `rule = ? AND dest = ? AND sent = 0 ORDER BY n LIMIT ?`, rule, dest, MaxBatch)
}

// Last returns what a destination was told, and will be told, the newest first, at
// most so many.
func (o *Outbox) Last(ctx context.Context, rule, dest string, limit int) ([]Event, error) {
	return o.events(ctx, `rule = ? AND dest = ? AND body <> '' ORDER BY n DESC LIMIT ?`, rule, dest, limit)
}

func (o *Outbox) events(ctx context.Context, where string, args ...any) (events []Event, err error) {
	rows, err := o.db.QueryContext(ctx, `SELECT body FROM event WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read alerts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var body string
		var e Event
		if err := rows.Scan(&body); err != nil {
			return nil, fmt.Errorf("read alerts: %w", err)
		}
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			return nil, fmt.Errorf("read alerts: %w", err)
		}
		events = append(events, e)
	}
	return events, rows.Err()
}

// Told notes that a destination has taken events. IDs stay known for good; the texts
// of all but the newest go.
func (o *Outbox) Told(ctx context.Context, rule, dest string, events []Event, now time.Time) error {
	tx, err := o.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("note alerts: %w", err)
	}
	defer tx.Rollback()
	for _, e := range events {
		if _, err := tx.ExecContext(ctx, `UPDATE event SET sent = ? WHERE id = ? AND dest = ?`, now.UnixMilli(), e.ID, dest); err != nil {
			return fmt.Errorf("note alerts: %w", err)
		}
	}
	for _, stmt := range []string{`DELETE FROM dest WHERE rule = ?1 AND dest = ?2`,
		`UPDATE event SET body = '' WHERE rule = ?1 AND dest = ?2 AND sent > 0 AND body <> '' AND n NOT IN (SELECT n FROM event WHERE rule = ?1 AND dest = ?2 ORDER BY n DESC LIMIT ?3)`} {
		args := []any{rule, dest, Kept}
		if stmt[0] == 'D' {
			args = args[:2]
		}
		if _, err := tx.ExecContext(ctx, stmt, args...); err != nil {
			return fmt.Errorf("note alerts: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("note alerts: %w", err)
	}
	return nil
}

// Failed notes why a destination did not take what it was told, and when it is tried
// again.
func (o *Outbox) Failed(ctx context.Context, rule, dest string, why error, now time.Time) error {
	text := Why(why)
	var tries int64
	err := o.db.QueryRowContext(ctx, `SELECT tries FROM dest WHERE rule = ? AND dest = ?`, rule, dest).Scan(&tries)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("note alerts: %w", err)
	}
	wait := Wait(tries)
	_, err = o.db.ExecContext(ctx, `INSERT OR REPLACE INTO dest (rule, dest, tries, next, error) VALUES (?, ?, ?, ?, ?)`, rule, dest, tries+1, now.Add(wait).UnixMilli(), text)
	if err != nil {
		return fmt.Errorf("note alerts: %w", err)
	}
	return nil
}

// State is how one destination of a rule stands.
type State struct {
	Waiting, Told int64
	Tries         int64 // that failed since one did not
	Error         string
	Next          time.Time // when it is tried again; zero: as soon as anything is due
}

// Waits reports whether a destination is not to be tried yet. One that would be tried
// only long from now is: then the clock was set back.
func (s State) Waits(now time.Time) bool {
	return s.Next.After(now) && s.Next.Before(now.Add(2*lastTry))
}

// Wait is how long a destination is left alone after so many attempts that failed before
// the last one.
func Wait(tries int64) time.Duration { return min(firstTry<<min(tries, 20), lastTry) }

// Why is what is kept of an error.
func Why(err error) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(err.Error(), "\x00", ""), "")
	return strings.ToValidUTF8(text[:min(len(text), maxText)], "")
}

// State returns how a destination stands.
func (o *Outbox) State(ctx context.Context, rule, dest string) (s State, err error) {
	err = o.db.QueryRowContext(ctx, `SELECT count(*) FILTER (WHERE sent = 0), count(*) FILTER (WHERE sent > 0) FROM event WHERE rule = ? AND dest = ?`, rule, dest).Scan(&s.Waiting, &s.Told)
	if err != nil {
		return s, fmt.Errorf("read alerts: %w", err)
	}
	var next int64
	err = o.db.QueryRowContext(ctx, `SELECT tries, next, error FROM dest WHERE rule = ? AND dest = ?`, rule, dest).Scan(&s.Tries, &next, &s.Error)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s, nil
	case err != nil:
		return s, fmt.Errorf("read alerts: %w", err)
	}
	s.Next = time.UnixMilli(next).UTC()
	return s, nil
}

// Drop forgets what waits for a rule, and that it ever was.
func (o *Outbox) Drop(ctx context.Context, rule string) error {
	_, err := o.db.ExecContext(ctx, `DELETE FROM event WHERE rule = ?1; DELETE FROM dest WHERE rule = ?1`, rule)
	if err != nil {
		return fmt.Errorf("drop alerts: %w", err)
	}
	return nil
}
