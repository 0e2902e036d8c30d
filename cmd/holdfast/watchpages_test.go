package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/tme"
)

// TestViewsOf guards of which posts the public page is wanted: new or edited since the
// watch was added, and gone; not of older ones, whose reactions are told as edits, nor
// where nothing shows that the channel could be read.
func TestViewsOf(t *testing.T) {
	added := time.Date(2026, 3, 1, 8, 0, 0, 500e6, time.UTC)
	of := &watch{Added: holdfast.At(added)}
	at := func(d time.Duration) string { return added.Add(d).Format("2006-01-02T15:04:05.000Z") }
	content := hashing.Of([]byte("x"))
	line := func(id int, posted, edited time.Duration, more string) string {
		s := fmt.Sprintf(`{"content":"%s","id":%d,"kind":"message","posted":"%s"`, content, id, at(posted))
		if edited != 0 {
			s += fmt.Sprintf(`,"edited":"%s"`, at(edited))
		}
		return s + more + "}\n"
	}
	head := `{"channel":"1001","method":"updates.getChannelDifference","absent":[9],"deleted":[4,5],"count":%d}` + "\n"
	posts := fmt.Sprintf(head, 5) + line(1, -time.Hour, 0, "") + line(2, -time.Hour, time.Minute, `,"edit_hidden":true`) + line(3, -time.Hour, time.Minute, "") +
		line(6, -700*time.Millisecond, 0, "") + line(7, time.Hour, 0, "") + `{"content":"` + content.String() + `","id":8,"kind":"service","posted":"` + at(time.Hour) + "\"}\n" + "{\n"
	got := fmt.Sprint(viewsOf(of, "1001", []byte(posts)))
	c := content.String()
	if want := fmt.Sprint([]view{{3, c}, {6, c}, {7, c}, {9, gone}, {4, gone}, {5, gone}}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := viewsOf(of, "1001", fmt.Appendf(nil, head, 0)); len(got) != 2 {
		t.Errorf("without a control: %v", got)
	}
	if got := viewsOf(of, "1002", []byte(posts)); got != nil {
		t.Errorf("of the comments' channel: %v", got)
	}
}

// TestWalkDown guards a look at the newest page: it goes on below it until it meets
// what was seen before, and no further.
func TestWalkDown(t *testing.T) {
	t.Setenv("HOLDFAST_TELEGRAM_WEB", "")
	for _, c := range []struct {
		low, down int64
		on        bool
	}{{8, 0, true}, {8, 6, true}, {8, 7, false}, {8, 8, false}, {8, 20, false}, {1, 0, false}} {
		p := &tme.Page{At: tme.Address{Channel: "harbour_news"}, Channel: "1", Posts: []tme.Post{{ID: c.low}, {ID: c.low + 1}}}
		a := &collectors.Acquired{Outcome: collectors.Complete}
		if err := (publicPages{n: &node{dir: t.TempDir()}}).walk(a, p, &pageWish{Alone: true, Walk: &pageWalk{Down: c.down}}); err != nil || (len(a.Further) == 1) != c.on {
			t.Errorf("down to %d, lowest %d: %v, %v", c.down, c.low, a.Further, err)
		}
	}
}

// TestPageLook guards what is said to be shown no more: a post between others of the
// newest page, seen before that and not on it.
func TestPageLook(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	k := &watched{}
	k.looked(&tme.Page{Posts: []tme.Post{{ID: 9}, {ID: 5}, {ID: 7}}}, now)
	for id, want := range map[int64]bool{4: false, 5: false, 6: true, 7: false, 8: true, 9: false, 10: false} {
		if got := k.page.misses(catalog.Look{ID: id, At: holdfast.At(now.Add(-time.Minute))}); got != want {
			t.Errorf("post %d is missed: %t", id, got)
		}
	}
	if k.page.misses(catalog.Look{ID: 6, At: holdfast.At(now.Add(time.Minute))}) {
		t.Error("one that was seen later is missed")
	}
	if (*pageLook)(nil).misses(catalog.Look{ID: 6}) {
		t.Error("without a look one is missed")
	}
}

// TestPolite guards a site that does not answer: each page that fails holds the next
// longer, up to an hour, and one that comes ends that; other lanes are not held.
func TestPolite(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	w := &watchRun{conf: watchConf{Pace: defaultWebPace}, tell: &teller{c: &cli{out: io.Discard, errs: io.Discard}}}
	l := &lane{every: defaultWebPace}
	last := time.Duration(0)
	for i := range 12 {
		w.polite(l, captured{outcome: collectors.Failed}, l.fails, now)
		d := l.hold.Sub(now)
		if d < webHold || d > webHoldMost || i > 0 && d < last || i > 0 && i < 6 && d != 2*last {
			t.Errorf("after %d: %s behind %s", i+1, d, last)
		}
		last = d
	}
	if last != webHoldMost {
		t.Errorf("at last it waits %s", last)
	}
	l = &lane{every: defaultWebPace}
	if w.polite(l, captured{outcome: collectors.Partial}, 5, now); !l.hold.IsZero() {
		t.Error("a page that came holds the next")
	}
	if l = (&lane{}); !l.hold.IsZero() {
		t.Error("held")
	}
	if w.polite(l, captured{outcome: collectors.Failed}, 0, now); !l.hold.IsZero() {
		t.Error("another lane is held")
	}
}

// TestSameKind guards what is told as an edit: another version of the same kind; the
// first page of a post that the service has told of is news of nothing.
func TestSameKind(t *testing.T) {
	v := func(how string) catalog.Version { return catalog.Version{First: catalog.Sight{How: how}} }
	all := []catalog.Version{v(catalog.HowHistory), v(catalog.HowWeb), v(catalog.HowDifference), v(catalog.HowWeb)}
	for i, want := range []string{"0 true", "0 true", "1 true", "1 true"} {
		before, other := sameKind(all, i)
		if got := fmt.Sprint(before, " ", other); got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
	if before, other := sameKind(all[1:2], 0); before != 0 || other {
		t.Errorf("of a page alone: %d %t", before, other)
	}
}

// TestNotShownByItsPage guards a post whose own page the schedule has asked for before
// the channel's page was looked at: that it is not there is told then, if that page is
// the first since it was seen.
func TestNotShownByItsPage(t *testing.T) {
	var out bytes.Buffer
	seen := holdfast.At(time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC))
	w := &watchRun{tell: &teller{c: &cli{out: &out, errs: io.Discard, json: true}}}
	w.site.hosts = []string{"t.me"}
	page := func(first, post int64, reasons ...string) int {
		t.Helper()
		out.Reset()
		k := &watched{watch: watch{Source: "telegram:@alpha"}, first: first, firstAt: seen}
		w.cameByPage(k, &watchTask{part: partSweep}, captured{done: true, source: holdfast.Source(tme.PostPage(tme.Base, "alpha", post)), reasons: reasons}, time.Now())
		return strings.Count(out.String(), `"not-shown"`)
	}
	if page(24, 24, notFound+": the page says: Post not found") != 1 || !strings.Contains(out.String(), fmt.Sprintf(`"id":24,"last_seen":"%s"`, seen)) {
		t.Errorf("not told: %s", out.String())
	}
	for name, n := range map[string]int{"one that was told": page(0, 24, notFound+": x"), "one that is there": page(24, 24), "another": page(24, 25, notFound+": x")} {
		if n != 0 {
			t.Errorf("%s is told", name)
		}
	}
}
