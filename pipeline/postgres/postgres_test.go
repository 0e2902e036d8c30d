package postgres_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/deploy/engines"
	"holdfast/pg"
	"holdfast/pipeline"
	"holdfast/pipeline/postgres"
	"holdfast/pipeline/queuetest"
	"holdfast/pipeline/sqlite"
)

// address is the environment variable that names the server to children.
const address = "HOLDFAST_TEST_POSTGRES"

func server(t *testing.T) string { return os.Getenv(address) }

// TestPostgres is all of it, on one server.
func TestPostgres(t *testing.T) {
	p := engines.PostgreSQL(t)
	t.Setenv(address, p.URL)
	t.Setenv("PGPASSWORD", p.Password)
	t.Run("Queue", func(t *testing.T) { queuetest.Test(t, open) })
	t.Run("Bind", bind)
	t.Run("Stages", stages)
	t.Run("Refused", refused)
	t.Run("Rotten", rotten)
	t.Run("LostAnswer", lostAnswer)
	t.Run("Locks", locks)
	t.Run("Waiting", waiting)
	t.Run("ClocksApart", clocksApart)
	t.Run("Restart", func(t *testing.T) { restart(t, p) })
	t.Run("Gone", func(t *testing.T) { gone(t, p) }) // the last
}

// both is a queue whose Tasks lie in PostgreSQL; its messages lie in SQLite, so that
// the suite can be run on the Tasks alone. It publishes in the scaled queue's order.
type both struct {
	*sqlite.Queue
	tasks *postgres.Tasks
}

func (b both) Publish(ctx context.Context, m *pipeline.Move, messages ...pipeline.Message) ([]pipeline.Place, error) {
	if m != nil {
		if err := b.tasks.Holds(ctx, m); err != nil {
			return nil, err
		}
	}
	at, err := b.Queue.Publish(ctx, nil, messages...)
	if err == nil && m != nil {
		err = b.tasks.Settle(ctx, m, false)
	}
	return at, err
}

func (b both) AddTasks(ctx context.Context, k ...pipeline.Task) ([]holdfast.ID, error) {
	return b.tasks.AddTasks(ctx, k...)
}

func (b both) Take(ctx context.Context, w pipeline.Want) ([]pipeline.Task, error) {
	return b.tasks.Take(ctx, w)
}

func (b both) Renew(ctx context.Context, k pipeline.Task, d time.Duration) error {
	return b.tasks.Renew(ctx, k, d)
}

func (b both) Tasks(ctx context.Context, after holdfast.ID, n int) ([]pipeline.Task, error) {
	return b.tasks.Tasks(ctx, after, n)
}

func (b both) Identity(ctx context.Context) (pipeline.Identity, error) {
	id, err := b.tasks.Identity(ctx)
	id.Partitions = 1
	return id, err
}

func (b both) Redraw(ctx context.Context, old string) (pipeline.Identity, error) {
	return b.tasks.Redraw(ctx, old)
}

func (b both) Close() error { return errors.Join(b.Queue.Close(), b.tasks.Close()) }

// schema is a namespace of the test's own for each folder.
func schema(dir string) string { return "t" + strings.ReplaceAll(dir[max(0, len(dir)-60):], "/", "_") }

func open(ctx context.Context, dir string, now func() time.Time) (queuetest.Queue, error) {
	messages, err := sqlite.Open(ctx, filepath.Join(dir, "queue.db"), sqlite.Options{Now: now})
	if err != nil {
		return nil, err
	}
	tasks, err := postgres.Open(ctx, postgres.Options{URL: os.Getenv(address), Schema: schema(dir), Now: now})
	if err != nil {
		return nil, err
	}
	return both{messages, tasks}, nil
}

func TestMain(m *testing.M) {
	queuetest.Main(open)
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, o postgres.Options) *postgres.Tasks {
	t.Helper()
	o.URL = server(t)
	if o.Schema == "" {
		o.Schema = schema(t.TempDir())
	}
	q, err := postgres.Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { q.Close() })
	return q
}

// script does what no program of ours does.
func script(t *testing.T, text string, args ...any) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), server(t))
	must(t, err)
	defer c.Close(context.Background())
	_, err = c.Exec(t.Context(), text, args...)
	must(t, err)
}

func bind(t *testing.T) {
	q := opened(t, postgres.Options{})
	is := postgres.Topics{Cluster: "one", Prefix: "office", Partitions: 6}
	for range 2 {
		must(t, q.Bind(t.Context(), is))
	}
	for _, other := range []postgres.Topics{{Cluster: "two", Prefix: "office", Partitions: 6}, {Cluster: "one", Prefix: "other", Partitions: 6}, {Cluster: "one", Prefix: "office", Partitions: 7}} {
		if err := q.Bind(t.Context(), other); !errors.Is(err, pipeline.ErrForeign) {
			t.Errorf("bind to %+v: %v", other, err)
		}
	}
	id, err := q.Identity(t.Context())
	if got, berr := q.Bound(t.Context()); err != nil || berr != nil || id.Partitions != 6 || got != is {
		t.Errorf("bound to %+v, %+v: %v, %v", id, got, err, berr)
	}
}

