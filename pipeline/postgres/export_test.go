package postgres

import (
	"context"

	"holdfast/pipeline"
)

// SettleAgain is the attempt that follows one whose answer was lost.
func (q *Tasks) SettleAgain(ctx context.Context, m *pipeline.Move) error {
	return q.once(ctx, false, true, moves(m))
}
