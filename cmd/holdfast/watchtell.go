package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/messages"
)

// Bounds of what the teller remembers.
const (
	tellEvery = 25 * time.Millisecond
	tellIdle  = 250 * time.Millisecond // where this process has told the catalog nothing: another may have
	maxOpen   = 1 << 16                // captures that are not sealed yet: of more, no line says when they are
)

// teller prints one line per event. What an answer says of posts is read from the
// catalog, once it knows the answer: so a line says what `posts` says. It is safe
// for concurrent use.
type teller struct {
	c *cli
	n *node

	mu      sync.Mutex
	out     sync.Mutex // of the lines
	answers []told
	open    []holdfast.ID // not sealed yet, oldest first
	indexed map[holdfast.Source]int
	posts   map[holdfast.ID]int // that accepted captures show
	views   []viewed            // not compared yet
	memo    *comparedMemo       // of the goroutine that tells
}

// told is an answer whose posts are to be told of.
type told struct {
	id      holdfast.ID
	source  holdfast.Source
	quiet   bool
	gap     string
	answers []catalog.Answer
}

func (t *teller) say(object map[string]any, format string, a ...any) {
	t.out.Lock()
	defer t.out.Unlock()
	t.c.say(object, format, a...)
}

// answer notes what an answer says; it comes before accepted for the same Capture.
// The pages of a history are not told post by post: quiet.
func (t *teller) answer(id holdfast.ID, source holdfast.Source, quiet bool, answers []catalog.Answer, a *collectors.Acquired) {
	k := told{id: id, source: source, quiet: quiet, answers: answers}
	for _, r := range a.Reasons {
		if r.Code == "difference-too-long" {
			k.gap = r.Detail
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begun()
	for _, x := range answers {
		t.posts[id] += len(x.Posts)
	}
	t.answers = append(t.answers, k)
	t.indexed[source]++
}

func (t *teller) begun() {
	if t.posts == nil {
		t.posts, t.indexed = map[holdfast.ID]int{}, map[holdfast.Source]int{}
	}
}

// behind says whether the catalog lacks answers of a Source that were accepted.
func (t *teller) behind(source holdfast.Source) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.indexed[source] > 0
}

func (t *teller) accepted(g captured, part string) {
	t.mu.Lock()
	posts := t.posts[g.id]
	delete(t.posts, g.id)
	if len(t.open) == maxOpen {
		t.open = t.open[1:]
	}
	t.open = append(t.open, g.id)
	t.mu.Unlock()
	t.say(map[string]any{"event": "accepted", "id": g.id, "source": g.source, "part": part, "outcome": g.outcome, "posts": posts, "reasons": append([]string{}, g.reasons...), "outside": append([]string{}, g.outside...)},
		"accepted  %s  %-8s  %s  %s, %d posts%s%s", g.id, part, g.outcome, messages.Visible(string(g.source)), posts, reasonText(g.reasons), outsideText(g.outside))
}

func (t *teller) waiting(k *watchTask, source holdfast.Source, until time.Time, err error) {
	t.say(map[string]any{"event": "waiting", "source": source, "part": k.part, "until": holdfast.At(until), "why": shown(err)},
		"waiting   until %s  %s", holdfast.At(until), shown(err))
}

// wait says that the service wants an account to wait with a method. What else the
// account asks goes on.
func (t *teller) wait(account, method string, until time.Time) {
	why := fmt.Sprintf("Telegram tells account %s to wait with %s; what else it asks goes on", account, method)
	t.say(map[string]any{"event": "waiting", "account": account, "method": method, "until": holdfast.At(until), "why": why}, "waiting   until %s  %s", holdfast.At(until), why)
}

// run tells until ctx ends.
func (t *teller) run(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	seen, looked := int64(-1), time.Time{}
	for {
		select {
		case <-ctx.Done():
			t.look(context.WithoutCancel(ctx))
			return
		case now := <-tick.C:
			if told := t.n.told.Load(); told != seen || now.Sub(looked) >= tellIdle {
				seen, looked = told, now
				t.look(ctx)
			}
		}
	}
}

// settle waits until all that was accepted is told as sealed, for so long at most.
func (t *teller) settle(ctx context.Context, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(tellEvery) {
		t.mu.Lock()
		left := len(t.open) + len(t.answers) + len(t.views)
		t.mu.Unlock()
		if left == 0 {
			return
		}
	}
}

func (t *teller) look(ctx context.Context) {
	t.compareViews(ctx)
	t.mu.Lock()
	answers, open := t.answers, t.open
	t.mu.Unlock()
	n := 0
	for n < len(answers) && t.tell(ctx, answers[n]) {
		n++
	}
	for _, k := range answers[:n] {
		t.forget(k)
	}
	if len(open) == 0 || n < len(answers) { // what is sealed comes behind what is in it
		return
	}
	sealed := map[holdfast.ID]bool{}
	t.n.stillOpen(ctx, open, pollAtOnce, func(id holdfast.ID) { sealed[id] = true; t.sealed(id) })
	t.mu.Lock()
	defer t.mu.Unlock()
	rest := t.open[:0:0]
	for _, id := range t.open {
		if !sealed[id] {
			rest = append(rest, id)
		}
	}
	t.open = rest
}

func (t *teller) sealed(id holdfast.ID) {
	t.out.Lock()
	defer t.out.Unlock()
	t.c.saySealed(t.n, id)
}

func (t *teller) forget(k told) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.answers = t.answers[1:]
	if t.indexed[k.source]--; t.indexed[k.source] <= 0 {
		delete(t.indexed, k.source)
	}
}

