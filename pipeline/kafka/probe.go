package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/pipeline"
)

// Lag is how far a stage is behind in a partition.
type Lag struct {
	Stage     pipeline.Stage
	Partition int
	Done, End int64 // positions
}

// Lag asks the brokers for all stages and partitions.
func (q *Queue) Lag(ctx context.Context) (out []Lag, err error) {
	for _, s := range stages() {
		for p := range q.partitions {
			l := Lag{Stage: s, Partition: p}
			if l.Done, err = q.behind(ctx, at{s, p}); err != nil {
				return nil, fmt.Errorf("read lag of %s, partition %d: %w", s, p, err)
			}
			if l.End, err = q.End(ctx, s, p); err != nil {
				return nil, fmt.Errorf("read lag: %w", err)
			}
			out = append(out, l)
		}
	}
	return out, nil
}

// behind is committed, without a look at the messages.
func (q *Queue) behind(ctx context.Context, a at) (int64, error) {
	topic, err := topicOf(a.stage)
	if err != nil {
		return 0, err
	}
	done, _, err := q.offset(ctx, a, topic)
	return max(done, 0), err
}

// Ping asks each partition's leader for its end and each stage's group for its
// positions, and returns an error if one does not answer, or if this handle could
// not write a moment ago (Options.Patience): brokers that survive list all as if
// they lived.
func (q *Queue) Ping(ctx context.Context) error {
	_, err := q.Lag(ctx)
	q.mu.Lock()
	trouble := q.unwritten
	if time.Since(q.failed) > q.o.Patience {
		trouble = nil // nobody knows: the next write shows it
	}
	q.mu.Unlock()
	if err == nil && trouble != nil {
		err = fmt.Errorf("%w: %w", pipeline.ErrUnavailable, trouble)
	}
	if err != nil {
		return fmt.Errorf("probe queue: %w", err)
	}
	return nil
}

// Start implements pipeline.Starter.
func (q *Queue) Start(ctx context.Context, s pipeline.Stage) error {
	err := q.startable(s)
	behind := make([]int64, q.partitions)
	for p := range behind {
		if err == nil {
			behind[p], err = q.End(ctx, s, p)
		}
	}
	if err == nil {
		err = q.o.Stages.StartAt(ctx, s, behind)
	}
	if err != nil {
		return fmt.Errorf("start stage %q: %w", s, err)
	}
	return nil
}

func (q *Queue) startable(s pipeline.Stage) error {
	if s != pipeline.StageAlerts {
		return errors.New("it is always there, or not known")
	}
	if q.o.Stages == nil {
		return errors.New("this queue was opened without a place to remember where it begins")
	}
	return nil
}

// Finish implements pipeline.Starter. What the group has committed stays, and does
// no harm: a stage never goes back behind where it is started again.
func (q *Queue) Finish(ctx context.Context, s pipeline.Stage) error {
	err := q.startable(s)
	if err == nil {
		err = q.o.Stages.EndStage(ctx, s)
	}
	if err != nil {
		return fmt.Errorf("finish stage %q: %w", s, err)
	}
	return nil
}

// Started implements pipeline.Starter.
func (q *Queue) Started(ctx context.Context, s pipeline.Stage) (bool, error) {
	if q.o.Stages == nil {
		return false, nil
	}
	behind, err := q.o.Stages.StartedAt(ctx, s)
	return behind != nil, err
}

func (q *Queue) startedAt(ctx context.Context, a at) (int64, error) {
	if err := q.startable(a.stage); err != nil {
		return 0, err
	}
	behind, err := q.o.Stages.StartedAt(ctx, a.stage)
	if err == nil && a.partition >= len(behind) {
		err = fmt.Errorf("stage %s was not started", a.stage)
	}
	if err != nil {
		return 0, err
	}
	return behind[a.partition], nil
}
