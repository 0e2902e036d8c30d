package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/collectors"
	"holdfast/collectors/telegram/accounts"
	"holdfast/filelock"
	"holdfast/heard"
	"holdfast/pipeline"
)

func (c *cli) watchRunCmd() *cobra.Command {
	var d time.Duration
	cmd := command("run [--for D]", "Keep up with everything that is watched, and seal it", "holdfast watch run --json", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		if d < 0 {
			return usageError("--for %s: a length of time, as 8h", d)
		}
		n, err := c.openProcess(cmd.Context())
		if n == nil {
			return err
		}
		defer n.Close()
		if _, err := n.sealSigner(cmd.Context()); err != nil {
			return err
		}
		return c.watchRun(cmd.Context(), n, d)
	})
	cmd.Long = `One line for each event: what was accepted and sealed, each post that is new, edited
or absent, gaps, what waits and why, channels that fall silent. What is added,
paused and removed meanwhile counts within a second. Posts are asked for again by
their numbers on a schedule (telegram.sweep in holdfast.yaml, by default
1m 5m 15m 1h 6h 1d 7d 30d after they were posted; none: never).

Ctrl-C stops it; the next run goes on where this one was, also after a crash. One
process runs the watches of a node; others may capture, export and change the list.
Nodes that share a queue share the list too: each that runs watches takes some of
them, those of one that has died within a minute, and none that it lacks the egress
or an account for.

exit status: 0 stopped, or the time is over  1 could not  2 usage, or no node`
	cmd.Flags().DurationVar(&d, "for", 0, "stop after so long")
	return cmd
}

// Pauses of the runner.
const (
	wakeEvery    = 2 * time.Second        // between two turns of a channel that pushes name,
	wakeQuick    = 200 * time.Millisecond // where the account is not paced: then a turn takes nobody's
	countEvery   = 30 * time.Second       // between two turns where only what is counted has changed
	keepEvery    = time.Second            // between looks at which Tasks a watch lacks
	watchTick    = 200 * time.Millisecond // between looks at the list, the schedule and the clock
	rescanEvery  = 10 * time.Minute       // of all Tasks: somebody may have dropped one
	failedAgain  = 24 * time.Hour         // until a name that led nowhere is asked for again
	lookNoMore   = 10 * time.Minute       // between two looks at a channel's posts that are due
	healthEvery  = 10 * time.Minute
	sealedAtEnd  = 10 * time.Second // that --for waits for Seals
	scopesLast   = time.Minute      // that what is recorded of a Case counts
	webRound     = 3 * time.Minute
	maxWaitShown = 300
)

// watchRun is the process that keeps up with everything. One goroutine decides; the
// Tasks run beside it, one at a time over the Line of an account, and one for files,
// some at a time in the browser. All that must last is in the queue, the list and the store: a kill at any
// instant loses nothing but what was not accepted yet, which is asked for again.
type watchRun struct {
	c     *cli
	n     *node
	r     *round
	door  *telegramDoor
	tell  *teller
	conf  watchConf
	queue pipeline.Identity

	book       watchBook
	office     *watchShare          // what nodes that share a queue say to each other; nil: this one has a queue of its own
	asOf       listMark             // of the list that is in use
	all        map[holdfast.ID]bool // what is watched, by whatever node
	scanned    time.Time
	rescan     bool
	kept       time.Time // when it was looked at which Tasks a watch lacks,
	lacks      bool      // and that one does now
	quick      bool      // what pushes name may have a turn each wakeQuick
	egresses   map[holdfast.ID]string
	tasks      map[holdfast.ID]*watchTask
	lanes      map[string]*lane
	hosts      map[string]*host // that visits were made to
	done       chan settled
	scopesAt   time.Time
	sessionsAt time.Time // of the last look at sessions that visits wait for
	canary     canaryTold

	crewAt  time.Time            // of the last look at the accounts
	leveled time.Time            // when a channel was given to one that has less to do
	inUse   map[string]time.Time // accounts that another process was found to have, since when

	byPages bool   // no account can ask: the public pages are looked at
	mode    string // what is to be told of that once a channel is watched: why; "-": that there is an account

	mu    sync.Mutex // the loop holds it but for its pauses; Tasks at work take it
	site  publicSite // where the public pages are
	list  map[holdfast.ID]*watched
	fresh []pipeline.Task // that answers have asked for
	also  adding
	ears  heard.Ears
	links linkBudget
	views linkBudget
	once  map[holdfast.ID]bool // pages that answers have asked for, since this process began
}

