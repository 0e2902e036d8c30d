package main

import (
	"fmt"
	"testing"
	"time"

	"holdfast/heard"
)

// TestCoverageHeard: a channel that is followed and quiet is heard all the time; the
// downtime of a node that was killed is not.
func TestCoverageHeard(t *testing.T) {
	_, n := roundNode(t)
	ctx := t.Context()
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	m := map[string]any{"channel": "77", "method": "updates.getChannelDifference", "names": []string{"alpha"}, "title": "Alpha", "pts_from": 1, "pts": 2}
	acceptPosts(t, n, false, saidPosts(t, at, m, saidPost(1, "one", 1)))
	h, now := &heard.Ears{Node: n.hears()}, at
	follow := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); now = now.Add(30 * time.Second) {
			h.Heard("77", n.set.Unfiled, now)
			h.Heard("78", n.set.Unfiled, now)
			h.Turn(ctx, now)
		}
	}
	follow(130*time.Minute + 30*time.Second) // until 10:10
	h = &heard.Ears{Node: n.hears()}         // killed
	now = now.Add(20 * time.Minute)          // at 10:30:30
	if err := h.TakeUp(ctx, now); err != nil {
		t.Fatal(err)
	}
	follow(50 * time.Minute)
	h.Flush(ctx, now)
	now = now.Add(10 * time.Minute) // shorter than what is told
	follow(30 * time.Minute)
	h.Flush(ctx, now)
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
