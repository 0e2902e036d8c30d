package telegram

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/tgerr"

	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/tl"
)

// follower follows one channel as a node does: what is kept moves the cursor.
type follower struct {
	t   testing.TB
	c   *Collector
	req collectors.Request
}

func newFollower(t testing.TB, c *Collector, source string) *follower {
	opts, err := json.Marshal(Wish{Follow: true, Account: "a1"})
	if err != nil {
		t.Fatal(err)
	}
	return &follower{t, c, collectors.Request{Source: source, Options: opts}}
}

// kept asks once; there must be an answer to keep.
func (f *follower) kept() step {
	f.t.Helper()
	s, later := f.ask()
	if later != nil {
		f.t.Fatalf("nothing to keep: %v", later)
	}
	return s
}

// idle asks once; there must be nothing new.
func (f *follower) idle() *collectors.Later {
	f.t.Helper()
	s, later := f.ask()
	if later == nil {
		f.t.Fatalf("kept %s %v", s.Outcome, s.Reasons)
	}
	if !later.Idle {
		f.t.Errorf("not idle: %v", later)
	}
	return later
}

func (f *follower) ask() (step, *collectors.Later) {
	f.t.Helper()
	k := &collectorstest.Keeper{}
	a, err := f.c.Collect(f.t.Context(), f.req, k)
	var later *collectors.Later
	if errors.As(err, &later) {
		return step{}, later
	}
	if err != nil {
		f.t.Fatal(err)
	}
	if err := collectorstest.Check(a, k); err != nil {
		f.t.Error(err)
	}
	if a.Next == nil {
		f.t.Fatalf("following ended: %s %v", a.Outcome, a.Reasons)
	}
	f.req.Cursor = a.Next.Cursor
	return step{a, k}, nil
}

func has(s step, code string) bool {
	return slices.ContainsFunc(s.Reasons, func(r collectors.Reason) bool { return r.Code == code })
}