func stages(t *testing.T) {
	q := opened(t, postgres.Options{})
	for _, at := range [][]int64{{3, 0, 9}, {4, 4, 4}} {
		must(t, q.StartAt(t.Context(), pipeline.StageAlerts, at))
		if got, err := q.StartedAt(t.Context(), pipeline.StageAlerts); err != nil || len(got) != 3 || got[2] != 9 {
			t.Fatalf("began at %v: %v", got, err)
		}
	}
	must(t, q.EndStage(t.Context(), pipeline.StageAlerts))
	if got, err := q.StartedAt(t.Context(), pipeline.StageAlerts); err != nil || got != nil {
		t.Fatalf("began at %v though ended: %v", got, err)
	}
}

func refused(t *testing.T) {
	name := schema(t.TempDir())
	if _, err := postgres.Open(t.Context(), postgres.Options{URL: server(t), Schema: name, Existing: true}); !errors.Is(err, pipeline.ErrNoQueue) {
		t.Errorf("where there is none: %v", err)
	}
	opened(t, postgres.Options{Schema: name}).Close()
	opened(t, postgres.Options{Schema: name, Existing: true}).Close()
	script(t, `INSERT INTO `+pgx.Identifier{name, "goose_db_version"}.Sanitize()+` (version_id, is_applied) VALUES (99, true)`)
	_, err := postgres.Open(t.Context(), postgres.Options{URL: server(t), Schema: name})
	if !errors.Is(err, pipeline.ErrForeign) || !errors.Is(err, pg.ErrNewer) || !strings.Contains(err.Error(), "version 99, this program knows 1") {
		t.Errorf("a newer schema: %v", err)
	}
}

// A Task that is not what was given holds up no other, is named, and is given out
// only to who asks for it, to drop it.
func rotten(t *testing.T) {
	for what, spoil := range map[string]string{
		"not JSON": `fixed = '{'`, "nothing": `fixed = ''`,
		"another Source": `fixed = convert_to(replace(convert_from(fixed, 'UTF8'), 'one.example', 'two.example'), 'UTF8')`,
	} {
		name := schema(t.TempDir())
		q := opened(t, postgres.Options{Schema: name})
		var ids []holdfast.ID
		for i := range 3 {
			got, err := q.AddTasks(t.Context(), pipeline.Task{Source: "https://one.example/", Case: holdfast.NewID(), Due: time.UnixMilli(int64(i + 1))})
			must(t, err)
			ids = append(ids, got...)
		}
		script(t, `UPDATE `+pgx.Identifier{name, "tasks"}.Sanitize()+` SET `+spoil+` WHERE id = $1`, string(ids[0]))
		got, err := q.Take(t.Context(), pipeline.Want{Max: 1})
		if err != nil || len(got) != 1 || got[0].ID != ids[1] || got[0].Damaged {
			t.Fatalf("%s: take %+v, %v", what, got, err)
		}
		got, err = q.Take(t.Context(), pipeline.Want{IDs: ids[:1]})
		if err != nil || len(got) != 1 || !got[0].Damaged {
			t.Fatalf("%s: take by id %+v, %v", what, got, err)
		}
		must(t, q.Settle(t.Context(), got[0].Finish(), false))
		left, err := q.Tasks(t.Context(), "", 9)
		if err != nil || len(left) != 2 {
			t.Fatalf("%s: left %+v, %v", what, left, err)
		}
	}
}

// lostAnswer: the first attempt was committed, and nobody was told.
func lostAnswer(t *testing.T) {
	q := opened(t, postgres.Options{})
	_, err := q.AddTasks(t.Context(), pipeline.Task{Source: "https://a/", Case: holdfast.NewID()}, pipeline.Task{Source: "https://b/", Case: holdfast.NewID()})
	must(t, err)
	got, err := q.Take(t.Context(), pipeline.Want{Max: 2})
	must(t, err)
	done, next := got[0].Finish(), got[1].Next(time.Now(), 8, nil)
	for _, m := range []*pipeline.Move{done, next} {
		must(t, q.Settle(t.Context(), m, false))
		must(t, q.SettleAgain(t.Context(), m))
		if err := q.Settle(t.Context(), m, false); m == next && !errors.Is(err, pipeline.ErrLease) {
			t.Errorf("moved twice: %v", err)
		}
	}
	_, err = q.Take(t.Context(), pipeline.Want{})
	must(t, err)
	if err := q.SettleAgain(t.Context(), next); !errors.Is(err, pipeline.ErrLease) {
		t.Errorf("moved though taken since: %v", err)
	}
}

