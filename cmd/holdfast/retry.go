package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"holdfast"
	"holdfast/collectors"
	"holdfast/messages"
	"holdfast/pipeline"
)

// Bounds of what a person may ask for.
const (
	minTimeout = time.Second
	maxTimeout = time.Hour
	maxRetry   = 30 * 24 * time.Hour
)

// Back-off between attempts: doubled from the first to the last, each half as
// much or half as little again, so that many nodes on one line do not try in
// step.
const (
	firstPause = time.Second
	longPause  = 5 * time.Minute
)

// wish is a Task of this call and when its turn is.
type wish struct {
	id  holdfast.ID
	due time.Time
}

// run does the wishes, some at a time, until none is left or the round is over.
// An attempt that is due again does not wait for the end of a long list, nor does
// the list wait for a line that never comes: they take turns.
func (r *round) run(ctx context.Context, wishes []wish) {
	var q turns
	for _, w := range wishes {
		if w.due.After(time.Now()) {
			q.wait(w)
		} else {
			q.fresh = append(q.fresh, w)
		}
	}
	back := make(chan struct{})
	for busy := 0; busy > 0 || !r.over(ctx) && !q.empty(); {
		w, pause := wish{}, time.Duration(-1) // for as long as it takes
		if busy < r.n.set.AtOnce() && !r.over(ctx) && !q.empty() {
			w, pause = q.next(time.Now())
		}
		if pause == 0 {
			busy++
			go func() { r.do(ctx, w.id); back <- struct{}{} }()
			continue
		}
		if r.pause(ctx, back, pause, busy > 0) {
			busy--
			for _, w := range r.takeAgain() {
				q.wait(w)
			}
		}
	}
}

// pause waits for a Task that comes back, which it returns, or for d if that is
// not negative. With none at work the end of ctx ends it.
func (r *round) pause(ctx context.Context, back <-chan struct{}, d time.Duration, busy bool) bool {
	var due <-chan time.Time
	if d > 0 {
		due = time.After(d)
	}
	done := ctx.Done()
	if busy {
		done = nil // what is at work ends by itself, and is waited for
	}
	select {
	case <-back:
		return true
	case <-due:
	case <-done:
	}
	return false
}

func (r *round) takeAgain() []wish {
	r.mu.Lock()
	defer r.mu.Unlock()
	again := r.again
	r.again = nil
	return again
}

// turns are the wishes of a round: those that are due from the start, in order,
// and those that are due later, soonest first.
type turns struct {
	fresh, later []wish
	again        bool // the last turn was a later one's
}

func (q *turns) empty() bool { return len(q.fresh) == 0 && len(q.later) == 0 }

func (q *turns) wait(w wish) {
	i, _ := slices.BinarySearchFunc(q.later, w, func(a, b wish) int { return a.due.Compare(b.due) })
	q.later = slices.Insert(q.later, i, w)
}

// next takes the wish whose turn it is; one of both kinds by turns. Else it says
// how long none is due. There must be one.
func (q *turns) next(now time.Time) (w wish, pause time.Duration) {
	due := len(q.later) > 0 && !q.later[0].due.After(now)
	switch {
	case due && (!q.again || len(q.fresh) == 0):
		w, q.later, q.again = q.later[0], q.later[1:], true
	case len(q.fresh) > 0:
		w, q.fresh, q.again = q.fresh[0], q.fresh[1:], false
	default:
		pause = q.later[0].due.Sub(now)
	}
	return w, pause
}

func (r *round) over(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopped != nil || ctx.Err() != nil
}

// taskCursor is the Task's: where its Collector goes on, and until when a step
// that fails is tried again, so that a resumed one ends when the first would have.
type taskCursor struct {
	At    []byte        `json:"at,omitempty"` // the Collector's own
	Until holdfast.Time `json:"until,omitzero"`
}

// cursorOf reads it. One that cannot be read would begin the Source anew, under
// the step of another place.
func cursorOf(t pipeline.Task) (cur taskCursor, err error) {
	if len(t.Cursor) == 0 {
		return cur, nil
	}
	if err := json.Unmarshal(t.Cursor, &cur); err != nil {
		return cur, fmt.Errorf("read cursor of task %s: %w", t.ID, errDamaged)
	}
	return cur, nil
}

