package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"holdfast"
	"holdfast/egress"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/schedule"
)

// partVisit is a Task that visits a page on its schedule.
const partVisit = "visit"

// visitAnew is why a Task of a visit is dropped, and another one made.
const visitAnew = "its schedule, its way out, its session or what it may ask is another one now: the watch goes on with another Task"

// isPage says whether a watch is of a page, and not of a channel.
func (w *watch) isPage() bool { return isPageSource(w.Source) }

func isPageSource(s holdfast.Source) bool {
	return strings.HasPrefix(string(s), "https://") || strings.HasPrefix(string(s), "http://")
}

// host is what visits are polite to: no two of one host at once, a pause between them,
// and a rest where it does not answer.
type host struct {
	busy  bool
	free  time.Time // nothing is begun before
	fails uint32    // in a row
}

func hostOf(s holdfast.Source) string {
	u, err := url.Parse(string(s))
	if err != nil {
		return ""
	}
	return u.Host
}

// hostHeld says whether nobody is to be begun there now.
func (w *watchRun) hostHeld(t *watchTask, now time.Time) bool {
	h := w.hosts[t.host]
	return h != nil && (h.busy || now.Before(h.free))
}

func (w *watchRun) hostBegin(t *watchTask) {
	if t.host == "" {
		return
	}
	if w.hosts[t.host] == nil {
		w.hosts[t.host] = &host{}
	}
	w.hosts[t.host].busy = true
}

func (w *watchRun) hostEnd(t *watchTask, failed bool, now time.Time) {
	h := w.hosts[t.host]
	if t.host == "" || h == nil {
		return
	}
	h.busy = false
	if h.free = now.Add(w.conf.PagePace); !failed {
		h.fails = 0
		return
	}
	h.fails++
	h.free = now.Add(max(w.conf.PagePace, min(w.conf.Least/5<<min(h.fails-1, 12), webHoldMost)))
}

// hostLeave leaves a whole host alone where one page of it asked for that: for an hour at
// most, since one page does not speak for all; that page itself rests for longer.
func (w *watchRun) hostLeave(t *watchTask, until, now time.Time) {
	if most := now.Add(webHoldMost); until.After(most) {
		until = most
	}
	if h := w.hosts[t.host]; h != nil && until.After(h.free) {
		h.free = until
	}
}

// keepVisits adds the Task that a watched page lacks, and drops one that was made for
// another schedule: the next look adds the one in its place. The list is changed first,
// since each Task has another ID: a crash in between counts one turn that nobody took.
func (w *watchRun) keepVisits(ctx context.Context, has map[holdfast.ID]map[string]*watchTask, now time.Time) error {
	want := map[holdfast.ID]func(*watch){}
	for id, k := range w.list {
		if !k.isPage() || k.Paused != nil {
			continue
		}
		t := has[id][partVisit]
		if t == nil {
			turn := k.Turn
			want[id] = func(s *watch) {
				if s.Turn == turn { // else another node, which took it for its own, was first
					s.Turn++
					s.Follow = s.task(w.queue.Queue, partVisit, s.Turn)
				}
			}
			continue
		}
		o, err := w.visitOptions(ctx, &k.watch)
		if err != nil || string(o) == t.options {
			continue // where its way out is gone the Task says so itself
		}
		if t.busy { // behind it, then
			w.lacks = true
			continue
		}
		if err := w.dropVisit(ctx, t); err != nil {
			return err
		}
	}
	if len(want) == 0 {
		return nil
	}
	if err := w.change(ctx, want); err != nil {
		return err
	}
	var add []pipeline.Task
	for id, k := range w.list {
		if want[id] == nil {
			continue
		}
		t, err := w.newVisit(ctx, k, now)
		if errors.As(err, new(*exitError)) || errors.Is(err, egress.ErrNone) {
			w.n.log.ErrorContext(ctx, "not visited now", "source", k.Source, "err", err)
			w.rescanIn(lookNoMore)
			continue
		}
		if err != nil {
			return err
		}
		add = append(add, t)
	}
	return w.addTasks(ctx, add)
}

