package office

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/alert"
)

// Alerts is what alerts of all nodes have still to tell, as [alert.Outbox] is for one
// node: what two nodes find is one event by its ID. Whoever tells holds a lock of the
// office meanwhile; where two do all the same, both tell the same IDs.
type Alerts struct{ b *Book }

// Alerts returns it; it needs no Close.
func (b *Book) Alerts() *Alerts { return &Alerts{b} }

// Close does nothing: the Book is closed by who opened it.
func (*Alerts) Close() error { return nil }

// RulePrefix is where the rules lie as documents. Events of a rule that is not there are
// not taken in: who looks may have read the rules a moment before one was removed.
const RulePrefix = "alert/"

// Add takes events in for each destination; those that are known are left as they are.
// It returns how many are new.
func (a *Alerts) Add(ctx context.Context, events []alert.Event, dests ...string) (n int64, err error) {
	if len(events) == 0 {
		return 0, nil
	}
	err = a.b.do(ctx, func(t *tx) error {
		n = 0
		for _, e := range events {
			k, err := add(t, e, dests)
			if n += k; err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("add alerts: %w", err)
	}
	return n, nil
}

func add(t *tx, e alert.Event, dests []string) (int64, error) {
	var there bool // and is, until this is committed
	err := t.QueryRow(t.ctx, `SELECT true FROM document WHERE name = $1 FOR SHARE`, RulePrefix+e.Rule).Scan(&there)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	body, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	tag, err := t.Exec(t.ctx, `INSERT INTO alert (id, rule, dest, capture, body) SELECT $1, $2, dest, $3, $4 FROM unnest($5::text[]) WITH ORDINALITY AS d (dest, k) ORDER BY k ON CONFLICT (id, dest) DO NOTHING`,
		e.ID, e.Rule, e.Capture, string(body), dests)
	return tag.RowsAffected(), err
}

// Due returns the oldest events that a destination was not told, at most
// [alert.MaxBatch]; none while it is waited with it.
func (a *Alerts) Due(ctx context.Context, rule, dest string, now time.Time) (events []alert.Event, err error) {
	err = a.b.do(ctx, func(t *tx) error {
		events = nil
		s, err := target(t, rule, dest)
		if err != nil || s.Waits(now) {
			return err
		}
		events, err = read(t, `sent = 0 AND rule = $1 AND dest = $2 ORDER BY n LIMIT $3`, rule, dest, alert.MaxBatch)
		return err
	})
	return events, reading(err)
}

// Last returns what a destination was told, and will be told, the newest first, at most
// so many.
func (a *Alerts) Last(ctx context.Context, rule, dest string, limit int) (events []alert.Event, err error) {
	err = a.b.do(ctx, func(t *tx) (err error) {
		events, err = read(t, `body <> '' AND rule = $1 AND dest = $2 ORDER BY n DESC LIMIT $3`, rule, dest, limit)
		return err
	})
	return events, reading(err)
}

func reading(err error) error {
	if err != nil {
		return fmt.Errorf("read alerts: %w", err)
	}
	return nil
}

func read(t *tx, where string, args ...any) (events []alert.Event, err error) {
	r, err := t.Query(t.ctx, `SELECT body FROM alert WHERE `+where, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(r, func(row pgx.CollectableRow) (e alert.Event, err error) {
		var body string
		if err = row.Scan(&body); err == nil {
			err = json.Unmarshal([]byte(body), &e)
		}
		return e, err
	})
}

// target is how a destination stands, without its counts.
func target(t *tx, rule, dest string) (s alert.State, err error) {
	var next int64
	err = t.QueryRow(t.ctx, `SELECT tries, next, error FROM target WHERE rule = $1 AND dest = $2`, rule, dest).Scan(&s.Tries, &next, &s.Error)
	if errors.Is(err, pgx.ErrNoRows) {
		return alert.State{}, nil
	}
	s.Next = time.UnixMilli(next).UTC()
	return s, err
}

// Told notes that a destination has taken events. IDs stay known for good; the texts of
// all but the newest go.
func (a *Alerts) Told(ctx context.Context, rule, dest string, events []alert.Event, now time.Time) error {
	ids := make([]string, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return a.note(ctx, func(t *tx) error {
		for _, s := range []struct {
			text string
			args []any
		}{
			{`UPDATE alert SET sent = $3 WHERE id = ANY ($1) AND dest = $2`, []any{ids, dest, now.UnixMilli()}},
			{`DELETE FROM target WHERE rule = $1 AND dest = $2`, []any{rule, dest}},
			{`UPDATE alert SET body = '' WHERE rule = $1 AND dest = $2 AND sent > 0 AND body <> '' AND n <= coalesce((SELECT n FROM alert WHERE rule = $1 AND dest = $2 AND body <> '' ORDER BY n DESC OFFSET $3 LIMIT 1), 0)`,
				[]any{rule, dest, alert.Kept}},
		} {
			if _, err := t.Exec(t.ctx, s.text, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *Alerts) note(ctx context.Context, f func(*tx) error) error {
	if err := a.b.do(ctx, f); err != nil {
		return fmt.Errorf("note alerts: %w", err)
	}
	return nil
}

// Failed notes why a destination did not take what it was told, and when it is tried
// again.
func (a *Alerts) Failed(ctx context.Context, rule, dest string, why error, now time.Time) error {
	return a.note(ctx, func(t *tx) error {
		s, err := target(t, rule, dest)
		if err != nil {
			return err
		}
		return fail(t, rule, dest, s.Tries+1, why, now.Add(alert.Wait(s.Tries)))
	})
}

// Unable notes that a node cannot tell a destination at all, as it lacks a file that the
// rule names. It keeps no other node from trying.
func (a *Alerts) Unable(ctx context.Context, rule, dest string, why error, now time.Time) error {
	return a.note(ctx, func(t *tx) error {
		s, err := target(t, rule, dest)
		if err != nil || s.Tries > 0 && now.Sub(s.Next) < time.Minute { // said a moment ago, or it is waited
			return err
		}
		return fail(t, rule, dest, s.Tries+1, why, now)
	})
}

func fail(t *tx, rule, dest string, tries int64, why error, next time.Time) error {
	_, err := t.Exec(t.ctx, `INSERT INTO target (rule, dest, tries, next, error) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (rule, dest) DO UPDATE SET tries = excluded.tries, next = excluded.next, error = excluded.error`, rule, dest, tries, next.UnixMilli(), alert.Why(why))
	return err
}

// State returns how a destination stands.
func (a *Alerts) State(ctx context.Context, rule, dest string) (s alert.State, err error) {
	err = a.b.do(ctx, func(t *tx) error {
		if s, err = target(t, rule, dest); err != nil {
			return err
		}
		return t.QueryRow(t.ctx, `SELECT count(*) FILTER (WHERE sent = 0), count(*) FILTER (WHERE sent > 0) FROM alert WHERE rule = $1 AND dest = $2`, rule, dest).Scan(&s.Waiting, &s.Told)
	})
	return s, reading(err)
}

// Drop forgets a rule, what waits for it, and that it ever was, at once.
func (a *Alerts) Drop(ctx context.Context, rule string) error {
	return a.note(ctx, func(t *tx) error {
		for _, text := range []string{`DELETE FROM document WHERE name = '` + RulePrefix + `' || $1`, `DELETE FROM alert WHERE rule = $1`, `DELETE FROM target WHERE rule = $1`} {
			if _, err := t.Exec(t.ctx, text, rule); err != nil {
				return err
			}
		}
		return nil
	})
}

// Forget removes what is told, or waits to be, of these captures, and has the server
// write the table anew.
func (a *Alerts) Forget(ctx context.Context, captures []string) error {
	err := a.note(ctx, func(t *tx) error {
		_, err := t.Exec(t.ctx, `DELETE FROM alert WHERE capture = ANY ($1)`, captures)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := a.b.pool.Exec(ctx, `VACUUM FULL alert`); err != nil {
		return fmt.Errorf("forget alerts: %w", err)
	}
	return nil
}
