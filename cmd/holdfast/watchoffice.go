package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/egress"
	officedb "holdfast/office"
)

// How nodes of an office share what is watched.
const (
	watchLease  = 30 * time.Second // for which others leave alone what a node runs that is not heard of
	beatEvery   = 5 * time.Second
	shareEvery  = 2 * time.Second // between two looks at who runs what
	listEvery   = time.Second     // and at whether the list is another one
	copyEvery   = time.Minute
	takeAtOnce  = 1000
	unfitAtOnce = 500 // that a node tells the others of
)

// watchShare is what a process of `watch run` says to those of other nodes, and knows of
// them. Who runs what lies in the office's database; the lease is one for all that a node
// runs. Two nodes may both believe that they run a watch, for as long as one does not look:
// then both ask, and each Task is one node's all the same (its own lease), and what it
// makes has one ID.
type watchShare struct {
	b     *officedb.Watches
	begun bool // what was there at the start is taken up

	looked, leveled, polled, copied time.Time
	mark, copyOf, listOf            listMark
	list                            []*watch // as of listOf
	away                            bool     // the database, and it was said

	mu    sync.Mutex
	about []byte // of this node, for the others
}

// aboutWatcher is what nodes know of one that runs watches.
type aboutWatcher struct {
	Accounts int                        `json:"accounts"` // that can ask now, or soon
	Pages    string                     `json:"pages"`    // why public pages are looked at instead; "": they are not
	Unfit    map[holdfast.Source]string `json:"unfit"`    // what it cannot run, and why
}

// able says whether it can run anything.
func (a aboutWatcher) able() bool { return a.Accounts > 0 || a.Pages != "" }

// mine says whether this process runs a watch: of a node's own list all of them.
func (w *watchRun) mine(k *watch) bool { return w.office == nil || k.by == w.n.set.Name }

// listAsOf is the mark of the list, which an office's database is asked for at times only.
func (w *watchRun) listAsOf(ctx context.Context, now time.Time) (listMark, error) {
	o := w.office
	if o == nil {
		return w.book.AsOf(ctx)
	}
	if now.Sub(o.polled) < listEvery {
		return o.mark, nil
	}
	o.polled = now
	m, err := w.book.AsOf(ctx)
	if w.awaySaid(ctx, err); err != nil && o.begun {
		return o.mark, nil
	}
	if o.mark = m; err == nil && m != o.copyOf && now.Sub(o.copied) >= copyEvery {
		o.copied, o.copyOf = now, m
		w.n.copyWatches(ctx)
	}
	return m, err
}

// awaySaid says once that the office cannot be asked: what is run goes on.
func (w *watchRun) awaySaid(ctx context.Context, err error) {
	if err != nil && !w.office.away && ctx.Err() == nil {
		w.n.log.WarnContext(ctx, "who runs which watches stays as it was", "err", err)
	}
	w.office.away = err != nil
}

// beats says that this node runs watches, until ctx ends. It says nothing when it ends: a
// process that is started anew within the lease finds all as it was.
func (w *watchRun) beats(ctx context.Context) {
	if w.office == nil {
		return
	}
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := w.beat(ctx); err != nil && ctx.Err() == nil {
			w.n.log.WarnContext(ctx, "other nodes may take what this one watches", "err", err)
		}
	}
}

func (w *watchRun) beat(ctx context.Context) error {
	w.office.mu.Lock()
	about := w.office.about
	w.office.mu.Unlock()
	if about == nil {
		return nil // it does not know yet what it can run
	}
	return w.office.b.Beat(ctx, w.n.set.Name, watchLease, about)
}

// join is the start: what this node ran before is its own still, unless another has taken
// it. Then it takes its part.
func (w *watchRun) join(ctx context.Context, now time.Time) error {
	list, err := w.book.Read(ctx)
	if err != nil {
		return err
	}
	own := map[holdfast.ID]bool{}
	for _, k := range list {
		own[k.ID] = w.mine(k)
	}
	if err := w.freeHeld(ctx, func(id holdfast.ID) bool { return w.office == nil || own[id] }); err != nil || w.office == nil {
		return err
	}
	return w.shareOut(ctx, now)
}

// share looks at who runs what, at times. What fails is tried again: what runs goes on.
func (w *watchRun) share(ctx context.Context, now time.Time) error {
	if w.office == nil || now.Sub(w.office.looked) < shareEvery {
		return nil
	}
	err := w.shareOut(ctx, now)
	if w.awaySaid(ctx, err); ctx.Err() != nil {
		return ctx.Err()
	}
	return nil
}

// read is the list for looking at, read where it has changed.
func (o *watchShare) read(ctx context.Context, book watchBook) ([]*watch, error) {
	m, err := book.AsOf(ctx)
	if err != nil || m == o.listOf && o.list != nil {
		return o.list, err
	}
	if o.list, err = book.Read(ctx); err == nil {
		o.listOf = m
	}
	return o.list, err
}

