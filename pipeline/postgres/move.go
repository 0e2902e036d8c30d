package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/pipeline"
)

// Renew implements pipeline.TaskTaker.
func (q *Tasks) Renew(ctx context.Context, k pipeline.Task, d time.Duration) error {
	err := q.do(ctx, true, func(t *tx) error {
		n, err := t.count(`UPDATE tasks SET until = $1, seen = $2 WHERE id = $3 AND token = $4`,
			t.now.Add(d).UnixMilli(), t.now.UnixMilli(), string(k.ID), k.Lease.Token)
		if err == nil && n == 0 {
			return pipeline.ErrLease
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("renew lease of task %s: %w", k.ID, err)
	}
	return nil
}

// Holds returns nil while m could be made: its lease is still the mover's. One that
// ran out, but that nobody else took, is. Else the error wraps pipeline.ErrLease.
func (q *Tasks) Holds(ctx context.Context, m *pipeline.Move) error {
	if err := checkMove(m); err != nil {
		return err
	}
	return q.do(ctx, true, func(t *tx) error {
		var there bool
		err := t.QueryRow(t.ctx, `SELECT EXISTS (SELECT FROM tasks WHERE id = $1 AND token = $2)`, string(m.Task), m.Token).Scan(&there)
		if err == nil && !there {
			err = lost(m)
		}
		return err
	})
}

// Settle moves a Task if the lease is still the mover's; else the error wraps
// pipeline.ErrLease. The token goes up, so the same Move works once. Durable on
// return, unless lazy: then the power may take it, and the Task is as it was.
func (q *Tasks) Settle(ctx context.Context, m *pipeline.Move, lazy bool) error {
	if err := checkMove(m); err != nil {
		return err
	}
	return q.do(ctx, lazy, moves(m))
}

func moves(m *pipeline.Move) func(*tx) error {
	return func(t *tx) error {
		n, err := settle(t, m)
		if err == nil && n == 0 && !(t.again && made(t, m)) {
			err = lost(m)
		}
		return err
	}
}

func checkMove(m *pipeline.Move) error {
	if m.Token == 0 || m.Step > 1<<63-1 || len(m.Cursor) > pipeline.MaxCursor {
		return fmt.Errorf("move of task %s: no lease, step out of range, or cursor over %d bytes: %w", m.Task, pipeline.MaxCursor, pipeline.ErrLease)
	}
	return nil
}

func lost(m *pipeline.Move) error { return fmt.Errorf("task %s: %w", m.Task, pipeline.ErrLease) }

func settle(t *tx, m *pipeline.Move) (int64, error) {
	if m.Done {
		return t.count(`DELETE FROM tasks WHERE id = $1 AND token = $2`, string(m.Task), m.Token)
	}
	return t.count(`UPDATE tasks SET due = $1, token = token + 1, until = 0, seen = 0, step = $2, attempt = $3, cursor = $4 WHERE id = $5 AND token = $6`,
		t.theirs(m.Due), int64(m.Step), int64(m.Attempt), m.Cursor, string(m.Task), m.Token)
}

// made reports whether the attempt whose answer was lost made the move: the token
// is one more and nobody has taken the Task since, or it is gone. Gone it may be by
// another's hand too, to the same end: nothing more is wanted.
func made(t *tx, m *pipeline.Move) bool {
	var token, until int64
	err := t.QueryRow(t.ctx, `SELECT token, until FROM tasks WHERE id = $1`, string(m.Task)).Scan(&token, &until)
	if m.Done {
		return errors.Is(err, pgx.ErrNoRows)
	}
	return err == nil && token == m.Token+1 && until == 0
}

// Drop removes Tasks whoever holds them; one that is not there is no error.
func (q *Tasks) Drop(ctx context.Context, ids ...holdfast.ID) error {
	err := q.do(ctx, false, func(t *tx) error { return t.exec(`DELETE FROM tasks WHERE id = ANY ($1)`, ids) })
	if err != nil {
		return fmt.Errorf("drop tasks: %w", err)
	}
	return nil
}
