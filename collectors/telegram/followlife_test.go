package telegram

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/tgerr"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/hashing"
)

// faults are what goes wrong on the way, at random.
type faults struct {
	mu  sync.Mutex
	rnd *rand.Rand
	met map[string]int
}

func (f *faults) fault(method string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rnd == nil {
		return nil
	}
	switch n := f.rnd.IntN(400); {
	case n == 0:
		f.met["hang up"]++
		return telegramtest.ErrHangUp
	case n < 12:
		f.met["flood"]++
		return tgerr.New(420, "FLOOD_WAIT_600")
	case n < 24 && method == "updates.getChannelDifference":
		f.met["error"]++
		return tgerr.New(500, "RPC_CALL_FAIL")
	}
	return nil
}

// pause makes all well, and returns what ends that.
func (f *faults) pause() *rand.Rand {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.rnd
	f.rnd = nil
	return was
}

func (f *faults) set(rnd *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rnd = rnd
}

// followed is a channel that lives while it is followed, and what was kept of it.
type followed struct {
	t        *testing.T
	ch       *telegramtest.Channel
	c        *Collector
	rnd      *rand.Rand
	world    *rand.Rand // what happens, perhaps meanwhile
	met      map[string]int
	req      collectors.Request
	faults   *faults
	verbatim bool

	now     map[int]string // texts of what is there
	likes   map[int]int
	bad     map[int]bool // cannot be read, as it is now
	ever    map[int]bool // could not be read once: nobody asks again for what was never seen
	last    int
	closed  bool
	steps   map[uint64]bool
	start   int      // where following began
	pts     int      // up to here the chain of answers has come
	unheard [][2]int // what no answer tells
	facts   map[int][]catalog.Fact
	seen    map[int]int // how often differences showed a post
	n       int
}