// goesOn is what becomes of the Task after an answer: the Collector's next step,
// or none.
func goesOn(t pipeline.Task, a *collectors.Acquired) (*pipeline.Move, error) {
	if a.Next == nil {
		return t.Finish(), nil
	}
	if a.Next.Step == t.Step || len(a.Next.Cursor) > collectors.MaxCursor {
		return nil, fmt.Errorf("next of task %s: step %d again, or a cursor of %d bytes", t.ID, t.Step, len(a.Next.Cursor))
	}
	b, err := json.Marshal(taskCursor{At: a.Next.Cursor})
	return t.Next(a.Next.Due.Truncate(time.Millisecond), a.Next.Step, b), err
}

// move is what becomes of the Task after an attempt that began at begun: done,
// due again, or due for its next step. A failed attempt is a Capture of its own
// either way.
func (o taskOptions) move(t pipeline.Task, a *collectors.Acquired, begun, now time.Time) (*pipeline.Move, error) {
	if o.RetryFor <= 0 || !worthAgain(a) {
		return goesOn(t, a)
	}
	cur, err := cursorOf(t)
	if err != nil {
		return nil, err
	}
	if cur.Until.IsZero() {
		cur.Until = holdfast.At(begun.Add(o.RetryFor))
	}
	if !now.Before(cur.Until.Time) {
		return goesOn(t, a)
	}
	due, asked := now.Add(pauseAfter(t.Attempt)), leftAlone(a, now)
	if asked.After(cur.Until.Time) { // then nobody asks again
		return goesOn(t, a)
	}
	if asked.After(due) {
		due = asked
	}
	if due.After(cur.Until.Time) {
		due = cur.Until.Time // one last
	}
	m := t.Again(due.Truncate(time.Millisecond))
	m.Cursor, err = json.Marshal(cur)
	return m, err
}

// pauseAfter is how long to wait after the n-th failed attempt, from 0.
func pauseAfter(n uint32) time.Duration {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = firstPause, longPause, 2, 0.5
	b.Reset()
	for range min(n, 16) {
		b.NextBackOff()
	}
	return b.NextBackOff()
}

// leftAlone is until when a site asks to be left alone: zero where it does not, and never
// further than a day from now, whatever it says.
func leftAlone(a *collectors.Acquired, now time.Time) time.Time {
	if most := now.Add(collectors.MaxAgain); a.Again.After(most) {
		return most
	}
	return a.Again
}

// worthAgain: the line, the name, the site's machine may be better later. An
// answer of the site, or our own refusal, is an answer; but for one that says when it
// may be asked again.
func worthAgain(a *collectors.Acquired) bool {
	if a.Outcome == collectors.Complete {
		return false
	}
	line := []string{"dns-failed", "connect-failed", "tls-failed", "connection-closed", "egress-failed", "exchange-failed", "no-answer", "service-error", "unfinished",
		"time-budget", "load-unfinished", "browser-died", "page-crashed"}
	answers := []string{"http-status", "login-wall", "bot-wall", "consent-wall", "geo-wall", "not-found", "address-refused", "never-keep"}
	final := []string{"address-refused", "never-keep"}
	again := !a.Again.IsZero()
	for _, reason := range a.Reasons {
		if slices.Contains(answers, reason.Code) && (a.Again.IsZero() || slices.Contains(final, reason.Code)) {
			return false
		}
		again = again || slices.Contains(line, reason.Code)
	}
	return again
}

func (c *cli) sayWaits(g captured) {
	if !c.json && !c.onTerminal() {
		return // the attempt itself was told; when the next comes is news for who looks on
	}
	c.say(map[string]any{"event": "waits", "source": g.source, "attempts": g.attempt + 1, "due": holdfast.At(g.due)},
		"waits     %s is tried again in %s", messages.Visible(string(g.source)), time.Until(g.due).Round(time.Second))
}

// checkTimes refuses durations that nobody means.
func (o captureOptions) checkTimes() error {
	switch {
	case o.timeout != 0 && (o.timeout < minTimeout || o.timeout > maxTimeout):
		return usageError("--timeout %s: from %s to %s", o.timeout, minTimeout, maxTimeout)
	case o.retryFor < 0 || o.retryFor > maxRetry:
		return usageError("--retry-for %s: at most %s", o.retryFor, maxRetry)
	}
	return nil
}

func reasonsOf(a *collectors.Acquired) (out []string) {
	for _, reason := range a.Reasons {
		out = append(out, strings.TrimSuffix(reason.Code+": "+reason.Detail, ": "))
	}
	return out
}