// tell says what an answer says of posts; false if the catalog does not know it yet.
func (t *teller) tell(ctx context.Context, k told) bool {
	if _, err := t.n.cat.Capture(ctx, k.id); err != nil {
		return false
	}
	if k.gap != "" {
		t.say(map[string]any{"event": "gap", "source": k.source, "capture": k.id, "why": k.gap}, "gap       %s  %s", messages.Visible(string(k.source)), messages.Visible(k.gap))
	}
	if k.quiet {
		return true
	}
	seen := map[int64]bool{}
	for _, x := range k.answers {
		x.Facts(func(id int64, _ catalog.FactKind, _ catalog.Observed) {
			if seen[id] {
				return
			}
			seen[id] = true
			for p, err := range t.n.cat.Posts(ctx, catalog.PostQuery{Channel: x.Channel, Post: id}) {
				if err == nil {
					t.post(k, p)
				}
			}
		})
	}
	return true
}

// post says what this answer was the first to show of a post.
func (t *teller) post(k told, p catalog.Post) {
	for i, v := range p.Versions {
		if v.First.Capture != k.id {
			continue
		}
		what := "new"
		switch before, other := sameKind(p.Versions, i); {
		case before > 0:
			what = "edited"
		case other && v.First.How == catalog.HowWeb:
			continue // the service has told of it, and this is another view of the same
		}
		t.say(map[string]any{"event": "post", "what": what, "source": k.source, "channel": p.Channel, "id": p.ID, "version": i + 1, "posted": stated(v.Posted), "edited": stated(v.Edited),
			"content": v.Content, "text_digest": v.Text, "seen": v.First.At, "how": v.First.How, "capture": k.id}, "%-9s post %d of %s  version %d  seen %s  %s  %s", what, p.ID, k.source, i+1, v.First.At, v.First.How, k.id)
	}
	if g := p.Gone; g != nil && g.Capture == k.id {
		t.say(map[string]any{"event": "post", "what": p.State, "source": k.source, "channel": p.Channel, "id": p.ID, "last_seen": stated(p.LastSeen), "absent_at": g.At, "told": p.Told, "how": g.How, "capture": k.id},
			"%-9s post %d of %s  last seen %s, not there %s  %s  %s", p.State, p.ID, k.source, orNever(p.LastSeen), g.At, g.How, k.id)
	}
}

func orNever(t holdfast.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.String()
}

// healths looks at one channel a turn: whether it has fallen silent.
func (w *watchRun) healths(ctx context.Context, now time.Time) error {
	for _, k := range w.list {
		if k.channel == "" || k.Paused != nil || now.Before(k.healthAt) {
			continue
		}
		k.healthAt = now.Add(healthEvery)
		h, err := w.n.health(ctx, k.channel, now)
		if err != nil {
			return nil // a rebuild is at work: the next look tells
		}
		if h.Silent != k.silent {
			k.silent = h.Silent
			what, text := "silent", h.finding()
			if !h.Silent {
				what, text = "posts-again", fmt.Sprintf("posts again, last %s", h.Last)
			}
			w.tell.say(map[string]any{"event": what, "source": k.Source, "posts_a_day": h.PerDay, "last_post": stated(h.Last), "heard": stated(h.Heard), "why": text},
				"%-9s %s  %s", strings.ToLower(what), messages.Visible(string(k.Source)), text)
		}
		return nil
	}
	return nil
}
