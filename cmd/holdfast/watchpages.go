package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/accounts"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/tme"
)

// Of channels that are watched by their public pages, since no account can ask.
const (
	defaultWebEvery = 5 * time.Minute // between two looks at a channel
	defaultWebPace  = 2 * time.Second // between two pages of the site, of whatever channel
	webLongest      = 6 * time.Hour   // between two looks where there is nothing to be seen
	webHold         = time.Minute     // doubled with each page in a row that did not come
	webHoldMost     = time.Hour
	viewsAtOnce     = 500 // posts that one look at the schedule goes through
)

// cannotFollow is said where channels are watched by their public pages.
const cannotFollow = "their public pages are looked at instead, every %s, and single posts by the schedule: what was edited or deleted between two looks is not seen, a deletion only as a post that its page shows no more, which can have other causes; numbers above a thousand are rounded, when a post was edited is not said, and what t.me does not show is missing"

func (w watchConf) cannotFollow() string { return fmt.Sprintf(cannotFollow, w.Every) }

// pagesInstead says why channels are watched by their public pages: no account can
// ask, and none will by itself; "" where one can, or where there are no such pages.
func (n *node) pagesInstead(c crew) (why string, site publicSite, err error) {
	if site, err = n.publicSite(); err != nil || site.base == "" {
		return "", site, err
	}
	if _, err := n.telegramOptions(); errors.Is(err, nodedir.ErrNoApp) {
		return "no app_id", site, nil
	}
	if len(c.names) == 0 {
		return "no account", site, nil
	}
	for _, name := range c.names {
		if !c.ended[name] {
			return "", site, nil
		}
	}
	return "no account that can ask: " + c.why[c.names[0]], site, nil
}

// changeMode takes up whether accounts ask, or pages are looked at. What one way has
// asked for stays: the Tasks that follow wait for an account, and pages that wait are
// still captured.
func (w *watchRun) changeMode(c crew) error {
	why, site, err := w.n.pagesInstead(c)
	if err != nil {
		return err
	}
	if w.site = site; (why != "") == w.byPages {
		return nil
	}
	w.byPages, w.rescan = why != "", true
	if w.mode = why; why == "" {
		w.mode = "-"
	}
	return nil
}

// hasChannel says whether a channel is watched, and not only pages.
func (w *watchRun) hasChannel() bool {
	for _, k := range w.list {
		if !k.isPage() {
			return true
		}
	}
	return false
}

// tellMode tells once who is asked, where there is a channel to ask about.
func (w *watchRun) tellMode() {
	if w.mode == "" || !w.hasChannel() {
		return
	}
	why := w.mode
	if w.mode = ""; why != "-" {
		why += "; " + w.conf.cannotFollow() + "; `holdfast telegram login` logs one in, and then the service itself is asked"
		w.tell.say(map[string]any{"event": "mode", "mode": modePages, "why": why}, "pages     %s", messages.Visible(why))
		w.c.complain(errors.New(why))
		return
	}
	w.tell.say(map[string]any{"event": "mode", "mode": modeService, "why": "there is an account"}, "service   there is an account: the service itself is asked from now on")
}

// Modes.
const (
	modePages   = "pages"
	modeService = "service"
)

// pageLook is the newest page of a channel, as it was seen last.
type pageLook struct {
	at        time.Time
	low, high int64
	ids       map[int64]bool
}

// shows says whether a post that was seen before is missing among its neighbours.
func (p *pageLook) misses(l catalog.Look) bool {
	return p != nil && l.ID > p.low && l.ID < p.high && !p.ids[l.ID] && l.At.Before(p.at)
}

// looks adds a look at each channel whose time has come, where none is under way.
func (w *watchRun) looks(ctx context.Context, now time.Time) error {
	if !w.byPages {
		return nil
	}
	asked := 0
	for _, k := range w.list {
		if asked == sweepsATurn {
			return nil
		}
		if k.isPage() || k.Paused != nil || k.looking || now.Before(k.lookAt) || w.tell.behind(k.Source) {
			continue
		}
		asked++
		name, err := telegram.ParseName(string(k.Source))
		if err != nil {
			return err
		}
		page := tme.ChannelPage(w.site.base, name.Channel, 0)
		if k.lookAt.IsZero() { // this process has not looked yet
			last, err := w.n.lastPage(ctx, page)
			if k.lookAt = last.Add(w.conf.Every); err != nil {
				return err
			}
			if now.Before(k.lookAt) {
				continue
			}
		}
		if k.channel == "" {
			if k.channel, err = w.n.channelOf(ctx, k.Source); err != nil {
				return err
			}
		}
		walk := &pageWalk{Since: k.Since.Time}
		if walk.Down, err = w.n.highest(ctx, k.channel); err != nil {
			return err
		}
		k.lookAt = now.Add(w.conf.Every)
		if k.looking, err = w.addPage(ctx, k, partLook, page, pageWish{Alone: true, Walk: walk}); err != nil {
			return err
		}
	}
	return nil
}

