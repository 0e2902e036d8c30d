package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/alert"
	"holdfast/alert/rules"
	"holdfast/cmd/internal/seams"
	"holdfast/pipeline"
)

// TestAlerts: what is told follows from what was accepted behind the rule: a text that
// was seen before is not new because it is seen again, nor is another door's view of a
// post an edit; an absence without a control is no deletion; and a crash between the
// outbox and the queue tells nothing twice.
func TestAlerts(t *testing.T) {
	n, _ := secretNode(t)
	ctx, feed := t.Context(), filepath.Join(t.TempDir(), "x.atom")
	at := time.Now().Add(-time.Hour)
	head := func(method string, more map[string]any) map[string]any {
		at = time.Now()
		h := map[string]any{"channel": "77", "method": method, "names": []string{"alpha"}, "title": "A"}
		for k, v := range more {
			h[k] = v
		}
		return h
	}
	acceptPosts(t, n, false, saidPosts(t, at, head("messages.getHistory", nil), saidPost(1, "Fire, old", 1), saidPost(2, "smoke", 1), saidPost(5, "calm", 1)))
	if err := n.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	all := []*rules.Rule{{Name: "fire", Match: "fire -exercise"}, {Name: "edits", Edited: true, Source: "telegram:@alpha"}, {Name: "gone", Deleted: true}, {Name: "elsewhere", Match: "fire", Source: "telegram:@beta"},
		{Name: "case", Match: "fire", Case: holdfast.NewID()}, {Name: "link", Match: "url:host.example"}}
	err := n.changeAlerts(ctx, func([]*rules.Rule) ([]*rules.Rule, error) {
		for _, r := range all {
			r.To, r.Added = []string{feed}, holdfast.At(time.Now())
		}
		return all, n.queue.Start(ctx, pipeline.StageAlerts)
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(5 * time.Millisecond)
	linked := saidPost(8, "see", 0)
	linked["links"] = []string{"https://host.example/x"}
	for _, body := range [][]byte{
		saidPosts(t, at, head("messages.getHistory", nil), saidPost(1, "Fire, old", 2), saidPost(6, "FIRE, new", 1), saidPost(7, "fire exercise", 1), linked),
		saidPosts(t, at, head("channels.getMessages", map[string]any{"absent": []int{5}})), // no control
		saidPosts(t, at, head("channels.getMessages", nil), saidPost(2, "fire after smoke", 1)),
		saidPosts(t, at, head("web", nil), saidPost(1, "Fire, old!", 0)),
		saidPosts(t, at, head("channels.getMessages", map[string]any{"absent": []int{5}}), saidPost(6, "FIRE, new", 9)),
	} {
		acceptPosts(t, n, false, body)
		time.Sleep(3 * time.Millisecond)
	}
	out, err := alert.Open(ctx, n.path(alertsDB))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	// A crash behind the outbox: the stage stands where it stood.
	if err := n.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	from, err := n.queue.Position(ctx, pipeline.StageAlerts, 0)
	if err != nil {
		t.Fatal(err)
	}
	// What is preserved and indexed stays in the queue until it was looked at.
	end, err := n.queue.End(ctx, pipeline.StageAlerts, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.queue.Advance(ctx, pipeline.Ack{Stage: pipeline.StagePreserve, To: end}); err != nil {
		t.Fatal(err)
	}
	if k, err := (pruner{n}).Prune(ctx, 0, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageResults); err != nil || int64(k) != from {
		t.Fatalf("%d pruned, want %d, %v", k, from, err)
	}
	ms, err := n.queue.Receive(ctx, pipeline.StageAlerts, 0, from, pipeline.Bounds{NoWait: true})
	if err != nil || len(ms) == 0 {
		t.Fatalf("%d messages, %v", len(ms), err)
	}
	f := newFinder(n, all)
	var items []pipeline.Item
	for _, m := range ms[:3] {
		it, err := m.Item()
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, it)
	}
	if err := seams.Accepted(ctx, items, f, n.store, n.log); err != nil {
		t.Fatal(err)
	}
	before, err := f.Add(ctx, out, f.Found()) // durable, and then the process ends
	if err != nil || before == 0 {
		t.Fatalf("%d events, %v", before, err)
	}
	p, err := n.alertPass(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range all {
		es, err := out.Last(ctx, r.Name, feed, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			got = append(got, fmt.Sprintf("%s %d %s", e.Rule, e.Post, e.Text))
		}
	}
	want := []string{"fire 1 Fire, old!", "fire 2 fire after smoke", "fire 6 FIRE, new", "edits 2 fire after smoke", "gone 5 ", "link 8 see"} // the text of 5 was freed above, and no pack has it here
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || p.told != len(want) || int(before+p.found) != len(want) {
		t.Errorf("told %d, found %d and %d:\n%s\nwant\n%s", p.told, before, p.found, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if p, err := n.alertPass(ctx, true); err != nil || p.told != 0 || p.found != 0 {
		t.Errorf("again: %+v, %v", p, err)
	}
}

// TestSilent: a silence is told once, as long as it lasts, and not before the rule has
// been there for as long.
func TestSilent(t *testing.T) {
	n, _ := secretNode(t)
	now := time.Now()
	r := &rules.Rule{Name: "quiet", Silent: "6h", Source: "telegram:@alpha", Added: holdfast.At(now.Add(-7 * time.Hour))}
	say := func(posted time.Time, id int) {
		p := saidPost(id, fmt.Sprint(id), 1)
		p["posted"] = holdfast.At(posted)
		acceptPosts(t, n, false, saidPosts(t, now, map[string]any{"channel": "77", "method": "messages.getHistory", "names": []string{"alpha"}}, p))
		if err := n.refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	find := func(at time.Time) string {
		t.Helper()
		es, err := newFinder(n, []*rules.Rule{r}).Silent(t.Context(), at)
		if err != nil || len(es) > 1 {
			t.Fatalf("%v, %v", es, err)
		}
		if len(es) == 0 {
			return ""
		}
		return es[0].ID
	}
	never := find(now)
	if never == "" || never != find(now.Add(time.Hour)) || find(now.Add(-2*time.Hour)) != "" {
		t.Errorf("of a source that never spoke: %q", never)
	}
	say(now.Add(-20*time.Hour), 1)
	if find(now) != never {
		t.Error("what was posted before the rule begins another silence")
	}
	say(now.Add(-5*time.Hour), 2)
	if find(now) != "" {
		t.Error("five hours are no silence of six")
	}
	if later := find(now.Add(2 * time.Hour)); later == "" || later == never {
		t.Errorf("another silence is %q, the first %q", later, never)
	}
}

// TestAlertsGap: what an older program has freed is not told, which is said, and what
// comes behind it is.
func TestAlertsGap(t *testing.T) {
	n, log := secretNode(t)
	ctx, feed := t.Context(), filepath.Join(t.TempDir(), "x.atom")
	say := func(id int) {
		acceptPosts(t, n, false, saidPosts(t, time.Now(), map[string]any{"channel": "77", "method": "messages.getHistory", "names": []string{"alpha"}}, saidPost(id, fmt.Sprint("fire ", id), 1)))
		if err := n.refresh(ctx); err != nil {
			t.Fatal(err)
		}
	}
	err := n.changeAlerts(ctx, func([]*rules.Rule) ([]*rules.Rule, error) {
		return []*rules.Rule{{Name: "fire", Match: "fire", To: []string{feed}, Added: holdfast.At(time.Now().Add(-time.Minute))}}, n.queue.Start(ctx, pipeline.StageAlerts)
	})
	if err != nil {
		t.Fatal(err)
	}
	say(1)
	end, err := n.queue.End(ctx, pipeline.StageAlerts, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.queue.Advance(ctx, pipeline.Ack{Stage: pipeline.StagePreserve, To: end}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.queue.Prune(ctx, 0, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageResults); err != nil {
		t.Fatal(err)
	}
	say(2)
	if p, err := n.alertPass(ctx, true); err != nil || p.told != 1 || !strings.Contains(log.String(), "is not told") {
		t.Errorf("%+v, %v: %s", p, err, log)
	}
}
