package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast/pipeline"
)

// Of what was read, ahead and behind, a stage of a partition keeps at most maxRun
// bytes, and all of them together about maxRuns: a process may own all partitions of
// four stages. What is not kept is read again.
const (
	maxRun  = 32 << 20
	maxRuns = 256 << 20
)

// poll is how long a broker holds a question back that it cannot answer yet.
const poll = 500 * time.Millisecond

// Receive implements pipeline.Consumer.
func (q *Queue) Receive(ctx context.Context, s pipeline.Stage, partition int, after int64, b pipeline.Bounds) ([]pipeline.Message, error) {
	topic, err := topicOf(s)
	if err == nil {
		err = q.known(partition)
	}
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	got, err := q.receive(ctx, topic, at{s, partition}, after, b)
	if err != nil {
		return nil, fmt.Errorf("receive for %s: %w", s, err)
	}
	out := make([]pipeline.Message, len(got))
	for i, e := range got {
		out[i] = e.Message
	}
	return out, nil
}

// receive waits for as long as ctx and Close let it; that brokers are away is told,
// and waited out.
func (q *Queue) receive(ctx context.Context, topic string, a at, after int64, b pipeline.Bounds) ([]entry, error) {
	if b.Count <= 0 {
		b.Count = pipeline.MaxBatch
	}
	if b.Bytes <= 0 {
		b.Bytes = pipeline.MaxBytes
	}
	run := &q.hold(a).run
	limit := max(min(maxRun, maxRuns/(4*q.partitions)), 1<<20)
	for {
		if got, more := run.after(after, b); len(got) > 0 {
			if more {
				got = q.topUp(ctx, topic, a, after, b, got, limit)
			}
			return got, nil
		}
		wait := poll
		if end, ok := ctx.Deadline(); ok { // who breaks off a question loses the connection
			wait = min(wait, max(time.Until(end)-2*time.Millisecond, time.Millisecond))
		}
		if b.NoWait {
			wait = 0
		}
		got, end, err := q.fetch(ctx, topic, a.partition, after, wait)
		switch {
		case ctx.Err() != nil: // whatever its cause is: it may be that brokers were away, and then is no reason to wait on
			return nil, context.Cause(ctx)
		case errors.Is(err, kgo.OffsetOutOfRange):
			if err = q.gap(ctx, topic, a, after); err != nil {
				return nil, err
			}
			if !b.NoWait {
				err = sleep(ctx, poll) // past the end: the message may come
			}
		case errors.Is(err, pipeline.ErrUnavailable) && !b.NoWait:
			err = nil
		}
		if err != nil {
			return nil, err
		}
		run.add(got, end, limit)
		if len(got) == 0 && b.NoWait {
			return nil, nil
		}
	}
}

// topUps is how often more is fetched for one call. 16 MiB are four answers.
const topUps = 4

// topUp adds to got, which follows after, what lies behind it at the broker already: a
// stage pays for each batch, and a full one costs hardly more than a part of one. Where
// that fails, who asks next is told.
func (q *Queue) topUp(ctx context.Context, topic string, a at, after int64, b pipeline.Bounds, got []entry, limit int) []entry {
	run := &q.hold(a).run
	for range topUps {
		next, end, err := q.fetch(ctx, topic, a.partition, got[len(got)-1].Position, 0)
		if err != nil || len(next) == 0 {
			return got
		}
		run.add(next, end, limit)
		all, more := run.after(after, b)
		if len(all) <= len(got) { // the run has no room for both
			return got
		}
		if got = all; !more {
			return got
		}
	}
	return got
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// fetch returns what follows a position, in order and without a gap; nothing if
// there is nothing within wait. end is the last position that there was.
func (q *Queue) fetch(ctx context.Context, topic string, partition int, after int64, wait time.Duration) (got []entry, end int64, err error) {
	req := &kgo.FetchRequest{Topic: q.o.topic(topic), Partition: partition, Offset: after, MaxBytes: 4 << 20, MaxWait: time.Millisecond}
	if wait > 0 {
		req.MinBytes, req.MaxWait = 1, wait
	}
	err = q.try(ctx, attempt+wait, func(ctx context.Context) error {
		res, err := q.read.Fetch(ctx, req)
		if err != nil {
			return err
		}
		end = res.HighWatermark
		got, err = entries(topic, partition, after, res)
		return err
	})
	return got, end, err
}

func entries(topic string, partition int, after int64, res *kgo.FetchResponse) (got []entry, err error) {
	if c, ok := res.Records.(io.Closer); ok {
		defer c.Close()
	}
	if res.Error != nil {
		return nil, res.Error
	}
	for size := 0; size < maxRun; { // a batch may unpack to much
		r, err := res.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: topic %s, partition %d, behind position %d: %w", pipeline.ErrForeign, topic, partition, after+int64(len(got)), err)
		}
		e, err := decode(topic, partition, r)
		if err != nil {
			return nil, err
		}
		if e.Position <= after { // batches are sent whole
			continue
		}
		if want := after + int64(len(got)) + 1; e.Position != want {
			return nil, fmt.Errorf("%w: topic %s, partition %d: position %d is gone, the next is %d: was the topic compacted, or written to in a transaction?", pipeline.ErrForeign, topic, partition, want, e.Position)
		}
		got, size = append(got, e), size+e.size()
	}
	return got, nil
}

// gap returns nil if position after is the end or behind it. What was pruned every
// stage had done: so a stage that is behind it was moved by somebody else.
func (q *Queue) gap(ctx context.Context, topic string, a at, after int64) error {
	first, last, err := q.offsets(ctx, topic, a.partition)
	if err != nil || after >= last || after >= first {
		return err
	}
	done, err := q.committed(ctx, a)
	switch {
	case err != nil:
		return err
	case done >= first:
		return fmt.Errorf("position %d was pruned: %w", after+1, pipeline.ErrStale)
	}
	return fmt.Errorf("%w: topic %s, partition %d: position %d is gone, the next is %d, and %s is at %d: a retention was set, or records were deleted", pipeline.ErrForeign, q.o.topic(topic), a.partition, after+1, first+1, a.stage, done)
}

// run is what was read last for a stage of a partition, so that reading ahead, and
// Advance, need not ask again. Positions have no gap.
type run struct {
	mu   sync.Mutex
	list []entry
	size int
	end  int64 // the last position that there was when list was read
}

func (r *run) add(got []entry, end int64, limit int) {
	if len(got) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = end
	if n := len(r.list); n > 0 && r.list[n-1].Position+1 != got[0].Position {
		r.list, r.size = nil, 0
	}
	r.list = append(r.list, got...)
	for _, e := range got {
		r.size += e.size()
	}
	for r.size > limit && len(r.list) > len(got) {
		r.size -= r.list[0].size()
		r.list[0] = entry{} // for the collector
		r.list = r.list[1:]
	}
}

// after returns what follows a position, within the bounds; and whether more than that is
// at the broker which the bounds have room for.
func (r *run) after(after int64, b pipeline.Bounds) (got []entry, more bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == 0 || after+1 < r.list[0].Position || after >= r.list[len(r.list)-1].Position {
		return nil, false
	}
	from := int(after + 1 - r.list[0].Position)
	to, size := from, 0
	for to < len(r.list) && to-from < b.Count {
		if size += r.list[to].size(); size > b.Bytes && to > from {
			return slices.Clone(r.list[from:to]), false
		}
		to++
	}
	return slices.Clone(r.list[from:to]), to-from < b.Count && size < b.Bytes && r.end > r.list[to-1].Position
}

// forget is called when the messages were pruned, or the partition was taken away.
func (r *run) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list, r.size = nil, 0
}