// highest is the highest number of a post that a page, or the service, has shown.
func (n *node) highest(ctx context.Context, channel string) (id int64, err error) {
	if channel == "" {
		return 0, nil
	}
	for _, looks := range []func(context.Context, string, holdfast.Time) lookSeq{n.pageLooks, n.ownLooks} {
		for l, err := range looks(ctx, channel, holdfast.Time{}) {
			if err != nil {
				return 0, err
			}
			id = max(id, l.ID)
			break
		}
	}
	return id, nil
}

type lookSeq = func(yield func(catalog.Look, error) bool)

func (n *node) pageLooks(ctx context.Context, channel string, since holdfast.Time) lookSeq {
	return n.cat.PageLooks(ctx, channel, since)
}

func (n *node) ownLooks(ctx context.Context, channel string, since holdfast.Time) lookSeq {
	return n.cat.Looks(ctx, channel, since)
}

// lastPage is when a page was captured last; zero: never.
func (n *node) lastPage(ctx context.Context, page string) (at time.Time, err error) {
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Source: holdfast.Source(page), Kind: holdfast.KindCapture, Limit: 1}) {
		return cp.Started.Time, err
	}
	return at, nil
}

// addPage adds a Task for a public page, by the way out of the Case; false where that
// is not there now.
func (w *watchRun) addPage(ctx context.Context, k *watched, part, page string, wish pageWish) (bool, error) {
	o := taskOptions{Watch: k.ID, Part: part, AllowPrivate: k.AllowPrivate}
	if part == partLook { // its posts are asked for by no other
		o.RetryFor = linkRetry
	}
	demanded, err := w.egress(ctx, k.home())
	if err == nil {
		o.Via, err = w.n.wayOut("", demanded)
	}
	s, serr := parseURL(page, k.AllowPrivate)
	if err = errors.Join(err, serr); err != nil {
		w.n.log.ErrorContext(ctx, "not looked at now", "source", k.Source, "err", err)
		k.lookAt, k.sweepAt = time.Now().Add(lookNoMore), time.Now().Add(lookNoMore)
		return false, nil
	}
	if o.Collector, err = json.Marshal(pageOptions{&wish}); err != nil {
		return false, err
	}
	b, err := json.Marshal(o)
	if err != nil {
		return false, err
	}
	return true, w.addTasks(ctx, []pipeline.Task{{ID: holdfast.NewID(), Source: s, Case: k.home(), Agent: w.n.set.Agent, Found: holdfast.Found{How: "watch", Why: k.Note}, Options: b}})
}

// pageSweeps adds the page of one post for each channel, where none is under way: of
// one that the newest page shows no more among its neighbours, or that the schedule
// asks for. Which these are follows from the catalog, but for that newest page.
func (w *watchRun) pageSweeps(ctx context.Context, now time.Time) error {
	asked := 0
	for _, k := range w.list {
		if asked == sweepsATurn {
			return nil
		}
		if k.channel == "" || k.sweeping || k.Paused != nil || now.Before(k.sweepAt) || w.tell.behind(k.Source) {
			continue
		}
		asked++
		v, next, err := w.n.nextView(ctx, k, w.conf.Sweep, w.site, now)
		if errors.Is(err, catalog.ErrRebuild) {
			k.sweepAt = now.Add(time.Minute)
			continue
		}
		if err != nil {
			return err
		}
		if k.sweepAt = next; v.ID == 0 {
			continue
		}
		if !w.may(&w.views, viewsMost(&k.watch), &k.watch, k.home(), whatViews) {
			k.sweepAt = now.Add(lookNoMore)
			continue
		}
		k.sweepAt = now
		if k.first = 0; v.missed {
			w.notShown(k, v.Look, k.page.at)
		} else if v.first {
			k.first, k.firstAt = v.ID, v.At
		}
		name, err := telegram.ParseName(string(k.Source))
		if err != nil {
			return err
		}
		if k.sweeping, err = w.addPage(ctx, k, partSweep, tme.PostPage(w.site.base, name.Channel, v.ID), pageWish{Alone: true}); err != nil {
			return err
		}
	}
	return nil
}

