package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/egress"
	"holdfast/pipeline"
	"holdfast/tme"
)

// sync takes up the list where it has changed, and keeps the Tasks of each watch in
// the queue. It also looks at all Tasks at times: somebody may have dropped one.
func (w *watchRun) sync(ctx context.Context, now time.Time) error {
	asOf, err := w.listAsOf(ctx, now)
	if err != nil {
		return err
	}
	if asOf == w.asOf && !w.rescan && now.Sub(w.scanned) < rescanEvery {
		if !w.lacks || now.Sub(w.kept) < keepEvery {
			return nil
		}
		w.lacks, w.kept = false, now
		return w.keepTasks(ctx, now) // what its own Tasks have come to is known without a look at all of them
	}
	list, err := w.book.Read(ctx)
	if err != nil { // somebody edits it, or it cannot be read now; what was known goes on
		if len(w.list) == 0 && (w.office == nil || !w.office.begun) {
			return err
		}
		w.n.log.ErrorContext(ctx, "what is watched stays as it was", "err", err)
		w.asOf = asOf
		return nil
	}
	before := w.takeList(list)
	if err := w.adopt(ctx); err != nil {
		return err
	}
	if err := w.scan(ctx); err != nil {
		return err
	}
	w.asOf, w.scanned, w.rescan, w.lacks, w.kept = asOf, now, false, false, now
	if err := w.keepTasks(ctx, now); err != nil || w.office == nil || !w.office.begun {
		return err
	}
	fresh := map[holdfast.ID]*watched{}
	for id, k := range w.list {
		if !before[id] {
			fresh[id] = k
		}
	}
	return w.takenUp(ctx, fresh)
}

// takenUp does what comes before a watch is run by this process: what the one that ran it
// before has begun counts, and what that has left undone is done.
func (w *watchRun) takenUp(ctx context.Context, list map[holdfast.ID]*watched) error {
	if len(list) == 0 {
		return nil
	}
	if err := w.countLinks(ctx); err != nil {
		return err
	}
	return w.alsoRest(ctx, list)
}

// takeList takes up a list: of the office's what this node runs. It says what was run
// before.
func (w *watchRun) takeList(list []*watch) (before map[holdfast.ID]bool) {
	before, w.all = map[holdfast.ID]bool{}, map[holdfast.ID]bool{}
	for id := range w.list {
		before[id] = true
	}
	there := map[holdfast.ID]bool{}
	for _, k := range list {
		if w.all[k.ID] = true; !w.mine(k) {
			continue
		}
		there[k.ID] = true
		if old := w.list[k.ID]; old != nil {
			old.watch = *k
		} else {
			w.list[k.ID] = &watched{watch: *k}
		}
		if k.Account == "" && !before[k.ID] && !k.isPage() || w.office != nil && k.Node != w.n.set.Name { // before it has a turn: who asks is settled at once
			w.crewAt = time.Time{}
		}
	}
	for id := range w.list {
		if !there[id] {
			delete(w.list, id)
		}
	}
	return before
}

// scan looks at every Task that waits. Those of no watch are dropped; those at work
// here stay as they are.
func (w *watchRun) scan(ctx context.Context) error {
	found, orphans := map[holdfast.ID]bool{}, false
	for t, err := range w.n.waiting(ctx) {
		if err != nil {
			return err
		}
		id, _ := watchOf(t)
		switch {
		case id == "":
		case w.list[id] == nil:
			orphans = orphans || !w.all[id]
		default:
			found[t.ID] = true
			w.takeTask(t)
		}
	}
	sweeping, looking := map[holdfast.ID]bool{}, map[holdfast.ID]bool{}
	for id, t := range w.tasks {
		if !found[id] && !t.busy {
			delete(w.tasks, id)
		} else if t.part == partSweep && t.telegram != w.byPages {
			sweeping[t.watch] = true
		} else if t.part == partLook {
			looking[t.watch] = true
		}
	}
	for id, k := range w.list {
		k.sweeping, k.looking = sweeping[id], looking[id]
	}
	if orphans {
		_, err := w.n.dropOrphans(ctx)
		return err
	}
	return nil
}

