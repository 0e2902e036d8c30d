package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/coverage"
	"holdfast/pipeline"
)

// coverageText is what a statement says, short.
func coverageText(t *testing.T, line string) (string, coverage.Channel) {
	t.Helper()
	var d coverage.Channel
	if err := json.Unmarshal([]byte(line), &d); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	var b strings.Builder
	i := d.IDs
	fmt.Fprintf(&b, "%d-%d seen %d present %d edited %d absent %d unknown %d missing %d;", i.First, i.Last, i.Seen, i.Present, i.Edited, i.Absent, i.Unknown, i.Missing)
	for _, r := range d.Gone {
		fmt.Fprintf(&b, " gone %d-%d %s", r.First, r.Last, r.Why)
	}
	for _, r := range d.Missing {
		fmt.Fprintf(&b, " missing %d-%d %s", r.First, r.Last, r.Why)
	}
	for _, p := range d.Changes.Known {
		fmt.Fprintf(&b, " told %d-%d", p.From, p.To)
	}
	for _, p := range d.Changes.TooLong {
		fmt.Fprintf(&b, " not told %d-%d", p.From, p.To)
	}
	for _, s := range d.Unheard {
		fmt.Fprintf(&b, " unheard %s-%s", s.After, s.Before)
	}
	for _, f := range d.Failed {
		fmt.Fprintf(&b, " %s %s", f.Outcome, strings.Join(f.Reasons, ","))
	}
	return b.String(), d
}

