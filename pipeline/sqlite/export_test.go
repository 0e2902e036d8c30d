package sqlite

import (
	"context"
	"slices"
	"strconv"

	"holdfast/pipeline"
)

// Recent is what the handle remembers, and Remember gives it back: what a call
// holds that is overtaken between its looks at memory and at the file.
func (q *Queue) Recent() []pipeline.Message    { return slices.Clone(q.recent.run) }
func (q *Queue) Remember(m []pipeline.Message) { q.recent.add(m) }

// SetMaxPages makes the file full at n pages.
func (q *Queue) SetMaxPages(ctx context.Context, n int) error {
	return q.w.do(ctx, func(t *tx) error {
		rows, err := t.st.conn.QueryContext(ctx, `PRAGMA max_page_count = `+strconv.Itoa(n))
		if err != nil {
			return err
		}
		return rows.Close()
	})
}