// watched is a watch, and what is known of it while the process runs.
type watched struct {
	watch
	channel  string // "" until it is resolved
	place    []byte // of the follow Task
	sweepAt  time.Time
	sweeping bool
	lost     bool   // the channel cannot be read now: its follower says when it can
	failures uint32 // of sweeps, or looks at its page, in a row
	silent   bool
	healthAt time.Time

	joined bool                 // its account is told by itself what happens there
	held   map[string]time.Time // accounts that are to wait for long before they ask about it
	read   reading

	looking bool // at its newest page
	lookAt  time.Time
	page    *pageLook         // nil: not since this process began
	visit   *pipeline.Version // that was accepted and is to be told of
	first   int64             // the post whose own page is asked for, the first time since it was seen
	firstAt holdfast.Time
}

// watchTask is a Task of a watch, as the queue has it.
type watchTask struct {
	id    holdfast.ID
	watch holdfast.ID
	part  string
	lane  string

	telegram, file bool      // asked for over a Line; as a file
	host, options  string    // of a visit
	session        string    // that it waits for,
	sessionAt      time.Time // and when that was changed last

	due   time.Time
	step  uint64
	busy  bool
	woken time.Time // when a push named its channel
	count time.Time // when one said that what is counted of a post there has changed
	begun time.Time
	fails uint32 // in a row, without anything accepted
	said  string // why it waits
}

// lane is what works beside others.
type lane struct {
	size, busy int
	account    string        // of a Line
	every      time.Duration // between two that are begun
	hold       time.Time     // nothing is begun before
	woken      int           // Tasks in a row that a push had named
	fails      uint32
	said       string
}

// Lanes. Those of an account have its name behind it.
const (
	laneTelegram = "telegram"
	laneFiles    = "files"
	laneWeb      = "web"
	lanePages    = "pages" // public pages of Telegram's
)

// settled is what came of a Task.
type settled struct {
	task *watchTask
	lane *lane // that it was begun in
	got  []captured
	err  error
}

func (c *cli) watchRun(ctx context.Context, n *node, d time.Duration) error {
	unlock, err := filelock.Try(n.path("watch.lock"))
	if err != nil {
		return err
	}
	if unlock == nil {
		return errors.New("another process runs the watches of this node: it takes up what is changed within a second")
	}
	defer unlock()
	w, err := c.newWatchRun(ctx, n)
	if err != nil {
		return err
	}
	defer w.door.Close()
	web := &lazyWeb{n: n}
	defer web.Close()
	w.r.by["http"], w.r.by["https"] = web, web

	until := ctx
	if d > 0 {
		var stop func()
		until, stop = context.WithTimeout(ctx, d)
		defer stop()
	}
	return w.run(ctx, until)
}

func (c *cli) newWatchRun(ctx context.Context, n *node) (*watchRun, error) {
	conf, err := n.watchConf()
	if err != nil {
		return nil, err
	}
	q, err := n.queue.Identity(ctx)
	if err != nil {
		return nil, err
	}
	w := &watchRun{c: c, n: n, conf: conf, queue: q, door: &telegramDoor{n: n, pushes: make(chan pushed, 1024), apart: true}, inUse: map[string]time.Time{}, tasks: map[holdfast.ID]*watchTask{}, hosts: map[string]*host{}, done: make(chan settled),
		lanes: map[string]*lane{laneTelegram: {size: 1}, laneWeb: {size: n.set.AtOnce()}}, list: map[holdfast.ID]*watched{}, rescan: true}
	if w.site, err = n.publicSite(); err != nil {
		return nil, err
	}
	if w.book, err = n.watchBook(ctx); err != nil {
		return nil, err
	}
	if rows, ok := w.book.(watchRows); ok {
		w.office = &watchShare{b: rows.b}
	}
	w.lanes[lanePages] = &lane{size: 1, every: conf.Pace}
	if o, err := n.telegramOptions(); err == nil {
		w.quick = o.Pace == 0
	}
	w.tell = &teller{c: c, n: n}
	w.also.n, w.ears.Node = n, n.hears()
	w.door.waited = w.tell.wait
	w.r = &round{n: n, by: map[string]collectors.Collector{"telegram": w.door}, intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts},
		before: w.promote, seen: w.accepted, asked: w.asked, account: w.accountOf}
	return w, nil
}