// takeTask notes a Task that waits.
func (w *watchRun) takeTask(t pipeline.Task) {
	id, part := watchOf(t)
	k := w.tasks[t.ID]
	if k != nil && k.busy {
		return
	}
	if k == nil {
		k = &watchTask{id: t.ID, watch: id, part: part, lane: laneWeb}
		if k.telegram = isTelegram(t.Source); k.telegram {
			var o taskOptions
			k.file = json.Unmarshal(t.Options, &o) == nil && asksFile(o.Collector)
		} else if _, ok := tme.ParseAddress(string(t.Source), w.site.hosts); ok {
			k.lane = lanePages
		}
		if part == partVisit {
			k.lane, k.host = laneWeb, hostOf(t.Source)
		}
		w.tasks[t.ID] = k
		if part == partFollow && t.Step > 0 && w.scanned.IsZero() { // nobody was at it until now
			k.woken = time.Now()
		}
	}
	if part == partVisit {
		k.options = string(t.Options)
	}
	w.place(k)
	if k.step = t.Step; !k.due.After(t.Due) || k.fails == 0 {
		k.due = t.Due
	}
	if of := w.list[id]; of != nil && part == partFollow {
		if cur, err := cursorOf(t); err == nil {
			if n, ok := telegram.ChannelOf(cur.At); ok {
				of.channel, of.place = fmt.Sprint(n), cur.At
			}
		}
	}
}

// takeFresh takes up what answers have asked for.
func (w *watchRun) takeFresh() {
	w.r.takeAgain()
	for _, t := range w.fresh {
		w.takeTask(t)
	}
	w.fresh = nil
}

// keepTasks adds what a watch lacks: the Task that follows it, and, once that has
// its place, so that nothing can fall between them, the one of its history.
func (w *watchRun) keepTasks(ctx context.Context, now time.Time) error {
	has := map[holdfast.ID]map[string]*watchTask{}
	for _, t := range w.tasks {
		if has[t.watch] == nil {
			has[t.watch] = map[string]*watchTask{}
		}
		has[t.watch][t.part] = t
	}
	if err := w.keepVisits(ctx, has, now); err != nil {
		return err
	}
	want := map[holdfast.ID]func(*watch){}
	for id, k := range w.list {
		follow := has[id][partFollow]
		switch {
		case k.Paused != nil, w.byPages, k.isPage(): // nobody could ask, or nobody is to
		case follow == nil:
			turn := k.Turn
			want[id] = func(s *watch) {
				if s.Turn != turn {
					return // another node, which took it for its own, was first
				}
				s.Turn++
				s.Follow = s.task(w.queue.Queue, partFollow, s.Turn)
				if s.Turn > 1 {
					s.Backfill = "" // what happened meanwhile nobody has followed
				}
			}
		case follow.step == 0:
		case k.Backfill == "":
			want[id] = func(s *watch) {
				s.Backfill, s.Failed, s.FailedAt = s.task(w.queue.Queue, partBackfill, s.Turn), "", nil
			}
		case k.Failed != "":
			want[id] = func(s *watch) { s.Failed, s.FailedAt = "", nil }
		}
	}
	if len(want) == 0 {
		return nil
	}
	// The history's Task is added before the list says so: a crash in between adds it
	// again, under the same ID. That of following comes behind, since each has another
	// ID: a crash in between counts one turn that nobody took.
	var add []pipeline.Task
	for id, k := range w.list {
		if f := has[id][partFollow]; want[id] != nil && f != nil && f.step > 0 && k.Backfill == "" {
			if b := has[id][partBackfill]; b == nil {
				if err := w.makeTask(ctx, &add, &k.watch, partBackfill, k.watch.task(w.queue.Queue, partBackfill, k.Turn), w.history(ctx, k), now); err != nil {
					return err
				}
			}
		}
	}
	if err := w.addTasks(ctx, add); err != nil {
		return err
	}
	if err := w.change(ctx, want); err != nil {
		return err
	}
	add = nil
	for id, k := range w.list {
		if want[id] == nil || has[id][partFollow] != nil {
			continue
		}
		due := now
		if k.Failed != "" && k.FailedAt != nil {
			due = k.FailedAt.Add(failedAgain)
		}
		if err := w.makeTask(ctx, &add, &k.watch, partFollow, k.Follow, wishOf(&k.watch, map[string]any{"follow": true, "stories": true}), due); err != nil {
			return err
		}
	}
	return w.addTasks(ctx, add)
}

// history is what the Task of a watch's history is asked for: all of it, or, where
// it was followed before, down to what was known then.
func (w *watchRun) history(ctx context.Context, k *watched) map[string]any {
	m := map[string]any{}
	if !k.Since.IsZero() {
		m["since"] = k.Since
	}
	if k.Turn > 1 && k.channel != "" {
		for l, err := range w.n.cat.Looks(ctx, k.channel, holdfast.Time{}) {
			if err == nil && l.ID > 1 {
				m["down_to"] = l.ID
			}
			break
		}
	}
	return wishOf(&k.watch, m)
}

