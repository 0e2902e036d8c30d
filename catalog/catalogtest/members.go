package catalogtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
)

// testRecord: the record is that of the last line of its chain, even if the
// clock was set back; of two chains that of the later time. An `opened` line
// without a record takes nothing back, a `changed` line without one takes all.
func testRecord(t *testing.T, open Open) {
	w := New(31, 1, 100)
	from := len(w.Messages)
	until := holdfast.At(w.clock.Add(time.Hour))
	w.line(0, "changed", nil, map[string]any{"reference": "first"})
	w.clock = w.clock.Add(-time.Minute)
	w.line(0, "held", nil, map[string]any{"canary": []string{"telegram:@own"}, "comments": true, "depth": 0, "egress": "direct", "hold": true, "keywords": []string{"k"}, "legal_basis": "l", "mandate": "m", "purpose": "p",
		"reference": "second", "since": until, "sources": []string{"*.host"}, "until": until, "zz": "for later use"})
	w.line(0, "opened", nil, map[string]any{"name": "again"})
	w.line(1, "changed", nil, map[string]any{"reference": "taken back"})
	w.line(1, "released", nil, nil)
	w.line(2, "changed", nil, map[string]any{"reference": "one chain"})
	w.chains[2], w.lines[2] = w.id(), 0
	w.clock = w.clock.Add(2 * time.Minute)
	w.line(2, "opened", nil, map[string]any{"name": "x", "reference": "other chain"})
	var facts []catalog.Accepted
	for _, m := range w.Messages[from:] {
		facts = append(facts, must(m.Accepted()))
	}
	depth := 0
	want := map[int]catalog.Record{0: {Reference: "second", Mandate: "m", LegalBasis: "l", Purpose: "p", Sources: []string{"*.host"}, Keywords: []string{"k"},
		Depth: &depth, Since: until, Until: until, Egress: "direct", Canary: []string{"telegram:@own"}, Comments: true, Hold: true, Newer: map[string]json.RawMessage{"zz": json.RawMessage(`"for later use"`)}}, 1: {}, 2: {Reference: "other chain"}}
	for seed := range uint64(8) {
		rand.New(rand.NewPCG(seed, 3)).Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		c := open(t, t.TempDir())
		give(t, c, w.Straight(t)[:1])
		for _, f := range facts {
			if err := c.Accepted(t.Context(), []catalog.Accepted{f}); err != nil {
				t.Fatal(err)
			}
		}
		for home, r := range want {
			if k, err := c.Case(t.Context(), string(w.Cases[home])); err != nil || k.Record.String() != r.String() {
				t.Fatalf("order %d: record %s, %v; want %s", seed, k.Record, err, r)
			}
		}
	}
}

// testMembers compares membership, and who is unnamed, with what the World's
// own lines say, asked at once and page by page.
func testMembers(t *testing.T, open Open) {
	w, c := New(32, 900, 64), open(t, t.TempDir())
	give(t, c, w.Facts(t, 5))
	home, added, named := map[holdfast.ID]holdfast.ID{}, map[string]bool{}, map[string]bool{}
	all := Collect(t, c.Captures(t.Context(), catalog.Query{Kind: holdfast.KindCapture}))
	for _, k := range all {
		home[k.ID] = k.Case
	}
	for _, m := range w.Messages {
		var l struct {
			Action  string
			Objects []string
		}
		if m.Line == nil {
			continue
		}
		if err := json.Unmarshal(m.Line, &l); err != nil {
			t.Fatal(err)
		}
		for _, o := range l.Objects {
			added[string(m.Case)+o] = added[string(m.Case)+o] || l.Action == "added"
			named[string(m.Case)+o] = named[string(m.Case)+o] || l.Action == "collected" || l.Action == "received"
		}
	}
	for _, id := range w.Cases {
		q := catalog.Query{Member: id, Kind: holdfast.KindCapture}
		var want []catalog.Capture
		guests := int64(0)
		for _, k := range all {
			if k.Case != id && added[string(id)+string(k.ID)] {
				guests++
			} else if k.Case != id {
				continue
			}
			want = append(want, k)
		}
		compare(t, q, Collect(t, c.Captures(t.Context(), q)), want)
		compare(t, q, paged(t, c, q, len(want)/3), want)
		if k, err := c.Case(t.Context(), string(id)); err != nil || k.Added != guests || guests == 0 || k.Captures != int64(len(want))-guests {
			t.Errorf("case %+v, %v; want %d added of %d", k, err, guests, len(want))
		}
	}
	unnamed := slices.DeleteFunc(slices.Clone(all), func(k catalog.Capture) bool { return named[string(home[k.ID])+string(k.ID)] })
	q := catalog.Query{Unnamed: true}
	compare(t, q, Collect(t, c.Captures(t.Context(), q)), unnamed)
	if len(unnamed) == 0 || len(unnamed) == len(all) {
		t.Errorf("%d of %d captures are unnamed", len(unnamed), len(all))
	}
	for _, err := range c.Captures(t.Context(), catalog.Query{Member: "x"}) {
		if err == nil {
			t.Error("captures of Case x are listed")
		}
	}
}

func paged(t *testing.T, c catalog.Catalog, q catalog.Query, n int) (out []catalog.Capture) {
	t.Helper()
	for q.Limit = n; ; q.After = out[len(out)-1].Cursor() {
		got := Collect(t, c.Captures(t.Context(), q))
		out = append(out, got...)
		if len(got) < n {
			return out
		}
		if len(got) > n {
			t.Fatal(fmt.Errorf("%d captures, asked for %d", len(got), n))
		}
	}
}