// TestFollowLife: random lives of channels, followed through connections that
// break, errors, waits, kills before anything was kept, differences that are told
// no more, messages that nobody can read, and access that is lost for a while. What
// the real catalog folds from what was kept is the service's own account of what
// happened; what cannot be known is said to be unknown. HOLDFAST_LONG is 1,000 of
// them.
func TestFollowLife(t *testing.T) {
	seeds := 20
	if os.Getenv("HOLDFAST_LONG") != "" {
		seeds = 1000
	}
	var ticks atomic.Int64
	base := time.Now().Truncate(time.Second)
	clock := func() time.Time { return base.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }
	f := &faults{met: map[string]int{}}
	w := telegramtest.NewWorld()
	s := start(t, w, telegramtest.Options{Fault: f.fault})
	lines := []*Line{openLineBy(t, s, "a1", clock), openLineBy(t, s, "a2", clock)}
	for seed := range uint64(seeds) {
		name := fmt.Sprintf("channel%d", seed)
		l := &followed{t: t, ch: w.Channel(int64(7000+seed), name, name), c: NewCollector(CollectorOptions{Line: lines[0], Now: clock, Training: true}),
			rnd: rand.New(rand.NewPCG(seed, 11)), world: rand.New(rand.NewPCG(seed, 13)), met: f.met, now: map[int]string{}, likes: map[int]int{}, bad: map[int]bool{}, ever: map[int]bool{}, steps: map[uint64]bool{},
			facts: map[int][]catalog.Fact{}, seen: map[int]int{}, verbatim: seed%2 == 0, faults: f}
		l.ch.Verbatim(l.verbatim)
		f.set(rand.New(rand.NewPCG(seed, 12)))
		l.live(s, NewCollector(CollectorOptions{Line: lines[1], Now: clock, Training: true}))
		f.set(nil)
		l.settle()
		l.check()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("met %v", f.met)
	for _, what := range []string{"flood", "error", "killed", "too long", "unread", "lost", "another account", catalog.Present, catalog.Edited, catalog.Absent} {
		if f.met[what] == 0 {
			t.Errorf("never met: %s", what)
		}
	}
}

func (l *followed) live(s *telegramtest.Server, other *Collector) {
	l.last = l.ch.Post("post 1")
	l.now[1] = "post 1"
	for range l.rnd.IntN(40) {
		l.happen()
	}
	opts, _ := json.Marshal(Wish{Follow: true})
	l.req = collectors.Request{Source: "telegram:@" + l.ch.Username, Options: opts, Budget: collectors.Budget{Time: 30 * time.Second}}
	for len(l.req.Cursor) == 0 {
		l.look()
	}
	l.walked(Wish{}) // as who watches does
	for range 30 {
		for range l.rnd.IntN(15) {
			l.happen()
		}
		switch l.rnd.IntN(25) {
		case 0: // more than an answer holds
			for range 250 {
				l.happen()
			}
		case 1:
			l.ch.Forget()
		case 2:
			if l.met["disconnected"]++; l.met["disconnected"]%8 == 0 { // to connect again takes a while
				s.Disconnect()
			}
		case 3:
			l.closed = !l.closed
			l.ch.Close(map[bool]string{true: "CHANNEL_PRIVATE"}[l.closed])
		case 4:
			l.ch.Gap(1 + l.rnd.IntN(5))
		case 5:
			l.c, other = other, l.c
			l.met["another account"]++
		}
		meanwhile := make(chan struct{})
		if l.verbatim && l.rnd.IntN(3) == 0 {
			go func() {
				for range 40 {
					l.happen()
				}
				close(meanwhile)
			}()
		} else {
			close(meanwhile)
		}
		l.look()
		<-meanwhile
	}
	if l.closed {
		l.closed = false
		l.ch.Close("")
	}
}

func (l *followed) happen() {
	n := 2 + l.world.IntN(max(l.last, 1)) // 1 is never touched: the control
	text, there := l.now[n]
	switch l.world.IntN(12) {
	case 0, 1, 2, 3:
		l.last = l.ch.Post(fmt.Sprintf("post %d", l.last+1))
		l.now[l.last] = fmt.Sprintf("post %d", l.last)
	case 4, 5, 6:
		if next := fmt.Sprintf("post %d, revision %d", n, l.world.IntN(3)); there && next != text { // back, now and then
			l.ch.Edit(n, next)
			l.now[n] = next
			delete(l.bad, n)
		}
	case 7, 8:
		if there {
			l.likes[n]++
			l.ch.React(n, l.likes[n])
			delete(l.bad, n)
		}
	case 9, 10:
		l.remove(n, 1+l.world.IntN(4))
	case 11:
		if there && l.world.IntN(8) == 0 {
			l.ch.Corrupt(n)
			l.bad[n], l.ever[n] = true, true
		}
	}
}

func (l *followed) remove(from, count int) {
	var ids []int
	for id := from; id < from+count; id++ {
		if _, there := l.now[id]; there {
			ids = append(ids, id)
			delete(l.now, id)
			delete(l.bad, id)
		}
	}
	l.ch.Delete(ids...)
}

// look asks once, perhaps as a node that is killed before it keeps the answer.
func (l *followed) look() bool {
	l.t.Helper()
	k := &collectorstest.Keeper{}
	a, err := l.c.Collect(l.t.Context(), l.req, k)
	var later *collectors.Later
	switch {
	case errors.As(err, &later):
		return !later.Idle
	case err != nil: // the line
		l.met["line"]++
		time.Sleep(20 * time.Millisecond)
		return true
	case l.rnd.IntN(6) == 0:
		l.met["killed"]++
		return true
	}
	if err := collectorstest.Check(a, k); err != nil {
		l.t.Error(err)
	}
	l.n++
	if a.Next == nil {
		if len(l.req.Cursor) == 0 { // not even the name was found: a wait, an error
			return true
		}
		l.t.Fatalf("following ended: %s %v", a.Outcome, a.Reasons)
	}
	if l.steps[a.Next.Step] {
		l.t.Errorf("step %d again", a.Next.Step)
	}
	l.steps[a.Next.Step] = true
	s := step{a, k}
	if posts := slices.ContainsFunc(a.Objects, func(o collectors.Object) bool { return o.Role == RolePosts }); posts {
		checkSlices(l.t, s)
		l.told(s)
	} else if a.Outcome == collectors.Failed {
		l.met["lost"]++
	} else if cur, _ := readCursor(a.Next.Cursor); l.pts == 0 {
		l.start, l.pts = cur.Follow.PTS, cur.Follow.PTS
	}
	l.req.Cursor = a.Next.Cursor
	for _, f := range a.Further { // now: a later one would hide what is lost until then
		var w Wish
		if err := json.Unmarshal(f.Options, &w); err != nil {
			l.t.Fatal(err)
		}
		l.walked(w)
	}
	return !a.Next.Due.After(a.Ended.Add(time.Second)) || a.Outcome == collectors.Failed
}

// told takes in a difference and holds it against what happened between its ends.
func (l *followed) told(s step) {
	l.t.Helper()
	h, _ := s.posts(l.t)
	from, to := l.pts, int(h["pts"].(float64))
	if said, ok := h["pts_from"].(float64); ok != (h["unread"] == nil) {
		l.t.Errorf("asked from %v, and unread %v", h["pts_from"], h["unread"])
	} else if ok && int(said) != l.pts {
		l.t.Errorf("asked from %v, and told up to %d before", said, l.pts)
	}
	a := l.take(s, l.n)
	cur, _ := readCursor(s.Next.Cursor)
	l.pts = cur.Follow.PTS
	switch {
	case h["too_long"] == true:
		l.met["too long"]++
		l.unheard = append(l.unheard, [2]int{from, to})
		return
	case h["unread"] != nil:
		if l.met["unread"]++; l.pts > from {
			l.unheard = append(l.unheard, [2]int{from, to})
		}
		return
	}
	for _, p := range a.Posts {
		l.seen[int(p.ID)]++
	}
	for _, e := range l.ch.Life() {
		if e.PTS <= from || e.PTS > to {
			continue
		}
		if e.What == telegramtest.Deleted {
			if !slices.Contains(a.Deleted, int64(e.ID)) {
				l.t.Errorf("deletion of %d, event %d, is not in the answer from %d to %d", e.ID, e.PTS, from, to)
			}
			continue
		}
		text, there := e.Text, true
		if !l.verbatim {
			text, there = l.now[e.ID]
		}
		if there && !slices.ContainsFunc(a.Posts, func(o catalog.Observed) bool { return int(o.ID) == e.ID && o.Text == hashing.Of([]byte(text)) }) {
			l.t.Errorf("%s of %d (%q), event %d, is not in the answer from %d to %d", e.What, e.ID, text, e.PTS, from, to)
		}
	}
}

func (l *followed) take(s step, n int) catalog.Answer {
	l.t.Helper()
	a, err := catalog.ParseAnswer(s.object(l.t, namePosts))
	if err != nil {
		l.t.Fatal(err)
	}
	at := catalog.Sight{At: a.Received, How: a.How, Capture: holdfast.CaptureID("00112233445566778899aabbccddeeff", uint64(n), 0)}
	a.Facts(func(id int64, k catalog.FactKind, o catalog.Observed) {
		l.facts[int(id)] = append(l.facts[int(id)], catalog.Fact{Sight: at, Kind: k, Observed: o})
	})
	return a
}

// settle follows to the end, and sweeps.
func (l *followed) settle() {
	l.t.Helper()
	for range 200 {
		if !l.look() {
			break
		}
	}
	if l.pts != l.ch.PTS() {
		l.t.Fatalf("followed up to %d of %d", l.pts, l.ch.PTS())
	}
	var known []int // nobody sweeps what was never seen
	for id := range l.facts {
		if slices.ContainsFunc(l.facts[id], func(f catalog.Fact) bool { return f.Kind == catalog.Seen }) {
			known = append(known, id)
		}
	}
	for ids := range slices.Chunk(known, 98) {
		l.walked(Wish{IDs: append([]int{1}, ids...)})
	}
}

func (l *followed) walked(w Wish) {
	l.t.Helper()
	defer l.faults.set(l.faults.pause())
	for _, s := range walk(l.t, l.c, l.req.Source, w, nil) {
		if l.n++; slices.ContainsFunc(s.Objects, func(o collectors.Object) bool { return o.Role == RolePosts }) {
			l.take(s, l.n)
		}
	}
}

// check compares what is known in the end with the service's own account.
func (l *followed) check() {
	l.t.Helper()
	texts, told, begun := map[int][]string{}, map[int]int{}, map[int]int{}
	for _, e := range l.ch.Life() {
		if e.What == telegramtest.Deleted {
			continue
		}
		if begun[e.ID] == 0 {
			begun[e.ID] = e.PTS
		}
		if told[e.ID]++; !slices.Contains(texts[e.ID], e.Text) {
			texts[e.ID] = append(texts[e.ID], e.Text)
		}
	}
	for id := 1; id <= l.last; id++ {
		fs := l.facts[id]
		l.rnd.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
		p, ok := catalog.FoldPost("7000", int64(id), fs)
		text, there := l.now[id]
		whole := l.verbatim && l.heard(id)
		var got []string
		for _, v := range p.Versions {
			got = append(got, v.Text.Hex())
		}
		var want []string
		for _, s := range texts[id] {
			want = append(want, hashing.Of([]byte(s)).Hex())
		}
		switch {
		case !ok && there && l.ever[id] && !whole:
		case !ok && there && whole, !ok && there && !l.bad[id]:
			l.t.Errorf("post %d is %q, and was never seen", id, text)
		case l.bad[id]: // nobody can say what it is now
		case there && (!ok || p.State == catalog.Absent || p.State == catalog.Unknown || p.Versions[p.Current].Text != hashing.Of([]byte(text))):
			l.t.Errorf("post %d is %q, and known to be %s with %v", id, text, p.State, got)
		case !there && ok && p.State != catalog.Absent && len(l.bad) == 0: // an answer that is cut may have no control
			l.t.Errorf("post %d is gone, and known to be %s", id, p.State)
		case !there && !ok && whole:
			l.t.Errorf("post %d came and went, and nothing is known of it", id)
		}
		for _, v := range got {
			if !slices.Contains(want, v) {
				l.t.Errorf("post %d never said what version %s says", id, v)
			}
		}
		if ahead(fs) { // a history showed the newer state before a difference told the older
			slices.Sort(got)
			slices.Sort(want)
		}
		if whole && !slices.Equal(got, want) {
			l.t.Errorf("post %d: versions %v, want %v", id, got, want)
		}
		if whole && l.seen[id] != told[id] {
			l.t.Errorf("post %d: %d things happened, %d were told", id, told[id], l.seen[id])
		}
		if whole {
			l.met["whole"]++
		}
		if p.State != "" {
			l.met[p.State]++
		}
	}
}

// ahead says whether something else than a difference showed a post before the last
// difference that did.
func ahead(fs []catalog.Fact) bool {
	var first, last holdfast.Time
	for _, f := range fs {
		switch {
		case f.Kind != catalog.Seen:
		case f.How == catalog.HowDifference && last.Before(f.At.Time):
			last = f.At
		case f.How != catalog.HowDifference && (first.IsZero() || f.At.Before(first.Time)):
			first = f.At
		}
	}
	return !first.IsZero() && first.Before(last.Time)
}

// heard says whether all that happened to a post was told by differences.
func (l *followed) heard(id int) bool {
	for _, e := range l.ch.Life() {
		if e.ID != id {
			continue
		}
		if e.PTS <= l.start || slices.ContainsFunc(l.unheard, func(r [2]int) bool { return e.PTS > r[0] && e.PTS <= r[1] }) {
			return false
		}
	}
	return true
}
