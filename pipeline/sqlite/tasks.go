package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// AddTasks implements pipeline.TaskAdder.
func (q *Queue) AddTasks(ctx context.Context, tasks ...pipeline.Task) ([]holdfast.ID, error) {
	ids, rows := make([]holdfast.ID, len(tasks)), make([][]any, len(tasks))
	for i, k := range tasks {
		if k.ID == "" {
			k.ID = holdfast.NewID()
		}
		if err := k.Check(); err != nil {
			return nil, fmt.Errorf("add task: %w", err)
		}
		b, err := k.Fixed()
		if err != nil {
			return nil, fmt.Errorf("add task: %w", err)
		}
		scheme, _, _ := strings.Cut(string(k.Source), ":")
		ids[i], rows[i] = k.ID, []any{string(k.ID), scheme, millis(k.Due), int64(k.Step), k.Attempt, b, k.Cursor}
	}
	err := q.w.do(ctx, func(t *tx) error {
		for _, r := range rows {
			if err := t.exec(`INSERT OR IGNORE INTO tasks (id, scheme, due, step, attempt, fixed, cursor) VALUES (?,?,?,?,?,?,?)`, r...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("add task: %w", err)
	}
	return ids, nil
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

const taskColumns = `id, due, token, until, seen, step, attempt, fixed, cursor`

func scanTask(row interface{ Scan(...any) error }) (k pipeline.Task, seen int64, err error) {
	var due, until, step int64
	var id string
	var b []byte
	if err := row.Scan(&id, &due, &k.Lease.Token, &until, &seen, &step, &k.Attempt, &b, &k.Cursor); err != nil {
		return k, 0, err
	}
	k.ID, k.Due, k.Lease.Until, k.Step = holdfast.ID(id), moment(due), moment(until), uint64(step)
	return k.WithFixed(b), seen, nil
}

// Take implements pipeline.TaskTaker.
func (q *Queue) Take(ctx context.Context, w pipeline.Want) ([]pipeline.Task, error) {
	w.Max = max(w.Max, 1)
	if w.Lease <= 0 {
		w.Lease = 5 * time.Minute
	}
	var got []pipeline.Task
	now := q.o.Now()
	err := q.w.doLazy(ctx, func(t *tx) error {
		taken, err := take(t, w, now)
		got = taken
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take task: %w", err)
	}
	return got, nil
}

func take(t *tx, w pipeline.Want, now time.Time) ([]pipeline.Task, error) {
	found, seen, err := sound(t, w, now)
	if err != nil {
		return nil, err
	}
	for i := range found {
		k, old := &found[i], found[i].ID
		// A lease that ran out long ago: what was published under this ID may
		// be older than the plans that preserve still looks through. Where the
		// clock was set back nobody knows how long ago it was.
		if silent := now.Sub(moment(seen[i])).Abs(); seen[i] != 0 && silent > pipeline.StaleTask {
			k.ID = holdfast.NewID()
		}
		k.Lease.Token++
		k.Lease.Until = now.Add(w.Lease).Truncate(time.Millisecond).UTC()
		if err := t.exec(`UPDATE tasks SET id = ?, token = ?, until = ?, seen = ? WHERE id = ?`,
			string(k.ID), k.Lease.Token, k.Lease.Until.UnixMilli(), now.UnixMilli(), string(old)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// sound is due without Damaged Tasks, unless they were asked for by ID: each one
// that is met is left out of the next look, so that it keeps nobody's place.
func sound(t *tx, w pipeline.Want, now time.Time) (found []pipeline.Task, seen []int64, err error) {
	var damaged []any
	for {
		if found, seen, err = due(t, w, now, damaged); err != nil || len(w.IDs) > 0 {
			return found, seen, err
		}
		met := len(damaged)
		for _, k := range found {
			if k.Damaged {
				damaged = append(damaged, string(k.ID))
			}
		}
		if len(damaged) == met {
			return found, seen, nil
		}
	}
}

// due finds what may be taken: a lease that ran out holds nobody off, nor does
// one that was given when the clock stood far ahead of now.
func due(t *tx, w pipeline.Want, now time.Time, but []any) (found []pipeline.Task, seen []int64, err error) {
	query := `SELECT ` + taskColumns + ` FROM tasks WHERE (until <= ? OR seen > ?)`
	args := []any{now.UnixMilli(), now.Add(pipeline.StaleTask).UnixMilli()}
	if len(but) > 0 {
		query, args = query+values(` AND id NOT IN (`, "?", len(but))+`)`, append(args, but...)
	}
	if !w.Early {
		query, args = query+` AND due <= ?`, append(args, now.UnixMilli())
	}
	if len(w.Schemes) > 0 {
		query += values(` AND scheme IN (`, "?", len(w.Schemes)) + `)`
		for _, s := range w.Schemes {
			args = append(args, s)
		}
	}
	if len(w.IDs) > 0 {
		query += values(` AND id IN (`, "?", len(w.IDs)) + `)`
		for _, id := range w.IDs {
			args = append(args, string(id))
		}
	}
	rows, err := t.st.conn.QueryContext(t.ctx, query+` ORDER BY due, id LIMIT ?`, append(args, w.Max)...)
	if err != nil {
		return nil, nil, err
	}
	return collect(rows)
}

func collect(rows *sql.Rows) (found []pipeline.Task, seen []int64, err error) {
	defer rows.Close()
	for rows.Next() {
		k, s, err := scanTask(rows)
		if err != nil {
			return nil, nil, err
		}
		found, seen = append(found, k), append(seen, s)
	}
	return found, seen, rows.Err()
}

// Renew implements pipeline.TaskTaker.
func (q *Queue) Renew(ctx context.Context, k pipeline.Task, d time.Duration) error {
	now := q.o.Now()
	err := q.w.doLazy(ctx, func(t *tx) error {
		n, err := t.count(`UPDATE tasks SET until = ?, seen = ? WHERE id = ? AND token = ?`,
			now.Add(d).UnixMilli(), now.UnixMilli(), string(k.ID), k.Lease.Token)
		if err == nil && n == 0 {
			return refusal{pipeline.ErrLease}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("renew lease of task %s: %w", k.ID, err)
	}
	return nil
}

// settle moves a Task if the lease is still the mover's, and refuses before
// anything is written if it is not. A lease that ran out, but that nobody else
// took, is still his. The token goes up, so the same Move works once.
func settle(t *tx, m *pipeline.Move) (err error) {
	if m.Token == 0 || m.Step > 1<<63-1 || len(m.Cursor) > pipeline.MaxCursor {
		return refusal{fmt.Errorf("move of task %s: no lease, step out of range, or cursor over %d bytes: %w", m.Task, pipeline.MaxCursor, pipeline.ErrLease)}
	}
	var n int64
	if m.Done {
		n, err = t.count(`DELETE FROM tasks WHERE id = ? AND token = ?`, string(m.Task), m.Token)
	} else {
		n, err = t.count(`UPDATE tasks SET due = ?, token = token + 1, until = 0, seen = 0, step = ?, attempt = ?, cursor = ? WHERE id = ? AND token = ?`,
			millis(m.Due), int64(m.Step), m.Attempt, m.Cursor, string(m.Task), m.Token)
	}
	if err == nil && n == 0 {
		return refusal{fmt.Errorf("task %s: %w", m.Task, pipeline.ErrLease)}
	}
	return err
}

// Tasks implements pipeline.TaskLister.
func (q *Queue) Tasks(ctx context.Context, after holdfast.ID, limit int) ([]pipeline.Task, error) {
	rows, err := q.read.QueryContext(ctx, `SELECT `+taskColumns+` FROM tasks WHERE id > ? ORDER BY id LIMIT ?`, string(after), limit)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", explain(err))
	}
	found, _, err := collect(rows)
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", explain(err))
	}
	return found, nil
}
