package office

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// MaxWatch bounds what is kept of one watch, or of one node that runs watches, in bytes.
const MaxWatch = 256 << 10

// ErrChanged says that somebody else has changed the list since it was read.
var ErrChanged = errors.New("the list of watches was changed by another meanwhile")

// Watches is the list of what is watched by all nodes, and which node runs what. A node
// that says again and again that it is there ([Watches.Beat]) keeps what it runs; of one
// that does not, whoever comes first takes it ([Watches.Take]). That is a lease by the
// server's clock, for all that a node runs at once. It saves work and guards nothing: two
// nodes may believe that they run one watch, until the one reads the list again.
type Watches struct{ b *Book }

// Watches returns it; it needs no Close.
func (b *Book) Watches() *Watches { return &Watches{b} }

// Watch is one row. Body is empty where it was removed.
type Watch struct {
	Source string // up to 200 bytes of ASCII
	Body   []byte
	Node   string // that runs it, or did last; "": nobody has
}

// Watcher is a node that runs watches.
type Watcher struct {
	Node string
	Left time.Duration // of its lease; 0: it has run out
	Body []byte
}

// Version is that of the list: it goes up with each change, also of who runs what. 0 is a
// list that nobody has changed yet.
func (w *Watches) Version(ctx context.Context) (v int64, err error) {
	err = w.b.do(ctx, func(t *tx) error { return t.QueryRow(t.ctx, `SELECT version FROM watch_list`).Scan(&v) })
	if err != nil {
		return 0, fmt.Errorf("read watches: %w", err)
	}
	return v, nil
}

