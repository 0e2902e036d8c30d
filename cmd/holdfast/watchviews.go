package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/scope"
	"holdfast/tme"
)

const (
	defaultViews = 200 // pages of posts a day of one Case, where nothing else was said
	whatViews    = "public pages of posts"
	whatLinks    = "pages that posts link to"
)

func viewsMost(k *watch) int {
	if k.Views != nil {
		return *k.Views
	}
	return defaultViews
}

// viewHead and viewLine are what is read of posts.jsonl.
type viewHead struct {
	Channel string  `json:"channel"`
	Deleted []int64 `json:"deleted"`
	Absent  []int64 `json:"absent"`
	Count   int     `json:"count"`
}

type viewLine struct {
	ID      int64          `json:"id"`
	Kind    string         `json:"kind"`
	Content hashing.Digest `json:"content"`
	Posted  holdfast.Time  `json:"posted"`
	Edited  holdfast.Time  `json:"edited"`
	Hidden  bool           `json:"edit_hidden"`
}

// view is a post whose public page is wanted, and for what: a content, or that it is gone.
type view struct {
	post int64
	what string
}

// gone is the what of a post that is there no more.
const gone = "gone"

// secondViews makes Tasks of the public pages of posts that an answer of the service
// shows new, edited, or gone, before that is accepted: a crash in between finds them
// there. Of one content of a post the page is captured once, however often it is
// seen: so a reaction asks for none, since the ID follows from watch, post and content.
func (w *watchRun) secondViews(ctx context.Context, t pipeline.Task, o taskOptions, of *watch, channel, base string, posts []byte) (all []pipeline.Task, err error) {
	if base == "" || viewsMost(of) == 0 || !isTelegram(t.Source) || o.Part == partBackfill {
		return nil, nil
	}
	seen := map[view]bool{} // an answer may show a post several times
	for _, v := range viewsOf(of, channel, posts) {
		if seen[v] {
			continue
		}
		seen[v] = true
		k, err := w.viewTask(ctx, t, of, base, v)
		if err != nil {
			return nil, err
		}
		if k != nil {
			all = append(all, *k)
		}
	}
	return all, nil
}

// viewsOf reads which posts these are: posted, or edited for people to see, since the
// watch was added, or gone.
func viewsOf(of *watch, channel string, posts []byte) (all []view) {
	first, rest, _ := bytes.Cut(posts, []byte("\n"))
	var h viewHead
	if json.Unmarshal(first, &h) != nil || h.Channel != channel { // of its comments there are no such pages
		return nil
	}
	since := of.Added.Add(-time.Second) // the service's times are whole seconds
	for line := range bytes.Lines(rest) {
		var l viewLine
		if json.Unmarshal(line, &l) != nil || l.Kind != "message" { // of what is no message the page shows little
			continue
		}
		if l.Posted.After(since) || l.Edited.After(since) && !l.Hidden {
			all = append(all, view{l.ID, l.Content.String()})
		}
	}
	if h.Count > 0 { // else nothing shows that the channel could be read
		for _, id := range h.Absent {
			all = append(all, view{id, gone})
		}
	}
	for _, id := range h.Deleted {
		all = append(all, view{id, gone})
	}
	return all
}

// viewTask is the Task for one page; nil where there is to be none: no Case names an
// egress, none takes it, the day's pages are used up, or there is one already.
func (w *watchRun) viewTask(ctx context.Context, t pipeline.Task, of *watch, base string, v view) (*pipeline.Task, error) {
	name, err := telegram.ParseName(string(of.Source))
	if err != nil {
		return nil, err
	}
	s, err := parseURL(tme.PostPage(base, name.Channel, v.post), of.AllowPrivate)
	if err != nil {
		return nil, nil
	}
	id := viewID(w.queue.Queue, of, v)
	if known, err := w.knownTask(ctx, id, func(queue string) holdfast.ID { return viewID(queue, of, v) }); known || err != nil {
		return nil, err
	}
	for _, home := range of.Cases {
		rec, err := w.r.scopes.of(ctx, w.n, home)
		if err != nil {
			return nil, err
		}
		if rec.Egress == "" || outsideSource(rec, string(s)) != "" || scope.Period(rec, time.Now()) != "" {
			continue
		}
		if !locked(&w.mu, func() bool { return w.may(&w.views, viewsMost(of), of, home, whatViews) }) {
			return nil, nil
		}
		page, err := json.Marshal(pageOptions{&pageWish{}})
		if err != nil {
			return nil, err
		}
		opts, err := json.Marshal(taskOptions{AllowPrivate: of.AllowPrivate, Via: rec.Egress, RetryFor: linkRetry, Watch: of.ID, Part: partView, Collector: page})
		if err != nil {
			return nil, err
		}
		why := fmt.Sprintf("capture %s shows post %d of %s with the content %s", t.Capture(), v.post, of.Source, v.what)
		if v.what == gone {
			why = fmt.Sprintf("capture %s says that post %d of %s is there no more", t.Capture(), v.post, of.Source)
		}
		return &pipeline.Task{ID: id, Source: s, Case: home, Agent: t.Agent, Options: opts, Found: holdfast.Found{How: "second view", Why: why}}, nil
	}
	return nil, nil
}

