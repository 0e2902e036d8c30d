package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/web"
	"holdfast/messages"
	"holdfast/pipeline"
)

// taskOptions rides in the Task, so a resumed one is done as it was asked.
type taskOptions struct {
	AllowPrivate bool `json:"allow_private,omitempty"`
}

// addTasks returns the Tasks that this call is to do.
func (n *node) addTasks(ctx context.Context, home holdfast.ID, sources []holdfast.Source, o captureOptions) (ids []holdfast.ID, err error) {
	if o.resume { // first, so that it does not find those of this call
		waiting, err := n.queue.Tasks(ctx, "", maxSources)
		if err != nil {
			return nil, err
		}
		for _, t := range waiting {
			ids = append(ids, t.ID)
		}
	}
	if len(sources) == 0 {
		return ids, nil
	}
	opts, err := json.Marshal(taskOptions{o.allowPrivate})
	if err != nil {
		return nil, err
	}
	tasks := make([]pipeline.Task, len(sources))
	for i, s := range sources {
		tasks[i] = pipeline.Task{Source: s, Case: home, Agent: n.set.Agent, Found: holdfast.Found{How: "command", Why: o.note}, Options: opts}
	}
	added, err := n.queue.AddTasks(ctx, tasks...)
	return append(ids, added...), err
}

// round is one call's work on its Tasks.
type round struct {
	n      *node
	web    collectors.Collector
	intake *pipeline.Intake
	told   func(captured)

	mu      sync.Mutex
	got     []captured
	busy    int   // Tasks that somebody else has
	refused error // the last Task that is never to be tried
	stopped error // why no more Tasks are begun
}

// collect takes the Tasks and captures them, tabs at a time. The error says why
// there is less in the result than was asked for.
func (c *cli) collect(ctx context.Context, n *node, ids []holdfast.ID) ([]captured, error) {
	spool, err := openSpool(n.dir)
	if err != nil {
		return nil, err
	}
	defer spool.Close()
	w, err := web.New(web.Options{Browser: n.browser(), Dir: spool.dir, Tabs: tabs, Log: n.log})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	r := &round{n: n, web: w, told: c.sayAccepted,
		intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
	var g errgroup.Group
	g.SetLimit(tabs)
	for _, id := range ids {
		g.Go(func() error { r.do(ctx, id); return nil })
	}
	_ = g.Wait() // what went wrong is in r
	return r.got, r.verdict(ctx, len(ids))
}

// browser is the Chromium that was asked for; "" lets collectors/web look.
func (n *node) browser() string {
	if n.set.Browser != "" {
		return n.set.Browser
	}
	return os.Getenv("HOLDFAST_BROWSER")
}

func (r *round) verdict(ctx context.Context, asked int) error {
	left := asked - len(r.got)
	switch {
	case left == 0:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("stopped; %d captures wait: `holdfast capture --resume` goes on", left)
	case r.stopped != nil:
		return fmt.Errorf("%w; %d captures wait: then `holdfast capture --resume` goes on", r.stopped, left)
	case r.refused != nil:
		return r.refused
	}
	return fmt.Errorf("%d captures are in the hands of another process, or of one that died less than %v ago: `holdfast capture --resume` then", r.busy, lease)
}

// do captures one Task and keeps the count. An error that the next Task would
// meet too (a full disk, no browser) ends the round; one of this Task does not.
func (r *round) do(ctx context.Context, id holdfast.ID) {
	r.mu.Lock()
	over := r.stopped != nil || ctx.Err() != nil
	r.mu.Unlock()
	if over {
		return
	}
	got, err := r.task(ctx, id)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && got == nil, errors.Is(err, pipeline.ErrLease):
		r.busy++
	case err == nil:
		r.got = append(r.got, *got)
		r.told(*got)
	case errors.Is(err, collectors.ErrRefused), errors.Is(err, holdfast.ErrForm), errors.Is(err, pipeline.ErrMessage):
		r.refused = err
		r.n.log.ErrorContext(ctx, "not captured", "task", id, "err", err)
	default:
		r.stopped = err
	}
}

const lease = 2 * time.Minute

