package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast/pipeline"
)

// errTaken is the cause of the end of a run's ctx when its partition is taken away.
var errTaken = errors.New("partition taken away")

// Share implements pipeline.Sharer: the stage's consumer group gives the partitions.
// While brokers are away it waits for them.
func (q *Queue) Share(ctx context.Context, s pipeline.Stage, run func(ctx context.Context, partition int) error) error {
	topic, err := topicOf(s)
	if err != nil {
		return fmt.Errorf("share: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(q.open, func() { cancel(errClosed) })()
	g, err := kgo.NewConsumerGroup(kgo.ConsumerGroupConfig{
		ID: q.o.group(s), Brokers: q.o.Brokers, Dialer: q.dialer, Topics: []string{q.o.topic(topic)},
		GroupBalancers: []kgo.GroupBalancer{kgo.RoundRobinGroupBalancer{}},
		SessionTimeout: q.o.Session, RebalanceTimeout: max(3*q.o.Session, 30*time.Second), HeartbeatInterval: q.o.Session / 5, JoinGroupBackoff: time.Second})
	if err != nil {
		return fmt.Errorf("share %s: %w", s, err)
	}
	m := &member{q: q, stage: s, run: run, ended: cancel, topic: q.o.topic(topic), failing: map[int]error{}}
	defer m.at.Wait()
	defer g.Close() // waits for the runs
	for {
		gen, err := g.Next(ctx)
		switch {
		case ctx.Err() != nil:
			if cause := context.Cause(ctx); !errors.Is(cause, errDone) {
				return cause
			}
			return nil
		case errors.Is(err, kgo.SASLAuthenticationFailed), errors.Is(err, kgo.GroupAuthorizationFailed), errors.Is(err, kgo.TopicAuthorizationFailed):
			return fmt.Errorf("share %s: %w", s, explain(err, q.o))
		case err != nil:
			q.o.Log.WarnContext(ctx, "no partitions are given now; it is asked again", "stage", s, "err", err)
			continue
		}
		m.begin(ctx, gen)
	}
}

// errDone is the cause of the end of a Share whose run ended without an error.
var errDone = errors.New("done")

// member runs what it is given.
type member struct {
	q     *Queue
	stage pipeline.Stage
	topic string
	run   func(context.Context, int) error
	ended context.CancelCauseFunc

	at sync.WaitGroup

	mu      sync.Mutex
	held    int           // partitions
	failing map[int]error // those of them whose run has ended with an error, and again soon
}

// fails reports whether every partition fails. Where others go on, one that does is
// tried again and holds none of them up: to leave the group for its sake would take
// all away, each time, on all nodes.
func (m *member) fails(partition int, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing[partition] = err
	return len(m.failing) == m.held
}

func (m *member) works(partition int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.failing, partition)
}

func (m *member) begin(ctx context.Context, gen *kgo.Generation) {
	var all []int
	for _, p := range gen.Assignments[m.topic] {
		if m.q.known(p.ID) == nil { // else partitions were added: nothing is ever published there
			all = append(all, p.ID)
		}
	}
	m.mu.Lock()
	m.held = len(all)
	clear(m.failing)
	m.mu.Unlock()
	m.q.o.Log.InfoContext(ctx, "partitions are given", "stage", m.stage, "partitions", all, "generation", gen.ID)
	for _, p := range all {
		m.at.Add(1)
		gen.Start(func(over context.Context) {
			defer m.at.Done()
			m.hold(ctx, over, gen, p)
		})
	}
}

// hold runs until the generation is over: kafka-go ends it when the first function
// returns, and none must for its own sake take the others' partitions away.
func (m *member) hold(ctx, over context.Context, gen *kgo.Generation, partition int) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-over.Done():
			cancel(errTaken)
		case <-ctx.Done():
		}
	}()
	h := m.q.hold(at{m.stage, partition})
	g := &generation{id: int(gen.ID), member: gen.MemberID, over: ctx}
	h.advance.Lock() // who was here before is done with it
	h.wrote = wrote{}
	h.advance.Unlock()
	h.run.forget()
	h.give(g)
	defer h.take(g)
	defer m.q.moves(at{m.stage, partition}) // it is no longer this process's to move
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 30*time.Second) {
		begun := time.Now()
		lasts := time.AfterFunc(10*time.Second, func() { m.works(partition) })
		err := m.run(ctx, partition)
		lasts.Stop()
		if err != nil && ctx.Err() == nil && !errors.Is(err, pipeline.ErrStale) {
			m.q.stands(at{m.stage, partition}, err)
		}
		again := errors.Is(err, pipeline.ErrStale) || errors.Is(err, pipeline.ErrUnavailable)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			m.ended(errDone)
			return
		case again:
			m.q.o.Log.WarnContext(ctx, "it is begun again", "stage", m.stage, "partition", partition, "err", err)
		case m.fails(partition, err):
			m.ended(err)
			return
		default:
			m.q.o.Log.ErrorContext(ctx, "a partition stands still; it is tried again, and the others go on", "stage", m.stage, "partition", partition, "err", err)
		}
		if time.Since(begun) > time.Minute {
			pause = 100 * time.Millisecond
		}
		h.give(g) // ask for the position again
		if sleep(ctx, pause) != nil {
			return
		}
	}
}
