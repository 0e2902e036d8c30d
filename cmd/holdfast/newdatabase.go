package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/pipeline"
	"holdfast/preserve/plans"
	"holdfast/storage"
)

// adoptQueue binds an empty database to the topics of a shared queue whose database was
// lost: Tasks, leases and the queue's names were in it, messages and how far stages are
// were not. The names come from the plans in the store. It is for one node of those that
// share the queue; the others find what it has made. A kill before the end leaves a
// database that is bound to nothing, and the same command goes on.
func (n *node) adoptQueue(ctx context.Context, who func(holdfast.Agent) holdfast.Agent) error {
	q, err := n.engines().OpenBroker(ctx, true)
	if err == nil {
		return errors.Join(errors.New("init --new-queue: the queue is there, and so is its database: nothing was changed"), q.Close())
	}
	if !errors.Is(err, pipeline.ErrNoQueue) {
		return fmt.Errorf("init --new-queue: %w", err)
	}
	if n.store, err = n.engines().OpenStore(ctx); err != nil {
		return err
	}
	defer func() { n.store.Close(); n.store = nil }()
	names, err := queueNames(ctx, n.store)
	if err == nil && len(names) == 0 {
		err = errors.New("the store has no plan, so nothing of this queue was sealed: run `holdfast init` on an empty queue with another prefix, and capture again what was accepted")
	}
	if err != nil {
		return fmt.Errorf("init --new-queue: %w", err)
	}
	err = n.changeSettings(ctx, func(s *nodedir.Settings) error {
		s.Agent = who(s.Agent)
		s.Leave().Tasks = true
		return nil
	})
	if err != nil {
		return err
	}
	q, err = n.engines().AdoptBroker(ctx, names)
	if err == nil {
		err = q.Close()
	}
	if err != nil {
		if errors.Is(err, pipeline.ErrNoQueue) {
			err = fmt.Errorf("%w, so nothing is left of the queue: `holdfast restore` this node from its mirror, with --queue of another prefix, and --store and --catalog as they are", err)
		}
		return fmt.Errorf("init --new-queue: %w", err)
	}
	return n.engines().MakeCatalog(ctx) // it lay in the same database
}

// queueNames are the queues that a store has plans of, the one that planned last first.
func queueNames(ctx context.Context, s storage.Store) (names []string, err error) {
	last := map[string]holdfast.Time{}
	err = plans.Each(ctx, s, func(p *holdfast.Plan) error {
		if was, ok := last[p.Queue]; !ok || p.Planned.After(was.Time) {
			last[p.Queue] = p.Planned
		}
		return nil
	})
	for name := range last {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return last[b].Compare(last[a].Time) })
	return names, err
}

// tellAdopted says in custody what went with the database.
func (n *node) tellAdopted(ctx context.Context) error {
	id, err := n.queue.Identity(ctx)
	if err != nil {
		return err
	}
	_, err = n.outbox.Append(ctx, pipeline.Entry{Case: n.set.Unfiled, Action: "tasks-lost", Agent: n.set.Agent, Objects: []string{id.Queue},
		Why: "the database of the queue was lost, and with it what waited to be captured; what had been accepted is in the queue"})
	if err == nil {
		n.log.WarnContext(ctx, "the database of the queue was lost, and another one is bound to its topics: what waited to be captured is lost; `holdfast rebuild` makes the catalog again", "queue", id.Queue)
	}
	if err != nil || !n.sharedQueue() {
		return err
	}
	_, err = n.book(ctx) // which takes this node's copy of what the office watched, before any other node's
	return err
}
