package telegram

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
)

// askedFor goes to the end of one that a step asked for.
func askedFor(t *testing.T, c *Collector, f collectors.Further) (all []step) {
	t.Helper()
	r := collectors.Request{Source: f.Source, Options: f.Options}
	for len(all) < 100 {
		k := &collectorstest.Keeper{}
		a, err := c.Collect(t.Context(), r, k)
		if err != nil {
			t.Fatal(err)
		}
		if err := collectorstest.Check(a, k); err != nil {
			t.Error(err)
		}
		all = append(all, step{a, k})
		if a.Next == nil {
			return all
		}
		r.Cursor = a.Next.Cursor
	}
	t.Fatal("no end")
	return nil
}

// linesOf are a file's lines, each its slice.
func linesOf(t *testing.T, s step, name string) (all []map[string]any) {
	t.Helper()
	b := s.object(t, name)
	i := slices.IndexFunc(s.Objects, func(o collectors.Object) bool { return o.Name == name })
	for n, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		cut := s.Objects[i].Slices[n]
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil || canon.Check(line) != nil || string(b[cut.Offset:cut.Offset+cut.Length]) != string(line) {
			t.Errorf("line %d, slice %s: %s: %v", n, cut.Name, line, err)
		}
		all = append(all, m)
	}
	return all
}

// TestComments guards what is kept of a discussion: each comment a post of the group,
// below its post, nobody's name or number in a line, and what has them restricted;
// and that without being asked for nothing of it is asked.
func TestComments(t *testing.T) {
	w := telegramtest.NewWorld()
	ch, group := w.Channel(1234, "harbour", "Harbour"), w.Channel(77, "", "Harbour talk")
	ch.Discuss(group)
	ch.Post("one")
	ch.Post("two")
	for i := range 130 {
		ch.Comment(1, 5_000_000_001+int64(i%3), fmt.Sprintf("comment %d", i))
	}
	broken := ch.Comment(2, 5_000_000_001, "cannot be read")
	ch.Comment(2, 5_000_000_002, "newer")
	group.Corrupt(broken)
	s := start(t, w, telegramtest.Options{})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1")})
	if all := walk(t, c, "telegram:@harbour", Wish{}, nil); len(all[1].Further) != 0 {
		t.Errorf("nobody asked, and it asks for %v", all[1].Further)
	}
	all := walk(t, c, "telegram:@harbour", Wish{Comments: true}, nil)
	if len(all[1].Further) != 2 || all[1].Further[1].Source != "telegram:@harbour/1" || all[1].Further[0].Key != "comments/2" {
		t.Fatalf("it asks for %+v", all[1].Further)
	}
	got := askedFor(t, c, all[1].Further[1])
	people := map[float64]bool{}
	var texts []string
	for i, one := range got {
		h, posts := one.posts(t)
		if h["channel"] != "77" || !reflect.DeepEqual(h["thread"], map[string]any{"channel": "1234", "post": 1.0}) || h["title"] != "Harbour talk" {
			t.Errorf("head %v", h)
		}
		for _, p := range posts {
			texts = append(texts, p["text"].(string))
			if i > 0 {
				people[p["person"].(float64)] = true
			}
		}
		for _, o := range one.Objects {
			b := one.object(t, o.Name)
			if named := bytes.Contains(b, []byte("Person-")) || bytes.Contains(b, []byte("5000000001")); named && !o.Restricted || o.Name == nameAnswer && !o.Restricted {
				t.Errorf("step %d: %s: restricted %t, names somebody %t", i, o.Name, o.Restricted, named)
			}
		}
	}
	if len(got) != 4 || len(texts) != 131 || texts[0] != "one" || texts[1] != "comment 129" || texts[130] != "comment 0" || len(people) != 3 {
		t.Errorf("%d captures, texts %v, people %v", len(got), texts, people)
	}
	// one that cannot be read ends nothing
	got = askedFor(t, c, all[1].Further[0])
	if got[1].Outcome != collectors.Partial || got[1].Reasons[0].Code != "unread" || !slices.Equal(idsIn(t, got[1:]), []int{broken + 1}) {
		t.Errorf("with one that cannot be read: %v %v, %v", got[1].Outcome, got[1].Reasons, idsIn(t, got))
	}
	// another account finds the channel for itself, and goes on to the same
	other := NewCollector(CollectorOptions{Line: openLine(t, s, "a2")})
	if again := askedFor(t, other, all[1].Further[1]); len(again) != len(got)+2 || len(idsIn(t, again)) != 131 {
		t.Errorf("by another account: %d captures, %d posts", len(again), len(idsIn(t, again)))
	}
	// a group that the account cannot read is not the channel
	group.Close("CHANNEL_PRIVATE")
	if shut := askedFor(t, c, all[1].Further[1]); shut[0].Outcome != collectors.Failed || shut[0].Reasons[0].Code != "discussion-private" {
		t.Errorf("the group is closed: %v", shut[0].Reasons)
	}
	// of a post its own alone
	if one := walk(t, c, "telegram:@harbour/2", Wish{Comments: true}, nil); len(one[1].Further) != 1 || one[1].Further[0].Source != "telegram:@harbour/2" {
		t.Errorf("of post 2: %v", one[1].Further)
	}
	if _, err := c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour", Options: []byte(`{"only":"comments"}`)}, &collectorstest.Keeper{}); !errors.Is(err, collectors.ErrRefused) {
		t.Errorf("comments of no post: %v", err)
	}
}

