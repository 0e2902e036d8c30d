package sqlite

import (
	"context"
	"errors"
	"fmt"

	"holdfast/pipeline"
)

// Identity implements pipeline.Identifier.
func (q *Queue) Identity(ctx context.Context) (pipeline.Identity, error) {
	id := pipeline.Identity{Partitions: 1}
	rows, err := q.read.QueryContext(ctx, `SELECT name FROM names ORDER BY n DESC`)
	if err != nil {
		return id, fmt.Errorf("read queue name: %w", explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return id, fmt.Errorf("read queue name: %w", explain(err))
		}
		if id.Queue == "" {
			id.Queue = name
		} else {
			id.Former = append(id.Former, name)
		}
	}
	if err := rows.Err(); err != nil {
		return id, fmt.Errorf("read queue name: %w", explain(err))
	}
	if id.Queue == "" {
		return id, fmt.Errorf("read queue name: %w: there is none", pipeline.ErrForeign)
	}
	return id, nil
}

// End implements pipeline.Identifier.
func (q *Queue) End(ctx context.Context, s pipeline.Stage, partition int) (int64, error) {
	_, err := reads(s)
	if err := errors.Join(err, onlyZero(partition)); err != nil {
		return 0, fmt.Errorf("read end of queue: %w", err)
	}
	topic := "captured" // what is normalised has the same positions
	if s == pipeline.StageResults {
		topic = "results"
	}
	var p int64
	if err := q.read.QueryRowContext(ctx, `SELECT position FROM ends WHERE topic = ?`, topic).Scan(&p); err != nil {
		return 0, fmt.Errorf("read end of queue: %w", explain(err))
	}
	return p, nil
}

// Redraw implements pipeline.Identifier.
func (q *Queue) Redraw(ctx context.Context, old string) (pipeline.Identity, error) {
	now := q.o.Now().UnixMilli()
	err := q.w.do(ctx, func(t *tx) error {
		return t.exec(`INSERT INTO names (name, drawn) SELECT ?, ? WHERE ? = (SELECT name FROM names ORDER BY n DESC LIMIT 1)`, drawName(), now, old)
	})
	if err != nil {
		return pipeline.Identity{}, fmt.Errorf("redraw queue name: %w", err)
	}
	return q.Identity(ctx)
}

// AgeTasks lets each Task have a new ID when it is taken next. It is for a queue
// that is an older copy: what was captured for the old IDs since is not known to
// it, and a second capture under one ID would be skipped as a duplicate, or sealed
// beside the first.
func (q *Queue) AgeTasks(ctx context.Context) error {
	if err := q.w.do(ctx, func(t *tx) error { return t.exec(`UPDATE tasks SET seen = 1`) }); err != nil {
		return fmt.Errorf("age tasks: %w", err)
	}
	return nil
}