// notFound is the reason of a page that says that there is no such post.
const notFound = "post-not-found"

// postLook is a post whose own page is to be captured.
type postLook struct {
	catalog.Look
	missed bool // it is not among its neighbours any more
	first  bool // no page of its own was captured since it was seen last
}

// notShown tells, once for each time that it was seen before, that a post is not there
// where it was: among its neighbours, or on its own page.
func (w *watchRun) notShown(k *watched, l catalog.Look, at time.Time) {
	w.tell.say(map[string]any{"event": "post", "what": "not-shown", "source": k.Source, "channel": k.channel, "id": l.ID, "last_seen": l.At, "how": catalog.HowWeb, "seen": holdfast.At(at)},
		"not shown post %d of %s  last seen %s; its own page is captured", l.ID, k.Source, l.At)
}

// nextView picks the post whose own page is to be captured. A page that had no such post is known by its capture
// alone, so that counts as a look too. Without one, next is when to look again.
func (n *node) nextView(ctx context.Context, k *watched, s catalog.Schedule, site publicSite, now time.Time) (post postLook, next time.Time, err error) {
	name, err := telegram.ParseName(string(k.Source))
	if err != nil {
		return post, next, err
	}
	longest := time.Duration(0)
	if len(s) > 0 {
		longest = s[len(s)-1]
	}
	next = now.Add(lookNoMore)
	since, seen := holdfast.At(now.Add(-longest-longest/sweepLate-24*time.Hour)), 0
	for l, err := range n.cat.PageLooks(ctx, k.channel, since) {
		if err != nil {
			return post, next, err
		}
		if seen++; seen > viewsAtOnce {
			break
		}
		missing := k.page.misses(l)
		at, again := s.Next(l)
		if !missing && (!again || at.After(now)) {
			if again && at.Before(next) {
				next = at
			}
			continue
		}
		last, err := n.lastPage(ctx, tme.PostPage(site.base, name.Channel, l.ID))
		if err != nil {
			return post, next, err
		}
		if missing && !last.After(l.At.Time) {
			return postLook{l, true, true}, now, nil
		}
		first := !last.After(l.At.Time)
		if !first {
			l.At = holdfast.At(last)
			if at, again = s.Next(l); !again || at.After(now) {
				if again && at.Before(next) {
					next = at
				}
				continue
			}
		}
		return postLook{l, false, first}, now, nil
	}
	return post, next, nil
}

// pageOfWatch reads what an accepted page shows, as the catalog will; nil where it is
// none of a channel's, or shows nothing.
func (w *watchRun) pageOfWatch(a *collectors.Acquired) (*tme.Page, []catalog.Answer) {
	p, ok, err := w.n.pageOf(context.Background(), a)
	if err != nil || !ok || p.Missing {
		return nil, nil
	}
	b, err := tme.Lines{Address: a.Address.Final, Received: holdfast.At(a.Started).String(), Training: w.n.set.Training, Most: pipeline.MaxInline}.Encode(p)
	if err != nil || b == nil {
		return p, nil
	}
	x, err := catalog.ParseAnswer(b)
	if err != nil {
		w.n.log.Warn("posts of a page not told", "err", err)
		return p, nil
	}
	return p, []catalog.Answer{x}
}

// looked takes up the newest page of a channel.
func (k *watched) looked(p *tme.Page, at time.Time) {
	l := &pageLook{at: at, ids: map[int64]bool{}}
	for _, x := range p.Posts {
		if l.low == 0 || x.ID < l.low {
			l.low = x.ID
		}
		l.high = max(l.high, x.ID)
		l.ids[x.ID] = true
	}
	k.page = l
}

