package kafka

import (
	"context"
	"fmt"
	"sort"
	"time"

	"holdfast/pipeline"
)

// Standing is a partition that this process has and where its stage fails each time.
type Standing struct {
	Stage     pipeline.Stage
	Partition int
	Since     time.Time // of the first failure since the stage has last moved there
	Err       error     // the last one
}

// stands notes a failure; moves, that the stage has gone on; lets, that the partition is
// another's now.
func (q *Queue) stands(a at, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s, ok := q.standing[a]
	if !ok {
		s = Standing{Stage: a.stage, Partition: a.partition, Since: time.Now()}
	}
	s.Err = err
	if q.standing == nil {
		q.standing = map[at]Standing{}
	}
	q.standing[a] = s
}

func (q *Queue) moves(a at) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.standing, a)
}

// Standing returns the partitions that stand still in this process, and have something to
// do. It is safe for concurrent use.
func (q *Queue) Standing(ctx context.Context) (out []Standing, err error) {
	q.mu.Lock()
	for _, s := range q.standing {
		out = append(out, s)
	}
	q.mu.Unlock()
	left := out[:0]
	for _, s := range out {
		done, err := q.behind(ctx, at{s.Stage, s.Partition})
		if err != nil {
			return nil, fmt.Errorf("look at what stands still: %w", err)
		}
		end, err := q.End(ctx, s.Stage, s.Partition)
		if err != nil {
			return nil, fmt.Errorf("look at what stands still: %w", err)
		}
		if end > done {
			left = append(left, s)
		}
	}
	sort.Slice(left, func(i, j int) bool {
		return left[i].Stage < left[j].Stage || left[i].Stage == left[j].Stage && left[i].Partition < left[j].Partition
	})
	return left, nil
}

// Waits returns since when the first message waits that a stage has not done in a
// partition, by the clock of who published it; zero where none does.
func (q *Queue) Waits(ctx context.Context, s pipeline.Stage, partition int) (since time.Time, err error) {
	topic, err := topicOf(s)
	if err == nil {
		err = q.known(partition)
	}
	var done int64
	if err == nil {
		done, err = q.behind(ctx, at{s, partition})
	}
	var got []entry
	if err == nil {
		got, _, err = q.fetch(ctx, topic, partition, done, 0)
	}
	if err != nil || len(got) == 0 {
		return since, err
	}
	return got[0].at, nil
}

// Check asks for what Open has asked for: that the topics are there and would keep what
// they are given, on as many brokers as they must.
func (q *Queue) Check(ctx context.Context) error {
	c, err := connect(q.o)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.check(ctx); err != nil {
		return fmt.Errorf("check queue kafka:%s: %w", q.o.Prefix, explain(err, q.o))
	}
	return nil
}

// maxDead is how many dead letters are looked at.
const maxDead = 100_000

// Poison counts the messages in the dead-letter topic that could not be read, each once,
// of the first 100,000 letters.
func (q *Queue) Poison(ctx context.Context) (int64, error) {
	first, last, err := q.offsets(ctx, dead, 0)
	seen := map[string]bool{}
	for at := first; err == nil && at < min(last, first+maxDead); {
		var got []entry
		if got, _, err = q.fetch(ctx, dead, 0, at, 0); err == nil && len(got) == 0 {
			break
		}
		for _, e := range got {
			if at = e.Position; e.grave != "" {
				seen[e.grave] = true
			}
		}
	}
	if err != nil {
		return 0, fmt.Errorf("count poison: %w", err)
	}
	return int64(len(seen)), nil
}
