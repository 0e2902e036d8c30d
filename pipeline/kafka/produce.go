package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast"
	"holdfast/pipeline"
)

// A request holds at most so much, unless one record alone is larger: 1,024 captures of
// 1 KB, whole, are one, and topics take 34 MB.
const (
	requestBytes   = 4 << 20
	requestRecords = 4096
)

// Publish implements pipeline.Publisher. The Task is asked for before and moved
// behind: who lost it before publishes nothing.
//
// A crash between the two leaves the messages, and a Task that is taken and done
// again under the same IDs; the second messages are dropped by normalise, or by
// preserve.
func (q *Queue) Publish(ctx context.Context, move *pipeline.Move, messages ...pipeline.Message) ([]pipeline.Place, error) {
	if err := q.ready(ctx, move, messages); err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	out, err := q.publish(ctx, messages)
	if err == nil && move != nil {
		err = q.o.Tasks.Settle(ctx, move, !move.Done && len(messages) == 0)
	}
	if err != nil {
		return nil, fmt.Errorf("publish: %w", err)
	}
	return out, nil
}

func (q *Queue) ready(ctx context.Context, move *pipeline.Move, messages []pipeline.Message) error {
	if q.open.Err() != nil {
		return errClosed
	}
	for _, m := range messages {
		if _, err := holdfast.ParseID(string(m.ID)); err != nil {
			return fmt.Errorf("%w: %w", pipeline.ErrMessage, err)
		}
		if len(m.Body) == 0 || len(m.Body) > pipeline.MaxMessage {
			return fmt.Errorf("%w: %d bytes", pipeline.ErrMessage, len(m.Body))
		}
	}
	switch {
	case move == nil:
		return nil
	case q.o.Tasks == nil:
		return errors.New("a task is to be moved, and this queue was opened without tasks")
	case len(messages) == 0:
		return nil // Settle asks
	}
	return q.o.Tasks.Holds(ctx, move)
}

// publish puts each message into the lane of its partition, and waits for all. An
// ID that one call has twice is written once.
func (q *Queue) publish(ctx context.Context, messages []pipeline.Message) ([]pipeline.Place, error) {
	jobs := map[int]*job{}
	where := make([]struct{ partition, i int }, len(messages))
	first := make(map[holdfast.ID]int, len(messages))
	for i, m := range messages {
		if j, twice := first[m.ID]; twice {
			where[i] = where[j]
			continue
		}
		first[m.ID] = i
		r := capturedRecord(m)
		p := q.partition(r.key)
		if jobs[p] == nil {
			jobs[p] = &job{ctx: ctx, done: make(chan struct{})}
		}
		where[i].partition, where[i].i = p, len(jobs[p].records)
		jobs[p].records = append(jobs[p].records, r)
	}
	for p, j := range jobs {
		q.lanes[p].put(j)
	}
	for _, j := range jobs {
		select {
		case <-j.done:
			if j.err != nil {
				return nil, j.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-q.open.Done():
			return nil, errClosed
		}
	}
	out := make([]pipeline.Place, len(messages))
	for i, w := range where {
		out[i] = pipeline.At(w.partition, jobs[w.partition].at[w.i])
	}
	return out, nil
}

// partition of a key never changes, because the number of partitions does not.
func (q *Queue) partition(key []byte) int {
	all := make([]int, q.partitions)
	for i := range all {
		all[i] = i
	}
	return q.hash.Balance(kgo.Message{Key: key}, all...)
}

// lane writes to one partition of captured, one request after the other, so that
// what is tried again does not overtake. Calls that come meanwhile share the next
// request.
type lane struct {
	q         *Queue
	partition int

	mu      sync.Mutex
	waiting []*job
	busy    bool
}

type job struct {
	ctx     context.Context
	records []record
	done    chan struct{} // closed when at or err is set
	at      []int64
	err     error
}

func (l *lane) put(j *job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, j)
	if !l.busy {
		l.busy = true
		go l.run()
	}
}

// run ends when nobody waits.
func (l *lane) run() {
	for {
		jobs := l.take()
		if len(jobs) == 0 {
			return
		}
		var all []record
		for _, j := range jobs {
			all = append(all, j.records...)
		}
		at, err := l.q.send(l.q.open, captured, l.partition, all)
		if l.q.open.Err() != nil {
			err = errClosed
		}
		for _, j := range jobs {
			if n := len(j.records); err == nil {
				j.at, at = at[:n:n], at[n:]
			} else {
				j.err = err
			}
			close(j.done)
		}
	}
}

// take takes the jobs of one request. One whose caller has given up is dropped
// before it is written.
func (l *lane) take() (jobs []*job) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size, n, i := 0, 0, 0
	for ; i < len(l.waiting); i++ {
		j := l.waiting[i]
		if j.err = context.Cause(j.ctx); j.err != nil {
			close(j.done)
			continue
		}
		for _, r := range j.records {
			size, n = size+r.size(), n+1
		}
		if len(jobs) > 0 && (size > requestBytes || n > requestRecords) {
			break
		}
		jobs = append(jobs, j)
	}
	clear(l.waiting[:i])
	l.waiting = l.waiting[i:]
	l.busy = len(jobs) > 0
	return jobs
}

// send writes records in order, and returns their positions. Acknowledged is what
// all in-sync replicas have. What is tried again may be there twice.
func (q *Queue) send(ctx context.Context, topic string, partition int, all []record) (at []int64, err error) {
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && n < requestRecords {
			if size += all[n].size(); size > requestBytes && n > 0 {
				break
			}
			n++
		}
		base, err := q.request(ctx, topic, partition, all[:n])
		if err != nil {
			return nil, fmt.Errorf("write to topic %s, partition %d: %w", q.o.topic(topic), partition, err)
		}
		for i := range n {
			at = append(at, base+int64(i)+1)
		}
		all = all[n:]
	}
	return at, nil
}

func (q *Queue) request(ctx context.Context, topic string, partition int, some []record) (base int64, err error) {
	err = q.try(ctx, 2*ackTime+attempt, func(ctx context.Context) error {
		records, now := make([]kgo.Record, len(some)), time.Now()
		for i, r := range some {
			records[i] = r.kafka()
			records[i].Time = now
		}
		res, err := q.write.Produce(ctx, &kgo.ProduceRequest{Topic: q.o.topic(topic), Partition: partition, RequiredAcks: kgo.RequireAll,
			Records: kgo.NewRecordReader(records...), Compression: kgo.Zstd})
		if err == nil {
			err = res.Error
		}
		if err == nil {
			base = res.BaseOffset
		}
		q.mu.Lock()
		q.unwritten, q.failed = err, time.Now()
		q.mu.Unlock()
		return err
	})
	if errors.Is(err, kgo.MessageSizeTooLarge) {
		err = fmt.Errorf("%w: %w", pipeline.ErrMessage, err)
	}
	return base, err
}