// cameByPage is what follows from a page that was accepted.
func (w *watchRun) cameByPage(k *watched, t *watchTask, last captured, now time.Time) {
	if !last.done {
		return
	}
	none := last.outcome == collectors.Failed || slices.ContainsFunc(last.reasons, func(s string) bool { return strings.HasPrefix(s, "posts-unread") })
	switch {
	case t.part == partSweep:
		k.sweeping = false
		if a, ok := tme.ParseAddress(string(last.source), w.site.hosts); ok && k.first != 0 && a.Post == k.first && slices.ContainsFunc(last.reasons, func(s string) bool { return strings.HasPrefix(s, notFound) }) {
			w.notShown(k, catalog.Look{ID: k.first, At: k.firstAt}, now)
		}
		if last.outcome != collectors.Failed {
			k.sweepAt = now
		} else {
			k.sweepAt = now.Add(lookNoMore)
		}
	case t.part == partLook && none:
		k.looking = false
		k.failures++
		k.lookAt = now.Add(min(w.conf.Every<<min(k.failures, 12), max(webLongest, w.conf.Every)))
		w.tell.say(map[string]any{"event": "waiting", "source": k.Source, "part": partLook, "until": holdfast.At(k.lookAt), "why": strings.Join(last.reasons, "; ")},
			"waiting   until %s  %s  (%s)", holdfast.At(k.lookAt), messages.Visible(string(k.Source)), messages.Visible(strings.Join(last.reasons, "; ")))
	case t.part == partLook:
		k.looking, k.failures, k.sweepAt = false, 0, now
		k.lookAt = now.Add(w.conf.Every)
	case t.part == partFurther && last.outcome == collectors.Failed:
		w.tell.say(map[string]any{"event": "gap", "source": k.Source, "capture": last.id, "why": "posts older than those of this page were not seen: " + strings.Join(last.reasons, "; ")},
			"gap       %s  posts older than those of page %s were not seen", messages.Visible(string(k.Source)), messages.Visible(string(last.source)))
	}
}

// polite holds the site's pages while they do not come: longer with each, and says so
// once.
func (w *watchRun) polite(l *lane, last captured, before uint32, now time.Time) {
	if l.every == 0 || last.outcome != collectors.Failed {
		return
	}
	l.fails = before + 1
	l.hold = now.Add(min(webHold<<min(l.fails-1, 10), webHoldMost))
	if w.conf.Pace < time.Second { // who has a site of his own
		l.hold = now.Add(min(time.Second<<min(l.fails-1, 10), webHoldMost))
	}
	if last.again.After(l.hold) {
		l.hold = last.again
	}
	if l.fails == 1 {
		why := "a public page did not come (" + strings.Join(last.reasons, "; ") + "): the others are asked for later, and later each time"
		w.tell.say(map[string]any{"event": "waiting", "source": last.source, "until": holdfast.At(l.hold), "why": why}, "waiting   until %s  %s", holdfast.At(l.hold), messages.Visible(why))
	}
}

// pagesNow says why channels are watched by their public pages now, if they are.
func (n *node) pagesNow() (why string, site publicSite, conf watchConf, err error) {
	c, err := n.crew(time.Now(), nil)
	if err == nil {
		why, site, err = n.pagesInstead(c)
	}
	if err == nil {
		conf, err = n.watchConf()
	}
	return why, site, conf, err
}

// withoutAccount says what is to be said where nobody can ask; "" where somebody can.
func (n *node) withoutAccount() string {
	why, site, conf, err := n.pagesNow()
	names, serr := n.accounts.Names()
	switch {
	case errors.Join(err, serr) != nil || site.base == "" && len(names) > 0 || site.base != "" && why == "":
		return ""
	case why == "":
		return accounts.None
	}
	return why + ": `holdfast telegram login --phone NUMBER` logs one in; until then " + conf.cannotFollow()
}

// standingByPages is how a watch is that is looked at by its pages.
func (n *node) standingByPages(ctx context.Context, w *watch, s *standing, site publicSite, conf watchConf, now time.Time) error {
	name, err := telegram.ParseName(string(w.Source))
	if err != nil {
		return err
	}
	s.Due, s.Late = holdfast.Time{}, 0
	for cp, err := range n.cat.Captures(ctx, catalog.Query{Source: holdfast.Source(tme.ChannelPage(site.base, name.Channel, 0)), Kind: holdfast.KindCapture, Limit: 1}) {
		if err != nil {
			return err
		}
		s.Due = holdfast.At(cp.Started.Add(conf.Every))
		s.Late = max(now.Sub(s.Due.Time), 0).Truncate(time.Second)
		switch {
		case w.Paused != nil:
		case cp.Outcome == string(collectors.Failed):
			s.State = "unreadable"
		default:
			s.State = modePages
		}
	}
	return nil
}

// isFirstWalk says whether a Task looks at pages of a channel none of whose posts was
// known before: they are its history.
func isFirstWalk(t pipeline.Task) bool {
	var o taskOptions
	var p pageOptions
	if json.Unmarshal(t.Options, &o) != nil || json.Unmarshal(o.Collector, &p) != nil || p.Page == nil || p.Page.Walk == nil {
		return false
	}
	return p.Page.Walk.Down == 0
}