// TestTopics guards that a forum's topics are listed, each with its slice, and that
// each post names the one that it stands in.
func TestTopics(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	ch.Post("before it was a forum")
	var ids []int
	for i := range 230 {
		ids = append(ids, ch.Topic(0, fmt.Sprintf("topic %d", i), false))
	}
	ch.Topic(ids[3], "renamed", true)
	in := ch.Post("in a topic", telegramtest.InTopic(ids[3]))
	general := ch.Post("in none")
	c := NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1")})
	all := walk(t, c, "telegram:@harbour", Wish{}, nil)
	topics := map[float64]float64{}
	for _, s := range all[1:] {
		_, posts := s.posts(t)
		for _, p := range posts {
			topics[p["id"].(float64)] = p["topic"].(float64)
		}
	}
	for id, want := range map[int]int{in: ids[3], general: 1, 1: 1, ids[5]: ids[5]} {
		if topics[float64(id)] != float64(want) {
			t.Errorf("post %d stands in topic %v, want %d", id, topics[float64(id)], want)
		}
	}
	if len(all[0].Further) != 1 || all[0].Further[0].Key != OnlyTopics {
		t.Fatalf("it asks for %v", all[0].Further)
	}
	said := map[float64]map[string]any{}
	got := askedFor(t, c, all[0].Further[0])
	for _, s := range got {
		for _, l := range linesOf(t, s, "topics.jsonl")[1:] {
			said[l["id"].(float64)] = l
		}
		raw := s.object(t, nameAnswer)
		for _, cut := range s.Objects[slices.IndexFunc(s.Objects, func(o collectors.Object) bool { return o.Name == nameAnswer })].Slices {
			if strings.HasPrefix(cut.Name, "t-") && len(raw[cut.Offset:cut.Offset+cut.Length]) < 8 {
				t.Errorf("slice %+v", cut)
			}
		}
		s.posts(t)
	}
	if k := said[float64(ids[3])]; len(said) != 230 || k["title"] != "renamed" || k["closed"] != true || said[float64(ids[4])]["title"] != "topic 4" || len(got) != 4 {
		t.Errorf("%d topics in %d captures, %v", len(said), len(got), k)
	}
}

