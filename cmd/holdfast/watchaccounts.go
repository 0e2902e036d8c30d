package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
	"holdfast/messages"
)

// When accounts share the work otherwise than before.
const (
	crewEvery   = time.Second      // between looks at how the accounts are
	crewWaits   = 5 * time.Minute  // a wait of the service's that another account is asked in the place of
	crewInUse   = time.Minute      // for which an account may be in other hands before
	crewBusy    = 10 * time.Minute // and for which it is left there then
	crewLevels  = time.Minute      // between two channels that go to an account that has less to do
	namesShown  = 5
	maxMovedRow = 1000 // sources that one line names
)

// crew is the accounts, as they are now.
type crew struct {
	names []string          // that have a session, in order
	why   map[string]string // of those that cannot ask: why
	ended map[string]bool   // of these, who never will by itself
}

// crew reads who is there and well. busy are those that other processes have.
func (n *node) crew(now time.Time, busy map[string]time.Time) (c crew, err error) {
	if c.names, err = n.accounts.Names(); err != nil {
		return c, err
	}
	states, err := n.accounts.States()
	if err != nil {
		return c, err
	}
	c.why, c.ended = map[string]string{}, map[string]bool{}
	for _, name := range c.names {
		if s, ok := states[name]; ok && s.State != telegram.StateOK {
			c.why[name], c.ended[name] = s.Words(), s.State != telegram.StateWaiting
		} else if since, is := busy[name]; is && now.Sub(since) >= crewInUse && now.Sub(since) < crewBusy {
			c.why[name] = fmt.Sprintf("account %s %s", name, accounts.ErrInUse)
		}
	}
	return c, nil
}

func (c crew) well(name string) bool { return slices.Contains(c.names, name) && c.why[name] == "" }

// gone says why an account cannot ask.
func (c crew) gone(name string) string {
	if !slices.Contains(c.names, name) {
		return fmt.Sprintf("account %s has no session any more", name)
	}
	return c.why[name]
}

// accountFor decides who asks about a watch, and, where that is another one than
// before, why. load is how many each has.
func (w *watchRun) accountFor(k *watched, c crew, load map[string]int, now time.Time) (account, why string) {
	can := func(name string) bool {
		return c.well(name) && !slices.Contains(k.Blind, name) && !k.held[name].After(now)
	}
	if can(k.Account) {
		return k.Account, ""
	}
	least := ""
	pick := func(ok func(string) bool) bool {
		for _, name := range c.names {
			if ok(name) && (least == "" || load[name] < load[least]) {
				least = name
			}
		}
		return least != ""
	}
	switch {
	case pick(can):
	case c.well(k.Account):
		return k.Account, ""
	case !pick(c.well):
		return k.Account, ""
	}
	switch {
	case k.Account == "":
	case slices.Contains(k.Blind, k.Account):
		why = fmt.Sprintf("account %s cannot read it", k.Account)
	case c.gone(k.Account) != "":
		why = c.gone(k.Account)
	default:
		why = fmt.Sprintf("account %s is to wait until %s", k.Account, holdfast.At(k.held[k.Account]))
	}
	return least, why
}

// assign spreads what is watched over the accounts that are well: what has none goes
// to whoever has least, what had one stays with it for as long as that can ask. Who
// asks is on the list, so it is the same after a crash.
func (w *watchRun) assign(ctx context.Context, now time.Time) error {
	if now.Sub(w.crewAt) < crewEvery {
		return nil
	}
	w.crewAt = now
	c, err := w.n.crew(now, w.inUse)
	if err != nil { // somebody edits it; it is as it was
		w.n.log.ErrorContext(ctx, "accounts stay as they were", "err", err)
		return nil
	}
	if err := w.changeMode(c); err != nil {
		w.n.log.ErrorContext(ctx, "who asks stays as it was", "err", err)
	}
	w.tellMode()
	load := map[string]int{}
	all := slices.SortedFunc(maps.Values(w.list), func(a, b *watched) int { return cmp.Compare(a.ID, b.ID) })
	all = slices.DeleteFunc(all, func(k *watched) bool { return k.isPage() }) // no account is asked about those
	for _, k := range all {
		load[k.Account]++
	}
	moves, want := map[string]*moved{}, map[holdfast.ID]func(*watch){}
	for _, k := range all {
		to, why := w.accountFor(k, c, load, now)
		if to == k.Account {
			continue
		}
		w.move(moves, want, k, to, why)
		load[k.Account]--
		load[to]++
	}
	if len(want) == 0 && now.Sub(w.leveled) >= crewLevels {
		w.level(c, all, load, moves, want, now)
	}
	if len(want) == 0 {
		return nil
	}
	if err := w.change(ctx, want); err != nil {
		return err
	}
	for _, t := range w.tasks {
		w.place(t)
		if want[t.watch] != nil && t.part == partFollow { // what happened meanwhile is asked for at once
			t.woken, t.fails = now, 0
		}
	}
	for _, why := range slices.Sorted(maps.Keys(moves)) {
		w.tell.moved(moves[why])
	}
	return nil
}