// Since returns what has changed behind a version, sorted by Source, and the version that
// the list has then. Of version 0 it is all of it.
func (w *Watches) Since(ctx context.Context, version int64) (rows []Watch, now int64, err error) {
	err = w.b.do(ctx, func(t *tx) error {
		// The version first: what is committed between the two is read once more the next time.
		if err := t.QueryRow(t.ctx, `SELECT version FROM watch_list`).Scan(&now); err != nil {
			return err
		}
		r, err := t.Query(t.ctx, `SELECT source, body, node FROM watch WHERE changed > $1 ORDER BY source`, version)
		if err == nil {
			rows, err = pgx.CollectRows(r, pgx.RowToStructByPos[Watch])
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read watches: %w", err)
	}
	return rows, now, nil
}

// Change puts and removes watches, all at once, if nobody has since the list had the
// version that was read; else the error wraps [ErrChanged] and nothing is changed. edit is
// random, and names the change where its answer is lost. Who runs a watch stays so.
func (w *Watches) Change(ctx context.Context, version int64, edit string, put []Watch, remove []string) error {
	for _, k := range put {
		if len(k.Body) == 0 || len(k.Body) > MaxWatch {
			return fmt.Errorf("keep watch of %s: %d bytes, 1 to %d", k.Source, len(k.Body), MaxWatch)
		}
	}
	err := w.b.do(ctx, func(t *tx) error {
		now, edited, last, err := t.nextList(edit)
		switch {
		case err != nil:
			return err
		case t.again && last == edit: // the attempt whose answer was lost
			return errRollback
		case edited > version:
			return ErrChanged
		}
		var b pgx.Batch
		for _, k := range put {
			b.Queue(`INSERT INTO watch (source, body, node, changed) VALUES ($1, $2, $3, $4)
				ON CONFLICT (source) DO UPDATE SET body = excluded.body, changed = excluded.changed`, k.Source, k.Body, k.Node, now)
		}
		if len(remove) > 0 {
			b.Queue(`UPDATE watch SET body = '', node = '', changed = $2 WHERE source = ANY ($1)`, remove, now)
		}
		return t.SendBatch(t.ctx, &b).Close()
	})
	if err != nil && !errors.Is(err, errRollback) {
		return fmt.Errorf("change watches: %w", err)
	}
	return nil
}

// errRollback ends a transaction that is to leave nothing.
var errRollback = errors.New("nothing is to be changed")

// nextList takes the next version; who else changes the list waits until this is over.
// edited and last are when what is watched was changed last, and which change that was;
// edit is "" where only who runs it is.
func (t *tx) nextList(edit string) (version, edited int64, last string, err error) {
	if err = t.QueryRow(t.ctx, `SELECT edited, edit FROM watch_list FOR UPDATE`).Scan(&edited, &last); err != nil {
		return 0, 0, "", err
	}
	err = t.QueryRow(t.ctx, `UPDATE watch_list SET version = version + 1, edited = CASE $1 WHEN '' THEN edited ELSE version + 1 END,
		edit = CASE $1 WHEN '' THEN edit ELSE $1 END RETURNING version`, edit).Scan(&version)
	return version, edited, last, err
}

// Beat says that a node runs watches, for as long as lease from now on, and what others
// are to know of it.
func (w *Watches) Beat(ctx context.Context, node string, lease time.Duration, body []byte) error {
	if len(body) > MaxWatch {
		return fmt.Errorf("say that watches are run: %d bytes, at most %d", len(body), MaxWatch)
	}
	err := w.b.do(ctx, func(t *tx) error {
		_, err := t.Exec(t.ctx, `INSERT INTO watcher (node, until, body) VALUES ($1, clock_timestamp() + $2, $3)
			ON CONFLICT (node) DO UPDATE SET until = excluded.until, body = excluded.body`, node, lease, whole(body))
		return err
	})
	if err != nil {
		return fmt.Errorf("say that watches are run: %w", err)
	}
	return nil
}

// Watchers are the nodes that have run watches, those too whose lease has run out.
func (w *Watches) Watchers(ctx context.Context) (all []Watcher, err error) {
	err = w.b.do(ctx, func(t *tx) error {
		r, err := t.Query(t.ctx, `SELECT node, greatest(until - clock_timestamp(), interval '0'), body FROM watcher ORDER BY node`)
		if err == nil {
			all, err = pgx.CollectRows(r, pgx.RowToStructByPos[Watcher])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read who runs watches: %w", err)
	}
	return all, nil
}

// Take gives watches that nobody runs to a node, and says of each who did before. What
// a node that is there runs, or was removed, is not given.
func (w *Watches) Take(ctx context.Context, node string, sources []string) (before map[string]string, err error) {
	err = w.b.do(ctx, func(t *tx) error {
		now, _, _, err := t.nextList("")
		if err != nil {
			return err
		}
		r, err := t.Query(t.ctx, `UPDATE watch SET node = $1, changed = $2 FROM (SELECT source, node FROM watch WHERE source = ANY ($3) FOR UPDATE) old
			WHERE watch.source = old.source AND watch.body <> '' AND watch.node <> $1
			AND NOT EXISTS (SELECT FROM watcher WHERE watcher.node = watch.node AND until > clock_timestamp()) RETURNING watch.source, old.node`, node, now, sources)
		if err != nil {
			return err
		}
		before = map[string]string{}
		var source, was string
		_, err = pgx.ForEachRow(r, []any{&source, &was}, func() error { before[source] = was; return nil })
		if err == nil && len(before) == 0 {
			return errRollback
		}
		return err
	})
	if err != nil && !errors.Is(err, errRollback) {
		return nil, fmt.Errorf("take watches: %w", err)
	}
	return before, nil
}

// Give lets others have watches that a node runs.
func (w *Watches) Give(ctx context.Context, node string, sources []string) error {
	err := w.b.do(ctx, func(t *tx) error {
		now, _, _, err := t.nextList("")
		if err == nil {
			_, err = t.Exec(t.ctx, `UPDATE watch SET node = '', changed = $2 WHERE node = $1 AND source = ANY ($3)`, node, now, sources)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("give watches away: %w", err)
	}
	return nil
}
