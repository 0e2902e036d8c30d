package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/collectors"
	"holdfast/filelock"
	"holdfast/pipeline"
	"holdfast/search"
)

// lineOf is what the test reads of a custody line.
type lineOf struct {
	Action  string
	Why     string
	Objects []string
	X       outsideX
}

func linesOf(t *testing.T, n *node, home holdfast.ID) (out []lineOf) {
	t.Helper()
	err := n.outbox.Lines(home, func(b []byte, _ holdfast.Head) error {
		var l lineOf
		out = append(out, l)
		return json.Unmarshal(b, &out[len(out)-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// acceptOnly is a process that dies between the acceptance and the line.
func acceptOnly(t *testing.T, n *node, home holdfast.ID, source string, out pipeline.Outside) string {
	t.Helper()
	ctx := context.Background()
	ids, err := n.queue.AddTasks(ctx, pipeline.Task{Source: holdfast.Source(source), Case: home, Agent: holdfast.Agent{Pseudonym: "otter"}, Options: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	ts, err := n.queue.Take(ctx, pipeline.Want{IDs: ids, Lease: lease})
	if err != nil || len(ts) != 1 {
		t.Fatalf("%d tasks, %v", len(ts), err)
	}
	ts[0].Outside = out
	a, err := trickle{}.Collect(ctx, collectors.Request{}, n.store)
	if err != nil {
		t.Fatal(err)
	}
	in := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	acc, err := in.Accept(ctx, ts[0], a, ts[0].Finish())
	if err != nil {
		t.Fatal(err)
	}
	return string(acc.ID)
}

// TestUnnamed: what a crash left between acceptance and custody line is named at
// the next start, once, in its home Case, with what its Manifest says of the
// scope; and not while anybody is collecting.
func TestUnnamed(t *testing.T) {
	dir := t.TempDir()
	c := &cli{out: io.Discard, errs: io.Discard}
	n, err := c.benchNode(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c.data = n.dir
	home, err := n.caseNamed(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	out := pipeline.Outside{Rules: []string{"period: over"}, Reason: "asked"}
	plain := []string{acceptOnly(t, n, home, "https://one.invalid/", pipeline.Outside{}), acceptOnly(t, n, home, "https://two.invalid/", pipeline.Outside{})}
	flagged := acceptOnly(t, n, home, "https://three.invalid/", out)
	other := acceptOnly(t, n, n.set.Unfiled, "received:00112233445566778899aabbccddeeff", pipeline.Outside{})
	before := len(linesOf(t, n, home))

	free, err := filelock.Share(n.path(fileCollecting))
	if err != nil {
		t.Fatal(err)
	}
	again := reopen(t, c)
	if got := linesOf(t, again, home); len(got) != before {
		t.Fatalf("somebody is collecting, and %d lines were written for him", len(got)-before)
	}
	again.Close()
	free()
	n.Close()

	n = reopen(t, c)
	got := linesOf(t, n, home)[before:]
	if len(got) != 2 || !sameIDs(got, plain, flagged) {
		t.Fatalf("lines %+v, want one of %v and one of %s", got, plain, flagged)
	}
	for _, l := range got {
		if l.Action != "collected" || !l.X.Late || (len(l.X.Outside) > 0) != slices.Contains(l.Objects, flagged) {
			t.Errorf("line %+v", l)
		}
		if len(l.X.Outside) > 0 && (l.Why != "asked" || l.X.Reason != "asked" || l.X.Outside[0] != "period: over") {
			t.Errorf("line %+v of a capture that is outside", l)
		}
	}
	if l := last(linesOf(t, n, n.set.Unfiled)); l.Action != "received" || !slices.Equal(l.Objects, []string{other}) {
		t.Errorf("the files that were handed over: %+v", l)
	}
	count := len(linesOf(t, n, home))
	n.Close()
	n = reopen(t, c)
	if got := len(linesOf(t, n, home)); got != count {
		t.Errorf("a second start wrote %d lines more", got-count)
	}
	n.Close()
}

func last(l []lineOf) lineOf { return l[len(l)-1] }

func sameIDs(got []lineOf, plain []string, flagged string) bool {
	var all []string
	for _, l := range got {
		all = append(all, l.Objects...)
	}
	want := append(slices.Clone(plain), flagged)
	slices.Sort(all)
	slices.Sort(want)
	return slices.Equal(all, want)
}

func reopen(t *testing.T, c *cli) *node {
	t.Helper()
	n, err := c.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNaming: many captures of one call need few lines, and each is named once.
func TestNaming(t *testing.T) {
	n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var k naming
	if err := k.begin(n); err != nil {
		t.Fatal(err)
	}
	before := len(linesOf(t, n, n.set.Unfiled))
	seen := map[string]int{}
	for i := range 250 {
		task := pipeline.Task{Case: n.set.Unfiled, Agent: holdfast.Agent{Pseudonym: fmt.Sprint(i / 240)}}
		if i == 7 {
			task.Outside.Rules = []string{"source: x"}
		}
		id := holdfast.NewID()
		seen[string(id)]--
		k.add(t.Context(), task, id)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop() // as after Ctrl-C
	k.end(ctx)
	lines := linesOf(t, n, n.set.Unfiled)[before:]
	for _, l := range lines {
		for _, id := range l.Objects {
			seen[id]++
		}
		if flagged := len(l.X.Outside) > 0; flagged != (len(l.Objects) == 1) || l.X.Late {
			t.Errorf("line %+v", l)
		}
	}
	for id, k := range seen {
		if k != 0 {
			t.Errorf("capture %s is named %d times", id, k+1)
		}
	}
	if len(lines) != 5 {
		t.Errorf("%d lines for 250 captures of two agents, one of them outside", len(lines))
	}
}

func TestKeywords(t *testing.T) {
	for _, c := range []struct {
		text, word string
		want       bool
	}{
		{"An der Straße", "STRASSE", true}, {"cafe\u0301", "CAFÉ", true}, {"ΣΊΣΥΦΟΣ", "σίσυφος", true}, {"ｆｕｌｌ", "full", true},
		{"no such", "word", false}, {"", "word", false}, {"\xff word", "word", true}, {strings.Repeat("x", 100) + "word", "word", true},
		{"حَرِيق في المِيناء", "ميناء", true}, {"港口发生火灾", "火灾", true}, {"港口发生火灾", "灾火", false}, {"Ещё пожар", "ЕЩЕ", true}, {"١٢ مفقودا", "12", true}, {"IŞIK", "ışık", true},
		{"at the pier-3", "Pier 3", true}, {"what?!", "?!", true}, {"what", "?!", false}, {"fire at", "fire  AT", true}, {"fire", "", true},
	} {
		if got := search.HasAny(c.text, []string{"zzz", c.word}); got != c.want {
			t.Errorf("%q has %q: %v", c.text, c.word, got)
		}
	}
}