// level gives one channel to an account that has less to do than another: at a slow
// pace, since each has to be found anew, and the service counts that. What an account
// is told of by itself, since it is a member, stays with it.
func (w *watchRun) level(c crew, all []*watched, load map[string]int, moves map[string]*moved, want map[holdfast.ID]func(*watch), now time.Time) {
	w.leveled = now
	most, least := "", ""
	for _, name := range c.names {
		if !c.well(name) {
			continue
		}
		if most == "" || load[name] > load[most] {
			most = name
		}
		if least == "" || load[name] < load[least] {
			least = name
		}
	}
	if most == "" || load[most]-load[least] < 2 {
		return
	}
	for _, k := range all {
		if k.Account == most && !k.joined && k.Paused == nil && !slices.Contains(k.Blind, least) && !k.held[least].After(now) {
			w.move(moves, want, k, least, fmt.Sprintf("account %s has less to do", least))
			return
		}
	}
}

// moved is some channels that another account asks about from now on.
type moved struct {
	from, why string
	to        []string
	sources   []holdfast.Source
}

func (w *watchRun) move(moves map[string]*moved, want map[holdfast.ID]func(*watch), k *watched, to, why string) {
	want[k.ID] = func(s *watch) { s.Account = to }
	k.joined = false
	if why == "" {
		return
	}
	m := moves[why]
	if m == nil {
		m = &moved{from: k.Account, why: why}
		moves[why] = m
	}
	if m.sources = append(m.sources, k.Source); !slices.Contains(m.to, to) {
		m.to = append(m.to, to)
	}
}

func (t *teller) moved(m *moved) {
	slices.Sort(m.to)
	what := fmt.Sprintf("%d channels", len(m.sources))
	if len(m.sources) <= namesShown {
		var names []string
		for _, s := range m.sources {
			names = append(names, messages.Visible(string(s)))
		}
		what = strings.Join(names, " ")
	}
	t.say(map[string]any{"event": "moved", "count": len(m.sources), "sources": m.sources[:min(len(m.sources), maxMovedRow)], "from": m.from, "to": m.to, "why": m.why},
		"moved     %s  from account %s to %s  (%s)", what, m.from, strings.Join(m.to, ", "), messages.Visible(m.why))
}

// place puts a Task where it has its turns.
func (w *watchRun) place(t *watchTask) {
	k := w.list[t.watch]
	if !t.telegram || k == nil {
		return
	}
	name := laneTelegram
	if t.file {
		name = laneFiles
	}
	if k.Account != "" {
		name += " " + k.Account
	}
	if w.lanes[name] == nil {
		w.lanes[name] = &lane{size: 1, account: k.Account}
	}
	t.lane = name
}

// accountOf is who asks for a Task; "" is whoever is free. It is called beside the
// loop.
func (w *watchRun) accountOf(o taskOptions) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.list[o.Watch]; k != nil {
		return k.Account
	}
	return ""
}

// reads notes who has read a channel, and who could not: then others are asked, each
// once; if none can, it stays with the first.
func (w *watchRun) reads(ctx context.Context, k *watched) error {
	r := k.read
	k.read = reading{}
	switch {
	case r.account == "":
		return nil
	case r.well:
		if !slices.Contains(k.Blind, r.account) && len(k.Cannot) == 0 {
			return nil
		}
		return w.change(ctx, map[holdfast.ID]func(*watch){k.ID: func(s *watch) { s.readAgain(r.account) }})
	case slices.Contains(k.Blind, r.account):
		return nil
	}
	c, err := w.n.crew(time.Now(), w.inUse)
	if err != nil || len(c.names) < 2 && w.office == nil {
		return nil
	}
	back := ""
	others := slices.ContainsFunc(c.names, func(a string) bool { return a != r.account && c.well(a) && !slices.Contains(k.Blind, a) })
	if !others && len(k.Blind) > 0 && c.well(k.Blind[0]) {
		back = k.Blind[0]
	}
	if err := w.change(ctx, map[holdfast.ID]func(*watch){k.ID: func(s *watch) {
		if s.Blind = append(s.Blind, r.account); back != "" {
			s.Account = back
		}
		if w.office != nil && !others {
			s.cannotRead(w.n.set.Name, c.names)
		}
	}}); err != nil {
		return err
	}
	if back != "" {
		w.tell.moved(&moved{from: r.account, why: fmt.Sprintf("no account can read it; %s could the last time", back), to: []string{back}, sources: []holdfast.Source{k.Source}})
		for _, t := range w.tasks {
			w.place(t)
		}
	}
	w.crewAt = time.Time{}
	return nil
}

// reading is what an answer of the follower's tells of its account.
type reading struct {
	account string
	well    bool
}

// readingOf is said only where another account might read what this one cannot.
func readingOf(a *collectors.Acquired) reading {
	r := reading{account: a.Collection.Account, well: a.Outcome != collectors.Failed}
	if !r.well && !slices.ContainsFunc(a.Reasons, func(x collectors.Reason) bool { return x.Code == "channel-private" || x.Code == "channel-gone" }) {
		r.account = ""
	}
	return r
}

// passes says whether others go on with what an account cannot ask for any more, or
// not for long: then it is not tried again with this one.
func (w *watchRun) passes(k *watched, account string, err error, now time.Time) bool {
	if k == nil || account == "" {
		return false
	}
	if errors.Is(err, accounts.ErrInUse) {
		if _, is := w.inUse[account]; !is || now.Sub(w.inUse[account]) >= crewBusy {
			w.inUse[account] = now
		}
	}
	c, cerr := w.n.crew(now, w.inUse)
	if cerr != nil || c.well(account) && !k.held[account].After(now) {
		return false
	}
	if to, _ := w.accountFor(k, c, nil, now); to == account {
		return false
	}
	w.crewAt = time.Time{}
	return true
}
