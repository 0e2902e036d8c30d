package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/messages"
	"holdfast/pipeline"
	"holdfast/scope"
)

// linkBudget counts the pages of each Case that were begun within a day.
type linkBudget struct {
	begun map[holdfast.ID][]time.Time
	said  map[holdfast.ID]time.Time // when it was told that the budget is used up
}

func (b *linkBudget) begin(home holdfast.ID, begun []time.Time) {
	if b.begun == nil {
		b.begun, b.said = map[holdfast.ID][]time.Time{}, map[holdfast.ID]time.Time{}
	}
	b.begun[home] = begun
}

// take takes one of most a day; first is true where it is the first that is refused.
func (b *linkBudget) take(home holdfast.ID, most int, now time.Time) (ok, first bool) {
	if b.begun == nil {
		b.begun, b.said = map[holdfast.ID][]time.Time{}, map[holdfast.ID]time.Time{}
	}
	day := b.begun[home]
	for len(day) > 0 && now.Sub(day[0]) >= 24*time.Hour {
		day = day[1:]
	}
	if len(day) >= most {
		first = now.Sub(b.said[home]) >= 24*time.Hour
		if b.begun[home] = day; first {
			b.said[home] = now
		}
		return false, first
	}
	b.begun[home] = append(day, now)
	return true, false
}

// countLinks begins with what the last day has seen: every page of a Case counts,
// whoever asked for it. That may be too many; a crash must not give a new budget.
func (w *watchRun) countLinks(ctx context.Context) error {
	day := time.Now().Add(-24 * time.Hour)
	visited := map[holdfast.Source]bool{} // on a schedule of their own
	for _, k := range w.list {
		visited[k.Source] = k.isPage()
	}
	for _, k := range w.list {
		for _, id := range k.Cases {
			if _, counted := w.links.begun[id]; counted {
				continue
			}
			var begun, views []time.Time
			for cp, err := range w.n.cat.Captures(ctx, catalog.Query{Case: id, Kind: holdfast.KindCapture}) {
				if err != nil {
					return err
				}
				if cp.Started.Before(day) {
					break
				}
				if strings.HasPrefix(string(cp.Source), "http") && !visited[cp.Source] {
					w.countPages(cp, k, &views, &begun)
				}
			}
			w.links.begin(id, begun)
			w.views.begin(id, views)
		}
	}
	return nil
}

// linkLine is what promotion reads of a line of posts.jsonl.
type linkLine struct {
	ID      int64          `json:"id"`
	Content hashing.Digest `json:"content"`
	Posted  holdfast.Time  `json:"posted"`
	Links   []string       `json:"links"`
}

// promote makes Tasks of the pages that posts link to, before the answer that shows
// them is accepted: a crash in between finds the Tasks there. A page is captured
// once for each post, however often the post is seen: the Task's ID follows from
// watch, post and address, so the Capture's does, and the catalog knows of that.
func (w *watchRun) promote(ctx context.Context, t pipeline.Task, o taskOptions, a *collectors.Acquired) error {
	if o.Watch == "" || o.Part == partLink {
		return nil
	}
	w.mu.Lock()
	k := w.list[o.Watch]
	var of watch
	channel, base := "", w.site.base
	if k != nil {
		of, channel = k.watch, k.channel
	}
	w.mu.Unlock()
	if k == nil {
		return nil
	}
	var all []pipeline.Task
	for _, obj := range a.Objects {
		if obj.Role != catalog.RolePosts {
			continue
		}
		b, err := w.n.objectBytes(obj)
		if err != nil {
			return err
		}
		if of.Links == nil || *of.Links > 0 {
			ts, err := w.linksIn(ctx, t, o, &of, b)
			if err != nil {
				return err
			}
			all = append(all, ts...)
		}
		ts, err := w.secondViews(ctx, t, o, &of, channel, base, b)
		if err != nil {
			return err
		}
		all = append(all, ts...)
	}
	if len(all) == 0 {
		return nil
	}
	if _, err := w.n.queue.AddTasks(ctx, all...); err != nil {
		return fmt.Errorf("add the pages that posts of %s link to: %w", t.Source, err)
	}
	w.asked(all)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.once == nil || len(w.once) > maxOnce {
		w.once = map[holdfast.ID]bool{}
	}
	for _, k := range all {
		w.once[k.ID] = true
	}
	return nil
}

// maxOnce bounds what is remembered of pages that were asked for.
const maxOnce = 1 << 16

// linksIn finds the pages in one Object of posts that were posted since the watch
// was added.
func (w *watchRun) linksIn(ctx context.Context, t pipeline.Task, o taskOptions, of *watch, posts []byte) (all []pipeline.Task, err error) {
	_, rest, _ := bytes.Cut(posts, []byte("\n")) // behind the head
	for line := range bytes.Lines(rest) {
		if !bytes.Contains(line, []byte(`"links":[`)) {
			continue
		}
		var l linkLine
		if json.Unmarshal(line, &l) != nil || l.Posted.Add(time.Second).Before(of.Added.Time) { // the service's times are whole seconds
			continue
		}
		for _, link := range l.Links {
			k, err := w.linkTask(ctx, t, of, l, link)
			if err != nil {
				return nil, err
			}
			if k != nil {
				all = append(all, *k)
			}
		}
	}
	return all, nil
}

