package scaled

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
	"holdfast/pipeline/postgres"
)

// Options are the settings of the queue. URL and Database are required.
type Options struct {
	// URL is kafka://HOST[:9092],…/PREFIX, with these behind ?: single-broker=true
	// (topics with one replica: what that broker's disk loses is lost), partitions=N
	// (counts only when the queue is made; 12), tls=true or false, ca=FILE. TLS is
	// used, if nothing is said, where there is a user.
	URL            string
	User, Password string // of Kafka, SCRAM-SHA-512; no User: nobody asks

	Database         string // see postgres.Options.URL
	DatabasePassword string

	// Existing refuses to make anything: pipeline.ErrNoQueue where there is none.
	Existing bool

	// Names, optional, are what the queue was called, newest first, where its database
	// was lost and its topics are there: an empty database is bound to them. Under
	// another name what is planned and not acknowledged would be sealed again; under a
	// former one it is not, since whoever meets a plan compares what it names. Without
	// messages in the topics it is pipeline.ErrNoQueue.
	Names []string

	Session    time.Duration    // see kafka.Options
	Patience   time.Duration    // see kafka.Options and postgres.Options
	PruneEvery time.Duration    // see kafka.Options
	Now        func() time.Time // optional: the clock of leases; the database's
	Log        *slog.Logger     // optional
}

// defaultPartitions is how many a queue gets: as many processes of one stage can
// work at once.
const defaultPartitions = 12

// Queue is an open handle. Every method may be called concurrently.
type Queue struct {
	*kafka.Queue
	*desk
}

// desk has another name than its type, whose method Tasks it would hide.
type desk = postgres.Tasks

// Open opens both engines and, unless o says otherwise, makes what is not there.
// Errors wrap [ErrURL] or those of the two rooms, and say what to do.
func Open(ctx context.Context, o Options) (*Queue, error) {
	p, err := parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	t, err := p.transport(o.User)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	d, err := postgres.Open(ctx, postgres.Options{URL: o.Database, Password: o.DatabasePassword, Schema: schema(p.prefix), Existing: o.Existing, Names: o.Names, Patience: o.Patience, Now: o.Now})
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	ko := kafka.Options{Brokers: p.brokers, Prefix: p.prefix, TLS: t, User: o.User, Password: o.Password, SingleBroker: p.single,
		Names: d, Tasks: d, Stages: d, Session: o.Session, Patience: o.Patience, PruneEvery: o.PruneEvery, Log: o.Log}
	k, err := topics(ctx, ko, d, p.partitions, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open queue: %w", err), d.Close())
	}
	return &Queue{k, d}, nil
}

// topics makes them if that is asked for. A queue that is bound has had its topics:
// where they are gone they are not made again, empty.
func topics(ctx context.Context, o kafka.Options, d *desk, partitions int, as Options) (*kafka.Queue, error) {
	bound, err := d.Bound(ctx)
	if err != nil {
		return nil, err
	}
	if bound.Partitions == 0 && as.Existing {
		return nil, fmt.Errorf("%w: it has a database and was never bound to topics: run `holdfast init` to its end", pipeline.ErrNoQueue)
	}
	if bound.Partitions == 0 && len(as.Names) == 0 {
		if partitions == 0 {
			partitions = defaultPartitions
		}
		if err := kafka.Create(ctx, o, partitions); err != nil {
			return nil, err
		}
	}
	var is postgres.Topics
	o.Bind = func(ctx context.Context, cluster, prefix string, partitions int) error {
		is = postgres.Topics{Cluster: cluster, Prefix: prefix, Partitions: partitions}
		if bound.Partitions == 0 {
			return nil
		}
		return d.Bind(ctx, is)
	}
	k, err := kafka.Open(ctx, o)
	if err == nil && bound.Partitions == 0 {
		err = bind(ctx, k, d, is, len(as.Names) > 0)
	}
	if err != nil && k != nil {
		k.Close()
	}
	return k, err
}

// bind binds a database that knows of no topics yet. Topics that hold messages had
// another database, which knew their queue's names: under a new one, what is planned
// and not acknowledged would be planned, and sealed, again.
func bind(ctx context.Context, k *kafka.Queue, d *desk, is postgres.Topics, named bool) error {
	empty := true
	for p := range is.Partitions {
		end, err := k.End(ctx, pipeline.StageNormalise, p)
		if err != nil {
			return err
		}
		empty = empty && end == 0
	}
	if empty && named {
		return fmt.Errorf("%w: the topics %s.… are empty too", pipeline.ErrNoQueue, is.Prefix)
	}
	if !empty && !named {
		bound, err := d.Bound(ctx) // by another process, meanwhile
		if err == nil && bound.Partitions == 0 {
			err = fmt.Errorf("%w: the topics %s.… hold messages, and the database knows nothing of them: give the database that was theirs, or restore its newest copy; if it is lost, `holdfast init --new-queue` on one node of theirs binds this one to them; or begin a queue with another prefix", pipeline.ErrForeign, is.Prefix)
		}
		if err != nil {
			return err
		}
	}
	return d.Bind(ctx, is)
}

// Identity implements pipeline.Identifier.
func (q *Queue) Identity(ctx context.Context) (pipeline.Identity, error) {
	return q.Queue.Identity(ctx)
}

// Redraw implements pipeline.Identifier.
func (q *Queue) Redraw(ctx context.Context, old string) (pipeline.Identity, error) {
	return q.Queue.Redraw(ctx, old)
}

// Ping asks both engines once: nil says that the queue can take captures in.
func (q *Queue) Ping(ctx context.Context) error {
	return errors.Join(q.Queue.Ping(ctx), q.desk.Ping(ctx))
}

// Check looks at the settings of the topics, and asks the database.
func (q *Queue) Check(ctx context.Context) error {
	return errors.Join(q.Queue.Check(ctx), q.desk.Ping(ctx))
}

// Close closes both.
func (q *Queue) Close() error { return errors.Join(q.Queue.Close(), q.desk.Close()) }
