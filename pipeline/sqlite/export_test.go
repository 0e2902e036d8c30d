package sqlite

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

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

// Lazy says whether the last transaction was committed without an fsync; nobody else
// may be writing.
func (q *Queue) Lazy() bool { return q.w.lazy }

// Together writes twice in one transaction, of which the first call is lazy.
func (q *Queue) Together(ctx context.Context) (lazy bool, err error) {
	busy, free, done := make(chan struct{}), make(chan struct{}), make(chan error, 3)
	go func() { done <- q.w.do(ctx, func(*tx) error { close(busy); <-free; return nil }) }()
	<-busy
	for n, do := range []func(context.Context, func(*tx) error) error{q.w.doLazy, q.w.do} {
		go func() { done <- do(ctx, func(*tx) error { return nil }) }()
		for len(q.w.jobs) <= n {
			time.Sleep(time.Millisecond)
		}
	}
	close(free)
	for range 3 {
		err = errors.Join(err, <-done)
	}
	return q.w.lazy, err
}
