package kafka

import (
	"context"
	"fmt"
	"sync"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast/pipeline"
)

// errClosed is what calls get after Close.
var errClosed = fmt.Errorf("%w: it is closed", pipeline.ErrStopped)

// Queue is an open handle. Every method may be called concurrently.
type Queue struct {
	o          Options
	partitions int

	read, write *kgo.Client
	transport   *kgo.Transport
	dialer      *kgo.Dialer
	hash        kgo.Hash

	open  context.Context // ends with Close
	close context.CancelFunc

	mu        sync.Mutex
	trouble   error     // of the last attempt that failed, until one succeeds
	unwritten error     // of the last write, if it failed
	failed    time.Time // when that was
	lanes     []*lane
	holds     map[at]*hold
	standing  map[at]Standing
	pruned    time.Time
}

// at is a stage of a partition.
type at struct {
	stage     pipeline.Stage
	partition int
}

// Open opens a queue whose topics are there, and refuses one that would not keep
// what it is given: see check. Errors wrap pipeline.ErrNoQueue if there are no
// topics, pipeline.ErrForeign if they are not what they must be, and
// pipeline.ErrUnavailable if no broker answers.
func Open(ctx context.Context, o Options) (*Queue, error) {
	q, err := connect(o)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	err = q.check(ctx)
	if err == nil {
		err = q.bind(ctx)
	}
	if err != nil {
		q.Close()
		return nil, fmt.Errorf("open queue kafka:%s: %w", o.Prefix, explain(err, o))
	}
	q.lanes = make([]*lane, q.partitions)
	for p := range q.lanes {
		q.lanes[p] = &lane{q: q, partition: p}
	}
	return q, nil
}

func connect(o Options) (q *Queue, err error) {
	q = &Queue{holds: map[at]*hold{}}
	if q.o, err = o.withDefaults(); err != nil {
		return nil, err
	}
	if q.read, q.write, q.transport, q.dialer, err = q.o.connect(); err != nil {
		return nil, err
	}
	q.open, q.close = context.WithCancel(context.Background())
	return q, nil
}

// Close ends the connections. Calls that wait, and those after it, get an error that
// wraps pipeline.ErrStopped; what they wanted to write may have been written.
func (q *Queue) Close() error {
	q.close()
	q.transport.CloseIdleConnections()
	return nil
}

// Identity implements pipeline.Identifier.
func (q *Queue) Identity(ctx context.Context) (pipeline.Identity, error) {
	id, err := q.o.Names.Identity(ctx)
	id.Partitions = q.partitions
	return id, err
}

// Redraw implements pipeline.Identifier.
func (q *Queue) Redraw(ctx context.Context, old string) (pipeline.Identity, error) {
	id, err := q.o.Names.Redraw(ctx, old)
	id.Partitions = q.partitions
	return id, err
}

// End implements pipeline.Identifier.
func (q *Queue) End(ctx context.Context, s pipeline.Stage, partition int) (int64, error) {
	topic, err := topicOf(s)
	if err == nil {
		err = q.known(partition)
	}
	if err != nil {
		return 0, fmt.Errorf("read end of queue: %w", err)
	}
	_, last, err := q.offsets(ctx, topic, partition)
	if err != nil {
		return 0, fmt.Errorf("read end of %s, partition %d: %w", topic, partition, err)
	}
	return last, nil
}

func (q *Queue) known(partition int) error {
	if partition < 0 || partition >= q.partitions {
		return fmt.Errorf("partition %d: the queue has %d", partition, q.partitions)
	}
	return nil
}

// offsets returns the first offset that there is and the one behind the last: the
// position of the last message.
func (q *Queue) offsets(ctx context.Context, topic string, partition int) (first, last int64, err error) {
	err = q.try(ctx, attempt, func(ctx context.Context) error {
		name := q.o.topic(topic)
		r, err := q.read.ListOffsets(ctx, &kgo.ListOffsetsRequest{Topics: map[string][]kgo.OffsetRequest{
			name: {kgo.FirstOffsetOf(partition), kgo.LastOffsetOf(partition)}}})
		if err != nil {
			return err
		}
		for _, p := range r.Topics[name] {
			if p.Partition == partition {
				first, last = p.FirstOffset, p.LastOffset
				return p.Error
			}
		}
		return kgo.Unknown
	})
	return first, last, err
}