// run works until the time is over, and seals beside it. until ends before ctx, or
// with it.
func (w *watchRun) run(ctx, until context.Context) error {
	work, stopWork := context.WithCancel(ctx)
	sealing := make(chan error, 1)
	go func() { sealing <- w.n.work(work) }()
	telling := make(chan struct{})
	go func() { w.tell.run(work); close(telling) }()
	loop, stop := context.WithCancel(until)
	beating := make(chan struct{})
	go func() { w.beats(loop); close(beating) }()
	err := locked(&w.mu, func() error { return w.begin(loop) })
	if err == nil {
		err = w.loop(loop, sealing)
	}
	stop()
	<-beating
	w.r.names.end(ctx)
	locked(&w.mu, func() error {
		w.also.flush(context.WithoutCancel(ctx))
		w.ears.Flush(context.WithoutCancel(ctx), time.Now())
		return nil
	})
	if err == nil && ctx.Err() == nil {
		w.tell.settle(ctx, sealedAtEnd)
	}
	stopWork()
	<-telling
	<-sealing // what it says now is that it was stopped; a failure before has ended the loop
	w.tell.say(map[string]any{"event": "stopped"}, "stopped; `holdfast watch run` goes on")
	return err
}

func (w *watchRun) begin(ctx context.Context) error {
	if err := w.n.refresh(ctx); err != nil {
		return err
	}
	if err := w.assign(ctx, time.Now()); err != nil { // whether anybody can ask decides which Tasks there are to be
		return err
	}
	if err := w.join(ctx, time.Now()); err != nil {
		return err
	}
	if err := w.sync(ctx, time.Now()); err != nil {
		return err
	}
	w.crewAt = time.Time{}
	if err := w.assign(ctx, time.Now()); err != nil {
		return err
	}
	if err := w.takenUp(ctx, w.list); err != nil {
		return err
	}
	if w.office != nil {
		w.office.begun = true
	}
	if err := w.ears.TakeUp(ctx, time.Now()); err != nil {
		return err
	}
	w.tell.say(map[string]any{"event": "started", "watches": len(w.list)}, "started   %d sources are watched", len(w.list))
	if names, err := w.n.accounts.Names(); err == nil && len(names) == 0 && w.hasChannel() && !w.byPages {
		w.c.complain(errors.New(accounts.None))
	}
	return nil
}

// loop begins what is due, one turn after the other, until ctx ends; then it waits
// for what is at work, which ends by itself. A failure of the sealing ends it too:
// what cannot be sealed is not gathered for days.
func (w *watchRun) loop(ctx context.Context, sealing chan error) (err error) {
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	for busy := 0; busy > 0 || err == nil && ctx.Err() == nil; {
		if err == nil && ctx.Err() == nil {
			busy += locked(&w.mu, func() int { return w.start(ctx, time.Now()) })
		}
		done := ctx.Done()
		if busy > 0 || err != nil {
			done = nil
		}
		select {
		case s := <-w.done:
			busy--
			if serr := locked(&w.mu, func() error { return w.settle(ctx, s) }); serr != nil && err == nil {
				err = serr
			}
		case p := <-w.door.pushes:
			locked(&w.mu, func() error { w.pushed(p); return nil })
		case serr := <-sealing:
			if sealing <- serr; ctx.Err() == nil && err == nil {
				err = fmt.Errorf("sealing stopped: %w", serr)
			}
			sealing = nil
		case <-tick.C:
			if ctx.Err() == nil && err == nil {
				err = locked(&w.mu, func() error { return w.turn(ctx, time.Now()) })
			}
		case <-done:
		}
	}
	return err
}

