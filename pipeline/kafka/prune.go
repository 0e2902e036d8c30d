package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	kgo "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"holdfast/pipeline"
)

// Prune implements pipeline.Pruner. The topics have no retention: only here, and
// only by the position that every named stage has committed, is anything deleted.
// Where one of them cannot be read nothing is. Brokers free the disk by whole
// segments, later. What is poison lies in the dead-letter topic, which is never
// pruned; IDs are not remembered.
func (q *Queue) Prune(ctx context.Context, limit int, stages ...pipeline.Stage) (int, error) {
	if !slices.Contains(stages, pipeline.StagePreserve) {
		return 0, fmt.Errorf("prune: what is not preserved cannot be pruned: name the stage %s", pipeline.StagePreserve)
	}
	if !q.pruneNow() {
		return 0, nil
	}
	if limit <= 0 {
		limit = 1<<31 - 1
	}
	total := 0
	for p := range q.partitions {
		n, err := q.prune(ctx, p, int64(limit-total), stages)
		if total += int(n); err != nil {
			return total, fmt.Errorf("prune partition %d: %w", p, err)
		}
	}
	return total, nil
}

func (q *Queue) pruneNow() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if time.Since(q.pruned) < q.o.PruneEvery {
		return false
	}
	q.pruned = time.Now()
	return true
}

func (q *Queue) prune(ctx context.Context, p int, limit int64, stages []pipeline.Stage) (n int64, err error) {
	done, results := int64(1<<62), int64(0)
	for _, s := range stages {
		at, err := q.committed(ctx, at{s, p})
		if err != nil {
			return 0, err
		}
		if s == pipeline.StageResults {
			results = at
		} else {
			done = min(done, at)
		}
	}
	first, last, err := q.offsets(ctx, normalised, p)
	if err != nil {
		return 0, err
	}
	to := min(done, first+limit, last)
	if to > first {
		made, _, err := q.fetch(ctx, normalised, p, to-1, 0)
		if err != nil || len(made) == 0 {
			return 0, err
		}
		// Who normalised may have died behind what he wrote and before he said so. The
		// next one looks for where he was in captured, and for what was made of it.
		said, err := q.committed(ctx, at{pipeline.StageNormalise, p})
		if err != nil || said < made[0].from {
			return 0, err
		}
		// What was made of captured up to there lies in front of it.
		if err := q.delete(ctx, captured, p, made[0].from); err != nil {
			return 0, err
		}
		if err := q.delete(ctx, normalised, p, to); err != nil {
			return 0, err
		}
		n = to - first
	}
	return n, q.delete(ctx, sealed, p, results)
}

// delete forgets a partition up to a position.
func (q *Queue) delete(ctx context.Context, topic string, p int, to int64) error {
	if to <= 0 {
		return nil
	}
	for _, s := range append(stages(), pipeline.StageAlerts) {
		if t, _ := topicOf(s); t == topic {
			q.hold(at{s, p}).run.forget()
		}
	}
	return q.try(ctx, attempt, func(ctx context.Context) error {
		m, err := q.transport.RoundTrip(ctx, q.read.Addr, &deleteRequest{TimeoutMS: int32(attempt.Milliseconds() / 2),
			Topics: []deleteTopic{{Name: q.o.topic(topic), Partitions: []deletePartition{{Partition: int32(p), Offset: to}}}}})
		if err != nil {
			return err
		}
		res, ok := m.(*deleteResponse)
		if !ok || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
			return kgo.Unknown
		}
		e := kgo.Error(res.Topics[0].Partitions[0].ErrorCode)
		if e == 0 || errors.Is(e, kgo.OffsetOutOfRange) { // another process has pruned further
			return nil
		}
		return e
	})
}

// DeleteRecords, which kafka-go can send and does not have. Its messages are in a
// table of that library's that is written before anything connects; so this is the
// one thing that a package of this house does when a program starts.
var _ = register()

func register() bool {
	protocol.Register(&deleteRequest{}, &deleteResponse{})
	return true
}

type deleteRequest struct {
	Topics    []deleteTopic `kafka:"min=v0,max=v1"`
	TimeoutMS int32         `kafka:"min=v0,max=v1"`
}

type deleteTopic struct {
	Name       string            `kafka:"min=v0,max=v1"`
	Partitions []deletePartition `kafka:"min=v0,max=v1"`
}

type deletePartition struct {
	Partition int32 `kafka:"min=v0,max=v1"`
	Offset    int64 `kafka:"min=v0,max=v1"`
}

func (*deleteRequest) ApiKey() protocol.ApiKey { return protocol.DeleteRecords }

// Broker sends it to the leader.
func (r *deleteRequest) Broker(c protocol.Cluster) (protocol.Broker, error) {
	t, p := r.Topics[0].Name, r.Topics[0].Partitions[0].Partition
	leader, ok := c.Brokers[c.Topics[t].Partitions[p].Leader]
	if !ok {
		return protocol.Broker{ID: -1}, protocol.NewErrNoLeader(t, p)
	}
	return leader, nil
}

type deleteResponse struct {
	ThrottleMS int32            `kafka:"min=v0,max=v1"`
	Topics     []deletedOfTopic `kafka:"min=v0,max=v1"`
}

type deletedOfTopic struct {
	Name       string    `kafka:"min=v0,max=v1"`
	Partitions []deleted `kafka:"min=v0,max=v1"`
}

type deleted struct {
	Partition    int32 `kafka:"min=v0,max=v1"`
	LowWatermark int64 `kafka:"min=v0,max=v1"`
	ErrorCode    int16 `kafka:"min=v0,max=v1"`
}

func (*deleteResponse) ApiKey() protocol.ApiKey { return protocol.DeleteRecords }