func viewID(queue string, of *watch, v view) holdfast.ID {
	return derivedID("holdfast watch %s %s view %d %s", queue, of.ID, v.post, v.what)
}

// knownTask says whether a Task is there, at work, or was done, under any name that
// the queue has had.
func (w *watchRun) knownTask(ctx context.Context, id holdfast.ID, of func(queue string) holdfast.ID) (bool, error) {
	for _, queue := range append([]string{w.queue.Queue}, w.queue.Former...) {
		if _, err := w.n.cat.Capture(ctx, holdfast.CaptureID(of(queue), 0, 0)); err == nil {
			return true, nil
		} else if !errors.Is(err, catalog.ErrNotFound) {
			return false, err
		}
	}
	return w.isAsked(id), nil
}

// isView says whether a Task is for the page of one post, and of which.
func (w *watchRun) isView(s holdfast.Source) (post int64, ok bool) {
	a, ok := tme.ParseAddress(string(s), w.site.hosts)
	return a.Post, ok && a.Post > 0
}

// compareViews holds a page that was captured against the service's own record, once
// the catalog knows both, and says what came of it. A crash before that leaves it to
// the next start, which looks at the pages of the last day.
func (t *teller) compareView(ctx context.Context, v viewed) error {
	name := v.name
	var channels []catalog.Channel
	for k, err := range t.n.cat.Channels(ctx, name.Channel) {
		if err != nil {
			return err
		}
		channels = append(channels, k)
	}
	if t.memo == nil {
		t.memo = newComparedMemo()
	}
	t.out.Lock()
	defer t.out.Unlock()
	return t.c.compare(ctx, t.n, name, channels, postsOptions{compare: true, after: true, memo: t.memo, view: v.told()})
}

// viewed is a page of one post that is to be compared.
type viewed struct {
	id    holdfast.ID
	name  telegram.Name
	again bool // it was accepted before this process began
	next  time.Time
	tries int
}

// told is the page of which it is to be said that the post is missing there; none
// where the process before has said so. Unlike a comparison that is in no line of
// custody, nothing tells what it came to: if it was killed just then, nobody is told,
// and `posts --compare` says it.
func (v viewed) told() holdfast.ID {
	if v.again {
		return ""
	}
	return v.id
}

// Of pages that cannot be compared yet: what they hold is on its way into a pack.
const (
	compareAgain = 500 * time.Millisecond
	compareTries = 240
)

// compareViews compares what can be compared now.
func (t *teller) compareViews(ctx context.Context) {
	t.mu.Lock()
	all := t.views
	t.views = nil
	t.mu.Unlock()
	var rest []viewed
	for _, v := range all {
		if time.Now().Before(v.next) {
			rest = append(rest, v)
			continue
		}
		cp, err := t.n.cat.Capture(ctx, v.id)
		if err == nil && cp.State == catalog.Pending { // what was read of the page is whole in the pack
			v.next = time.Now().Add(compareAgain)
			rest = append(rest, v)
			continue
		}
		if err == nil {
			err = t.compareView(ctx, v)
		}
		if err == nil {
			continue
		}
		if v.tries++; v.tries < compareTries && ctx.Err() == nil {
			v.next = time.Now().Add(compareAgain)
			rest = append(rest, v)
			continue
		}
		t.n.log.WarnContext(ctx, "not compared with the public page; `holdfast posts --compare` tries again", "source", v.name.Source(), "err", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.views = append(rest, t.views...)
}

// view notes a page of one post that was accepted, to be compared.
func (t *teller) view(id holdfast.ID, of holdfast.Source, post int64, again bool) {
	name, err := telegram.ParseName(string(of))
	if err != nil {
		return
	}
	name.Post = int(post)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.views = append(t.views, viewed{id: id, name: name, again: again})
}

// countPages begins with what the last day has seen of a Case: pages of posts, which
// have a number a day of their own, and which are to be compared where a crash has
// come before that; others.
func (w *watchRun) countPages(cp catalog.Capture, of *watched, views, others *[]time.Time) {
	a, ok := tme.ParseAddress(string(cp.Source), w.site.hosts)
	switch {
	case ok && a.Post == 0: // so many of them the clock asks for
	case ok:
		if len(*views) < maxLinks {
			*views = append([]time.Time{cp.Started.Time}, *views...)
		}
		if name, err := telegram.ParseName(string(of.Source)); err == nil && name.Channel == a.Channel && cp.Outcome != string(collectors.Failed) {
			w.tell.view(cp.ID, of.Source, a.Post, true)
		}
	case len(*others) < maxLinks:
		*others = append([]time.Time{cp.Started.Time}, *others...)
	}
}

// sameKind are the versions of a post before the i-th that can be compared with it,
// and whether there is one of the other kind: the service's own, or its public page's.
func sameKind(all []catalog.Version, i int) (before int, other bool) {
	web := func(v catalog.Version) bool { return v.First.How == catalog.HowWeb }
	for _, v := range all[:i] {
		if web(v) == web(all[i]) {
			before++
		}
	}
	return before, slices.ContainsFunc(all, func(v catalog.Version) bool { return web(v) != web(all[i]) })
}