// TestCoverage: each number is accounted for by what is known of it and by nothing
// else; the same from the queue, after the seal and after a rebuild; and as a Capture
// that is sealed and proven, the same one while it says the same.
func TestCoverage(t *testing.T) {
	_, n := roundNode(t)
	askPosts(t, n, exitUsage, "coverage", "@alpha/3")
	askPosts(t, n, exitUsage, "coverage", "@alpha", "--since", "2026-02-01", "--until", "2026-01-01")
	if _, errs := askPosts(t, n, exitCould, "coverage", "@alpha"); !strings.Contains(errs, "holdfast capture telegram:@alpha") {
		t.Errorf("nothing is known, and it says: %s", errs)
	}
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	give := func(later time.Duration, method string, more map[string]any, lines ...map[string]any) {
		at = at.Add(later)
		m := map[string]any{"channel": "77", "method": method, "names": []string{"alpha"}, "title": "Alpha"}
		for k, v := range more {
			m[k] = v
		}
		acceptPosts(t, n, false, saidPosts(t, at, m, lines...))
	}
	posted := func(id int, text, day string) map[string]any {
		p := saidPost(id, text, 1)
		p["posted"] = day + "T00:00:00.000Z"
		return p
	}
	give(0, "messages.getHistory", nil, posted(4, "four", "2026-02-01"), posted(5, "five", "2026-02-02"), posted(9, "nine", "2026-02-09"), posted(10, "ten", "2026-02-10"))
	give(time.Hour, "channels.getMessages", map[string]any{"absent": []int{6, 5, 30}, "asked": []int{4, 5, 6, 30}}, posted(4, "four", "2026-02-01"))
	give(time.Hour, "channels.getMessages", map[string]any{"absent": []int{7, 9}, "asked": []int{7, 9}})
	give(time.Hour, "updates.getChannelDifference", map[string]any{"pts_from": 100, "pts": 110, "deleted": []int{10, 8}}, posted(4, "four, changed", "2026-02-01"))
	give(time.Hour, "updates.getChannelDifference", map[string]any{"pts_from": 110, "pts": 120}, posted(12, "twelve", "2026-03-01"))
	give(49*time.Hour, "updates.getChannelDifference", map[string]any{"pts_from": 120, "pts": 900, "too_long": true})
	give(time.Hour, "updates.getChannelDifference", map[string]any{"pts_from": 900, "pts": 905, "final": true})
	in := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	if _, err := in.Accept(t.Context(), pipeline.Task{ID: holdfast.NewID(), Source: "telegram:@alpha", Case: n.set.Unfiled},
		&collectors.Acquired{Started: at, Ended: at, Outcome: collectors.Failed, Reasons: []collectors.Reason{{Code: "channel-private"}}}, nil); err != nil {
		t.Fatal(err)
	}
	const hourly = `unheard 2026-03-01T08:00:00.000Z-2026-03-01T09:00:00.000Z unheard 2026-03-01T09:00:00.000Z-2026-03-01T10:00:00.000Z unheard 2026-03-01T10:00:00.000Z-2026-03-01T11:00:00.000Z` +
		` unheard 2026-03-01T11:00:00.000Z-2026-03-01T12:00:00.000Z unheard 2026-03-01T12:00:00.000Z-2026-03-03T13:00:00.000Z unheard 2026-03-03T13:00:00.000Z-2026-03-03T14:00:00.000Z`
	const want = `1-12 seen 5 present 1 edited 1 absent 2 unknown 1 missing 7; gone 5-5 empty-beside-control gone 9-9 empty-alone gone 10-10 deletion-told` +
		` missing 1-3 unknown missing 6-6 empty-beside-control missing 7-7 empty-alone missing 8-8 deletion-told missing 11-11 unknown` +
		` told 100-120 told 900-905 not told 120-900 ` + hourly + ` failed channel-private`
	check := func(when string) {
		t.Helper()
		out, _ := askPosts(t, n, exitDone, "--json", "coverage", "telegram:@alpha")
		if got, _ := coverageText(t, out); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", when, got, want)
		}
	}
	check("in the queue")
	askPosts(t, n, exitDone, "seal")
	check("sealed")
	sealed, _ := askPosts(t, n, exitDone, "--json", "coverage", "@alpha")
	askPosts(t, n, exitDone, "rebuild")
	if again, _ := askPosts(t, n, exitDone, "--json", "coverage", "@alpha"); again != sealed || !strings.Contains(again, `"sealed":7`) {
		t.Errorf("rebuilt:\n%s\nbefore\n%s", again, sealed)
	}
	out, _ := askPosts(t, n, exitDone, "--json", "coverage", "@alpha", "--since", "2026-02-02", "--until", "2026-02-09")
	if got, _ := coverageText(t, out); !strings.HasPrefix(got, "5-9 seen 2 present 0 edited 0 absent 1 unknown 1 missing 3; gone 5-5 empty-beside-control gone 9-9 empty-alone missing 6-6 empty-beside-control missing 7-7 empty-alone missing 8-8 deletion-told") {
		t.Errorf("of a week: %s", got)
	}
	text, _ := askPosts(t, n, exitDone, "coverage", "@alpha")
	for _, w := range []string{"1 to 12: 5 seen", "120 to 900  not told", "missing   1 to 3  unknown", "channel-private"} {
		if !strings.Contains(text, w) {
			t.Errorf("it does not say %q:\n%s", w, text)
		}
	}

	stated := func(args ...string) string {
		t.Helper()
		out, _ := askPosts(t, n, exitDone, append([]string{"--json", "coverage", "@alpha", "--seal"}, args...)...)
		var last struct{ Event, ID string }
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Event != "stated" || len(last.ID) != 32 {
			t.Fatalf("%v: %s", err, out)
		}
		return last.ID
	}
	id := stated()
	if again := stated(); again != id {
		t.Errorf("the same statement is another capture: %s, %s", id, again)
	}
	if other := stated("--since", "2026-02-02"); other == id {
		t.Error("another statement is the same capture")
	}
	check("with statements of it kept")
	file := filepath.Join(t.TempDir(), "coverage.zip")
	askPosts(t, n, exitDone, "export", id, file)
	provenBundle(t, n, file)
	all := wholeBundle(t, file)
	if got, d := coverageText(t, string(all["data/exhibits/1/coverage.json"])); got != want || d.Answers.Count != 7 {
		t.Errorf("the exhibit says %s, %d answers", got, d.Answers.Count)
	}
}
