package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/spool"
	"holdfast/collectors"
	"holdfast/collectors/web"
	"holdfast/egress"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/storage"
)

// taskOptions rides in the Task, so a resumed one is done as it was asked.
type taskOptions struct {
	AllowPrivate bool          `json:"allow_private,omitempty"`
	Via          string        `json:"via,omitempty"`        // a name of egresses.json, or a URL without login, or direct; "" is nothing was said, and goes direct
	Timeout      time.Duration `json:"timeout,omitempty"`    // ns
	RetryFor     time.Duration `json:"retry_for,omitempty"`  // ns
	NeverKeep    string        `json:"never_keep,omitempty"` // absolute path
	Session      string        `json:"session,omitempty"`    // a name; its cookies are in no Task
	Outside      []string      `json:"outside,omitempty"`    // which rules of the Case's scope it breaks, by the scope when it was asked for
	Reason       string        `json:"reason,omitempty"`     // why it is captured all the same

	Collector json.RawMessage `json:"collector,omitempty"` // the Collector's own options

	Watch holdfast.ID `json:"watch,omitempty"` // the watch that it is a part of: `watch run` takes it, nobody else
	Part  string      `json:"part,omitempty"`  // which
	Visit *visitWish  `json:"visit,omitempty"` // of a page that is watched: when it is visited
}

// addTasks returns the Tasks that this call is to do.
func (n *node) addTasks(ctx context.Context, home holdfast.ID, sources []holdfast.Source, o captureOptions) (ids []wish, err error) {
	if o.resume { // first, so that it does not find those of this call
		for t, err := range n.waiting(ctx) {
			if err != nil {
				return nil, err
			}
			if isWatched(t) {
				continue // it has no end
			}
			ids = append(ids, wish{t.ID, t.Due})
		}
	}
	if len(sources) == 0 {
		return ids, nil
	}
	tasks, err := n.besideTasks(ctx, home, sources, o)
	if err != nil {
		return nil, err
	}
	added, err := n.queue.AddTasks(ctx, tasks...)
	for _, id := range added {
		ids = append(ids, wish{id: id})
	}
	return ids, err
}

// makeTasks settles what a call asks for, and refuses it before anything is accepted.
func (n *node) makeTasks(ctx context.Context, home holdfast.ID, sources []holdfast.Source, o captureOptions) ([]pipeline.Task, error) {
	broken, err := n.inScope(ctx, home, sources, o)
	if err != nil {
		return nil, err
	}
	settled, err := n.taskOptions(ctx, home, o)
	if err != nil {
		return nil, err
	}
	way, err := n.telegramVia(ctx, home, o)
	if err == nil {
		err = n.canTelegram(sources, way)
	}
	if err != nil {
		return nil, err
	}
	rec, err := new(scopes).of(ctx, n, home)
	if err != nil {
		return nil, err
	}
	tasks := make([]pipeline.Task, len(sources))
	for i, s := range sources {
		k := settled
		if k.Collector, err = n.collectorOptions(s, rec, o); err != nil {
			return nil, err
		}
		if isTelegram(s) {
			k.Via = way
		}
		opts, err := k.outside(broken[s], o.reason)
		if err != nil {
			return nil, err
		}
		tasks[i] = pipeline.Task{Source: s, Case: home, Agent: n.set.Agent, Found: holdfast.Found{How: "command", Why: o.note}, Options: opts}
	}
	return tasks, nil
}

// taskOptions settles what a Task keeps of the call.
func (n *node) taskOptions(ctx context.Context, home holdfast.ID, o captureOptions) (t taskOptions, err error) {
	t = taskOptions{AllowPrivate: o.allowPrivate, Timeout: o.timeout, RetryFor: o.retryFor, Session: o.session}
	if err := n.mayFilms(o); err != nil {
		return t, &exitError{exitUsage, err}
	}
	if err := n.maySession(o); err != nil { // before anything waits for it
		return t, &exitError{exitUsage, err}
	}
	demanded, err := n.demandedEgress(ctx, home)
	if err != nil {
		return t, err
	}
	if o.reason != "" && o.via != "" {
		demanded = "" // inScope has flagged another one
	}
	if t.Via, err = n.wayOut(o.via, demanded); err != nil {
		return t, err
	}
	if t.NeverKeep, err = absolute(o.neverKeep); err != nil {
		return t, err
	}
	if _, err := n.knownLists(t.NeverKeep); err != nil { // before anything waits for it
		return t, err
	}
	return t, nil
}