// turn does what follows from the clock: the list, the schedule, the health.
func (w *watchRun) turn(ctx context.Context, now time.Time) error {
	if now.Sub(w.scopesAt) > scopesLast {
		w.r.scopes.forget()
		w.egresses = nil
		w.scopesAt = now
	}
	if err := w.share(ctx, now); err != nil {
		return err
	}
	if err := w.sync(ctx, now); err != nil {
		return err
	}
	if err := w.assign(ctx, now); err != nil {
		return err
	}
	w.wakeSessions(now)
	if err := w.looks(ctx, now); err != nil {
		return err
	}
	if err := w.sweeps(ctx, now); err != nil {
		return err
	}
	w.also.flushOld(ctx, now)
	w.ears.Turn(ctx, now)
	w.canaries()
	return w.healths(ctx, now)
}

// slack is how long after its time a Task may be begun behind others: what is most
// urgent has the least, so all of them get their turn.
func (w *watchRun) slack(t *watchTask) time.Duration {
	s := time.Duration(0)
	switch t.part {
	case partView:
		s = 5 * time.Second
	case partSweep:
		s = 10 * time.Second
	case partFurther:
		s = 20 * time.Second
	case partBackfill:
		s = 30 * time.Second
	}
	if k := w.list[t.watch]; k != nil {
		s += time.Duration(k.priority()-5) * 15 * time.Second
	}
	return s
}

// start begins Tasks that are due, while a lane has room.
func (w *watchRun) start(ctx context.Context, now time.Time) (begun int) {
	for name, l := range w.lanes {
		for l.busy < l.size && !now.Before(l.hold) {
			t := w.next(name, now)
			if t == nil {
				break
			}
			early := !t.woken.IsZero() || !t.count.IsZero()
			t.busy, t.begun, t.woken, t.count = true, now, time.Time{}, time.Time{}
			w.hostBegin(t)
			l.busy++
			begun++
			if l.every > 0 {
				l.hold = now.Add(l.every)
			}
			go func() {
				got, err := w.r.taskWhen(ctx, t.id, early)
				w.done <- settled{t, l, got, err}
			}()
		}
	}
	return begun
}

// next is whose turn it is. What a push has named comes first, since there is
// something to be had; but every fourth turn is one of the others, and a channel that
// is pushed without end has one turn each wakeEvery, or each countEvery where all that
// has changed is counted.
func (w *watchRun) next(name string, now time.Time) *watchTask {
	var woken, due *watchTask
	var at time.Time
	every := wakeEvery
	if w.quick {
		every = wakeQuick
	}
	for _, t := range w.tasks { // some thousands, at each turn
		called, ready := t.called(now, every), !t.due.After(now)
		named := !called.IsZero()
		if t.lane != name || t.busy || !named && !ready || t.telegram && w.byPages || w.hostHeld(t, now) {
			continue
		}
		k := w.list[t.watch]
		if k == nil || k.Paused != nil {
			continue
		}
		if named && (woken == nil || called.Before(woken.called(now, every))) {
			woken = t
		}
		if a := t.due.Add(w.slack(t)); ready && (due == nil || a.Before(at) || a.Equal(at) && t.id < due.id) {
			due, at = t, a
		}
	}
	l := w.lanes[name]
	if l.woken++; woken != nil && (due == nil || l.woken < 4) {
		return woken
	}
	l.woken = 0
	return due
}

// pushed takes up what an account was told by itself: it is a member of that channel.
func (w *watchRun) pushed(p pushed) {
	channel := fmt.Sprint(max(p.channel, -p.channel))
	for _, k := range w.list {
		if k.channel == channel && k.Account == p.account {
			k.joined = true
		}
	}
	w.wake(p.channel, time.Now())
}

// called is since when pushes want a Task's turn, if it may have one now.
func (t *watchTask) called(now time.Time, every time.Duration) time.Time {
	switch ago := now.Sub(t.begun); {
	case !t.woken.IsZero() && ago >= every:
		return t.woken
	case !t.count.IsZero() && ago >= countEvery:
		return t.count
	}
	return time.Time{}
}

// wake lets the Task that follows a channel be next; a push with a minus (Line.Pushed)
// does not hurry.
func (w *watchRun) wake(push int64, now time.Time) {
	number := fmt.Sprint(max(push, -push))
	for _, t := range w.tasks {
		k := w.list[t.watch]
		switch {
		case t.part != partFollow || k == nil || k.channel != number:
		case push < 0 && t.count.IsZero():
			t.count = now
		case push > 0 && t.woken.IsZero():
			t.woken = now
		}
	}
}