// TestFollow guards what following keeps: each event once, with where it lies in
// the answer and between which places of the channel's sequence; nothing where
// nothing has happened, but for once a day; the same when it is asked again.
func TestFollow(t *testing.T) {
	var fault atomic.Pointer[string]
	var moved atomic.Int64 // hours
	clock := func() time.Time { return time.Now().Add(time.Duration(moved.Load()) * time.Hour) }
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	ch.Verbatim(true)
	for range 5 {
		ch.Post("old")
	}
	s := start(t, w, telegramtest.Options{Fault: func(method string) error {
		if e := fault.Load(); e != nil && method == "updates.getChannelDifference" {
			return tgerr.New(400, *e)
		}
		return nil
	}})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1"), Now: clock})
	f := newFollower(t, c, "telegram:@harbour")

	first := f.kept()
	if id, ok := ChannelOf(f.req.Cursor); !ok || id != 1234 || first.Outcome != collectors.Complete || !first.Next.Due.IsZero() || first.Next.Step != 1 {
		t.Errorf("%+v", first.Next)
	}
	later := f.idle()
	if in := later.At.Sub(clock()); in < 25*time.Second || in > 31*time.Second {
		t.Errorf("asked again in %s", in)
	}

	// What has happened is told once, whole, from place to place.
	from := ch.PTS()
	ch.Post("six")
	ch.Edit(6, "six, revised")
	ch.Edit(6, "six")
	ch.React(3, 7)
	ch.Edit(2, "two, revised")
	ch.Delete(1, 2)
	before := f.req.Cursor
	got := f.kept()
	checkSlices(t, got)
	h, posts := got.posts(t)
	var said []string
	for _, p := range posts {
		said = append(said, fmt.Sprintf("%v %v %v", p["slice"], p["id"], p["text"]))
	}
	if want := "<nil> 6 six, u-0 6 six, revised, u-1 6 six, u-2 3 old, u-3 2 two, revised"; strings.Join(said, ", ") != want {
		t.Errorf("posts %s, want %s", strings.Join(said, ", "), want)
	}
	if h["pts_from"] != float64(from) || h["pts"] != float64(ch.PTS()) || h["final"] != true || fmt.Sprint(h["deleted"]) != "[1 2]" || h["method"] != "updates.getChannelDifference" || h["asked"] != nil {
		t.Errorf("head %v", h)
	}
	if lines := bytes.Count(got.object(t, nameMessages), []byte("\n")); lines != 6 {
		t.Errorf("%d lines in the words of the schema", lines)
	}
	if a, err := catalog.ParseAnswer(got.object(t, namePosts)); err != nil || a.How != catalog.HowDifference || len(a.Posts) != 5 || len(a.Deleted) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
	if in := got.Next.Due.Sub(clock()); got.Outcome != collectors.Complete || in < 25*time.Second || in > 31*time.Second || got.Next.Step != 2 {
		t.Errorf("%s %v, next %+v in %s", got.Outcome, got.Reasons, got.Next, in)
	}

	// Killed before it was kept: the same again.
	f.req.Cursor = before
	if again := f.kept(); !bytes.Equal(again.object(t, nameAnswer), got.object(t, nameAnswer)) || again.Next.Step != got.Next.Step {
		t.Error("asked again with one cursor it is another Capture")
	}
	f.idle()

	// A sequence that moves without a word is kept; so is nothing new, once a day.
	ch.Gap(3)
	if h, posts := f.kept().posts(t); len(posts) != 0 || h["pts"] != float64(ch.PTS()) {
		t.Errorf("a gap: %v", h)
	}
	f.idle()
	moved.Add(25)
	resolved := s.Asked("contacts.resolveUsername")
	if a := f.kept(); len(a.object(t, nameChannel)) == 0 || a.Outcome != collectors.Complete || !a.Next.Due.IsZero() || s.Asked("contacts.resolveUsername") != resolved {
		t.Errorf("a day later: %s %v", a.Outcome, a.Reasons)
	}
	if h, posts := f.kept().posts(t); len(posts) != 0 || h["pts"] != h["pts_from"] || h["final"] != true {
		t.Errorf("a day without news: %v", h)
	}
	f.idle()

	// More than one answer holds: the next at once.
	for i := range 150 {
		ch.Post(fmt.Sprintf("many %d", i))
	}
	a, b := f.kept(), f.kept()
	if !a.Next.Due.IsZero() || b.Next.Due.IsZero() || len(idsIn(t, []step{a, b})) != 150 {
		t.Errorf("150 posts: %d, due %s, %s", len(idsIn(t, []step{a, b})), a.Next.Due, b.Next.Due)
	}

	// Access that is lost is a find once, and once a day, asked for later and later.
	ch.Close("CHANNEL_PRIVATE")
	lost := f.kept()
	if in := lost.Next.Due.Sub(clock()); lost.Outcome != collectors.Failed || !has(lost, "channel-private") || in < 50*time.Second || in > 2*time.Minute {
		t.Errorf("%s %v, again in %s", lost.Outcome, lost.Reasons, in)
	}
	f.idle()
	moved.Add(2)
	if in := f.idle().At.Sub(clock()); in < 110*time.Minute || in > 130*time.Minute {
		t.Errorf("after two hours it is asked again in %s", in)
	}
	moved.Add(23)
	if s := f.kept(); s.Outcome != collectors.Failed {
		t.Errorf("after a day: %s %v", s.Outcome, s.Reasons)
	}
	if in := f.idle().At.Sub(clock()); in > 6*time.Hour+time.Minute {
		t.Errorf("after a day it is asked again in %s", in)
	}
	ch.Edit(3, "while nobody could read it")
	ch.Close("")
	back := f.kept()
	if _, posts := f.kept().posts(t); back.Outcome != collectors.Complete || !has(back, "readable-again") || len(back.object(t, nameChannel)) == 0 || len(posts) != 1 {
		t.Errorf("%s %v, %v", back.Outcome, back.Reasons, posts)
	}
	f.idle()

	// What is told no more is known to be unknown, and the new posts are asked for.
	for i := range 120 {
		ch.Post(fmt.Sprintf("unseen %d", i))
	}
	ch.Delete(100)
	ch.Forget()
	checkBehind(t, c, f.kept(), "difference-too-long", 156, down(276, 157))
	f.idle()
	what := "PERSISTENT_TIMESTAMP_INVALID"
	fault.Store(&what)
	ch.Post("unseen too")
	if s := f.kept(); s.Outcome != collectors.Failed || !has(s, "event-unknown") || len(s.Further) != 1 || !strings.Contains(string(s.Further[0].Options), `"down_to":276`) {
		t.Errorf("%s %v %v", s.Outcome, s.Reasons, s.Further)
	}
	fault.Store(nil)
	if s := f.kept(); len(s.object(t, nameChannel)) == 0 || !has(s, "readable-again") {
		t.Errorf("%v", s.Reasons)
	}
	f.idle()

	// A message that cannot be read hides no more than its neighbours, which the
	// history has.
	for i := range 60 {
		ch.Post(fmt.Sprintf("next to it %d", i))
	}
	ch.Verbatim(false)
	ch.Corrupt(330)
	all := []step{f.kept()}
	for !all[len(all)-1].Next.Due.After(clock()) {
		all = append(all, f.kept())
	}
	if n := len(all); n != 7 || !has(all[0], "unread") || all[0].Outcome != collectors.Partial || len(idsIn(t, all[1:])) != 59-7 {
		t.Errorf("%d captures, %v, %v", n, all[0].Reasons, idsIn(t, all[1:]))
	}
	for _, s := range all[1:] {
		if has(s, "unread") {
			checkBehind(t, c, s, "unread", 327, down(337, 328, 330))
		}
	}
	f.idle()

	// Another account finds the channel for itself, and goes on at the place.
	ch.Post("for another account")
	f.c = NewCollector(CollectorOptions{Line: openLine(t, s, "a2"), Now: clock})
	f.kept()
	if got := idsIn(t, []step{f.kept()}); !slices.Equal(got, []int{338}) {
		t.Errorf("another account: %v", got)
	}
}

