package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/pipeline"
)

// rows is how many Tasks one statement writes.
const rows = 500

// columns are the fields of Tasks, each as one array.
type columns struct {
	id, scheme    []string
	due           []time.Time
	step, attempt []int64
	fixed, cursor [][]byte
}

// AddTasks implements pipeline.TaskAdder.
func (q *Tasks) AddTasks(ctx context.Context, tasks ...pipeline.Task) ([]holdfast.ID, error) {
	ids := make([]holdfast.ID, len(tasks))
	var c columns
	for i, k := range tasks {
		if k.ID == "" {
			k.ID = holdfast.NewID()
		}
		ids[i] = k.ID
		if err := c.add(k); err != nil {
			return nil, fmt.Errorf("add task: %w", err)
		}
	}
	err := q.do(ctx, false, func(t *tx) error {
		for from := 0; from < len(tasks); from += rows {
			if err := c.insert(t, from, min(from+rows, len(tasks))); err != nil {
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

func (c *columns) add(k pipeline.Task) error {
	if err := k.Check(); err != nil {
		return err
	}
	b, err := k.Fixed()
	if err != nil {
		return err
	}
	scheme, _, _ := strings.Cut(string(k.Source), ":")
	c.id, c.scheme = append(c.id, string(k.ID)), append(c.scheme, scheme)
	c.due, c.step, c.attempt = append(c.due, k.Due), append(c.step, int64(k.Step)), append(c.attempt, int64(k.Attempt))
	c.fixed, c.cursor = append(c.fixed, b), append(c.cursor, k.Cursor)
	return nil
}

func (c *columns) insert(t *tx, from, to int) error {
	due := make([]int64, to-from)
	for i := range due {
		due[i] = t.theirs(c.due[from+i])
	}
	return t.exec(`INSERT INTO tasks (id, scheme, due, step, attempt, fixed, cursor)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bytea[], $7::bytea[]) ON CONFLICT (id) DO NOTHING`,
		c.id[from:to], c.scheme[from:to], due, c.step[from:to], c.attempt[from:to], c.fixed[from:to], c.cursor[from:to])
}

func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

const taskColumns = `id, due, token, until, seen, step, attempt, fixed, cursor`

// found is a Task and the last sign of life of who holds it.
type found struct {
	pipeline.Task
	seen int64
}

func scanTask(row pgx.CollectableRow) (k found, err error) {
	var due, until, step int64
	var b []byte
	err = row.Scan(&k.ID, &due, &k.Lease.Token, &until, &k.seen, &step, &k.Attempt, &b, &k.Cursor)
	k.Due, k.Lease.Until, k.Step = moment(due), moment(until), uint64(step)
	k.Task = k.WithFixed(b)
	return k, err
}

// Take implements pipeline.TaskTaker.
func (q *Tasks) Take(ctx context.Context, w pipeline.Want) ([]pipeline.Task, error) {
	w.Max = max(w.Max, 1)
	if w.Lease <= 0 {
		w.Lease = 5 * time.Minute
	}
	var got []pipeline.Task
	err := q.do(ctx, false, func(t *tx) (err error) {
		got, err = take(t, w)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("take task: %w", err)
	}
	return got, nil
}

func take(t *tx, w pipeline.Want) ([]pipeline.Task, error) {
	there, err := sound(t, w)
	if err != nil || len(there) == 0 {
		return nil, err
	}
	var out []pipeline.Task
	var was, is []string
	until := t.now.Add(w.Lease).Truncate(time.Millisecond).UTC()
	for _, k := range there {
		was = append(was, string(k.ID))
		// A lease that ran out long ago: what was published under this ID may
		// be older than what normalise and preserve still look through. Where the
		// clock was set back nobody knows how long ago it was.
		if silent := t.now.Sub(moment(k.seen)).Abs(); k.seen != 0 && silent > pipeline.StaleTask {
			k.ID = holdfast.NewID()
		}
		k.Lease = pipeline.Lease{Token: k.Lease.Token + 1, Until: until}
		is, out = append(is, string(k.ID)), append(out, t.ours(k.Task))
	}
	return out, t.exec(`UPDATE tasks SET id = n.new, token = token + 1, until = $3, seen = $4 FROM unnest($1::text[], $2::text[]) AS n (old, new) WHERE id = n.old`,
		was, is, until.UnixMilli(), t.now.UnixMilli())
}

// sound is due without Damaged Tasks, unless they were asked for by ID: each one
// that is met is left out of the next look, so that it keeps nobody's place.
func sound(t *tx, w pipeline.Want) ([]found, error) {
	damaged := []string{}
	for {
		got, err := due(t, w, damaged)
		if err != nil || len(w.IDs) > 0 {
			return got, err
		}
		met := len(damaged)
		for _, k := range got {
			if k.Damaged {
				damaged = append(damaged, string(k.ID))
			}
		}
		if len(damaged) == met {
			return got, nil
		}
	}
}

// due finds what may be taken and locks it: a lease that ran out holds nobody off,
// nor does one that was given when the clock stood far ahead of now.
func due(t *tx, w pipeline.Want, but []string) ([]found, error) {
	args := []any{t.now.UnixMilli(), t.now.Add(pipeline.StaleTask).UnixMilli()}
	query := `SELECT ` + taskColumns + ` FROM tasks WHERE (until <= $1 OR seen > $2)`
	with := func(condition string, arg any) {
		args = append(args, arg)
		query += fmt.Sprintf(" AND "+condition, len(args))
	}
	if !w.Early {
		query += ` AND due <= $1`
	}
	if len(but) > 0 {
		with(`id <> ALL ($%d)`, but)
	}
	if len(w.Schemes) > 0 {
		with(`scheme = ANY ($%d)`, w.Schemes)
	}
	if len(w.IDs) > 0 {
		with(`id = ANY ($%d)`, w.IDs)
	}
	args = append(args, w.Max)
	return collect(t, query+fmt.Sprintf(` ORDER BY due, id LIMIT $%d FOR UPDATE SKIP LOCKED`, len(args)), args...)
}

func collect(t *tx, query string, args ...any) ([]found, error) {
	r, err := t.Query(t.ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(r, scanTask)
}

// Tasks implements pipeline.TaskLister.
func (q *Tasks) Tasks(ctx context.Context, after holdfast.ID, limit int) ([]pipeline.Task, error) {
	var out []pipeline.Task
	err := q.do(ctx, true, func(t *tx) error {
		got, err := collect(t, `SELECT `+taskColumns+` FROM tasks WHERE id > $1 ORDER BY id LIMIT $2`, string(after), limit)
		out = make([]pipeline.Task, 0, len(got))
		for _, k := range got {
			out = append(out, t.ours(k.Task))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list tasks: %w", err)
	}
	return out, nil
}

// Waiting returns the Tasks that are due and that nobody holds, those due longest
// first, at most limit of them, and how many are held. It takes none.
func (q *Tasks) Waiting(ctx context.Context, limit int) (due []pipeline.Task, held int64, err error) {
	err = q.do(ctx, true, func(t *tx) error {
		due = due[:0]
		now := t.now.UnixMilli()
		got, err := collect(t, `SELECT `+taskColumns+` FROM tasks WHERE due <= $1 AND until <= $1 ORDER BY due, id LIMIT $2`, now, limit)
		if err != nil {
			return err
		}
		for _, k := range got {
			due = append(due, t.ours(k.Task))
		}
		return t.QueryRow(t.ctx, `SELECT count(*) FROM tasks WHERE until > $1`, now).Scan(&held)
	})
	if err != nil {
		return nil, 0, fmt.Errorf("count tasks: %w", err)
	}
	return due, held, nil
}
