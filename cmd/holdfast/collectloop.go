package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"holdfast"
	"holdfast/cmd/internal/collecting"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// Pauses of a collectLoop.
const (
	loopTick  = 250 * time.Millisecond // between two looks at the Tasks
	loopBusy  = 2 * time.Second        // before a Task that somebody else has is looked at again
	loopWaits = 30 * time.Second       // before one that could not be tried, or all where nothing can be
	maxWhys   = 10_000                 // reasons that are remembered
	letGone   = time.Second            // a lease that ends sooner is one that was let go of
)

// collectLoop captures every Task that is due and that no watch owns, some at a time in
// the browser and one at a time at Telegram's, until its context ends. Several may
// work on one node, and other commands beside them: each Task is taken under a lease.
// A kill at any instant loses nothing but what was not accepted yet, which is asked
// for again.
type collectLoop struct {
	n    *node
	r    *round
	door *telegramDoor
	web  *lazyWeb
	came chan loopDone
	name string // of this process, for others: random

	left map[holdfast.ID]time.Time // Tasks with a session that this node has not, and since when

	mu   sync.Mutex
	said collectSaid
}

// loopDone is what came of a Task.
type loopDone struct {
	id       holdfast.ID
	telegram bool
	err      error
	idle     bool // somebody else has it
}

// newCollectLoop starts no browser before a page is asked for.
func newCollectLoop(n *node) *collectLoop {
	l := &collectLoop{n: n, door: &telegramDoor{n: n}, web: &lazyWeb{n: n}, came: make(chan loopDone), left: map[holdfast.ID]time.Time{}, name: string(holdfast.NewID())}
	l.r = &round{n: n, by: map[string]collectors.Collector{"http": l.web, "https": l.web, "telegram": l.door}, asked: func([]pipeline.Task) {},
		intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
	return l
}

// run works until ctx ends; what is under way then ends by itself, since ctx ends it.
// Where the node is stopping it takes nothing more, and returns behind what it has.
func (l *collectLoop) run(ctx context.Context) error {
	defer l.door.Close()
	defer l.web.Close()
	defer l.r.names.end(ctx)
	defer l.tells(ctx)()
	var web, telegram int
	var restWeb, restTelegram time.Time // until when nothing of the kind is begun
	busy, held := map[holdfast.ID]bool{}, map[holdfast.ID]time.Time{}
	tick := time.NewTicker(loopTick)
	defer tick.Stop()
	scoped := time.Now()
	for len(busy) > 0 || ctx.Err() == nil && !l.n.isStopping() {
		now := time.Now()
		roomWeb, roomTelegram := room(l.n.set.AtOnce()-web, restWeb, now), room(1-telegram, restTelegram, now)
		if ctx.Err() == nil && !l.n.isStopping() && roomWeb+roomTelegram > 0 {
			if now.Sub(scoped) > scopesLast {
				l.r.scopes.forget()
				scoped = now
			}
			due, err := l.due(ctx, now, busy, held, roomWeb, roomTelegram)
			if err != nil && ctx.Err() == nil {
				l.n.log.WarnContext(ctx, "tasks not listed", "err", err)
				restWeb, restTelegram = now.Add(loopBusy), now.Add(loopBusy)
			}
			l.isWell(err == nil, roomWeb, roomTelegram, due)
			for _, t := range due {
				busy[t.ID] = true
				if isTelegram(t.Source) {
					telegram++
				} else {
					web++
				}
				go l.one(ctx, t)
			}
		}
		done, stopping := ctx.Done(), l.n.stopping
		if len(busy) > 0 {
			done, stopping = nil, nil
		}
		select {
		case d := <-l.came:
			delete(busy, d.id)
			if d.telegram {
				telegram--
			} else {
				web--
			}
			if hold, all := l.settle(ctx, d); all && d.telegram {
				restTelegram = time.Now().Add(hold)
			} else if all {
				restWeb = time.Now().Add(hold)
			} else if hold > 0 {
				held[d.id] = time.Now().Add(hold)
			}
		case <-tick.C:
		case <-stopping:
		case <-done:
		}
	}
	return ctx.Err()
}

// room is how many more may be begun.
func room(free int, rest, now time.Time) int {
	if now.Before(rest) {
		return 0
	}
	return free
}

// due are Tasks whose turn it is, as many as there is room for: those that are due
// longest first.
func (l *collectLoop) due(ctx context.Context, now time.Time, busy map[holdfast.ID]bool, held map[holdfast.ID]time.Time, web, telegram int) (due []pipeline.Task, err error) {
	there := map[holdfast.ID]bool{}
	var first []pipeline.Task
	for t, err := range l.n.waiting(ctx) {
		if err != nil {
			return nil, err
		}
		there[t.ID] = true
		if !busy[t.ID] && t.Lease.Until.After(now.Add(letGone)) {
			l.why(t.ID, "", "") // somebody else has it
		}
		if busy[t.ID] || t.Damaged || isWatched(t) || t.Due.After(now) || t.Lease.Until.After(now) || held[t.ID].After(now) {
			continue
		}
		if l.leaves(t, now) {
			continue
		}
		first = append(first, t)
	}
	l.forgetWhys(there)
	for id := range l.left {
		if !there[id] {
			delete(l.left, id)
		}
	}
	for id := range held {
		if !there[id] || !held[id].After(now) {
			delete(held, id)
		}
	}
	for (web > 0 || telegram > 0) && len(first) > 0 {
		at := -1
		for i, t := range first {
			room := web
			if isTelegram(t.Source) {
				room = telegram
			}
			if room > 0 && (at < 0 || t.Due.Before(first[at].Due)) {
				at = i
			}
		}
		if at < 0 {
			break
		}
		if isTelegram(first[at].Source) {
			telegram--
		} else {
			web--
		}
		due = append(due, first[at])
		first = append(first[:at], first[at+1:]...)
	}
	return due, nil
}

func (l *collectLoop) one(ctx context.Context, t pipeline.Task) {
	got, err := l.r.task(ctx, t.ID)
	l.came <- loopDone{id: t.ID, telegram: isTelegram(t.Source), err: err, idle: err == nil && got == nil || errors.Is(err, pipeline.ErrLease)}
}

// settle says how long the Task is left alone, or all of its kind: what the next one would
// meet too, as a browser that does not start. That keeps nothing of the other kind waiting;
// what both would meet, as a full disk, each finds for itself.
func (l *collectLoop) settle(ctx context.Context, d loopDone) (hold time.Duration, all bool) {
	l.r.takeAgain() // the next look at the Tasks finds them
	later := (*collectors.Later)(nil)
	switch {
	case d.idle:
		return loopBusy, false
	case d.err == nil || ctx.Err() != nil:
		l.why(d.id, "", "")
		if d.err == nil {
			l.cannot(d.telegram, "")
		}
		return 0, false
	case errors.As(d.err, &later):
		if !later.Progress || time.Until(later.At) >= longPause { // else it goes on by itself, soon
			l.why(d.id, collecting.Task, later.Why)
		}
		return 0, false // it has its time
	case hopeless(d.err) != "":
		l.why(d.id, collecting.Gone, hopeless(d.err))
		l.n.log.ErrorContext(ctx, "not captured", "task", d.id, "err", d.err)
		return 0, false
	}
	l.n.log.ErrorContext(ctx, "not captured", "task", d.id, "err", d.err)
	if taskWaits(d.err) {
		l.why(d.id, collecting.Node, d.err.Error())
		return loopWaits, false
	}
	l.why(d.id, collecting.Node, lacking(d.err))
	l.cannot(d.telegram, lacking(d.err))
	return loopWaits, true
}
