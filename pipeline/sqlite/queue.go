package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"holdfast/pipeline"
)

// Options are the settings of a queue; the zero value is good.
type Options struct {
	// Poll is how often a blocked Receive looks for what other processes wrote.
	// What this handle wrote wakes it at once. Optional: 25 ms.
	Poll time.Duration

	// Existing refuses to make the queue: where there is none, or only an empty
	// file, the error wraps pipeline.ErrNoQueue and nothing is touched.
	Existing bool

	// Now is the clock of leases. Optional: time.Now.
	Now func() time.Time
}

// Queue is an open handle. Every method may be called concurrently.
type Queue struct {
	o     Options
	path  string
	read  *sql.DB
	write *sql.DB
	w     *writer
	wake  broadcast

	recent recent
}

// Open opens the queue in the file path and, unless o says otherwise, makes it if
// it is not there. The
// folder must exist, on a local disk (WAL needs shared memory). Errors wrap
// pipeline.ErrForeign if the file is something else.
func Open(ctx context.Context, path string, o Options) (*Queue, error) {
	if o.Poll <= 0 {
		o.Poll = 25 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	if err := ready(ctx, abs, o); err != nil {
		return nil, err
	}
	q := &Queue{o: o, path: abs}
	pragmas := []string{"journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(4000)", "cache_size(-16384)"}
	if q.write, err = sql.Open("sqlite", dsn(abs, pragmas...)); err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	q.write.SetMaxOpenConns(1)
	if q.read, err = sql.Open("sqlite", dsn(abs, append(pragmas, "query_only(1)")...)); err != nil {
		q.write.Close()
		return nil, fmt.Errorf("open queue: %w", err)
	}
	q.read.SetMaxOpenConns(4)
	q.read.SetMaxIdleConns(4)
	if q.w, err = startWriter(ctx, q.write, func(t *tx) {
		q.recent.add(t.published)
		if t.news || len(t.published) > 0 {
			q.wake.signal()
		}
	}); err != nil {
		return nil, errors.Join(err, q.read.Close(), q.write.Close())
	}
	return q, nil
}

// Close waits for the running transaction and closes the file. Calls that wait
// for their turn get an error that wraps pipeline.ErrStopped.
func (q *Queue) Close() error {
	q.w.stop()
	return errors.Join(q.read.Close(), q.write.Close())
}

// Check reads the whole file and returns an error that wraps
// pipeline.ErrForeign if SQLite's own integrity check finds damage, or if rows
// are gone that no stage has done.
func (q *Queue) Check(ctx context.Context) error {
	var found string
	if err := q.read.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil {
		return fmt.Errorf("check queue: %w", explain(err))
	}
	if found != "ok" {
		return fmt.Errorf("check queue %s: %w: %s; stop, copy it away with its -wal, and restore a backup", q.path, pipeline.ErrForeign, found)
	}
	var gone int64
	err := q.read.QueryRowContext(ctx, `SELECT
		(SELECT e.position - s.position - (SELECT count(*) FROM captured WHERE position > s.position) FROM ends e, stages s WHERE e.topic = 'captured' AND s.stage = 'preserve') +
		(SELECT e.position - s.position - (SELECT count(*) FROM results WHERE position > s.position) FROM ends e, stages s WHERE e.topic = 'results' AND s.stage = 'results')`).Scan(&gone)
	if err != nil {
		return fmt.Errorf("check queue: %w", explain(err))
	}
	if gone != 0 {
		return fmt.Errorf("check queue %s: %w: %d messages are gone that were accepted and are not sealed, or that say what is; stop, copy it away with its -wal, and restore a backup", q.path, pipeline.ErrForeign, gone)
	}
	return nil
}

// Poison returns how many messages are kept that could not be sealed, because
// the queue no longer had them whole or they were not of their form.
func (q *Queue) Poison(ctx context.Context) (n int64, err error) {
	if err := q.read.QueryRowContext(ctx, `SELECT count(*) FROM captured WHERE keep = 1`).Scan(&n); err != nil {
		return 0, fmt.Errorf("count poison: %w", explain(err))
	}
	return n, nil
}

// broadcast wakes all who wait.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

// wait returns a channel that is closed at the next signal. Take it before
// looking, so that no signal falls between the look and the wait.
func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) signal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}
