package main

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"holdfast/metrics"
	"holdfast/pipeline"
)

// metricsFlag gives a command that runs for long the flag that has it counted. Set
// before the node is opened; serveMetrics then shows it.
func (c *cli) metricsFlag(cmd *cobra.Command, role string) {
	c.role = role
	cmd.Flags().StringVar(&c.metrics, "metrics", "", "address for Prometheus, such as 127.0.0.1:9464: /metrics, /livez, /readyz; no TLS, nobody is asked who he is")
}

// metered has q counted, where that is asked for.
func (n *node) metered(q nodeQueue) nodeQueue {
	if n.meter == nil {
		return q
	}
	c := &counted{nodeQueue: q, m: n.meter, received: map[int][]given{}}
	if l, ok := q.(locker); ok {
		return &countedShared{c, l}
	}
	return c
}

// countedShared is counted, of a queue with locks.
type countedShared struct {
	*counted
	locker
}

// counted is a queue whose calls are counted; it changes nothing.
type counted struct {
	nodeQueue
	m *metrics.Metrics

	mu       sync.Mutex
	received map[int][]given // by partition: what preserve has and has not acknowledged
}

// given says when preserve was given messages, up to a position.
type given struct {
	to int64
	at time.Time
}

// failed counts a call that failed, but for what is no failure.
func (q *counted) failed(call string, err error) {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, pipeline.ErrLease) || errors.Is(err, pipeline.ErrStale) {
		return
	}
	q.m.Error(call)
}

func (q *counted) Publish(ctx context.Context, move *pipeline.Move, ms ...pipeline.Message) ([]pipeline.Place, error) {
	at, err := q.nodeQueue.Publish(ctx, move, ms...)
	q.failed("publish", err)
	switch {
	case errors.Is(err, pipeline.ErrLease):
		q.m.Task("lost", 1)
	case err == nil:
		size := 0
		for _, m := range ms {
			size += len(m.Body)
		}
		q.m.Accepted(len(ms), size)
		if move != nil {
			q.m.Task(whatMove(move, len(ms)), 1)
		}
	}
	return at, err
}

// whatMove is what becomes of a Task.
func whatMove(m *pipeline.Move, messages int) string {
	switch {
	case m.Done:
		return "done"
	case m.Attempt > 0 && messages > 0:
		return "again"
	case messages > 0:
		return "next"
	}
	return "later"
}

func (q *counted) Take(ctx context.Context, w pipeline.Want) ([]pipeline.Task, error) {
	got, err := q.nodeQueue.Take(ctx, w)
	q.failed("take", err)
	q.m.Task("taken", len(got))
	return got, err
}

func (q *counted) Receive(ctx context.Context, s pipeline.Stage, partition int, after int64, b pipeline.Bounds) ([]pipeline.Message, error) {
	got, err := q.nodeQueue.Receive(ctx, s, partition, after, b)
	q.failed("receive", err)
	if s == pipeline.StagePreserve && len(got) > 0 {
		q.note(got)
	}
	return got, err
}

func (q *counted) Advance(ctx context.Context, a pipeline.Ack, out ...pipeline.Message) error {
	err := q.nodeQueue.Advance(ctx, a, out...)
	q.failed("advance", err)
	if err != nil {
		return err
	}
	q.m.Done(string(a.Stage), a.To-a.From)
	q.m.Poison(len(a.Poison))
	if a.Stage == pipeline.StagePreserve {
		q.outcomes(out)
		if began, ok := q.acknowledged(a.Partition, a.To); ok {
			q.m.SealTook(time.Since(began))
		}
	}
	return nil
}

// note keeps what preserve receives. What it received before from that position on
// is given again, since it or another had lost the partition.
func (q *counted) note(ms []pipeline.Message) {
	p, first := ms[0].Partition, ms[0].Position
	q.mu.Lock()
	defer q.mu.Unlock()
	before := slices.DeleteFunc(q.received[p], func(r given) bool { return r.to >= first })
	q.received[p] = append(before, given{ms[len(ms)-1].Position, time.Now()})
}

// acknowledged forgets what preserve has done and returns when the first of it came.
func (q *counted) acknowledged(partition int, to int64) (began time.Time, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.received[partition]
	if len(all) == 0 {
		return began, false
	}
	began = all[0].at
	q.received[partition] = slices.DeleteFunc(all, func(r given) bool { return r.to <= to })
	return began, true
}

func (q *counted) Announce(ctx context.Context, results ...pipeline.Message) error {
	err := q.nodeQueue.Announce(ctx, results...)
	q.failed("announce", err)
	if err == nil {
		q.outcomes(results)
	}
	return err
}

func (q *counted) outcomes(results []pipeline.Message) {
	for _, r := range results {
		o, err := pipeline.ParseOutcome(r.Body)
		if err != nil {
			continue
		}
		var t *time.Time
		if o.T != nil {
			at := o.T.Time
			t = &at
		}
		q.m.Seal(o.State, len(o.Captures), t)
	}
}

// serveMetrics shows what this process does at the address of --metrics, until ctx
// ends; without the flag it does nothing. ready may be nil; an error of it makes the
// process not ready, such as while it drains.
func (n *node) serveMetrics(ctx context.Context, ready func() error) error {
	if n.meter == nil {
		return nil
	}
	l, err := metrics.Listen(n.metricsAt)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	n.meter.Probe("queue", n.askQueue)
	n.meter.Probe("store", n.askStore)
	n.meter.Probe("catalog", func(ctx context.Context) error {
		_, err := n.cat.Newest(ctx, "telegram:@holdfast")
		return err
	})
	n.meter.Lag(n.lag)
	n.meter.Notes(func(ctx context.Context) map[string]string {
		said := n.partitionsStill(ctx)
		maps.Copy(said, n.watchesStill(ctx))
		return said
	})
	go func() {
		if err := n.meter.Serve(ctx, l, ready); err != nil {
			n.log.ErrorContext(ctx, "metrics are shown no more", "err", err)
		}
	}()
	return nil
}

func (n *node) askQueue(ctx context.Context) error {
	q := n.queue
	if c, ok := q.(*counted); ok {
		q = c.nodeQueue
	} else if c, ok := q.(*countedShared); ok {
		q = c.nodeQueue
	}
	if p, ok := q.(interface{ Ping(context.Context) error }); ok {
		return p.Ping(ctx)
	}
	_, err := q.Identity(ctx)
	return err
}

func (n *node) askStore(ctx context.Context) error {
	if p, ok := n.store.(interface{ Probe(context.Context) error }); ok {
		return p.Probe(ctx)
	}
	return n.store.Accept(ctx)
}

// lag asks the queue itself, so it is that of all nodes.
func (n *node) lag(ctx context.Context) (out []metrics.Lag, err error) {
	id, err := n.queue.Identity(ctx)
	if err != nil {
		return nil, err
	}
	stages := []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageResults}
	if alerts, err := n.queue.Started(ctx, pipeline.StageAlerts); err == nil && alerts {
		stages = append(stages, pipeline.StageAlerts)
	}
	for _, s := range stages {
		for p := range id.Partitions {
			end, err := n.queue.End(ctx, s, p)
			if err != nil {
				return nil, err
			}
			at, err := n.queue.Position(ctx, s, p)
			if err != nil {
				return nil, err
			}
			now := time.Now()
			l := metrics.Lag{Stage: string(s), Partition: p, Messages: max(end-at, 0), Position: at}
			if since := n.stills.look(s, p, at, end, now); !since.IsZero() {
				l.Still = now.Sub(since)
			}
			out = append(out, l)
		}
	}
	return out, nil
}
