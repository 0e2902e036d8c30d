package telegram

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"holdfast/canon"
	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/hashing"
	"holdfast/tl"
)

// line opens one for the length of a test.
func openLine(t testing.TB, s *telegramtest.Server, account string) *Line {
	t.Helper()
	return openLineBy(t, s, account, nil)
}

// openLineBy opens one with a clock of the test's own.
func openLineBy(t testing.TB, s *telegramtest.Server, account string, now func() time.Time) *Line {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	got, done := make(chan *Line), make(chan error, 1)
	o, a := options(t, s), Account{Name: account, Session: loggedIn(t, s)}
	o.Now = now
	go func() {
		done <- o.Run(ctx, a, func(ctx context.Context, l *Line) error { got <- l; <-ctx.Done(); return nil })
	}()
	t.Cleanup(func() { stop(); <-done })
	select {
	case l := <-got:
		return l
	case err := <-done:
		t.Fatal(err)
		return nil
	}
}

// step is one Capture of a walk, with what it kept.
type step struct {
	*collectors.Acquired
	k *collectorstest.Keeper
}

func (s step) object(t testing.TB, name string) []byte {
	t.Helper()
	b, err := s.k.Bytes(s.Acquired, name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// walk asks until the Source is done; stop may end it before.
func walk(t testing.TB, c *Collector, source string, w Wish, stop func([]step) bool) (all []step) {
	t.Helper()
	opts, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	r := collectors.Request{Source: source, Options: opts}
	for {
		k := &collectorstest.Keeper{}
		a, err := c.Collect(t.Context(), r, k)
		if err != nil {
			t.Fatalf("step %d: %v", len(all), err)
		}
		if err := collectorstest.Check(a, k); err != nil {
			t.Errorf("step %d: %v", len(all), err)
		}
		all = append(all, step{a, k})
		if a.Next == nil || stop != nil && stop(all) {
			return all
		}
		if len(all) > 1000 {
			t.Fatal("no end")
		}
		r.Cursor = a.Next.Cursor
	}
}

// lines are the post lines of all steps by slice, which must be the lines.
func (s step) posts(t testing.TB) (h map[string]any, posts []map[string]any) {
	t.Helper()
	b := s.object(t, namePosts)
	i := slices.IndexFunc(s.Objects, func(o collectors.Object) bool { return o.Name == namePosts })
	for n, line := range bytes.Split(bytes.TrimSuffix(b, []byte("\n")), []byte("\n")) {
		if err := canon.Check(line); err != nil {
			t.Errorf("line %d: %v: %s", n, err, line)
		}
		cut := s.Objects[i].Slices[n]
		if string(b[cut.Offset:cut.Offset+cut.Length]) != string(line) {
			t.Errorf("slice %s is not line %d", cut.Name, n)
		}
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			h = m
			continue
		}
		if said, ok := m["slice"].(string); ok && cut.Name != said || !ok && cut.Name != fmt.Sprintf("m-%v", m["id"]) {
			t.Errorf("slice %s of post %v", cut.Name, m)
		}
		posts = append(posts, m)
	}
	if len(posts) != int(h["count"].(float64)) {
		t.Errorf("%d posts, the head counts %v", len(posts), h["count"])
	}
	return h, posts
}

func idsIn(t testing.TB, all []step) (ids []int) {
	t.Helper()
	for _, s := range all {
		if slices.ContainsFunc(s.Objects, func(o collectors.Object) bool { return o.Name == namePosts }) {
			_, posts := s.posts(t)
			for _, p := range posts {
				ids = append(ids, int(p["id"].(float64)))
			}
		}
	}
	return ids
}

// checkSlices holds every slice of an answer against what the service has.
func checkSlices(t testing.TB, s step) {
	t.Helper()
	raw := s.object(t, nameAnswer)
	for _, o := range s.Objects {
		for _, cut := range o.Slices {
			b := s.object(t, o.Name)[cut.Offset : cut.Offset+cut.Length]
			id, isMessage := strings.CutPrefix(cut.Name, "m-")
			if !isMessage {
				checkUpdate(t, o.Name, b)
				continue
			}
			switch o.Name {
			case nameAnswer:
				m, err := tg.DecodeMessage(&bin.Buffer{Buf: b})
				if err != nil || fmt.Sprint(m.GetID()) != id {
					t.Errorf("slice %s: %v %v", cut.Name, m, err)
					continue
				}
				var again bin.Buffer
				if err := m.Encode(&again); err != nil || !bytes.Equal(again.Buf, b) {
					t.Errorf("slice %s is not all of the message: %v", cut.Name, err)
				}
			case nameMessages:
				var m struct {
					ID int `json:"id"`
				}
				if err := json.Unmarshal(b, &m); err != nil || fmt.Sprint(m.ID) != id {
					t.Errorf("slice %s of %s: %v %s", cut.Name, o.Name, err, b)
				}
			}
		}
	}
	var e exchangeDoc
	if err := canon.Unmarshal(s.object(t, nameExchange), &e); err != nil || *e.Answer != hashing.Of(raw) || e.Request != hashing.Of(s.object(t, nameRequest)) ||
		e.Account != s.Collection.Account || e.DC != telegramtest.MainDC || e.Layer != tl.Layer {
		t.Errorf("exchange %+v: %v", e, err)
	}
}

func checkUpdate(t testing.TB, object string, b []byte) {
	t.Helper()
	switch object {
	case nameAnswer:
		u, err := tg.DecodeUpdate(&bin.Buffer{Buf: b})
		if err != nil {
			t.Errorf("%x is no update: %v", b, err)
			return
		}
		var again bin.Buffer
		if err := u.Encode(&again); err != nil || !bytes.Equal(again.Buf, b) {
			t.Errorf("%T is not all of it: %v", u, err)
		}
	case nameMessages:
		if !bytes.HasPrefix(b, []byte(`{"_":"update`)) || !json.Valid(b) {
			t.Errorf("no update: %s", b)
		}
	}
}

func down(from, to int, but ...int) (ids []int) {
	for id := from; id >= to; id-- {
		if !slices.Contains(but, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestCollector runs the suite of all Collectors.
func TestCollector(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	for range 250 {
		ch.Post(strings.Repeat("fire ", 800))
	}
	s := start(t, w, telegramtest.Options{Fault: func(method string) error {
		if method == "channels.getMessages" {
			return tgerr.New(420, "FLOOD_WAIT_30")
		}
		return nil
	}})
	l := openLine(t, s, "a1")
	first, err := NewCollector(CollectorOptions{Line: l}).Collect(t.Context(), collectors.Request{Source: "telegram:@harbour"}, &collectorstest.Keeper{})
	if err != nil {
		t.Fatal(err)
	}
	cur := fmt.Sprintf(`{"account":"a1","channel":1234,"hash":%d,"step":1,"high":9,"low":1}`, ch.AccessHash)
	collectorstest.Run(t, collectorstest.Setup{
		New:    func(*testing.T) collectors.Collector { return NewCollector(CollectorOptions{Line: l}) },
		Good:   collectors.Request{Source: "telegram:@harbour", Cursor: first.Next.Cursor},
		Absent: collectors.Request{Source: "telegram:@nobody_has_it"},
		Slow:   collectors.Request{Source: "telegram:@harbour", Cursor: []byte(cur)},
		Refused: []string{"", "https://t.me/harbour", "@harbour", "telegram:harbour", "telegram:@Harbour", "telegram:@abc", "telegram:@harbour/0",
			"telegram:@harbour/1/2", "telegram:+invitation", "received:000102030405060708090a0b0c0d0e0f"},
		Steps: 3,
	})
}

// TestHistory guards a whole channel: every message once, from the newest to the
// oldest, each slice the bytes of its message, whatever the service packs.
func TestHistory(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "Harbour", "Harbour news")
	for i := range 250 {
		ch.Post(fmt.Sprintf("post %d", i+1))
	}
	const odd = "edited \u2028 \x00 \"<&>\xff"
	ch.Edit(7, odd)
	ch.React(8, 3)
	ch.Delete(9, 10, 151)
	s := start(t, w, telegramtest.Options{GZIP: true})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1"), Training: true})
	all := walk(t, c, "telegram:@harbour", Wish{}, nil)
	if got := idsIn(t, all); !slices.Equal(got, down(250, 1, 9, 10, 151)) {
		t.Errorf("posts %v", got)
	}
	if len(all) != 4 {
		t.Errorf("%d captures", len(all))
	}
	for i, a := range all[1:] {
		checkSlices(t, a)
		h, posts := a.posts(t)
		if h["channel"] != "1234" || h["method"] != "messages.getHistory" || h["title"] != "Harbour news" || fmt.Sprint(h["names"]) != "[harbour]" || h["unread"] != nil || h["training"] != true {
			t.Errorf("head %v", h)
		}
		for _, p := range posts {
			switch id := int(p["id"].(float64)); id {
			case 7:
				if fmt.Sprint(p["text"]) != "map[base64:"+base64.StdEncoding.EncodeToString([]byte(odd))+"]" || p["edited"] == nil {
					t.Errorf("post 7: %v", p)
				}
			case 8:
				if p["reactions"] != 3.0 || p["edit_hidden"] != true || p["text"] != "post 8" || p["text_digest"] != hashing.Of([]byte("post 8")).String() {
					t.Errorf("post 8: %v", p)
				}
			}
		}
		if a.Outcome != collectors.Complete || a.Collection.Account != "a1" || i < 2 && a.Next.Step != uint64(i+2) {
			t.Errorf("%+v", a.Acquired)
		}
	}
	var first channelState
	if err := canon.Unmarshal(all[0].object(t, nameChannel), &first); err != nil || first.Channel != "1234" || first.Title != "Harbour news" || !slices.Equal(first.Names, []string{"harbour"}) {
		t.Errorf("channel %+v: %v", first, err)
	}
	for _, n := range []string{"resolve.answer.tl", "resolve.request.tl", "resolve.exchange.json", "channel.answer.tl", "channel.request.tl", "channel.exchange.json"} {
		if len(all[0].object(t, n)) == 0 {
			t.Errorf("%s is empty", n)
		}
	}
	if again := walk(t, c, "telegram:@harbour", Wish{}, nil); !slices.Equal(idsIn(t, again), idsIn(t, all)) {
		t.Error("asked again it is another history")
	}
}

// TestHistoryBounds guards --limit, --since, and what is posted and deleted while
// the walk goes on.
func TestHistoryBounds(t *testing.T) {
	w, now := telegramtest.NewWorld(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	w.Now = func() time.Time { return now }
	ch := w.Channel(1234, "harbour", "Harbour")
	for range 260 {
		ch.Post("post")
		now = now.Add(time.Hour)
	}
	s := start(t, w, telegramtest.Options{})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1")})
	for limit, want := range map[int]int{1: 260, 7: 254, 100: 161, 101: 160, 250: 11, 260: 1, 1000: 1} {
		if got := idsIn(t, walk(t, c, "telegram:@harbour", Wish{Limit: limit}, nil)); !slices.Equal(got, down(260, want)) {
			t.Errorf("limit %d: %v", limit, got)
		}
	}
	since := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(220 * time.Hour)
	if got := idsIn(t, walk(t, c, "telegram:@harbour", Wish{Since: since}, nil)); !slices.Equal(got, down(260, 161)) {
		t.Errorf("since: %v", got)
	}
	got := idsIn(t, walk(t, c, "telegram:@harbour", Wish{}, func(all []step) bool {
		if len(all) == 2 {
			ch.Delete(250, 100, 161, 160, 159)
			ch.Post("while it walks")
		}
		return false
	}))
	if !slices.Equal(got, down(260, 1, 100, 160, 159)) {
		t.Errorf("posted and deleted meanwhile: %v", got)
	}
}

// TestHistoryAlbums: an album is whole in one answer, wherever the pages end.
func TestHistoryAlbums(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	for i := range 300 {
		ch.Post("post", func(m *tg.Message) {
			if g := i / 7; g%2 == 0 {
				m.SetGroupedID(int64(1000 + g))
			}
		})
	}
	s := start(t, w, telegramtest.Options{})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1")})
	for _, wish := range []Wish{{}, {Limit: 102}, {Limit: 5}, {Limit: 4}} {
		whole, members := map[string]bool{}, map[string]int{}
		seen := map[int]bool{}
		for _, a := range walk(t, c, "telegram:@harbour", wish, nil)[1:] {
			_, posts := a.posts(t)
			here := map[string]int{}
			for _, p := range posts {
				seen[int(p["id"].(float64))] = true
				if g, ok := p["album"].(string); ok {
					here[g]++
				}
			}
			for g, n := range here {
				members[g] = max(members[g], n)
				whole[g] = whole[g] || n == 7 || g == "1042" && n == 6
			}
		}
		cut := 0
		for g := range members {
			if !whole[g] {
				cut++
			}
		}
		want := 300
		if wish.Limit > 0 {
			want = wish.Limit
		}
		if len(seen) < want || cut > 1 || wish.Limit == 0 && (cut > 0 || len(seen) != 300) {
			t.Errorf("%+v: %d posts, %d albums cut: %v", wish, len(seen), cut, members)
		}
	}
}

// TestHistoryUnread guards the promise that an unknown constructor loses nothing:
// the page is kept as it came, all others are read, and it is alone in an answer.
func TestHistoryUnread(t *testing.T) {
	cases := [][]int{{120}, {150}, {1}, {250}, {250, 249}, {150, 149, 148, 51, 7}}
	w := telegramtest.NewWorld()
	for n, bad := range cases {
		ch := w.Channel(int64(n+1), fmt.Sprintf("harbour%d", n), "Harbour")
		for range 250 {
			ch.Post("post")
		}
		for _, id := range bad {
			ch.Corrupt(id)
		}
		ch.Delete(119, 60)
	}
	c := NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1")})
	for n, bad := range cases {
		all := walk(t, c, fmt.Sprintf("telegram:@harbour%d", n), Wish{}, nil)
		got := idsIn(t, all)
		slices.Sort(got)
		if got = slices.Compact(got); len(got) != 248-len(bad) {
			t.Errorf("%v: %d posts are read, want %d", bad, len(got), 248-len(bad))
		}
		for _, id := range bad {
			if slices.Contains(got, id) {
				t.Errorf("post %d is read", id)
			}
		}
		alone := map[int]bool{}
		for _, a := range all[1:] {
			h, posts := a.posts(t)
			if h["unread"] == nil {
				continue
			}
			if a.Outcome != collectors.Partial || !strings.Contains(fmt.Sprint(a.Reasons), "unread") {
				t.Errorf("%v: %s %v", bad, a.Outcome, a.Reasons)
			}
			if asked, ok := h["asked"].([]any); ok && len(asked) == 1 && len(posts) == 0 {
				alone[int(asked[0].(float64))] = true
			}
		}
		for _, id := range bad {
			if !alone[id] {
				t.Errorf("%v: %d is alone in no answer: %v", bad, id, alone)
			}
		}
		if len(all) > 6+4*len(bad) {
			t.Errorf("%v: %d captures", bad, len(all))
		}
	}
}

// TestHistoryResumed guards what a crash leaves: a walk that goes on from any
// Cursor, in another process, with another account, tells the same.
func TestHistoryResumed(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	for i := range 250 {
		ch.Post("post", func(m *tg.Message) { m.SetGroupedID(int64(i / 9)) })
	}
	ch.Corrupt(77)
	s := start(t, w, telegramtest.Options{})
	one, two := openLine(t, s, "a1"), openLine(t, s, "a2")
	whole := walk(t, NewCollector(CollectorOptions{Line: one}), "telegram:@harbour", Wish{}, nil)
	want := idsIn(t, whole)
	r, all, used := collectors.Request{Source: "telegram:@harbour"}, []step(nil), map[uint64]bool{0: true}
	for {
		k := &collectorstest.Keeper{}
		if _, err := NewCollector(CollectorOptions{Line: one}).Collect(t.Context(), r, &collectorstest.Keeper{}); err != nil {
			t.Fatal(err) // killed before it was kept
		}
		a, err := NewCollector(CollectorOptions{Line: one}).Collect(t.Context(), r, k)
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, step{a, k}); a.Next == nil {
			break
		}
		if used[a.Next.Step] {
			t.Fatalf("step %d again", a.Next.Step)
		}
		used[a.Next.Step], r.Cursor = true, a.Next.Cursor
	}
	if !slices.Equal(idsIn(t, all), want) || len(all) != len(whole) {
		t.Errorf("resumed: %v, want %v", idsIn(t, all), want)
	}
	// With another account the name is resolved again, and the walk goes on.
	half := walk(t, NewCollector(CollectorOptions{Line: one}), "telegram:@harbour", Wish{}, func(all []step) bool { return len(all) == 2 })
	r.Cursor = half[1].Next.Cursor
	for {
		k := &collectorstest.Keeper{}
		a, err := NewCollector(CollectorOptions{Line: two}).Collect(t.Context(), r, k)
		if err != nil {
			t.Fatal(err)
		}
		half = append(half, step{a, k})
		if a.Next == nil {
			break
		}
		r.Cursor = a.Next.Cursor
	}
	if !slices.Equal(idsIn(t, half), want) || len(half) != len(whole)+1 {
		t.Errorf("with another account: %d captures of %d, %v", len(half), len(whole), idsIn(t, half))
	}
}

// TestFlood: a wait that fits is waited, and said; one that does not is when the
// Task is due again. Neither asks before its time.
func TestFlood(t *testing.T) {
	var next atomic.Int64
	w := telegramtest.NewWorld()
	w.Channel(1234, "harbour", "Harbour").Post("one")
	s := start(t, w, telegramtest.Options{Fault: func(method string) error {
		if n := next.Swap(0); n > 0 {
			return tgerr.New(420, fmt.Sprintf("FLOOD_WAIT_%d", n))
		}
		return nil
	}})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1")})
	next.Store(1)
	began := time.Now()
	a, err := c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour"}, &collectorstest.Keeper{})
	if err != nil || time.Since(began) < time.Second || !strings.Contains(fmt.Sprint(a.Collection.Notes), "waited") || s.Asked("contacts.resolveUsername") != 2 {
		t.Errorf("%+v, %v after %s", a, err, time.Since(began))
	}
	next.Store(3600)
	a, err = c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour"}, &collectorstest.Keeper{})
	var later *collectors.Later
	if !errors.As(err, &later) || a != nil || time.Until(later.At) < 59*time.Minute || !strings.Contains(later.Why, "a1") || s.Asked("contacts.resolveUsername") != 3 {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestGone guards what is told apart when a channel cannot be read: each is a find
// with what was asked and what the service said.
func TestGone(t *testing.T) {
	var code atomic.Pointer[string]
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	ch.Post("one")
	s := start(t, w, telegramtest.Options{Fault: func(method string) error {
		if c := code.Load(); c != nil && method == "contacts.resolveUsername" {
			return tgerr.New(500, *c)
		}
		return nil
	}})
	l := openLine(t, s, "a1")
	c := NewCollector(CollectorOptions{Line: l})
	first, err := c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour"}, &collectorstest.Keeper{})
	if err != nil {
		t.Fatal(err)
	}
	try := func(source string, cur []byte, reason, said string) {
		t.Helper()
		k := &collectorstest.Keeper{}
		a, err := c.Collect(t.Context(), collectors.Request{Source: source, Cursor: cur}, k)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			return
		}
		if err := collectorstest.Check(a, k); err != nil {
			t.Error(err)
		}
		if a.Outcome != collectors.Failed || len(a.Reasons) != 1 || a.Reasons[0].Code != reason || a.Next != nil {
			t.Errorf("%s: %s %v", source, a.Outcome, a.Reasons)
		}
		found := false
		for _, o := range a.Objects {
			if o.Role == RoleExchange {
				b, _ := k.Bytes(a, o.Name)
				found = found || strings.Contains(string(b), said)
			}
		}
		if !found {
			t.Errorf("%s: no exchange says %s", source, said)
		}
	}
	try("telegram:@nobody_has_it", nil, "no-such-name", "USERNAME_NOT_OCCUPIED")
	ch.Close("CHANNEL_PRIVATE")
	try("telegram:@harbour", nil, "channel-private", "CHANNEL_PRIVATE")
	try("telegram:@harbour", first.Next.Cursor, "channel-private", "CHANNEL_PRIVATE")
	ch.Close("CHANNEL_INVALID")
	try("telegram:@harbour", first.Next.Cursor, "channel-gone", "CHANNEL_INVALID")
	ch.Close("")
	what := "INTERDC_2_CALL_ERROR"
	code.Store(&what)
	try("telegram:@harbour", nil, "service-error", what)
	code.Store(nil)
	s.LogOut()
	if _, err := c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour"}, &collectorstest.Keeper{}); !errors.Is(err, ErrLoggedOut) {
		t.Errorf("logged out: %v", err)
	}
}

// TestPost guards one post: it comes with its neighbours, those that are not there
// are said to be absent, and what it links to is asked for.
func TestPost(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	for i := range 40 {
		ch.Post("post", func(m *tg.Message) {
			if i+1 == 20 || i+1 == 21 {
				m.SetGroupedID(5)
				m.Message = "🔥 see example.org/a and @Other_name"
				m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityURL{Offset: 7, Length: 13}, &tg.MessageEntityTextURL{Offset: 0, Length: 2, URL: fmt.Sprintf("https://host/%d", i+1)},
					&tg.MessageEntityMention{Offset: 25, Length: 11}, &tg.MessageEntityURL{Offset: 1, Length: 500}, &tg.MessageEntityURL{Offset: 1, Length: 1}})
			}
		})
	}
	ch.Delete(15, 39)
	s := start(t, w, telegramtest.Options{})
	c := NewCollector(CollectorOptions{Line: openLine(t, s, "a1")})
	all := walk(t, c, "telegram:@harbour/20", Wish{Links: true}, nil)
	if len(all) != 2 || !slices.Equal(idsIn(t, all), down(30, 10, 15)) {
		t.Fatalf("%d captures, %v", len(all), idsIn(t, all))
	}
	h, posts := all[1].posts(t)
	if fmt.Sprint(h["absent"]) != "[15]" || len(h["asked"].([]any)) != 21 || h["method"] != "channels.getMessages" {
		t.Errorf("head %v", h)
	}
	if p := posts[10]; fmt.Sprint(p["links"]) != "[example.org/a https://host/20]" || fmt.Sprint(p["mentions"]) != "[other_name]" || p["album"] != "5" {
		t.Errorf("post %v", p)
	}
	want := []collectors.Further{{Source: "https://example.org/a"}, {Source: "https://host/21"}, {Source: "https://host/20"}}
	if !slices.EqualFunc(all[1].Further, want, func(a, b collectors.Further) bool { return a.Source == b.Source }) {
		t.Errorf("further %v", all[1].Further)
	}
	view := &collectors.Further{Source: "https://t.invalid/harbour/20?embed=1", Options: []byte(`{"a":1}`), Key: "k"}
	also := walk(t, c, "telegram:@harbour/20", Wish{Second: view}, nil)
	if len(also) != 2 || also[0].Further != nil || len(also[1].Further) != 1 || !reflect.DeepEqual(also[1].Further[0], *view) {
		t.Errorf("with another view: %v", also[1].Further)
	}
	if gone := walk(t, c, "telegram:@harbour/15", Wish{Second: view}, nil); len(gone[1].Further) != 1 {
		t.Errorf("of a post that is not there: %v", gone[1].Further)
	}
	ch.Corrupt(18)
	ch.Corrupt(23)
	for post := range map[string]bool{"telegram:@harbour/18": true, "telegram:@harbour/20": true} { // it cannot be read, or another above it cannot
		n := 0
		for _, x := range walk(t, c, post, Wish{Second: view}, nil) {
			n += len(x.Further)
		}
		if n != 1 {
			t.Errorf("%s: the other view is asked for %d times", post, n)
		}
	}
	if got := walk(t, c, "telegram:@harbour/3", Wish{}, nil); !slices.Equal(idsIn(t, got), down(13, 1)) || got[1].Further != nil {
		t.Errorf("the first posts: %v", idsIn(t, got))
	}
}