// TestStories guards that those that can be seen and those that stay are kept, each
// with its slice and its file, that a counter is no change of one, and that nobody is
// told that they were seen.
func TestStories(t *testing.T) {
	w, now := telegramtest.NewWorld(), time.Now().UTC()
	w.Now = func() time.Time { return now }
	ch := w.Channel(1234, "harbour", "Harbour")
	ch.Post("post")
	ch.Story(1, "stays", w.Photo(50, []byte("small"), bytes.Repeat([]byte("y"), 900)), func(s *tg.StoryItem) { s.Pinned = true; s.ExpireDate = int(now.Unix()) - 50 })
	ch.Story(2, "Fire, see @other and https://example.org/", w.Document(60, "film.mp4", "video/mp4", bytes.Repeat([]byte("f"), 700)), func(s *tg.StoryItem) {
		s.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityMention{Offset: 10, Length: 6}, &tg.MessageEntityURL{Offset: 21, Length: 20}})
		var v tg.StoryViews
		v.ViewsCount = 7
		v.SetReactionsCount(3)
		s.SetViews(v)
	})
	s := start(t, w, telegramtest.Options{})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1"), Partial: t.TempDir()})
	all := walk(t, c, "telegram:@harbour", Wish{Stories: true, Media: MediaAll}, nil)
	if len(all[0].Further) != 1 || all[0].Further[0].Key != OnlyStories {
		t.Fatalf("it asks for %v", all[0].Further)
	}
	got := askedFor(t, c, all[0].Further[0])
	if len(got) != 2 {
		t.Fatalf("%d captures", len(got))
	}
	seen, stays := linesOf(t, got[0], "stories.jsonl"), linesOf(t, got[1], "stories.jsonl")
	if seen[0]["channel"] != "1234" || seen[0]["method"] != "stories.getPeerStories" || len(seen) != 2 || len(stays) != 2 {
		t.Fatalf("%v %v", seen, stays)
	}
	if l := seen[1]; l["id"] != 2.0 || l["views"] != 7.0 || l["reactions"] != 3.0 || fmt.Sprint(l["links"]) != "[https://example.org/]" || fmt.Sprint(l["mentions"]) != "[other]" || l["expires"] == nil ||
		!strings.Contains(fmt.Sprint(l["media"]), "video/mp4") || l["content"] == nil {
		t.Errorf("story 2: %v", l)
	}
	if l := stays[1]; l["id"] != 1.0 || l["pinned"] != true || l["text"] != "stays" {
		t.Errorf("story 1: %v", l)
	}
	w.Expire() // the references that were told: a story's is renewed by asking for the story
	for i, want := range []string{strings.Repeat("f", 700), strings.Repeat("y", 900)} {
		if len(got[i].Further) != 1 {
			t.Fatalf("step %d asks for %v", i, got[i].Further)
		}
		file := askedFor(t, c, got[i].Further[0])
		name := map[int]string{0: "file.mp4", 1: "file.jpg"}[i]
		if b := file[0].object(t, name); string(b) != want {
			t.Errorf("file %d: %d bytes: %v", i, len(b), file[0].Reasons)
		}
	}
	ch.Story(2, "Fire, see @other and https://example.org/", w.Document(60, "film.mp4", "video/mp4", bytes.Repeat([]byte("f"), 700)), func(s *tg.StoryItem) {
		s.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityMention{Offset: 10, Length: 6}, &tg.MessageEntityURL{Offset: 21, Length: 20}})
		s.SetViews(tg.StoryViews{ViewsCount: 9})
	})
	again := linesOf(t, askedFor(t, c, all[0].Further[0])[0], "stories.jsonl")
	if again[1]["content"] != seen[1]["content"] || again[1]["views"] != 9.0 {
		t.Errorf("a view is a change: %v, before %v", again[1], seen[1])
	}
	ch.Story(2, "Fire, put out", w.Document(60, "film.mp4", "video/mp4", nil), func(s *tg.StoryItem) { s.Edited = true })
	again = linesOf(t, askedFor(t, c, all[0].Further[0])[0], "stories.jsonl")
	if again[1]["content"] == seen[1]["content"] || again[1]["edited"] != true {
		t.Errorf("an edit is none: %v", again[1])
	}
	if n := s.Asked("stories.told"); n > 0 {
		t.Errorf("the service was told %d times that somebody has looked", n)
	}
}

