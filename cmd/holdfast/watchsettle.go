package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/egress"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/storage"
	"holdfast/tme"
)

// settle takes up what came of a Task.
func (w *watchRun) settle(ctx context.Context, s settled) error {
	t, l := s.task, s.lane
	t.busy = false
	l.busy--
	w.takeFresh()
	if t.host != "" && len(s.got) == 0 {
		w.hostEnd(t, false, time.Now()) // nothing was asked, or it is not known what came
	}
	w.answered(t, s.err)
	for _, g := range s.got {
		w.tell.accepted(g, t.part)
	}
	if n := len(s.got); n > 0 {
		last := s.got[n-1]
		delete(w.inUse, l.account)
		before := l.fails
		if last.task != t.id { // it was in nobody's hands for long, and has a new ID
			delete(w.tasks, t.id)
			t.id = last.task
			w.tasks[t.id] = t
		}
		t.due, t.fails, t.said, l.fails, l.said = last.due, 0, "", 0, ""
		w.polite(l, last, before, time.Now())
		if last.next {
			t.step++
		}
		if last.done {
			delete(w.tasks, t.id)
		}
		return w.came(ctx, t, last)
	}
	return w.cameNot(ctx, t, l, s.err)
}

// answered notes when the service said that nothing is new.
func (w *watchRun) answered(t *watchTask, err error) {
	var later *collectors.Later
	if k := w.list[t.watch]; k != nil && t.part == partFollow && errors.As(err, &later) {
		w.ears.Heard(k.channel, k.home(), later.Heard)
	}
}

// came is what follows from what was accepted.
func (w *watchRun) came(ctx context.Context, t *watchTask, last captured) error {
	k := w.list[t.watch]
	if k == nil {
		w.hostEnd(t, false, time.Now())
		return nil
	}
	if t.part == partVisit {
		w.visitCame(k, t, last, time.Now())
		return nil
	}
	if !t.telegram {
		w.cameByPage(k, t, last, time.Now())
		return nil
	}
	if t.part == partFollow {
		k.lost = last.outcome == collectors.Failed
		if err := w.reads(ctx, k); err != nil {
			return err
		}
	}
	switch {
	case t.part == partFollow && last.done: // the name led nowhere
		return w.failed(ctx, k, last.reasons)
	case t.part == partFollow && (k.Failed != "" || k.Backfill == ""):
		w.lacks = true
	case t.part == partSweep && last.done:
		k.sweeping = false
		if last.outcome == collectors.Failed {
			k.failures++
			k.sweepAt = time.Now().Add(min(time.Minute<<min(k.failures, 12), 6*time.Hour))
		} else {
			k.failures, k.sweepAt = 0, time.Now().Add(time.Second)
		}
	}
	return nil
}

// cameNot decides when a Task is tried again of which nothing was accepted. What
// every Task of the lane would meet holds the lane; nothing is tried in a loop.
func (w *watchRun) cameNot(ctx context.Context, t *watchTask, l *lane, err error) error {
	now := time.Now()
	var later *collectors.Later
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil, errors.Is(err, pipeline.ErrLease): // in other hands, or gone
		t.due, w.rescan = now.Add(lease), true
		return nil
	case errors.Is(err, pipeline.ErrStopped), errors.Is(err, storage.ErrStopped):
		return err
	case errors.As(err, &later):
		t.due = later.At
		if k := w.list[t.watch]; k != nil && t.part == partFollow && !later.Idle && later.At.Sub(now) > crewWaits {
			if k.held == nil {
				k.held = map[string]time.Time{}
			}
			k.held[l.account] = later.At
			w.passes(k, l.account, err, now)
		}
		return nil
	case hopeless(err) != "": // and dropped
		delete(w.tasks, t.id)
		w.n.log.ErrorContext(ctx, "not captured", "task", t.id, "err", err)
		if k := w.list[t.watch]; k != nil && t.part == partFollow {
			return w.failed(ctx, k, []string{err.Error()})
		} else if k != nil && t.part == partSweep {
			k.sweeping, k.sweepAt = false, now.Add(lookNoMore)
		}
		return nil
	}
	if w.passes(w.list[t.watch], l.account, err, now) {
		t.due = now
		return nil
	}
	t.fails++
	t.due = now.Add(pauseAfter(t.fails))
	own := errors.Is(err, egress.ErrNone) || errors.Is(err, errDirect) || errors.Is(err, errNoList) || sessionWaits(err) || errors.Is(err, errOutside) || errors.Is(err, errDamaged)
	if own { // this Task's, or its Case's
		t.due = now.Add(longPause)
		w.waitSession(t)
		if text := short(err); text != t.said { // once, however long it waits
			t.said = text
			w.tell.waiting(t, w.source(t), t.due, err)
		}
		return nil
	}
	l.fails++
	l.hold = now.Add(pauseAfter(l.fails - 1))
	if until := w.accountWaits(l.account, now); t.telegram && !until.IsZero() {
		l.hold = until
	}
	if text := short(err); text != l.said { // once, however often it is met
		l.said = text
		w.tell.waiting(t, w.source(t), l.hold, err)
	}
	return nil
}

