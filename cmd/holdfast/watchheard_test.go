package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"holdfast"
)

// TestHeard guards what custody says of the times in which channels were answered
// for. Random nodes work, sleep, are killed and begin again, under clocks that jump:
// no time in which nobody was answered for longer than the resolution is ever said to
// be heard, and what was on the disk before a kill is.
func TestHeard(t *testing.T) {
	_, n := roundNode(t)
	ctx := t.Context()
	seeds := uint64(3)
	if os.Getenv("HOLDFAST_LONG") != "" {
		seeds = 100
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 21))
		_ = os.Remove(n.path(fileHeard))
		h := &hearing{n: n}
		now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC).AddDate(int(seed), 0, 0)
		all, held, kept := map[string][]time.Time{}, map[string][]time.Time{}, map[string][]time.Time{} // answers; those that no kill has taken; those that none can take
		names := []string{fmt.Sprint(1000 + seed), fmt.Sprint(5000 + seed)}
		keep := func() {
			for _, name := range names {
				kept[name] = slices.Clone(held[name])
			}
		}
		for range 700 {
			now = now.Add(time.Duration(1+rnd.IntN(60)) * time.Second)
			switch rnd.IntN(150) {
			case 0: // asleep, or the line is down
				now = now.Add(time.Duration(rnd.IntN(90)) * time.Minute)
			case 1: // killed
				h = &hearing{n: n}
				for _, name := range names {
					held[name] = slices.Clone(kept[name])
				}
				now = now.Add(time.Duration(rnd.IntN(40)) * time.Minute)
				if err := h.takeUp(ctx, now); err != nil {
					t.Fatal(err)
				}
			case 2: // stopped
				h.flush(ctx, now)
				keep()
				h = &hearing{n: n}
				if err := h.takeUp(ctx, now); err != nil {
					t.Fatal(err)
				}
			}
			name := names[min(rnd.IntN(20), 1)]
			all[name], held[name] = append(all[name], now), append(held[name], now)
			h.heard(name, n.set.Unfiled, now)
			h.turn(ctx, now)
			if !h.unstored {
				keep()
			}
		}
		h.flush(ctx, now)
		keep()
		for _, name := range names {
			spans, events, err := n.heardOf(name, []holdfast.ID{n.set.Unfiled})
			if err != nil || len(spans) == 0 || len(events) == 0 {
				t.Fatalf("seed %d: %v, %v", seed, spans, err)
			}
			last := all[name][0]
			for _, at := range all[name][1:] {
				for _, s := range spans {
					if gap := at.Sub(last); gap > heardGap && s.From.Before(at) && s.To.After(last) {
						t.Errorf("seed %d: nobody was answered from %s to %s, and it is said to be heard from %s to %s", seed, last, at, s.From, s.To)
					}
				}
				last = at
			}
			for _, at := range kept[name] {
				near := func(s heardSpan) bool {
					return !at.Before(s.From.Add(-time.Minute)) && !at.After(s.To.Add(time.Minute))
				}
				if !slices.ContainsFunc(spans, near) {
					t.Errorf("seed %d: the answer of %s was on the disk, and is not told", seed, at)
				}
			}
		}
	}
}

// TestHeardFile: a file that was damaged costs what it held and is said; it claims
// nothing, and the node works.
func TestHeardFile(t *testing.T) {
	_, n := roundNode(t)
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for _, bad := range []string{"", "{", `{"version":2}`, `{"version":1,"channels":{"5":null}}`, `{"version":1,"channels":{"5":{"case":"x","spans":[]}}}`,
		`{"version":1,"channels":{"5":{"case":"00112233445566778899aabbccddeeff","spans":[{"from":"2026-03-01T09:00:00.000Z","to":"2026-03-01T08:00:00.000Z"}]}}}`} {
		if err := os.WriteFile(n.path(fileHeard), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		h := &hearing{n: n}
		if err := h.takeUp(t.Context(), at); err != nil || len(h.doc.Channels) > 0 {
			t.Errorf("%q: %v, %v", bad, h.doc, err)
		}
	}
	if spans, _, err := n.heardOf("5", []holdfast.ID{n.set.Unfiled}); err != nil || len(spans) > 0 {
		t.Errorf("%v, %v", spans, err)
	}
}

// TestCoverageHeard: a channel that is followed and quiet is heard all the time; the
// downtime of a node that was killed is not.
func TestCoverageHeard(t *testing.T) {
	_, n := roundNode(t)
	ctx := t.Context()
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	m := map[string]any{"channel": "77", "method": "updates.getChannelDifference", "names": []string{"alpha"}, "title": "Alpha", "pts_from": 1, "pts": 2}
	acceptPosts(t, n, false, saidPosts(t, at, m, saidPost(1, "one", 1)))
	h, now := &hearing{n: n}, at
	follow := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); now = now.Add(30 * time.Second) {
			h.heard("77", n.set.Unfiled, now)
			h.heard("78", n.set.Unfiled, now)
			h.turn(ctx, now)
		}
	}
	follow(130*time.Minute + 30*time.Second) // until 10:10
	h = &hearing{n: n}                       // killed
	now = now.Add(20 * time.Minute)          // at 10:30:30
	if err := h.takeUp(ctx, now); err != nil {
		t.Fatal(err)
	}
	follow(50 * time.Minute)
	h.flush(ctx, now)
	now = now.Add(10 * time.Minute) // shorter than what is told
	follow(30 * time.Minute)
	h.flush(ctx, now)
	check := func(want string, args ...string) {
		t.Helper()
		out, _ := askPosts(t, n, exitDone, append([]string{"--json", "coverage", "@alpha"}, args...)...)
		_, d := coverageText(t, out)
		got := ""
		for _, s := range d.Unheard {
			got += fmt.Sprintf(" %s-%s", s.After.Format("15:04"), s.Before.Format("15:04"))
		}
		if got != want || d.Resolution != 900 || d.Followed.Count < 4 {
			t.Errorf("%v: unheard%s, want%s; %d lines", args, got, want, d.Followed.Count)
		}
	}
	check(" 10:10-10:31")
	check(" 10:10-10:26", "--until", "2026-03-01T10:26:00Z")
	check("", "--since", "2026-03-01T10:10:00Z", "--until", "2026-03-01T10:24:00Z")
	check(" 10:10-10:31", "--since", "2026-03-01T10:10:00Z")
	check(" 10:10-10:31 12:00-13:00", "--until", "2026-03-01T13:00:00Z")
	askPosts(t, n, exitDone, "rebuild")
	check(" 10:10-10:31")
}