// round is one call's work on its Tasks.
type round struct {
	n      *node
	by     map[string]collectors.Collector // by scheme of the Source
	intake *pipeline.Intake
	told   func(captured)
	later  func(captured)
	before func(context.Context, pipeline.Task, taskOptions, *collectors.Acquired) error // what an answer asks for besides, before it is accepted; may be nil
	seen   func(taken, holdfast.ID)                                                      // what was accepted; may be nil
	asked  func([]pipeline.Task)                                                         // Tasks that an answer asked for; may be nil

	account func(taskOptions) string // who asks for a Task of Telegram's; may be nil: whoever is free
	names   naming
	scopes  scopes

	mu      sync.Mutex
	got     []captured
	again   []wish // that failed and are tried again, or go on
	waits   error  // the last Task that can go on later only: its way out, or list, is not there
	added   int    // Tasks that captures of this round asked for
	busy    int    // Tasks that somebody else has
	refused error  // the last Task that is never to be tried
	stopped error  // why no more Tasks are begun
}

// collect takes the Tasks and captures them, some at a time. The error says why
// there is less in the result than was asked for.
func (c *cli) collect(ctx context.Context, n *node, wishes []wish) ([]captured, error) {
	room, err := spool.Open(n.dir)
	if err != nil {
		return nil, waiting(err, len(wishes))
	}
	defer room.Close()
	w, err := web.New(web.Options{Browser: n.browser(), Ytdlp: n.ytdlp(), Recipes: recipesOf(n.dir), Dir: room.Dir(), Tabs: n.set.AtOnce(), Log: n.log})
	if err != nil {
		return nil, waiting(err, len(wishes))
	}
	defer w.Close()
	door := &telegramDoor{n: n}
	defer door.Close()
	r := &round{n: n, by: map[string]collectors.Collector{"http": w, "https": w, "telegram": door}, told: c.sayAccepted, later: c.sayWaits,
		intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
	r.run(ctx, wishes)
	r.names.end(ctx)
	return r.got, r.verdict(ctx, len(wishes))
}

// waiting says what an error leaves to be done. Stores say which disk is full by
// themselves; what is written elsewhere before it lies in the data directory.
func waiting(err error, left int) error {
	if errors.Is(err, syscall.ENOSPC) && !errors.Is(err, storage.ErrFull) {
		err = fmt.Errorf("%w; free space where the data directory lies", err)
	}
	return fmt.Errorf("%w; %d captures wait: then `holdfast capture --resume` goes on", err, left)
}

// browser is the Chromium that was asked for; "" lets collectors/web look.
func (n *node) browser() string {
	if n.set.Browser != "" {
		return n.set.Browser
	}
	return os.Getenv("HOLDFAST_BROWSER")
}

// ytdlp is the yt-dlp that somebody has named; "" is none.
func (n *node) ytdlp() string { return cmp.Or(n.set.Ytdlp, os.Getenv("HOLDFAST_YTDLP")) }

func (r *round) verdict(ctx context.Context, asked int) error {
	left := asked + r.added
	for _, g := range r.got {
		if g.done {
			left--
		}
	}
	switch {
	case left == 0:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("stopped; %d captures wait: `holdfast capture --resume` goes on", left)
	case r.stopped != nil:
		return waiting(r.stopped, left)
	case r.refused != nil:
		return r.refused
	case r.waits != nil:
		return waiting(r.waits, left)
	}
	return fmt.Errorf("%d captures are in the hands of another process, or of one that died less than %v ago: `holdfast capture --resume` then", r.busy, lease)
}

// do captures one Task and keeps the count. An error that the next Task would
// meet too (a full disk, no browser) ends the round; one of this Task does not.
func (r *round) do(ctx context.Context, id holdfast.ID) {
	if r.over(ctx) {
		return
	}
	got, err := r.task(ctx, id)
	var later *collectors.Later
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range got {
		r.got = append(r.got, g)
		r.told(g)
	}
	switch {
	case err == nil && got == nil, errors.Is(err, pipeline.ErrLease):
		r.busy++
	case err == nil:
		last := got[len(got)-1]
		if !last.done {
			r.again = append(r.again, wish{last.task, last.due})
		}
		if !last.done && !last.next {
			r.later(last)
		}
	case errors.As(err, &later) && later.Progress && time.Until(later.At) < longPause:
		w := wish{id: id} // before those that are due later: a file is brought to its end
		if later.At.After(time.Now()) {
			w.due = later.At
		}
		r.again = append(r.again, w)
		r.n.log.InfoContext(ctx, "goes on", "task", id, "why", later.Why)
	case later != nil, taskWaits(err):
		r.waits = err
		r.n.log.ErrorContext(ctx, "not captured", "task", id, "err", err)
	case hopeless(err) != "":
		r.refused = err
		r.n.log.ErrorContext(ctx, "not captured", "task", id, "err", err)
	default:
		r.stopped = err
	}
}

// taskWaits says whether an error is one Task's alone, which can go on once a person
// has seen to it.
func taskWaits(err error) bool {
	return waitsForAccount(err) || errors.Is(err, egress.ErrNone) || errors.Is(err, errDirect) || errors.Is(err, errNoList) || sessionWaits(err) || errors.Is(err, errOutside) || errors.Is(err, errDamaged)
}

// request is what the Collector is asked for. What the Task was to go through,
// or to be compared with, must be there: else the Task waits.
func (r *round) request(t pipeline.Task, o taskOptions) (collectors.Request, error) {
	var via *collectors.Via
	var err error
	if !isTelegram(t.Source) { // whose way its door knows
		if via, err = r.n.viaOf(o); err != nil {
			return collectors.Request{}, err
		}
	}
	lists, err := r.n.knownLists(o.NeverKeep)
	if err != nil {
		return collectors.Request{}, err
	}
	cur, err := cursorOf(t)
	if err != nil {
		return collectors.Request{}, err
	}
	session, err := r.n.webSession(o.Session)
	if err != nil {
		return collectors.Request{}, err
	}
	return collectors.Request{Session: session, Source: string(t.Source), AllowPrivate: o.AllowPrivate, Via: via, NeverKeep: lists,
		Budget: collectors.Budget{Time: o.Timeout}, Cursor: cur.At, Options: o.Collector, Taken: r.takenIn(t.Case), Tried: r.triedIn(t.Case)}, nil
}

// collector is who acquires the Task's kind of Source.
func (r *round) collector(t pipeline.Task, o taskOptions) (collectors.Collector, error) {
	scheme, _, _ := strings.Cut(strings.ToLower(string(t.Source)), ":")
	by := r.by[scheme]
	if door, ok := by.(*telegramDoor); ok {
		account := ""
		if r.account != nil {
			account = r.account(o)
		}
		return door.through(o.Via, account), nil
	}
	if by != nil {
		return publicPages{by, r.n}, nil
	}
	return nil, fmt.Errorf("capture %.300s: nothing here captures %.20s: %w", t.Source, scheme, collectors.ErrRefused)
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
	c.say(map[string]any{"event": "accepted", "id": r.id, "source": r.source, "outcome": r.outcome, "reasons": append([]string{}, r.reasons...), "outside": append([]string{}, r.outside...)},
		"accepted  %s  %s  %s%s%s", r.id, r.outcome, messages.Visible(string(r.source)), reasonText(r.reasons), outsideText(r.outside))
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
	c.sayIsSealed(cp)
}

func (c *cli) sayIsSealed(cp catalog.Capture) {
	c.say(map[string]any{"event": "sealed", "id": cp.ID, "seal": cp.Seal, "not_after": holdfast.At(cp.T)}, "sealed    %s  not later than %s", cp.ID, holdfast.At(cp.T))
}
