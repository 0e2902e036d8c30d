package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
)

// TestParseSweep: ages of a post, ascending, or none; all else is refused.
func TestParseSweep(t *testing.T) {
	s, err := parseSweep(defaultSweep)
	if err != nil || len(s) != 8 || s[0] != time.Minute || s[7] != 30*24*time.Hour {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := parseSweep("none"); err != nil || s != nil {
		t.Errorf("%v, %v", s, err)
	}
	if s, err := parseSweep("2s, 90s,0.5d"); err != nil || !slices.Equal(s, catalog.Schedule{2 * time.Second, 90 * time.Second, 12 * time.Hour}) {
		t.Errorf("%v, %v", s, err)
	}
	for _, bad := range []string{" ", "1m 1m", "5m 1m", "1", "0s", "-1m", "NaNd", "1e9d", "1m none", "4000d", "1m x"} {
		if s, err := parseSweep(bad); err == nil {
			t.Errorf("%q is %v", bad, s)
		}
	}
}

// TestSchedule follows posts over 40 days: each is asked for once for each point of
// the schedule, soon after it, whatever else is heard of it in between, and no more
// behind the last. A day without a process costs the points of that day and no more.
func TestSchedule(t *testing.T) {
	s, err := parseSweep(defaultSweep)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	var looks []catalog.Look
	asked := map[int64][]time.Duration{}
	next := begun
	for now := begun; now.Before(begun.Add(40 * 24 * time.Hour)); now = now.Add(20 * time.Second) {
		if age := now.Sub(begun); age < 24*time.Hour && age%(30*time.Minute) == 0 { // a post each half an hour of the first day
			looks = append([]catalog.Look{{ID: int64(len(looks) + 1), Posted: holdfast.At(now), At: holdfast.At(now)}}, looks...)
			if first := now.Add(s[0]); first.Before(next) {
				next = first
			}
		}
		if day := now.Sub(begun) / (24 * time.Hour); day == 3 || now.Before(next) { // on the fourth nobody works
			continue
		}
		var ids []int64
		if ids, next = pickDue(looks, s, now); len(ids) > 100 {
			t.Fatalf("%d ids in one question", len(ids))
		}
		for _, id := range ids {
			l := &looks[len(looks)-int(id)]
			if at, again := s.Next(*l); again && !at.After(now) { // else it is the control
				asked[id] = append(asked[id], now.Sub(l.Posted.Time))
			}
			l.At = holdfast.At(now)
		}
	}
	for id, ages := range asked {
		if len(ages) != len(s) {
			t.Fatalf("post %d was asked for at %v", id, ages)
		}
		for i, age := range ages {
			late := age - s[i]
			if outage := s[i] == 24*time.Hour || s[i] == 7*24*time.Hour; late < 0 || late > s[i]/sweepLate+lookNoMore+time.Minute && !outage {
				t.Errorf("post %d was asked for at %v, not at %v", id, age, s[i])
			}
		}
	}
	if len(asked) != 48 {
		t.Errorf("%d posts", len(asked))
	}
	told := []catalog.Look{{ID: 1, Posted: holdfast.At(begun), At: holdfast.At(begun), Kind: catalog.Told}}
	if ids, _ := pickDue(told, s, begun.Add(time.Hour)); ids != nil {
		t.Error("a post whose deletion was told is asked for")
	}
}

// TestSweepControl: a sweep asks for posts that were there beside those that are
// due, and for no more than the service answers.
func TestSweepControl(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	var looks []catalog.Look
	for i := range 300 {
		l := catalog.Look{ID: int64(300 - i), Posted: holdfast.At(now.Add(-time.Hour)), At: holdfast.At(now.Add(-59 * time.Minute))}
		if i >= 250 { // heard of just now
			l.At = holdfast.At(now)
		}
		if i == 250 {
			l.Kind = catalog.EmptyNext
		}
		looks = append(looks, l)
	}
	ids, next := pickDue(looks, catalog.Schedule{30 * time.Minute, 2 * time.Hour}, now)
	if len(ids) != 100 || ids[0] != 300 || !slices.Equal(ids[98:], []int64{49, 48}) {
		t.Errorf("%d ids: %v", len(ids), ids)
	}
	if want := now.Add(lookNoMore); !next.Equal(want) {
		t.Errorf("next is %s", next)
	}
}

// TestHealth: silence is said when it is longer than every one before and many posts
// were to be expected; a night, a new channel and a quiet one are none.
func TestHealth(t *testing.T) {
	now := time.Date(2026, 3, 20, 12, 0, 0, 0, time.UTC)
	posts := func(days int, perDay int, from, to time.Duration, until time.Time) (out []catalog.Look) {
		for d := days; d >= 0; d-- {
			day := now.Truncate(24*time.Hour).AddDate(0, 0, -d)
			for i := range perDay {
				at := day.Add(from + (to-from)*time.Duration(i)/time.Duration(perDay))
				if at.Before(until) {
					out = append(out, catalog.Look{ID: int64(len(out) + 1), Posted: holdfast.At(at), At: holdfast.At(at.Add(time.Minute))})
				}
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		looks []catalog.Look
		want  string
	}{
		"silent for 6 hours":    {posts(10, 40, 0, 24*time.Hour, now.Add(-6*time.Hour)), "usually 40 a day, none in 6 hours"},
		"it posts":              {posts(10, 40, 0, 24*time.Hour, now), ""},
		"silent at night":       {posts(10, 40, 13*time.Hour, 24*time.Hour, now), ""},
		"silent for a day":      {posts(10, 40, 13*time.Hour, 24*time.Hour, now.Add(-13*time.Hour)), ""},
		"silent for two":        {posts(10, 40, 13*time.Hour, 24*time.Hour, now.Add(-36*time.Hour)), "usually"},
		"two a day, for a day":  {posts(10, 2, 0, 24*time.Hour, now.Add(-24*time.Hour)), ""},
		"two a day, for a week": {posts(13, 2, 0, 24*time.Hour, now.Add(-7*24*time.Hour)), "usually"},
		"an hour old":           {posts(0, 40, 11*time.Hour, 12*time.Hour, now), ""},
		"nothing":               {nil, ""},
	} {
		h := healthOf(c.looks, now)
		if got := h.finding(); (got == "") != (c.want == "") || len(c.want) > 10 && got != c.want {
			t.Errorf("%s: %q (%+v)", name, got, h)
		}
	}
}

// TestLinkBudget: so many pages a day, no more; the next day again.
func TestLinkBudget(t *testing.T) {
	var b linkBudget
	now, taken, refusals := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC), 0, 0
	for i := range 60 {
		ok, first := b.take("case", 3, now.Add(time.Duration(i)*time.Hour))
		if ok {
			taken++
		}
		if first {
			refusals++
		}
		if ok && first {
			t.Error("taken and refused")
		}
	}
	if taken != 9 || refusals != 3 {
		t.Errorf("%d taken in three days, told %d times that there are no more", taken, refusals)
	}
	if ok, _ := b.take("other", 3, now); !ok {
		t.Error("another case's budget is used up too")
	}
	if ok, first := b.take("none", 0, now); ok || !first {
		t.Error("a budget of none")
	}
}

// TestWatchTaskIDs: a Task that is added again after a crash is the same one; each
// turn, part, watch and queue has another, so that none publishes under an ID that
// was published before.
func TestWatchTaskIDs(t *testing.T) {
	a, b := &watch{ID: holdfast.NewID()}, &watch{ID: holdfast.NewID()}
	seen := map[holdfast.ID]bool{}
	for _, w := range []*watch{a, b} {
		for _, queue := range []string{"0123456789abcdef", "fedcba9876543210"} {
			for _, part := range []string{partFollow, partBackfill} {
				for n := range 3 {
					id := w.task(queue, part, n)
					if _, err := holdfast.ParseID(string(id)); err != nil || seen[id] || id != w.task(queue, part, n) {
						t.Errorf("%s %s %d is %s: %v", queue, part, n, id, err)
					}
					seen[id] = true
				}
			}
			for _, l := range []linkLine{{ID: 1}, {ID: 2}} {
				for _, page := range []holdfast.Source{"https://host/a", "https://host/b"} {
					id := linkID(queue, w, l, page)
					if seen[id] || id != linkID(queue, w, l, page) {
						t.Errorf("link %d %s is %s", l.ID, page, id)
					}
					seen[id] = true
				}
			}
		}
	}
}

// TestWatchTurns: what a push has named comes first, and nothing starves: not
// behind channels that are pushed without end, not behind hundreds that are due, and
// what somebody holds, or has paused, has no turn.
func TestWatchTurns(t *testing.T) {
	watchTurns(t, 1, 3000, 500, 1600, 4)
	watchTurns(t, 5, 4200, 300, 1600, 10) // more than could be asked about as often as they are pushed
}

// TestWatchQuick: a channel that has had a turn just now has its next one soon, where
// the account is not paced, and not before what another push has named.
func TestWatchQuick(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	a := &watchTask{id: "a", watch: "a", part: partFollow, lane: laneTelegram, due: now.Add(time.Hour)}
	b := &watchTask{id: "b", watch: "b", part: partFollow, lane: laneTelegram, due: now.Add(time.Hour)}
	w := &watchRun{tasks: map[holdfast.ID]*watchTask{"a": a, "b": b}, lanes: map[string]*lane{laneTelegram: {size: 1}},
		list: map[holdfast.ID]*watched{"a": {channel: "1"}, "b": {channel: "2"}}}
	for _, quick := range []bool{false, true} {
		w.quick, a.begun, a.woken, b.woken = quick, now, now.Add(time.Millisecond), time.Time{}
		if k := w.next(laneTelegram, now.Add(wakeQuick-1)); k != nil {
			t.Errorf("quick %t: it has another turn at once", quick)
		}
		if k := w.next(laneTelegram, now.Add(wakeQuick)); (k == a) != quick {
			t.Errorf("quick %t: after %s it is %v", quick, wakeQuick, k)
		}
		if k := w.next(laneTelegram, now.Add(wakeEvery)); k != a {
			t.Errorf("quick %t: after %s it is %v", quick, wakeEvery, k)
		}
		if b.woken = now; w.next(laneTelegram, now.Add(wakeEvery)) != b {
			t.Errorf("quick %t: who was named first is not first", quick)
		}
	}
}

// TestWatchCounted: 10,000 reactions a minute are a turn each half minute, beside
// which a post has its own at once; the last of them has a turn of its own too.
func TestWatchCounted(t *testing.T) {
	begun := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	w := &watchRun{tasks: map[holdfast.ID]*watchTask{}, lanes: map[string]*lane{laneTelegram: {size: 1}}, list: map[holdfast.ID]*watched{"w": {watch: watch{ID: "w"}, channel: "77"}}}
	k := &watchTask{id: "t", watch: "w", part: partFollow, lane: laneTelegram, due: begun.Add(time.Hour)}
	w.tasks[k.id] = k
	var turns []time.Duration
	for now := begun; now.Before(begun.Add(2 * time.Minute)); now = now.Add(6 * time.Millisecond) {
		ago := now.Sub(begun)
		if ago < time.Minute {
			w.wake(-77, now)
		}
		if ago == 40002*time.Millisecond {
			w.wake(77, now)
		}
		if w.next(laneTelegram, now) == k {
			turns = append(turns, ago.Round(time.Second))
			k.begun, k.woken, k.count = now, time.Time{}, time.Time{}
		}
	}
	if want := []time.Duration{0, 30 * time.Second, 40 * time.Second, 70 * time.Second}; !slices.Equal(turns, want) {
		t.Errorf("turns at %v, want %v", turns, want)
	}
}

// watchTurns plays rounds of one second with so many channels that are pushed without
// end: least and most are their turns, patience is how long another pushed one waits.
func watchTurns(t *testing.T, hots, rounds, least, most, patience int) {
	t.Helper()
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	w := &watchRun{tasks: map[holdfast.ID]*watchTask{}, lanes: map[string]*lane{laneTelegram: {size: 1}, laneWeb: {size: 2}}, list: map[holdfast.ID]*watched{}}
	add := func(part string, channel int) *watchTask {
		id := holdfast.NewID()
		w.list[id] = &watched{watch: watch{ID: id}, channel: fmt.Sprint(channel)}
		k := &watchTask{id: holdfast.NewID(), watch: id, part: part, lane: laneTelegram, due: now}
		w.tasks[k.id] = k
		return k
	}
	turns := map[*watchTask]int{}
	var hot []*watchTask
	for i := range hots {
		hot = append(hot, add(partFollow, 10+i))
	}
	last := add(partFollow, 2)
	var all []*watchTask
	for i := range 300 { // more than can be asked about in time
		all = append(all, add(partFollow, 100+i))
	}
	history, sweep := add(partBackfill, 3), add(partSweep, 4)
	paused, held := add(partFollow, 5), add(partFollow, 6)
	w.list[paused.watch].Paused, held.busy = new(holdfast.Time), true
	waited := 0
	for i := range rounds {
		now = now.Add(time.Second) // one question each
		for i := range hots {
			w.wake(int64(10+i), now)
		}
		if i == 2000 {
			last.due = now.Add(time.Hour)
			w.wake(2, now)
		}
		k := w.next(laneTelegram, now)
		if k == nil {
			t.Fatal("nobody has a turn")
		}
		if turns[k]++; i >= 2000 && !last.woken.IsZero() {
			waited++
		}
		k.begun, k.woken = now, time.Time{}
		if k.due = now.Add(30 * time.Second); k.part == partBackfill || k.part == partSweep {
			k.due = now
		}
	}
	for _, k := range append(all, last) {
		if turns[k] < 3 {
			t.Fatalf("one that follows has had %d turns of %d", turns[k], rounds)
		}
	}
	if turns[history] < 3 || turns[sweep] < 3 || waited > patience {
		t.Errorf("history %d, sweep %d; another that was pushed waited %d turns", turns[history], turns[sweep], waited)
	}
	for _, k := range hot {
		if turns[k] < least || turns[k] > most {
			t.Errorf("one that is pushed without end has had %d turns, want %d to %d", turns[k], least, most)
		}
	}
	if turns[paused]+turns[held] > 0 {
		t.Error("what is paused, or held, has had a turn")
	}
}
