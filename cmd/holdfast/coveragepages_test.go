package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/coverage"
	"holdfast/pipeline"
)

// TestCoverageOfPage: of a page on a schedule each time that it was due and not seen is
// listed with why; the same from the queue, sealed and after a rebuild; and as a Capture
// that is the same one while it says the same.
func TestCoverageOfPage(t *testing.T) {
	_, n := roundNode(t)
	const page = "https://harbour.example/news"
	if _, errs := askPosts(t, n, exitCould, "coverage", page); !strings.Contains(errs, "watch add "+page) {
		t.Errorf("no visit is known, and it says: %s", errs)
	}
	watch, began := holdfast.NewID(), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	in := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	visit := func(due, started float64, missed, failures int64, reasons ...collectors.Reason) {
		t.Helper()
		at := func(h float64) time.Time { return began.Add(time.Duration(h * float64(time.Hour))) }
		a := &collectors.Acquired{Started: at(started), Ended: at(started).Add(time.Minute), Outcome: collectors.Complete, Reasons: reasons}
		if failures > 0 {
			a.Outcome = collectors.Failed
		}
		k := pipeline.Task{ID: holdfast.NewID(), Source: page, Case: n.set.Unfiled, Version: &pipeline.Version{Algorithm: "a", Began: holdfast.At(began), Due: holdfast.At(at(due)),
			Failures: failures, Missed: missed, Schedule: "every 6h0m0s", Watch: watch}}
		if _, err := in.Accept(t.Context(), k, a, nil); err != nil {
			t.Fatal(err)
		}
	}
	visit(0, 0, 0, 0)
	visit(6, 54.5, 8, 0) // the node was off for two days
	visit(60, 60, 0, 1, collectors.Reason{Code: "http-status", Detail: "503"})
	visit(72, 72, 0, 0)
	const want = `[{"from":"2026-03-01T06:00:00.000Z","reasons":[],"times":9,"to":"2026-03-03T06:30:00.000Z","why":"silent"},` +
		`{"from":"2026-03-03T12:00:00.000Z","reasons":["http-status: 503"],"times":1,"to":"2026-03-04T00:00:00.000Z","why":"failed"},` +
		`{"from":"2026-03-03T18:00:00.000Z","reasons":[],"times":1,"to":"2026-03-04T00:00:00.000Z","why":"rest"}]`
	said := func(args ...string) (out string, gaps string) {
		t.Helper()
		out, _ = askPosts(t, n, exitDone, append([]string{"--json", "coverage", page}, args...)...)
		var d struct {
			Gaps   []map[string]any
			Visits coverage.Visits
		}
		if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &d); err != nil {
			t.Fatal(err)
		}
		for _, g := range d.Gaps {
			delete(g, "capture")
			delete(g, "silence")
		}
		b, err := json.Marshal(d.Gaps)
		if err != nil {
			t.Fatal(err)
		}
		return out, string(b)
	}
	if _, gaps := said(); gaps != want {
		t.Errorf("in the queue:\n%s\nwant\n%s", gaps, want)
	}
	askPosts(t, n, exitDone, "seal")
	sealed, gaps := said()
	if gaps != want || !strings.Contains(sealed, `"count":4`) || !strings.Contains(sealed, `"sealed":4`) || !strings.Contains(sealed, `"failed":1`) {
		t.Errorf("sealed: %s", sealed)
	}
	askPosts(t, n, exitDone, "rebuild")
	if again, _ := said(); again != sealed {
		t.Errorf("after a rebuild:\n%s\nbefore\n%s", again, sealed)
	}
	if _, gaps := said("--until", "2026-03-05T00:30:00Z", "--since", "2026-03-04T01:00:00Z"); gaps != `[{"from":"2026-03-04T06:00:00.000Z","reasons":[],"times":4,"to":"2026-03-05T00:30:00.000Z","why":"silent"}]` {
		t.Errorf("nobody has been there since: %s", gaps)
	}
	first, _ := said("--seal")
	second, _ := said("--seal")
	if !strings.Contains(first, `"event":"stated"`) || !strings.Contains(first, `"made":true`) || !strings.Contains(second, `"made":false`) {
		t.Errorf("kept: %s%s", first, second)
	}
	text, _ := askPosts(t, n, exitDone, "coverage", page)
	if !strings.Contains(text, "gap       from 2026-03-01T06:00:00.000Z to 2026-03-03T06:30:00.000Z  9 times  silent  no line of custody from ") {
		t.Errorf("to a person: %s", text)
	}
	askPosts(t, n, exitUsage, "coverage", "https://")
}

// TestCoverageOfPausedPage: that a person had paused a watch, and since when there is one,
// is told by the lines of custody about that watch, and by no others.
func TestCoverageOfPausedPage(t *testing.T) {
	_, n := roundNode(t)
	in := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	now := time.Now().Truncate(time.Minute)
	visited := func(name string, actions ...string) string {
		t.Helper()
		w := &watch{ID: holdfast.NewID(), Source: holdfast.Source("https://harbour.example/" + name)}
		for _, action := range actions {
			if err := n.watchLines(t.Context(), n.set.Agent, action, w, []holdfast.ID{n.set.Unfiled}, ""); err != nil {
				t.Fatal(err)
			}
		}
		for _, k := range []struct{ due, started time.Duration }{{-time.Hour, -time.Hour}, {-30 * time.Minute, 40 * time.Minute}} {
			v := &pipeline.Version{Algorithm: "a", Began: holdfast.At(now.Add(-time.Hour)), Due: holdfast.At(now.Add(k.due)), Schedule: "every 30m0s", Watch: w.ID}
			a := &collectors.Acquired{Started: now.Add(k.started), Ended: now.Add(k.started), Outcome: collectors.Complete}
			if v.Missed = 2; k.started < 0 {
				v.Missed = 0
			}
			if _, err := in.Accept(t.Context(), pipeline.Task{ID: holdfast.NewID(), Source: w.Source, Case: n.set.Unfiled, Version: v}, a, nil); err != nil {
				t.Fatal(err)
			}
		}
		out, _ := askPosts(t, n, exitDone, "--json", "coverage", string(w.Source))
		var d coverage.Page
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatal(err)
		}
		said := ""
		for _, g := range d.Gaps {
			said += fmt.Sprintf("%s x%d; ", g.Why, g.Times)
		}
		return said
	}
	for _, c := range []struct {
		name, want string
		actions    []string
	}{
		{"open", "silent x3; ", nil},
		{"paused", "paused x3; ", []string{"watch-added", "watch-paused"}},
		{"resumed", "paused x3; ", []string{"watch-paused", "watch-resumed"}},
		{"another", "silent x3; ", []string{"watch-removed"}},
	} {
		if got := visited(c.name, c.actions...); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
