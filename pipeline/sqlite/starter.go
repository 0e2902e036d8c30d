package sqlite

import (
	"context"
	"errors"
	"fmt"

	"holdfast/pipeline"
)

// Start implements pipeline.Starter.
func (q *Queue) Start(ctx context.Context, s pipeline.Stage) error {
	if s != pipeline.StageAlerts {
		return fmt.Errorf("start stage %q: it is always there, or not known", s)
	}
	err := q.w.do(ctx, func(t *tx) error {
		end, err := t.end("captured")
		if err != nil {
			return err
		}
		return t.exec(`INSERT OR IGNORE INTO stages (stage, position) VALUES (?, ?)`, string(s), end)
	})
	if err != nil {
		return fmt.Errorf("start stage %s: %w", s, err)
	}
	return nil
}

// Finish implements pipeline.Starter.
func (q *Queue) Finish(ctx context.Context, s pipeline.Stage) error {
	if s != pipeline.StageAlerts {
		return fmt.Errorf("finish stage %q: it is always there, or not known", s)
	}
	if err := q.w.do(ctx, func(t *tx) error { return t.exec(`DELETE FROM stages WHERE stage = ?`, string(s)) }); err != nil {
		return fmt.Errorf("finish stage %s: %w", s, err)
	}
	return nil
}

// Started implements pipeline.Starter.
func (q *Queue) Started(ctx context.Context, s pipeline.Stage) (there bool, err error) {
	if err := q.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM stages WHERE stage = ?)`, string(s)).Scan(&there); err != nil {
		return false, fmt.Errorf("look for stage %s: %w", s, explain(err))
	}
	return there, nil
}

// Share implements pipeline.Sharer: there is one partition, and everybody who asks
// is given it; run begins anew where another process moved the stage.
func (q *Queue) Share(ctx context.Context, s pipeline.Stage, run func(context.Context, int) error) error {
	if _, err := reads(s); err != nil {
		return fmt.Errorf("share: %w", err)
	}
	for {
		err := run(ctx, 0)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, pipeline.ErrStale):
			return err
		}
	}
}
