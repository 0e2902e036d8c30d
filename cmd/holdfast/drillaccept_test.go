package main

import (
	"context"
	"encoding/json"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/pipeline"
)

// accepter is a process that takes captures in until it is ended, in the way of
// `capture` but for the browser. Normalising, sealing and indexing are left to the roles,
// unless its third argument is "work". Where an engine fails it says so ("halted") and
// tries again, as a person would.
func accepter() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	c := &cli{out: os.Stdout, errs: os.Stderr, data: os.Args[1], json: true}
	for ctx.Err() == nil {
		if err := c.accept(ctx, os.Args[2], len(os.Args) > 3 && os.Args[3] == "work"); err != nil && ctx.Err() == nil {
			c.say(map[string]any{"event": "halted", "error": err.Error()}, "halted: %v", err)
			time.Sleep(300 * time.Millisecond)
		}
	}
}

func (c *cli) accept(ctx context.Context, caseName string, work bool) error {
	n, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer n.Close()
	home, err := n.caseNamed(ctx, caseName)
	if err != nil {
		return err
	}
	r := &round{n: n, by: only(trickle{}), told: c.sayAccepted,
		intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
	g, ctx := errgroup.WithContext(ctx)
	if work {
		g.Go(func() error { return n.work(ctx) })
	}
	g.Go(func() error {
		for ctx.Err() == nil {
			if err := r.one(ctx, home); err != nil {
				return err
			}
			time.Sleep(mrand.N(60 * time.Millisecond))
		}
		return ctx.Err()
	})
	return g.Wait()
}

// one capture, or why there is none.
func (r *round) one(ctx context.Context, home holdfast.ID) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute) // the queue has patience for one
	defer cancel()
	s, err := parseURL("https://drill.invalid/"+strconv.Itoa(mrand.Int()), false)
	if err != nil {
		return err
	}
	ids, err := r.n.queue.AddTasks(ctx, pipeline.Task{Source: s, Case: home, Agent: r.n.set.Agent, Options: json.RawMessage(`{}`)})
	if err != nil {
		return err
	}
	r.do(ctx, ids[0])
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil || r.refused != nil {
		return fmt.Errorf("capture: %w", firstOf(r.stopped, r.refused))
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
