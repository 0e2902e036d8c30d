package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/cmd/internal/doctor"
	"holdfast/metrics"
	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
)

// stillLong is how long a stage may have messages before it in a partition, and not move,
// before that is called standing still: several times what the slowest batch takes.
const stillLong = 5 * time.Minute

// stills remembers how far each stage was when it was looked at, and since when it has
// been there. It is safe for concurrent use.
type stills struct {
	mu sync.Mutex
	at map[stillKey]stillAt
}

type stillKey struct {
	stage     pipeline.Stage
	partition int
}

type stillAt struct {
	position int64
	since    time.Time
}

// look notes where a stage is, and returns since when it has stood there with something
// to do; zero where it has nothing to do.
func (s *stills) look(stage pipeline.Stage, partition int, position, end int64, now time.Time) (since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := stillKey{stage, partition}
	if s.at == nil {
		s.at = map[stillKey]stillAt{}
	}
	if position >= end {
		delete(s.at, k)
		return since
	}
	was, ok := s.at[k]
	if !ok || was.position != position {
		was = stillAt{position, now}
		s.at[k] = was
	}
	return was.since
}

// standingQueue is a queue that knows what of this process fails.
type standingQueue interface {
	Standing(ctx context.Context) ([]kafka.Standing, error)
}

// waitsQueue is a queue that knows since when a message waits.
type waitsQueue interface {
	Waits(ctx context.Context, s pipeline.Stage, partition int) (time.Time, error)
}

// partitionsStill says which partitions stand still, each under its name: what fails in this
// process, with the reason, and what nobody moves.
func (n *node) partitionsStill(ctx context.Context) map[string]string {
	said := map[string]string{}
	all, err := n.lag(ctx)
	if err != nil {
		return said // the queue itself says so
	}
	for _, l := range all {
		if l.Still >= stillLong {
			said[partitionName(l)] = fmt.Sprintf("stands still since %s: %d messages wait, and no process has moved it", stamp(time.Now().Add(-l.Still)), l.Messages)
		}
	}
	q, ok := n.engine.(standingQueue)
	if !ok {
		return said
	}
	mine, err := q.Standing(ctx)
	if err != nil {
		return said
	}
	for _, s := range mine {
		said[partitionName(metrics.Lag{Stage: string(s.Stage), Partition: s.Partition})] = fmt.Sprintf("stands still since %s: %v", stamp(s.Since), s.Err)
	}
	return said
}

func partitionName(l metrics.Lag) string {
	return fmt.Sprintf("partition %d of %s", l.Partition, l.Stage)
}

// doctorLooks is between two looks of doctor at how far the stages are.
const doctorLooks = 5 * time.Second

// doctorPartitions finds those of a shared queue that nobody moves.
func (n *node) doctorPartitions(ctx context.Context, d *doctor.Report) {
	q, ok := n.engine.(waitsQueue)
	if !ok {
		return
	}
	before, err := n.lag(ctx)
	waits := 0
	for _, l := range before {
		if l.Messages > 0 {
			waits++
		}
	}
	if err == nil && waits > 0 {
		select {
		case <-ctx.Done():
			return
		case <-time.After(doctorLooks):
		}
	}
	after, aerr := n.lag(ctx)
	if err == nil {
		err = aerr
	}
	if err != nil {
		d.Check("partitions", "", err)
		return
	}
	stand := 0
	for i, l := range after {
		if l.Messages == 0 || i >= len(before) || before[i].Stage != l.Stage || before[i].Partition != l.Partition || before[i].Position != l.Position {
			continue
		}
		since, err := q.Waits(ctx, pipeline.Stage(l.Stage), l.Partition)
		if err == nil && (since.IsZero() || time.Since(since) < stillLong) {
			continue
		}
		stand++
		if err == nil {
			err = fmt.Errorf("%s stands still: %d messages wait, the first since %s: is `holdfast node %s` at work, and what does its log say of this partition?", partitionName(l), l.Messages, stamp(since), roleOf(pipeline.Stage(l.Stage)))
		}
		d.Check("partitions", "", err)
	}
	if stand == 0 {
		d.Check("partitions", fmt.Sprintf("none stands still; messages wait in %d", waits), nil)
	}
}

// roleOf is the role whose processes do a stage.
func roleOf(s pipeline.Stage) string {
	switch s {
	case pipeline.StageResults, pipeline.StageAlerts:
		return string(pipeline.StageIndex)
	}
	return string(s)
}