func (w *watchRun) shareOut(ctx context.Context, now time.Time) error {
	o, me := w.office, w.n.set.Name
	o.looked = now
	list, err := o.read(ctx, w.book)
	if err != nil {
		return err
	}
	about, err := w.aboutMe(ctx, list, now)
	if err != nil {
		return err
	}
	b, err := json.Marshal(about)
	if err != nil {
		return err
	}
	o.mu.Lock()
	first := o.about == nil
	o.about = b
	o.mu.Unlock()
	if first {
		if err := w.beat(ctx); err != nil {
			return err
		}
	}
	there, err := w.n.watchersNow(ctx, o.b)
	if err != nil {
		return err
	}
	there[me] = about
	var take, give []string
	parts := []*sharing{newSharing(list, there, me), pageSharing(list, there, me)}
	for _, s := range parts {
		take, give = append(take, s.take()...), append(give, s.give(w.atWork())...)
	}
	if len(give) == 0 && now.Sub(o.leveled) >= crewLevels {
		o.leveled = now
		for _, s := range parts {
			give = append(give, s.level(w.atWork())...)
		}
	}
	if len(give) > 0 {
		if err := o.b.Give(ctx, me, give); err != nil {
			return err
		}
		o.polled = time.Time{}
	}
	return w.takeOver(ctx, take, list)
}

// takeOver takes what nobody runs. What a node that is gone was at is free at once.
func (w *watchRun) takeOver(ctx context.Context, take []string, list []*watch) error {
	if len(take) == 0 {
		return nil
	}
	before, err := w.office.b.Take(ctx, w.n.set.Name, take[:min(len(take), takeAtOnce)])
	if err != nil || len(before) == 0 {
		return err
	}
	w.office.polled = time.Time{}
	left := map[holdfast.ID]bool{}
	gone := map[string]int{}
	for _, k := range list {
		if was := before[string(k.Source)]; was != "" {
			left[k.ID] = true
			gone[was]++
		}
	}
	for node, count := range gone {
		w.tell.say(map[string]any{"event": "taken-over", "count": count, "from": node}, "taken     %d sources, which %s ran: it is not heard of", count, node)
	}
	return w.freeHeld(ctx, func(id holdfast.ID) bool { return left[id] })
}

// atWork are the watches that a Task is under way for: they are given away behind it.
func (w *watchRun) atWork() map[holdfast.ID]bool {
	busy := map[holdfast.ID]bool{}
	for _, t := range w.tasks {
		busy[t.watch] = busy[t.watch] || t.busy
	}
	return busy
}

// adopt makes what another node ran before this one's: its accounts are not here.
func (w *watchRun) adopt(ctx context.Context) error {
	if w.office == nil {
		return nil
	}
	me, want := w.n.set.Name, map[holdfast.ID]func(*watch){}
	for id, k := range w.list {
		if k.Node != me {
			want[id] = func(s *watch) { s.Node, s.Account, s.Blind = me, "", nil }
		}
	}
	if len(want) == 0 {
		return nil
	}
	return w.change(ctx, want)
}

// aboutMe is what this node can run.
func (w *watchRun) aboutMe(ctx context.Context, list []*watch, now time.Time) (a aboutWatcher, err error) {
	c, err := w.n.crew(now, w.inUse)
	if err != nil {
		return a, err
	}
	if a.Pages, _, err = w.n.pagesInstead(c); err != nil {
		return a, err
	}
	able := c.names[:0:0]
	for _, name := range c.names {
		if until := w.accountWaits(name, now); !c.ended[name] && until.Before(now.Add(crewBusy)) {
			able = append(able, name)
		}
	}
	a.Accounts, a.Unfit = len(able), map[holdfast.Source]string{}
	ways, sessions := map[holdfast.ID]string{}, map[string]string{}
	for _, k := range list {
		why, ok := ways[k.home()]
		if !ok {
			if why, err = w.lacksWay(ctx, k.home()); err != nil {
				return a, err
			}
			ways[k.home()] = why
		}
		switch {
		case !k.isPage() && !a.able():
			why = "it has no account that can ask"
		case why == "" && k.Session != "":
			if _, ok := sessions[k.Session]; !ok {
				sessions[k.Session] = w.n.sessionTrouble(k.Session)
			}
			why = sessions[k.Session]
		case why == "" && a.Accounts > 0 && k.unreadBy(w.n.set.Name, able):
			why = "its accounts cannot read it"
		}
		if why != "" && k.Paused == nil && len(a.Unfit) < unfitAtOnce {
			a.Unfit[k.Source] = why
		}
	}
	return a, nil
}

// lacksWay says why what a Case demands to go through is not there; "": it is.
func (w *watchRun) lacksWay(ctx context.Context, home holdfast.ID) (string, error) {
	via, err := w.egress(ctx, home)
	if err != nil {
		return "", err
	}
	_, err = w.n.via(via)
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, egress.ErrNone) || errors.As(err, new(*exitError)):
		return fmt.Sprintf("the egress %s is not there", egress.Shown(via)), nil
	}
	return "", err
}

// unreadBy says whether a node has tried with each account that it has, and none could
// read it.
func (k *watch) unreadBy(node string, accounts []string) bool {
	tried, ok := k.Cannot[node]
	return ok && !slices.ContainsFunc(accounts, func(a string) bool { return !slices.Contains(tried, a) })
}

// watchersNow are the nodes that run watches now, and what they say.
func (n *node) watchersNow(ctx context.Context, b *officedb.Watches) (map[string]aboutWatcher, error) {
	all, err := b.Watchers(ctx)
	if err != nil {
		return nil, err
	}
	there := map[string]aboutWatcher{}
	for _, k := range all {
		if k.Left <= 0 {
			continue
		}
		var a aboutWatcher
		if err := json.Unmarshal(k.Body, &a); err != nil {
			return nil, fmt.Errorf("read what %s says of its watches: %w: is it a newer holdfast?", k.Node, err)
		}
		there[k.Node] = a
	}
	return there, nil
}
