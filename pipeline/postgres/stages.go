package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/pipeline"
)

// StartAt says that a stage which is not always there begins behind these
// positions, one of each partition; of a stage that is there it changes nothing.
// Durable on return.
func (q *Tasks) StartAt(ctx context.Context, s pipeline.Stage, behind []int64) error {
	if err := q.do(ctx, false, func(t *tx) error {
		return t.exec(`INSERT INTO stages (stage, begin) VALUES ($1, $2) ON CONFLICT (stage) DO NOTHING`, string(s), behind)
	}); err != nil {
		return fmt.Errorf("start stage %s: %w", s, err)
	}
	return nil
}

// EndStage ends a stage that was begun; one that is not there is no error.
func (q *Tasks) EndStage(ctx context.Context, s pipeline.Stage) error {
	if err := q.do(ctx, false, func(t *tx) error { return t.exec(`DELETE FROM stages WHERE stage = $1`, string(s)) }); err != nil {
		return fmt.Errorf("finish stage %s: %w", s, err)
	}
	return nil
}

// StartedAt returns where a stage began, or nil if it is not there.
func (q *Tasks) StartedAt(ctx context.Context, s pipeline.Stage) (behind []int64, err error) {
	err = q.do(ctx, true, func(t *tx) error {
		err := t.QueryRow(t.ctx, `SELECT begin FROM stages WHERE stage = $1`, string(s)).Scan(&behind)
		if errors.Is(err, pgx.ErrNoRows) {
			behind = nil
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for stage %s: %w", s, err)
	}
	return behind, nil
}
