package catalogtest

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"holdfast"
	"holdfast/catalog"
)

// testLooks compares when each post was posted and last heard of with the World's
// own notes, from the newest post down to any age, whatever order the facts came in.
func testLooks(t *testing.T, open Open) {
	w := New(44, 700, 64)
	kinds := map[catalog.FactKind]int{}
	for seed := range uint64(2) {
		c := open(t, t.TempDir())
		give(t, c, w.Facts(t, seed))
		for _, ch := range w.channels {
			id := strconv.FormatInt(ch.id, 10)
			all := ch.looks(holdfast.Time{})
			for _, since := range []holdfast.Time{{}, all[len(all)/3].Posted, all[0].Posted, holdfast.At(w.clock.Add(1e15))} {
				want, got := ch.looks(since), Collect(t, c.Looks(t.Context(), id, since))
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("channel %s since %s: %d looks, want %d:\n%v\n%v", id, since, len(got), len(want), got, want)
				}
			}
			for _, l := range all {
				kinds[l.Kind]++
			}
		}
		if err := c.Accepted(t.Context(), []catalog.Accepted{must(w.page().Accepted())}); err != nil {
			t.Fatal(err)
		}
		ch := w.channels[0]
		if got := Collect(t, c.Looks(t.Context(), strconv.FormatInt(ch.id, 10), holdfast.Time{})); fmt.Sprint(got) != fmt.Sprint(ch.looks(holdfast.Time{})) {
			t.Errorf("a page of the web counts as a look: %v", got)
		}
		id, shown := strconv.FormatInt(ch.id, 10), 0
		for _, p := range ch.posts {
			if !p.gone {
				shown++
			}
		}
		pages := Collect(t, c.PageLooks(t.Context(), id, holdfast.Time{}))
		for i, l := range pages {
			if l.Kind != catalog.Seen || l.At != w.pageAt || !l.Posted.Before(l.At.Time) || i > 0 && pages[i-1].ID <= l.ID {
				t.Errorf("a page showed %+v", l)
			}
		}
		if len(pages) != shown || len(pages) == 0 {
			t.Errorf("a page showed %d posts, want %d", len(pages), shown)
		}
		if got := Collect(t, c.PageLooks(t.Context(), strconv.FormatInt(w.channels[1].id, 10), holdfast.Time{})); len(got) != 0 {
			t.Errorf("no page showed %v", got)
		}
		if got := Collect(t, c.Looks(t.Context(), "77", holdfast.Time{})); len(got) != 0 {
			t.Errorf("a channel that nobody knows: %v", got)
		}
	}
	for k := catalog.Seen; k <= catalog.Told; k++ {
		if kinds[k] < 1 {
			t.Errorf("%d posts were last heard of by %d: %v", kinds[k], k, kinds)
		}
	}
}

// looks is what follows from the notes: the newest posts first, up to MaxOlder
// older ones in a row.
func (c *channel) looks(since holdfast.Time) (out []catalog.Look) {
	kinds := map[string]catalog.FactKind{"seen": catalog.Seen, "empty": catalog.Empty, "empty beside another": catalog.EmptyNext, "deleted": catalog.Told}
	of := map[int64]*catalog.Look{}
	for _, s := range c.seen {
		if s.name {
			continue
		}
		l := of[s.id]
		if l == nil {
			l = &catalog.Look{ID: s.id}
			of[s.id] = l
		}
		if s.what == "seen" {
			l.Posted = c.posts[s.id].posted
		}
		if k := kinds[s.what]; s.at.After(l.At.Time) || s.at == l.At && k > l.Kind {
			l.At, l.Kind = s.at, k
		}
	}
	older := 0
	for id := c.last + 4; id > 0 && older < catalog.MaxOlder; id-- {
		switch l := of[id]; {
		case l == nil || l.Posted.IsZero():
		case l.Posted.Before(since.Time):
			older++
		default:
			older, out = 0, append(out, *l)
		}
	}
	return slices.Clip(out)
}

// page is a page of the web that shows posts of the first channel, later than all
// else.
func (w *World) page() Message {
	c, at := w.channels[0], holdfast.At(w.clock.Add(1e12))
	w.pageAt = at
	m := w.manifest(0, w.id(), holdfast.KindCapture, holdfast.Source("https://t.me/s/"+c.names[0]))
	var show []state
	for n := range c.last + 1 {
		if p := c.posts[n]; p != nil && !p.gone {
			show = append(show, state{n, p.rev})
		}
	}
	body := c.encode(catalog.HowWeb, at, catalog.Reach{}, show, nil, nil)
	o := object("posts.jsonl", body)
	o.Role = catalog.RolePosts
	m.Objects = []holdfast.Object{o}
	return w.message(m, Message{Small: [][]byte{body}, Posts: [][]byte{body}})
}
