package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

const lease = 2 * time.Minute

// Steps of a Task that follow at once are accepted together: on a fast line the
// queue's fsync would else be most of the time. So long, at most, is an answer in
// memory only; a crash loses none that anybody was told of, and it is asked for
// again under the same ID.
const (
	stepsAge   = 200 * time.Millisecond
	stepsCount = 64
	stepsBytes = 8 << 20 // of inline Objects
)

// task does one Task under its lease, one step or several; nil, nil means that
// somebody else has it. One that could not be tried keeps its place in the queue,
// free to be taken. Captures beside an error were accepted before it.
func (r *round) task(ctx context.Context, id holdfast.ID) (got []captured, err error) {
	return r.taskWhen(ctx, id, false)
}

// taskWhen is task, also before its time has come.
func (r *round) taskWhen(ctx context.Context, id holdfast.ID, early bool) (got []captured, err error) {
	ts, err := r.n.queue.Take(ctx, pipeline.Want{IDs: []holdfast.ID{id}, Max: 1, Lease: lease, Early: early})
	if err != nil || len(ts) == 0 {
		return nil, err
	}
	t := ts[0]
	defer func() {
		if err != nil && len(got) == 0 {
			r.letGo(ctx, t, err)
		}
	}()
	if t.Damaged {
		return nil, fmt.Errorf("task %s: %w", t.ID, errDamaged)
	}
	if err := r.intake.Ready(ctx); err != nil {
		return nil, err
	}
	var opts taskOptions
	if err := json.Unmarshal(t.Options, &opts); t.Options != nil && err != nil {
		return nil, fmt.Errorf("read options of task %s: %w: %w", t.ID, collectors.ErrRefused, err)
	}
	if err := r.stillInside(ctx, t, opts); err != nil {
		return nil, err
	}
	stop := r.n.keepLease(ctx, t)
	all, err := r.steps(ctx, t, opts)
	stop()
	if len(all) == 0 {
		return nil, err
	}
	if err != nil { // also the end of ctx: what came before it is not thrown away
		var done func()
		ctx, done = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer done()
	}
	got, aerr := r.accept(ctx, all)
	if aerr != nil {
		err = aerr
	}
	return got, err
}

// taken is a step that was acquired, and what becomes of the Task after it.
type taken struct {
	pipeline.Step
	move *pipeline.Move
}

// steps acquires a Task's step, and those that follow it at once.
func (r *round) steps(ctx context.Context, t pipeline.Task, o taskOptions) (all []taken, err error) {
	for begun, size := time.Now(), 0; ; {
		s, err := r.step(ctx, t, o)
		var later *collectors.Later
		if errors.As(err, &later) && len(all) > 0 {
			all[len(all)-1].move = t.Later(later.At.Truncate(time.Millisecond))
		}
		if err != nil {
			return all, err
		}
		all = append(all, s)
		for _, b := range s.Acquired.Objects {
			size += len(b.Inline)
		}
		m := s.move
		if m.Done || m.Step == t.Step || !m.Due.IsZero() || time.Since(begun) > stepsAge || len(all) == stepsCount || size > stepsBytes || ctx.Err() != nil {
			return all, nil
		}
		t.Step, t.Attempt, t.Cursor = m.Step, m.Attempt, m.Cursor
	}
}

func (r *round) step(ctx context.Context, t pipeline.Task, o taskOptions) (s taken, err error) {
	by, err := r.collector(t, o)
	if err != nil {
		return s, err
	}
	req, err := r.request(t, o)
	if err != nil {
		return s, err
	}
	begun := time.Now()
	a, err := by.Collect(ctx, req, r.n.store)
	if err != nil {
		return s, fmt.Errorf("capture %s: %w", t.Source, err)
	}
	if o.Visit != nil {
		if t.Version, err = r.n.visited(ctx, t, o, a, time.Now()); err != nil {
			return s, err
		}
	}
	if s.move, err = o.move(t, a, begun, time.Now()); err != nil {
		return s, err
	}
	if t.Outside, err = r.outside(ctx, t, o, a); err != nil {
		return s, err
	}
	s.Step = pipeline.Step{Task: t, Acquired: a}
	if r.before != nil {
		if err := r.before(ctx, t, o, a); err != nil {
			return s, err
		}
	}
	return s, r.addFurther(ctx, t, o, a)
}

// accept accepts them together, and the first alone where something among them
// fits into no record: its own turn comes then.
func (r *round) accept(ctx context.Context, all []taken) (got []captured, err error) {
	if err := r.names.begin(r.n); err != nil {
		return nil, err
	}
	in := *r.intake
	in.Facts.Clock = r.n.knownClock() // a round is long: the clock may have been measured, or set, since it began
	steps := make([]pipeline.Step, len(all))
	for i, s := range all {
		steps[i] = s.Step
	}
	accepted, err := in.AcceptAll(ctx, steps, all[len(all)-1].move)
	if errors.Is(err, pipeline.ErrMessage) && len(all) > 1 {
		all = all[:1]
		accepted, err = in.AcceptAll(ctx, steps[:1], all[0].move)
	}
	if err != nil {
		return nil, err
	}
	for i, s := range all {
		t, a := s.Task, s.Acquired
		r.names.add(ctx, t, accepted[i].ID)
		if a.Accepted != nil {
			a.Accepted()
		}
		if r.seen != nil {
			r.seen(s, accepted[i].ID)
		}
		got = append(got, captured{id: accepted[i].ID, source: t.Source, outcome: a.Outcome, reasons: reasonsOf(a), outside: t.Outside.Rules, task: t.ID, attempt: t.Attempt,
			due: s.move.Due, again: leftAlone(a, time.Now()), done: s.move.Done, next: s.move.Step != t.Step})
	}
	return got, nil
}

// hopeless says why no further attempt at a Task can come to anything; "": one may.
// The error itself is for the log: what is in it was not looked through for what
// must not be in a record.
func hopeless(err error) string {
	switch {
	case errors.Is(err, collectors.ErrRefused):
		return "holdfast refuses what it asks for"
	case errors.Is(err, pipeline.ErrMessage):
		return "what came of it fits into no record"
	}
	return ""
}

// letGo ends the lease at once, so that --resume need not wait for it. A Task
// that can never come to anything would be fetched again for ever: it is dropped.
func (r *round) letGo(ctx context.Context, t pipeline.Task, why error) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	var err error
	var later *collectors.Later
	switch text := hopeless(why); {
	case errors.As(why, &later):
		_, err = r.n.queue.Publish(ctx, t.Later(later.At.Truncate(time.Millisecond)))
	case text != "":
		err = r.n.dropTask(ctx, t, text)
	default:
		err = r.n.queue.Renew(ctx, t, time.Millisecond)
	}
	if err != nil { // the lease runs out by itself
		r.n.log.WarnContext(ctx, "task not let go", "task", t.ID, "err", err)
	}
}