// TestOldestFirst guards a history from the oldest message on: every one once but for
// an album that a page cuts, what is posted meanwhile too, from a date on, so many,
// past what cannot be read, and the same after a stop at any step.
func TestOldestFirst(t *testing.T) {
	w, now := telegramtest.NewWorld(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.Now = func() time.Time { return now }
	ch := w.Channel(1234, "harbour", "Harbour")
	for i := range 260 {
		ch.Post("post", func(m *tg.Message) {
			if i >= 97 && i < 103 { // ids 98 to 103 are an album
				m.SetGroupedID(5)
			}
		})
		now = now.Add(time.Hour)
	}
	ch.Delete(7, 8)
	c := NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1")})
	up := func(from, to int, but ...int) []int {
		ids := down(to, from, but...)
		slices.Reverse(ids)
		return ids
	}
	once := func(all []step) (ids []int) { // in the order of first sight, each page upwards
		seen := map[int]bool{}
		for _, s := range all {
			page := idsIn(t, []step{s})
			slices.Sort(page)
			for _, id := range page {
				if !seen[id] {
					ids = append(ids, id)
				}
				seen[id] = true
			}
		}
		return ids
	}
	posted := false
	all := walk(t, c, "telegram:@harbour", Wish{OldestFirst: true}, func(all []step) bool {
		if len(all) == 3 && !posted {
			ch.Post("while it walks")
			ch.Delete(1, 2)
			posted = true
		}
		return false
	})
	if got := once(all); !slices.Equal(got, up(1, 261, 7, 8)) {
		t.Errorf("posts %v", got)
	}
	if _, second := all[2].posts(t); second[len(second)-1]["id"].(float64) != 98 { // 1 to 102 came first: the album begins anew
		t.Errorf("the second page begins with %v", second[len(second)-1]["id"])
	}
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(200 * time.Hour)
	if got := once(walk(t, c, "telegram:@harbour", Wish{OldestFirst: true, Since: since}, nil)); !slices.Equal(got, up(201, 261)) && !slices.Equal(got, up(162, 261)) {
		t.Errorf("since: %v", got)
	}
	if got := once(walk(t, c, "telegram:@harbour", Wish{OldestFirst: true, Limit: 120}, nil)); !slices.Equal(got, up(3, 124, 7, 8)) {
		t.Errorf("120 of them: %v", got)
	}
	ch.Corrupt(150)
	got := once(walk(t, c, "telegram:@harbour", Wish{OldestFirst: true}, nil)) // what could be read above it comes before what is below
	slices.Sort(got)
	if !slices.Equal(got, up(3, 261, 7, 8, 150)) {
		t.Errorf("past one that cannot be read: %v", got)
	}
	// a kill after any step, and another account for the next
	other := NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a2")})
	opts, err := json.Marshal(Wish{OldestFirst: true})
	if err != nil {
		t.Fatal(err)
	}
	var turns []step
	r := collectors.Request{Source: "telegram:@harbour", Options: opts}
	for i := 0; ; i++ {
		k := &collectorstest.Keeper{}
		a, err := []*Collector{c, c, other}[i%3].Collect(t.Context(), r, k)
		if err != nil {
			t.Fatal(err)
		}
		if turns = append(turns, step{a, k}); a.Next == nil {
			break
		}
		if r.Cursor = a.Next.Cursor; i > 60 {
			t.Fatal("no end")
		}
	}
	ids := once(turns)
	slices.Sort(ids)
	if !slices.Equal(ids, up(3, 261, 7, 8, 150)) {
		t.Errorf("by two accounts in turn: %v", ids)
	}
}