// restart: nobody who uses the Tasks learns that the server was killed, and ended by
// its operator, under his hands; each Task is moved once.
func restart(t *testing.T, p *engines.PG) {
	q := opened(t, postgres.Options{})
	moved := make(chan holdfast.ID, 1<<16)
	stop := make(chan struct{})
	failed := make(chan error, 4)
	for range 4 {
		go func() { failed <- turn(q, stop, moved) }()
	}
	for i := range 4 {
		time.Sleep(300 * time.Millisecond)
		if i%2 == 0 {
			p.Kill()
		}
		p.Restart(t)
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	for range 4 {
		must(t, <-failed)
	}
	close(moved)
	seen := map[holdfast.ID]bool{}
	for id := range moved {
		if seen[id] {
			t.Fatalf("task %s was finished twice", id)
		}
		seen[id] = true
	}
	left, err := q.Tasks(t.Context(), "", 9)
	if err != nil || len(left) > 0 || len(seen) < 20 {
		t.Fatalf("%d moved, left %+v: %v", len(seen), left, err)
	}
}

// turn adds, takes, renews and finishes Tasks, each its own.
func turn(q *postgres.Tasks, stop chan struct{}, moved chan holdfast.ID) error {
	ctx := context.Background()
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		ids, err := q.AddTasks(ctx, pipeline.Task{Source: "https://a/", Case: holdfast.NewID()})
		if err != nil {
			return err
		}
		got, err := q.Take(ctx, pipeline.Want{IDs: ids, Lease: 10 * time.Millisecond})
		for err == nil && len(got) == 0 { // an attempt whose answer was lost took it
			time.Sleep(10 * time.Millisecond)
			got, err = q.Take(ctx, pipeline.Want{IDs: ids, Lease: 10 * time.Millisecond})
		}
		if err != nil {
			return err
		}
		if err := q.Renew(ctx, got[0], time.Minute); err != nil {
			return err
		}
		if err := q.Settle(ctx, got[0].Finish(), false); err != nil {
			return err
		}
		moved <- got[0].ID
	}
}

// gone: patience ends, and the error says what it is.
func gone(t *testing.T, p *engines.PG) {
	q := opened(t, postgres.Options{Patience: 300 * time.Millisecond})
	p.Stop()
	begun := time.Now()
	_, err := q.Take(t.Context(), pipeline.Want{})
	if !errors.Is(err, pipeline.ErrUnavailable) || time.Since(begun) > 5*time.Second {
		t.Errorf("take of nobody: %v after %v", err, time.Since(begun))
	}
	if err := q.Ping(t.Context()); !errors.Is(err, pg.ErrUnavailable) {
		t.Errorf("ping of nobody: %v", err)
	}
	q.Close()
	if _, err := q.AddTasks(t.Context(), pipeline.Task{Source: "https://a/", Case: holdfast.NewID()}); !errors.Is(err, pipeline.ErrStopped) {
		t.Errorf("after close: %v", err)
	}
}

func locks(t *testing.T) {
	name := schema(t.TempDir())
	a, b := opened(t, postgres.Options{Schema: name}), opened(t, postgres.Options{Schema: name})
	unlock, err := a.Lock(t.Context(), "x")
	must(t, err)
	if free, err := b.TryLock(t.Context(), "x"); free != nil || err != nil {
		t.Fatalf("taken twice: %v", err)
	}
	for _, free := range []func() (func(), error){
		func() (func(), error) { return b.TryLock(t.Context(), "y") },
		func() (func(), error) { return opened(t, postgres.Options{}).TryLock(t.Context(), "x") }, // of another queue
	} {
		f, err := free()
		must(t, err)
		f()
	}
	short, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
	defer cancel()
	if _, err := b.Lock(short, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waited, and got %v", err)
	}
	time.AfterFunc(200*time.Millisecond, unlock)
	unlock, err = b.Lock(t.Context(), "x")
	must(t, err)
	unlock()
}

func waiting(t *testing.T) {
	q := opened(t, postgres.Options{})
	at := func(d time.Duration) pipeline.Task {
		return pipeline.Task{ID: holdfast.NewID(), Source: "https://a/", Case: holdfast.NewID(), Due: time.Now().Add(d)}
	}
	late, held, older, newer := at(time.Hour), at(-3*time.Hour), at(-2*time.Hour), at(-time.Hour)
	_, err := q.AddTasks(t.Context(), late, held, newer, older)
	must(t, err)
	_, err = q.Take(t.Context(), pipeline.Want{IDs: []holdfast.ID{held.ID}})
	must(t, err)
	due, n, err := q.Waiting(t.Context(), 9)
	if err != nil || n != 1 || len(due) != 2 || due[0].ID != older.ID || due[1].ID != newer.ID {
		t.Fatalf("due %+v, %d held: %v", due, n, err)
	}
	if due, _, err = q.Waiting(t.Context(), 1); err != nil || len(due) != 1 {
		t.Fatalf("due %+v: %v", due, err)
	}
}