func (w *watchRun) dropVisit(ctx context.Context, t *watchTask) error {
	k, err := w.n.takeToDrop(ctx, t.id)
	if err != nil { // in other hands for now, or gone
		w.rescanIn(time.Minute)
		return nil
	}
	if err := w.n.dropTask(ctx, k, visitAnew); err != nil {
		return err
	}
	delete(w.tasks, t.id)
	w.lacks = true
	return nil
}

// visitOptions are those of the Task of a visit: what they are says whether it is still
// the right one.
func (w *watchRun) visitOptions(ctx context.Context, k *watch) ([]byte, error) {
	o := taskOptions{Watch: k.ID, Part: partVisit, AllowPrivate: k.AllowPrivate, Session: k.Session, Visit: &visitWish{Began: k.Added, Schedule: k.Schedule}}
	demanded, err := w.egress(ctx, k.home())
	if err == nil {
		o.Via, err = w.n.wayOut("", demanded)
	}
	if err == nil {
		o.Collector, err = k.page().options(k.Decoded)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(o)
}

// newVisit is the Task of a page: due at once if it was never visited, else at the time
// that comes behind the last visit, perhaps one that is over, which then says how many
// were missed.
func (w *watchRun) newVisit(ctx context.Context, k *watched, now time.Time) (t pipeline.Task, err error) {
	o, err := w.visitOptions(ctx, &k.watch)
	if err != nil {
		return t, err
	}
	s, err := schedule.Parse(k.Schedule)
	if err != nil {
		return t, err
	}
	due := now
	cp, v, err := w.n.lastVisit(ctx, k.Source, k.ID)
	if err != nil {
		return t, err
	}
	if v != nil {
		due = s.AgainAfter(k.Added.Time, v.Due.Time, cp.Started.Time, v.Failures, w.conf.Least, v.Again.Time)
	}
	due = due.Truncate(time.Millisecond)
	return pipeline.Task{ID: k.Follow, Source: k.Source, Case: k.home(), Agent: w.n.set.Agent, Found: holdfast.Found{How: "watch", Why: k.Note}, Options: o, Due: due, Step: uint64(due.UnixMilli())}, nil
}

// visitCame tells what a visit has come to.
func (w *watchRun) visitCame(k *watched, t *watchTask, last captured, now time.Time) {
	v := k.visit
	k.visit = nil
	w.hostEnd(t, v != nil && v.Failures > 0, now)
	if v == nil {
		return
	}
	w.hostLeave(t, v.Again.Time, now)
	if v.Missed > 0 {
		why := fmt.Sprintf("%s: nobody was there for %d times of its schedule behind %s", k.Source, v.Missed, v.Due)
		w.tell.say(map[string]any{"event": "gap", "source": k.Source, "capture": last.id, "why": why}, "gap       %s", messages.Visible(why))
	}
	what := visitWords(v, last.id)
	w.tell.say(map[string]any{"event": "version", "source": k.Source, "capture": last.id, "what": what, "number": v.Number, "since": v.Since, "fingerprint": v.Fingerprint, "failures": v.Failures, "missed": v.Missed, "due": v.Due, "next": holdfast.At(last.due)},
		"%-9s %s  version %d  next %s", what, messages.Visible(string(k.Source)), v.Number, holdfast.At(last.due))
}

// visitWords is what a visit was, in one word.
func visitWords(v *pipeline.Version, id holdfast.ID) string {
	switch {
	case v.Failures > 0:
		return "failed"
	case v.Fingerprint == "":
		return "unread"
	case v.Since != id:
		return "unchanged"
	case v.Number == 1:
		return "first"
	}
	return "changed"
}

// accepted takes up a visit, beside the loop; the lock is held.
func (w *watchRun) visitAccepted(k *watched, s taken, id holdfast.ID) {
	k.visit = s.Task.Version
	w.also.add(k.Cases[1:], s.Task.Agent, id)
}