// linkTask is the Task for one page; nil where there is none to be: what is no
// page, what no Case takes, what was captured for this post already.
func (w *watchRun) linkTask(ctx context.Context, t pipeline.Task, of *watch, l linkLine, link string) (*pipeline.Task, error) {
	if !strings.Contains(link, "://") {
		link = "https://" + link // people write example.org/page, and clients take it for that
	}
	s, err := parseURL(link, of.AllowPrivate)
	if err != nil || isTelegram(s) {
		return nil, nil
	}
	id := linkID(w.queue.Queue, of, l, s)
	for _, queue := range append([]string{w.queue.Queue}, w.queue.Former...) {
		if _, err := w.n.cat.Capture(ctx, holdfast.CaptureID(linkID(queue, of, l, s), 0, 0)); err == nil {
			return nil, nil
		} else if !errors.Is(err, catalog.ErrNotFound) {
			return nil, err
		}
	}
	if w.isAsked(id) {
		return nil, nil
	}
	for _, home := range of.Cases {
		rec, err := w.r.scopes.of(ctx, w.n, home)
		if err != nil {
			return nil, err
		}
		if rec.Egress == "" || outsideSource(rec, string(s)) != "" || scope.Period(rec, time.Now()) != "" || !w.mayLink(of, home) {
			continue
		}
		opts, err := json.Marshal(taskOptions{AllowPrivate: of.AllowPrivate, Via: rec.Egress, RetryFor: linkRetry, Watch: of.ID, Part: partLink})
		if err != nil {
			return nil, err
		}
		w.tell.say(map[string]any{"event": "link", "source": s, "post": l.ID, "of": of.Source, "capture": t.Capture(), "case_id": home}, "link      %s  of post %d of %s", messages.Visible(string(s)), l.ID, of.Source)
		return &pipeline.Task{ID: id, Source: s, Case: home, Agent: t.Agent, Options: opts,
			Found: holdfast.Found{How: "named by another capture", Why: linkWhy(l, of.Source, t.Capture())}}, nil
	}
	return nil, nil
}

// linkID follows from all that makes a page one of a post.
func linkID(queue string, of *watch, l linkLine, page holdfast.Source) holdfast.ID {
	return derivedID("holdfast watch %s %s link %d %s", queue, of.ID, l.ID, page)
}

// linkWhy is why a page was captured, in its Manifest; linkFrom reads it.
func linkWhy(l linkLine, of holdfast.Source, in holdfast.ID) string {
	return fmt.Sprintf("post %d of %s, content %s, in capture %s, links to it", l.ID, of, l.Content, in)
}

// linkFrom says which Capture made a page be captured, and for which post: 0 where it
// was asked for as a whole, and the Capture names the page (addFurther). "" where
// nothing of the kind is said.
func linkFrom(f holdfast.Found) (by holdfast.ID, post int64) {
	w := strings.Fields(f.Why)
	switch {
	case len(w) == 12 && w[0] == "post" && w[7] == "capture":
		n, err := strconv.ParseInt(w[1], 10, 64)
		if err != nil || n <= 0 {
			return "", 0
		}
		by, post = holdfast.ID(strings.TrimSuffix(w[8], ",")), n
	case len(w) > 0:
		by = holdfast.ID(w[0])
	}
	if _, err := holdfast.ParseID(string(by)); err != nil {
		return "", 0
	}
	return by, post
}

// linkRetry is for how long a page is tried again that did not come.
const linkRetry = time.Hour

// isAsked says whether a page waits already, is at work, or was captured while this
// process runs: the catalog may not know of it yet.
func (w *watchRun) isAsked(id holdfast.ID) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.fresh {
		if t.ID == id {
			return true
		}
	}
	return w.tasks[id] != nil || w.once[id]
}

func (w *watchRun) mayLink(of *watch, home holdfast.ID) bool {
	most := defaultLinks
	if of.Links != nil {
		most = *of.Links
	}
	return locked(&w.mu, func() bool { return w.may(&w.links, most, of, home, whatLinks) })
}

// may takes one page of a day's, and says it where there are no more.
func (w *watchRun) may(b *linkBudget, most int, of *watch, home holdfast.ID, what string) bool {
	ok, first := b.take(home, most, time.Now())
	if first {
		flag := map[string]string{whatLinks: "--links", whatViews: "--web"}[what]
		w.tell.say(map[string]any{"event": "budget", "source": of.Source, "case_id": home, "pages": most, "what": what},
			"budget    %d %s a day are used up in case %s: no more are captured for now; `holdfast watch add %s %s N` gives more", most, what, home, of.Source, flag)
	}
	return ok
}