// TestFollowPurge: thousands of posts that go at once are all told; of more than a
// reader takes, so many, and that there are more is said.
func TestFollowPurge(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	for range 5000 {
		ch.Post("post")
	}
	f := newFollower(t, NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1")}), "telegram:@harbour")
	f.kept()
	ch.Delete(down(4999, 2)...)
	got := f.kept()
	a, err := catalog.ParseAnswer(got.object(t, namePosts))
	if err != nil || len(a.Deleted) != 4998 || got.Outcome != collectors.Complete {
		t.Errorf("%d deletions, %v, %s", len(a.Deleted), err, got.Outcome)
	}
	f.idle()

	all := &tl.Answer{Updates: []tl.Update{{Channel: 1234, Deleted: down(maxDeleted+5, 1)}, {Channel: 1234, Deleted: []int{7, 0, -3}}, {Channel: 77, Deleted: []int{1 << 20}}}}
	if ids, more := deletions(all, "1234"); !more || len(ids) != maxDeleted || ids[0] != 1 || !slices.IsSorted(ids) {
		t.Errorf("%d, %t", len(ids), more)
	}
	all.Updates = all.Updates[1:]
	if ids, more := deletions(all, "1234"); more || !slices.Equal(ids, []int{7}) {
		t.Errorf("%v, %t", ids, more)
	}
}

// checkBehind holds a Capture that lost events, and the history that it asks for.
func checkBehind(t *testing.T, c *Collector, s step, code string, last int, want []int) {
	t.Helper()
	if s.Outcome != collectors.Partial || !has(s, code) || len(s.Further) != 1 || s.Further[0].Source != "telegram:@harbour" {
		t.Fatalf("%s %v, further %v", s.Outcome, s.Reasons, s.Further)
	}
	var w Wish
	if err := json.Unmarshal(s.Further[0].Options, &w); err != nil || w.DownTo != last || w.Follow || w.Account != "a1" {
		t.Fatalf("%+v, %v; want down to %d", w, err, last)
	}
	got := idsIn(t, walk(t, c, s.Further[0].Source, w, nil))
	for _, id := range want {
		if !slices.Contains(got, id) {
			t.Errorf("post %d is not in the history that is asked for: %v", id, got)
		}
	}
	if h, _ := s.posts(t); (h["too_long"] == true) != (code == "difference-too-long") {
		t.Errorf("head %v", h)
	}
}

// TestFollowReactions: a post that 10,000 react to within a minute, in a channel that
// the service lets be asked each second, makes no more Captures than the service's
// answers have to be; each event is in one of them, in order, and the last counters
// are right. What else happens is not waited with.
func TestFollowReactions(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	ch.Verbatim(true)
	ch.SetTimeout(1)
	ch.Post("one")
	ch.Post("two")
	now := time.Now()
	f := newFollower(t, NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1"), Now: func() time.Time { return now }}), "telegram:@harbour")
	f.kept()
	captures, likes, told, due := 0, 0, 0, now
	last := map[string]any{}
	pts := ch.PTS()
	ask := func() {
		for !due.After(now) {
			s, later := f.ask()
			if later != nil {
				due = later.At
				continue
			}
			captures++
			h, posts := s.posts(t)
			if int(h["pts_from"].(float64)) != pts {
				t.Fatalf("from %v, want %d", h["pts_from"], pts)
			}
			pts, told = int(h["pts"].(float64)), told+len(posts)
			if due = s.Next.Due; len(posts) > 0 {
				last = posts[len(posts)-1]
			}
		}
	}
	for second := range 60 {
		for likes < 10_000*(second+1)/60 {
			likes++
			ch.React(1+likes%2, likes)
		}
		now = now.Add(time.Second)
		ask()
	}
	now = now.Add(countsWait)
	ask()
	if captures < 100 || captures > 105 || told != 10_000 || pts != ch.PTS() || int(last["reactions"].(float64)) != likes {
		t.Errorf("%d captures of %d events up to %d of %d, last %v", captures, told, pts, ch.PTS(), last)
	}
	ch.Edit(1, "an edit")
	now = now.Add(countsWait)
	if ask(); due.Sub(now) > 2*time.Second {
		t.Errorf("after an edit it is asked again in %s", due.Sub(now))
	}
}