func (w *watchRun) source(t *watchTask) holdfast.Source {
	if k := w.list[t.watch]; k != nil {
		return k.Source
	}
	return ""
}

// accountWaits says until when the service wants to hear nothing of an account, or,
// where none is named, of any; zero: it may be asked.
func (w *watchRun) accountWaits(account string, now time.Time) (first time.Time) {
	names, err := w.n.accounts.Names()
	states, serr := w.n.accounts.States()
	if errors.Join(err, serr) != nil {
		return first
	}
	for _, name := range names {
		if account != "" && name != account {
			continue
		}
		s, ok := states[name]
		if !ok || s.Until == nil || !s.Until.After(now) {
			return time.Time{}
		}
		if first.IsZero() || s.Until.Before(first) {
			first = s.Until.Time
		}
	}
	return first
}

// accepted is called beside the loop, for each Capture.
func (w *watchRun) accepted(s taken, id holdfast.ID) {
	watch, part := watchOf(s.Task)
	var posts []catalog.Answer
	var page *tme.Page
	if isTelegram(s.Task.Source) {
		posts = w.n.answers(s.Acquired)
	} else if part != partLink && part != partVisit {
		page, posts = w.pageOfWatch(s.Acquired)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.list[watch]
	if k == nil || part == partLink {
		return
	}
	if part == partVisit {
		w.visitAccepted(k, s, id)
		return
	}
	if part == partFollow {
		k.read = readingOf(s.Acquired)
		if cur, err := cursorOf(pipeline.Task{Cursor: s.move.Cursor}); err == nil && !s.move.Done {
			if n, ok := telegram.ChannelOf(cur.At); ok {
				k.channel, k.place = fmt.Sprint(n), cur.At
			}
		}
	}
	if post, ok := w.isView(s.Task.Source); ok && part == partView {
		if s.Acquired.Outcome != collectors.Failed {
			w.tell.view(id, k.Source, post, false)
		}
		return
	}
	if part == partFollow && s.Acquired.Outcome != collectors.Failed {
		w.ears.Heard(k.channel, k.home(), s.Acquired.Ended)
	}
	w.also.add(k.Cases[1:], s.Task.Agent, id)
	if page != nil && part == partLook {
		k.looked(page, s.Acquired.Started)
	}
	w.tell.answer(id, k.Source, part == partBackfill || isFirstWalk(s.Task), posts, s.Acquired)
	if len(w.conf.Sweep) > 0 && len(posts) > 0 && part != partSweep {
		if at := time.Now().Add(w.conf.Sweep[0]); k.sweepAt.IsZero() || at.Before(k.sweepAt) {
			k.sweepAt = at
		}
	}
}

// asked is called beside the loop, with Tasks that an answer asked for.
func (w *watchRun) asked(all []pipeline.Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range all {
		if w.tasks[t.ID] == nil { // what waits already waits as it is
			w.fresh = append(w.fresh, t)
		}
	}
}

// shown is an error as the lines say it.
func shown(err error) string {
	s := messages.Visible(short(err))
	return s[:min(len(s), maxWaitShown)]
}

// answers are the Objects of role posts that an answer has.
func (n *node) answers(a *collectors.Acquired) (all []catalog.Answer) {
	for _, o := range a.Objects {
		if o.Role != catalog.RolePosts {
			continue
		}
		b, err := n.objectBytes(o)
		if err == nil {
			var x catalog.Answer
			if x, err = catalog.ParseAnswer(b); err == nil {
				all = append(all, x)
			}
		}
		if err != nil {
			n.log.Warn("posts of an answer not told", "err", err)
		}
	}
	return all
}

func (n *node) objectBytes(o collectors.Object) ([]byte, error) {
	if !o.Kept {
		return o.Inline, nil
	}
	return catalog.ReadObject(context.Background(), n.store, o.Digest, o.Size, catalog.MaxAnswerBytes)
}
