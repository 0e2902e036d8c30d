package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/pipeline"
)

// Topics say where the queue's messages lie. They are fixed for the queue's life.
type Topics struct {
	Cluster    string // Kafka's own id of the cluster
	Prefix     string
	Partitions int // at most 8,191
}

// Bind records where the queue's messages lie, the first time, and from then on
// refuses every other place with pipeline.ErrForeign: positions of other topics
// would be taken for those that have been sealed.
func (q *Tasks) Bind(ctx context.Context, is Topics) error {
	var was Topics
	err := q.do(ctx, false, func(t *tx) error {
		if err := t.exec(`INSERT INTO topics (cluster, prefix, partitions) VALUES ($1, $2, $3) ON CONFLICT (one) DO NOTHING`, is.Cluster, is.Prefix, is.Partitions); err != nil {
			return err
		}
		return t.QueryRow(t.ctx, `SELECT cluster, prefix, partitions FROM topics`).Scan(&was.Cluster, &was.Prefix, &was.Partitions)
	})
	switch {
	case err != nil:
		return fmt.Errorf("bind queue to its topics: %w", err)
	case was.Cluster != is.Cluster:
		return fmt.Errorf("bind queue: %w: its topics are those of Kafka cluster %s, and these brokers are of %s: give the brokers of the first; if it is lost, begin a queue with another prefix", pipeline.ErrForeign, was.Cluster, is.Cluster)
	case was.Prefix != is.Prefix:
		return fmt.Errorf("bind queue: %w: its topics begin with %q, not %q: give the queue's URL as it was", pipeline.ErrForeign, was.Prefix, is.Prefix)
	case was.Partitions != is.Partitions:
		return fmt.Errorf("bind queue: %w: it has %d partitions for its life, and its topics now have %d: a Source's captures would change their place and be sealed twice or never; move what is due to a queue with another prefix", pipeline.ErrForeign, was.Partitions, is.Partitions)
	}
	return nil
}

// Bound returns what Bind recorded; of a queue that was never bound, the zero value.
func (q *Tasks) Bound(ctx context.Context) (is Topics, err error) {
	err = q.do(ctx, true, func(t *tx) error {
		err := t.QueryRow(t.ctx, `SELECT cluster, prefix, partitions FROM topics`).Scan(&is.Cluster, &is.Prefix, &is.Partitions)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil {
		return is, fmt.Errorf("read topics of queue: %w", err)
	}
	return is, nil
}

// Identity returns the queue's names and how many partitions it is bound to, 0 if
// it is not yet.
func (q *Tasks) Identity(ctx context.Context) (pipeline.Identity, error) {
	var names []string
	var id pipeline.Identity
	err := q.do(ctx, true, func(t *tx) error {
		r, err := t.Query(t.ctx, `SELECT name FROM names ORDER BY n DESC`)
		if err != nil {
			return err
		}
		if names, err = pgx.CollectRows(r, pgx.RowTo[string]); err != nil {
			return err
		}
		return t.QueryRow(t.ctx, `SELECT coalesce(max(partitions), 0) FROM topics`).Scan(&id.Partitions)
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%w: there is none", pipeline.ErrForeign)
	}
	if err != nil {
		return id, fmt.Errorf("read queue name: %w", err)
	}
	id.Queue, id.Former = names[0], names[1:]
	return id, nil
}

// Redraw implements that of pipeline.Identifier: drawn once, however often it is
// asked for under the same old name.
func (q *Tasks) Redraw(ctx context.Context, old string) (pipeline.Identity, error) {
	err := q.do(ctx, false, func(t *tx) error {
		return t.exec(`INSERT INTO names (n, name, drawn) SELECT n + 1, $1, $2 FROM names WHERE n = (SELECT max(n) FROM names) AND name = $3 ON CONFLICT (n) DO NOTHING`,
			drawName(), t.now.UnixMilli(), old)
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
func (q *Tasks) AgeTasks(ctx context.Context) error {
	if err := q.do(ctx, false, func(t *tx) error { return t.exec(`UPDATE tasks SET seen = 1`) }); err != nil {
		return fmt.Errorf("age tasks: %w", err)
	}
	return nil
}
