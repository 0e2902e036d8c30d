package sqlite

import (
	"context"
	"strconv"
)

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
