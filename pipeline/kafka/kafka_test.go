package kafka_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/deploy/engines"
	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
	"holdfast/pipeline/queuetest"
	"holdfast/pipeline/sqlite"
)

// brokers is the environment variable that tells child processes where they are.
const brokers = "HOLDFAST_TEST_BROKERS"

func TestMain(m *testing.M) {
	queuetest.Main(open)
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// desk keeps Tasks and names, as a database does in an office. Here it is the
// embedded queue's file, which several processes may have open.
type desk struct{ *sqlite.Queue }

func (d desk) Holds(ctx context.Context, m *pipeline.Move) error {
	all, err := d.Tasks(ctx, "", 1<<20)
	if err != nil {
		return err
	}
	for _, k := range all {
		if k.ID == m.Task && k.Lease.Token == m.Token && m.Token != 0 {
			return nil
		}
	}
	return pipeline.ErrLease
}

func (d desk) Settle(ctx context.Context, m *pipeline.Move, _ bool) error {
	_, err := d.Publish(ctx, m)
	return err
}

// whole is the queue with its Tasks.
type whole struct {
	*kafka.Queue
	desk desk
}

func (w whole) AddTasks(ctx context.Context, k ...pipeline.Task) ([]holdfast.ID, error) {
	return w.desk.AddTasks(ctx, k...)
}

func (w whole) Take(ctx context.Context, want pipeline.Want) ([]pipeline.Task, error) {
	return w.desk.Take(ctx, want)
}

func (w whole) Renew(ctx context.Context, k pipeline.Task, d time.Duration) error {
	return w.desk.Renew(ctx, k, d)
}

func (w whole) Tasks(ctx context.Context, after holdfast.ID, limit int) ([]pipeline.Task, error) {
	return w.desk.Tasks(ctx, after, limit)
}

func (w whole) Close() error { return errors.Join(w.Queue.Close(), w.desk.Close()) }

// options are those of the queue of a directory.
func options(ctx context.Context, dir string, now func() time.Time) (kafka.Options, desk, error) {
	q, err := sqlite.Open(ctx, filepath.Join(dir, "desk.db"), sqlite.Options{Now: now})
	if err != nil {
		return kafka.Options{}, desk{}, err
	}
	d := desk{q}
	o := kafka.Options{Brokers: strings.Split(os.Getenv(brokers), ","), Prefix: fmt.Sprintf("t%x", sha256.Sum256([]byte(dir)))[:13],
		Names: d, Tasks: d, Session: 3 * time.Second, PruneEvery: -1}
	o.SingleBroker = len(o.Brokers) == 1
	if os.Getenv("HOLDFAST_TEST_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return o, d, nil
}

func open(ctx context.Context, dir string, now func() time.Time) (queuetest.Queue, error) {
	o, d, err := options(ctx, dir, now)
	if err != nil {
		return nil, err
	}
	if err := kafka.Create(ctx, o, 1); err != nil {
		return nil, err
	}
	q, err := kafka.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return whole{q, d}, nil
}

func TestQueue(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	queuetest.TestKind(t, queuetest.Kind{}, open)
}
