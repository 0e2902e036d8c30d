package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// TestAlsoRest: what a crash has left of a watch in its first Case alone is added to
// the others when it is taken up again, once: answers, files and comments that they
// asked for, pages of the channel; nothing that is somebody else's.
func TestAlsoRest(t *testing.T) {
	ctx := t.Context()
	_, n := roundNode(t)
	other := holdfast.NewID()
	if err := n.openCase(ctx, other, "other", catalog.Record{}); err != nil {
		t.Fatal(err)
	}
	in := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	began := time.Now()
	give := func(source, how, why string, at time.Time) holdfast.ID {
		t.Helper()
		a := &collectors.Acquired{Started: at, Ended: at, Outcome: collectors.Complete}
		got, err := in.Accept(ctx, pipeline.Task{ID: holdfast.NewID(), Source: holdfast.Source(source), Case: n.set.Unfiled, Found: holdfast.Found{How: how, Why: why}}, a, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.ID
	}
	named := func(of string) string { return fmt.Sprintf("%s of %s names it", holdfast.NewID(), of) }
	const asked = "named by another capture"
	now := began.Add(time.Second)
	want := []holdfast.ID{
		give("telegram:@alpha", "watch", "", now),
		give("telegram:@alpha/5", asked, named("telegram:@alpha"), now),
		give("https://t.me/s/alpha", "watch", "", now),
		give("https://t.me/s/alpha?before=7", asked, named("https://t.me/s/alpha"), now),
	}
	give("telegram:@alpha", "watch", "", began.Add(-time.Hour))                        // before it was watched
	give("telegram:@alpha/5", "command", "", now)                                      // somebody's
	give("telegram:@alpha/5", asked, named("telegram:@alpha/5"), now)                  // of somebody's
	give("telegram:@alphabet/5", asked, named("telegram:@alphabet"), now)              // another channel's
	give("https://t.me/s/alphabet", "watch", "", now)                                  // another channel's
	give("https://t.me/alpha/5?embed=1&mode=tme", "second view", "whatever for", now)  // of the Case with the egress
	give("https://page.example/", asked, "post 5 of telegram:@alpha links to it", now) // a page
	if err := n.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	w := &watchRun{n: n, list: map[holdfast.ID]*watched{"w": {watch: watch{ID: "w", Source: "telegram:@alpha", Cases: []holdfast.ID{n.set.Unfiled, other}, Added: holdfast.At(began)}}}}
	w.site.hosts = []string{"t.me"}
	w.also.n = n
	slices.Sort(want)
	for range 2 {
		if err := w.alsoRest(ctx, w.list); err != nil {
			t.Fatal(err)
		}
		if err := n.refresh(ctx); err != nil {
			t.Fatal(err)
		}
		var got []holdfast.ID
		for cp, err := range n.cat.Captures(ctx, catalog.Query{Member: other, Kind: holdfast.KindCapture}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, cp.ID)
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("in the other case: %v, want %v", got, want)
		}
	}
	chains, err := n.cat.Case(ctx, "other")
	if err != nil || len(chains.Chains) != 1 || chains.Chains[0].Length != 2 {
		t.Errorf("lines of the other case: %+v, %v", chains.Chains, err)
	}
}