// wishOf adds what every part of a watch is asked for with.
func wishOf(k *watch, m map[string]any) map[string]any {
	if k.Media != "" {
		m["media"], m["max_size"] = k.Media, k.MaxSize
	}
	return m
}

// change edits the list that lies on the disk, and what is known of it here.
func (w *watchRun) change(ctx context.Context, want map[holdfast.ID]func(*watch)) error {
	err := w.book.Change(ctx, func(list []*watch) ([]*watch, error) {
		for _, k := range list {
			if f := want[k.ID]; f != nil && w.mine(k) {
				f(k)
			}
		}
		w.takeList(list)
		return list, nil
	})
	if w.office == nil { // the office's has perhaps been changed by others too, and is read again
		w.asOf, _ = w.book.AsOf(ctx)
	}
	return err
}

// failed notes that the Task which followed a watch has ended, and adds the next
// one, that tries again later.
func (w *watchRun) failed(ctx context.Context, k *watched, why []string) error {
	now, text := holdfast.At(time.Now()), strings.Join(why, "; ")
	w.tell.say(map[string]any{"event": "failed", "source": k.Source, "why": text, "again": holdfast.At(now.Add(failedAgain))},
		"failed    %s  (%s); asked again at %s", k.Source, text, holdfast.At(now.Add(failedAgain)))
	w.rescan = true
	return w.change(ctx, map[holdfast.ID]func(*watch){k.ID: func(s *watch) { s.Failed, s.FailedAt = text[:min(len(text), 500)], &now }})
}

// makeTask makes a Task of a watch, to be added.
func (w *watchRun) makeTask(ctx context.Context, add *[]pipeline.Task, k *watch, part string, id holdfast.ID, wish map[string]any, due time.Time) error {
	t, err := w.newTask(ctx, k, part, id, wish)
	if err != nil {
		if errors.As(err, new(*exitError)) || errors.Is(err, egress.ErrNone) { // its Case's way out is gone
			w.n.log.ErrorContext(ctx, "not watched now", "source", k.Source, "err", err)
			w.rescanIn(lookNoMore)
			return nil
		}
		return err
	}
	t.Due = due.Truncate(time.Millisecond)
	*add = append(*add, t)
	return nil
}

// addTasks puts them into the queue, all or none.
func (w *watchRun) addTasks(ctx context.Context, add []pipeline.Task) error {
	if len(add) == 0 {
		return nil
	}
	if _, err := w.n.queue.AddTasks(ctx, add...); err != nil {
		return fmt.Errorf("add %d tasks of what is watched: %w", len(add), err)
	}
	for _, t := range add {
		w.takeTask(t)
	}
	return nil
}

// egress is what a Case demands, as it was asked for within scopesLast. It does not wait
// for the index, which works beside: nobody has a turn meanwhile.
func (w *watchRun) egress(ctx context.Context, home holdfast.ID) (string, error) {
	if via, ok := w.egresses[home]; ok {
		return via, nil
	}
	via, err := w.n.knownEgress(ctx, home)
	if err == nil {
		if w.egresses == nil {
			w.egresses = map[holdfast.ID]string{}
		}
		w.egresses[home] = via
	}
	return via, err
}

// newTask is a Task of a watch. Where the channel was found already, it begins behind
// that: the service counts how often a name is asked for.
func (w *watchRun) newTask(ctx context.Context, k *watch, part string, id holdfast.ID, wish map[string]any) (t pipeline.Task, err error) {
	o := taskOptions{Watch: k.ID, Part: part}
	if o.Via, err = w.egress(ctx, k.home()); err != nil {
		return t, err
	}
	rec, err := w.r.scopes.of(ctx, w.n, k.home())
	if err != nil {
		return t, err
	}
	if rec.Comments && part != partFollow { // what is new has none yet: each look at it asks
		wish["comments"] = true
	}
	if o.Collector, err = json.Marshal(wish); err != nil {
		return t, err
	}
	b, err := json.Marshal(o)
	if err != nil {
		return t, err
	}
	t = pipeline.Task{ID: id, Source: k.Source, Case: k.home(), Agent: w.n.set.Agent, Found: holdfast.Found{How: "watch", Why: k.Note}, Options: b}
	if of := w.list[k.ID]; part != partFollow && of != nil {
		if cur, ok := telegram.Known(of.place); ok {
			t.Step = 1
			t.Cursor, err = json.Marshal(taskCursor{At: cur})
		}
	}
	return t, err
}

// rescanIn lets the Tasks be looked at again in so long.
func (w *watchRun) rescanIn(d time.Duration) { w.scanned = time.Now().Add(d - rescanEvery) }
