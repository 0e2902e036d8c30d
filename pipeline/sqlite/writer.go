package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"holdfast/pipeline"
)

// maxGroup bounds the calls that share a transaction, so that the last of them
// does not wait for hundreds of others.
const maxGroup = 512

// refusal is an answer of a call that has written nothing, as opposed to an
// error, after which the transaction is rolled back for all.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

// job is one call that writes. do must make its refusals before its first write.
type job struct {
	ctx  context.Context
	do   func(*tx) error
	done chan error // buffered
	lazy bool       // it need not be on the disk when done says so
}

// writer is the goroutine that owns the write connection.
type writer struct {
	db   *sql.DB
	conn *sql.Conn
	told func(*tx) // of each transaction, after it
	st   statements
	lazy bool // how the connection commits now

	jobs   chan *job
	quit   chan struct{}
	ended  chan struct{}
	once   sync.Once
	broken error // set by the goroutine only
}

func startWriter(ctx context.Context, db *sql.DB, told func(*tx)) (*writer, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", explain(err))
	}
	w := &writer{db: db, conn: conn, told: told, jobs: make(chan *job, maxGroup), quit: make(chan struct{}), ended: make(chan struct{})}
	w.st = statements{conn: conn, made: map[string]*sql.Stmt{}}
	go w.run()
	return w, nil
}

func (w *writer) stop() {
	w.once.Do(func() { close(w.quit) })
	<-w.ended
}

// do runs f in a transaction that may be shared, and returns once it is on the
// disk. If ctx ends first, it is not known whether f was done; f itself may
// still run, so it must not write to what the caller uses after that.
func (w *writer) do(ctx context.Context, f func(*tx) error) error { return w.doJob(ctx, f, false) }

// doLazy is do for what may be forgotten when the power fails, and only then: the
// kernel has it, every process sees it, and what is written after it is never on the
// disk without it, since both are in one log. So it must be something that is done
// again where it is lost: who holds a Task, when an unchanged one is due, where a stage
// is that tells the catalog the same twice without harm, what was pruned.
func (w *writer) doLazy(ctx context.Context, f func(*tx) error) error { return w.doJob(ctx, f, true) }

func (w *writer) doJob(ctx context.Context, f func(*tx) error, lazy bool) error {
	j := &job{ctx: ctx, do: f, done: make(chan error, 1), lazy: lazy}
	select {
	case w.jobs <- j:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.ended:
		return fmt.Errorf("write queue: closed: %w", pipeline.ErrStopped)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.ended:
		select {
		case err := <-j.done:
			return err
		default:
			return fmt.Errorf("write queue: closed: %w", pipeline.ErrStopped)
		}
	}
}

func (w *writer) run() {
	defer close(w.ended)
	defer w.conn.Close()
	defer w.st.close()
	group := make([]*job, 0, maxGroup)
	for {
		select {
		case j := <-w.jobs:
			w.group(append(group[:0], j))
		case <-w.quit:
			return
		}
	}
}

// group takes what else waits and runs it all in one transaction.
func (w *writer) group(group []*job) {
	for len(group) < maxGroup {
		select {
		case j := <-w.jobs:
			group = append(group, j)
			continue
		default:
		}
		break
	}
	answers := make([]error, len(group))
	if err := w.transact(group, answers); err != nil {
		for i := range answers {
			answers[i] = err
		}
	}
	for i, j := range group {
		j.done <- answers[i]
	}
}

// transact is all or nothing for the jobs that were not refused. After an I/O
// error the handle writes no more: the kernel may have dropped the lost pages
// and would call a second fsync a success. Nor does it write into a file that
// was seen to be damaged: that could damage more.
func (w *writer) transact(group []*job, answers []error) error {
	if w.broken != nil {
		return w.broken
	}
	err := w.try(group, answers)
	if err != nil {
		err = fmt.Errorf("write queue: %w", explain(err))
		if errors.Is(err, pipeline.ErrStopped) || errors.Is(err, pipeline.ErrForeign) {
			w.broken = err
		}
	}
	return err
}

func (w *writer) try(group []*job, answers []error) error {
	// The transaction belongs to all of its calls, so no call's ctx governs it.
	t := &tx{ctx: context.Background(), st: &w.st}
	if err := w.commits(t, !slices.ContainsFunc(group, func(j *job) bool { return !j.lazy })); err != nil {
		return err
	}
	if err := t.exec(`BEGIN IMMEDIATE`); err != nil {
		return err
	}
	for i, j := range group {
		if answers[i] = context.Cause(j.ctx); answers[i] != nil {
			continue
		}
		err := j.do(t)
		var no refusal
		if errors.As(err, &no) {
			answers[i] = no.error
		} else if err != nil {
			return errors.Join(err, t.exec(`ROLLBACK`))
		}
	}
	if err := t.flush(); err != nil {
		return errors.Join(err, t.exec(`ROLLBACK`))
	}
	if err := t.exec(`COMMIT`); err != nil {
		t.exec(`ROLLBACK`) // SQLite may have done it; then this says so, and that is all right
		return err
	}
	w.told(t)
	return nil
}

// commits says whether the next commit is to be on the disk when it returns.
func (w *writer) commits(t *tx, lazy bool) error {
	if lazy == w.lazy {
		return nil
	}
	to := `PRAGMA synchronous = FULL`
	if lazy {
		to = `PRAGMA synchronous = NORMAL`
	}
	if err := t.exec(to); err != nil {
		return err
	}
	w.lazy = lazy
	return nil
}