// task does one Task under its lease; nil, nil means that somebody else has it.
// One that could not be tried keeps its place in the queue, free to be taken.
func (r *round) task(ctx context.Context, id holdfast.ID) (_ *captured, err error) {
	ts, err := r.n.queue.Take(ctx, pipeline.Want{IDs: []holdfast.ID{id}, Max: 1, Lease: lease})
	if err != nil || len(ts) == 0 {
		return nil, err
	}
	t := ts[0]
	defer func() {
		if err != nil {
			r.letGo(ctx, t, err)
		}
	}()
	if err := r.intake.Ready(ctx); err != nil {
		return nil, err
	}
	var opts taskOptions
	if err := json.Unmarshal(t.Options, &opts); err != nil {
		return nil, fmt.Errorf("read options of task %s: %w: %w", t.ID, collectors.ErrRefused, err)
	}
	stop := r.n.keepLease(ctx, t)
	a, err := r.web.Collect(ctx, collectors.Request{Source: string(t.Source), AllowPrivate: opts.AllowPrivate}, r.n.store)
	stop()
	if err != nil {
		return nil, fmt.Errorf("capture %s: %w", t.Source, err)
	}
	acc, err := r.intake.Accept(ctx, t, a, t.Finish())
	if err != nil {
		return nil, err
	}
	got := &captured{id: acc.ID, source: t.Source, outcome: a.Outcome}
	for _, reason := range a.Reasons {
		got.reasons = append(got.reasons, strings.TrimSuffix(reason.Code+": "+reason.Detail, ": "))
	}
	return got, nil
}

// letGo ends the lease at once, so that --resume need not wait for it. A Task
// whose Source is refused would be refused for ever: it is removed.
func (r *round) letGo(ctx context.Context, t pipeline.Task, why error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	var err error
	if errors.Is(why, collectors.ErrRefused) {
		_, err = r.n.queue.Publish(ctx, t.Finish())
	} else {
		err = r.n.queue.Renew(ctx, t, time.Millisecond)
	}
	if err != nil { // the lease runs out by itself
		r.n.log.WarnContext(ctx, "task not let go", "task", t.ID, "err", err)
	}
}

// keepLease renews the lease while a slow page is captured.
func (n *node) keepLease(ctx context.Context, t pipeline.Task) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go func() {
		for tick := time.NewTicker(lease / 4); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				if err := n.queue.Renew(ctx, t, lease); err != nil {
					n.log.WarnContext(ctx, "lease not renewed", "task", t.ID, "err", err)
				}
			}
		}
	}()
	return stop
}

// await waits for the Seals, and says so of each. It ends early if the stages
// fail: then nothing will be sealed here.
func (c *cli) await(ctx context.Context, n *node, got []captured, wait time.Duration, failed chan error) []holdfast.ID {
	ctx, stop := context.WithTimeout(ctx, wait)
	defer stop()
	go func() {
		select {
		case err := <-failed:
			if err != nil {
				n.log.ErrorContext(ctx, "sealing stopped", "err", err)
			}
			failed <- err
			stop()
		case <-ctx.Done():
		}
	}()
	ids := make([]holdfast.ID, len(got))
	for i, g := range got {
		ids[i] = g.id
	}
	return n.waitSealed(ctx, ids, func(id holdfast.ID) { c.saySealed(n, id) })
}

func (c *cli) sayAccepted(r captured) {
	c.say(map[string]any{"event": "accepted", "id": r.id, "source": r.source, "outcome": r.outcome, "reasons": append([]string{}, r.reasons...)},
		"accepted  %s  %s  %s%s", r.id, r.outcome, messages.Visible(string(r.source)), reasonText(r.reasons))
}

func reasonText(reasons []string) string {
	if len(reasons) == 0 {
		return ""
	}
	return "  (" + messages.Visible(strings.Join(reasons, "; ")) + ")"
}

func (c *cli) saySealed(n *node, id holdfast.ID) {
	cp, err := n.cat.Capture(context.Background(), id)
	if err != nil {
		cp = catalog.Capture{ID: id}
	}
	c.say(map[string]any{"event": "sealed", "id": id, "seal": cp.Seal, "not_after": holdfast.At(cp.T)}, "sealed    %s  not later than %s", id, holdfast.At(cp.T))
}
