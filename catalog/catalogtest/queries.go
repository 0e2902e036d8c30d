package catalogtest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
)

// testQueries compares every query with a search through the whole list, asked
// at once, with a limit, and page by page.
func testQueries(t *testing.T, open Open) {
	w, c := New(21, 700, 64), open(t, t.TempDir())
	give(t, c, w.Straight(t))
	all := Collect(t, c.Captures(t.Context(), catalog.Query{}))
	if !slices.IsSortedFunc(all, func(a, b catalog.Capture) int {
		if newer(a, b) {
			return -1
		}
		return 1
	}) {
		t.Fatal("the list is not sorted, newest first")
	}
	hits := 0
	for q := range queries(w) {
		var want []catalog.Capture
		for _, k := range all {
			if matches(k, q) {
				want = append(want, k)
			}
		}
		hits += len(want)
		compare(t, q, Collect(t, c.Captures(t.Context(), q)), want)
		n := len(want) / 3
		if n == 0 {
			continue
		}
		q.Limit = n
		var paged []catalog.Capture
		for {
			got := Collect(t, c.Captures(t.Context(), q))
			paged = append(paged, got...)
			if len(got) < n {
				break
			}
			q.After = got[len(got)-1].Cursor()
		}
		compare(t, q, paged, want)
	}
	if hits < len(all)*4 {
		t.Errorf("the queries hit %d captures only", hits)
	}
}

func queries(w *World) func(func(catalog.Query) bool) {
	return func(yield func(catalog.Query) bool) {
		for _, home := range []holdfast.ID{"", w.Cases[1], "00000000000000000000000000000000"} {
			for _, state := range []string{"", catalog.Pending, catalog.Signed, catalog.Sealed} {
				for _, kind := range []string{"", holdfast.KindCapture, holdfast.KindEvent} {
					for _, source := range []holdfast.Source{"", "https://host/3?q=ü", "https://host/none"} {
						if !yield(catalog.Query{Case: home, State: state, Kind: kind, Source: source}) {
							return
						}
					}
				}
			}
		}
	}
}

func matches(k catalog.Capture, q catalog.Query) bool {
	return (q.Case == "" || k.Case == q.Case) && (q.State == "" || k.State == q.State) &&
		(q.Kind == "" || k.Kind == q.Kind) && (q.Source == "" || k.Source == q.Source)
}

func compare(t *testing.T, q catalog.Query, got, want []catalog.Capture) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("query %+v: %d captures, want %d, or other ones", q, len(got), len(want))
	}
}

func testCases(t *testing.T, open Open) {
	w, c := New(22, 60, 32), open(t, t.TempDir())
	home := w.Cases[2]
	var many []holdfast.ID
	for range 700 { // more than fit on a page
		many = append(many, w.id())
	}
	w.export(2, many...)
	before := w.exhibits[2]
	w.exhibits[2] = 9000 // an export that numbers one of them anew: the first number stays
	w.export(2, many[5])
	give(t, c, w.Straight(t)[:1])
	k, err := c.Case(t.Context(), "2026-002")
	if err != nil || k.ID != home || k.Name != "2026-002" || len(k.Chains) != 1 || k.Chains[0].Length != w.lines[2] || k.Chains[0].Node != w.node || k.Opened.IsZero() {
		t.Errorf("case by name: %+v, %v", k, err)
	}
	if n := len(Collect(t, c.Captures(t.Context(), catalog.Query{Case: home, Kind: holdfast.KindCapture}))); int64(n) != k.Captures || n == 0 {
		t.Errorf("the case counts %d captures, %d are listed", k.Captures, n)
	}
	if byID, err := c.Case(t.Context(), string(home)); err != nil || fmt.Sprint(byID) != fmt.Sprint(k) {
		t.Errorf("case by id: %+v, %v", byID, err)
	}
	if _, err := c.Case(t.Context(), "2026"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("case of no such name: %v", err)
	}
	x := Collect(t, c.Exhibits(t.Context(), home))
	if len(x) != before {
		t.Fatalf("%d exhibits, want %d", len(x), before)
	}
	for i := range x {
		if x[i].Number != fmt.Sprint(i+1) || x[i].Case != home {
			t.Fatalf("exhibit %d is %+v", i+1, x[i])
		}
	}
	testNames(t, c, w)
}

// testNames: two nodes may open Cases of one name; a later name changes nothing.
func testNames(t *testing.T, c catalog.Catalog, w *World) {
	w.clock = w.clock.Add(time.Hour)
	from := len(w.Messages)
	w.event(2, "opened", map[string]any{"name": "renamed"})
	w.Cases, w.chains, w.lines, w.exhibits = append(w.Cases, w.id()), append(w.chains, w.id()), append(w.lines, 0), append(w.exhibits, 0)
	w.event(4, "opened", map[string]any{"name": "2026-001"})
	for _, m := range w.Messages[from:] {
		a, err := m.Accepted()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Accepted(t.Context(), []catalog.Accepted{a}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Case(t.Context(), "2026-001"); !errors.Is(err, catalog.ErrAmbiguous) {
		t.Errorf("a name of two cases: %v", err)
	}
	if _, err := c.Case(t.Context(), "renamed"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("a later name: %v", err)
	}
	names := []string{}
	for _, k := range Collect(t, c.Cases(t.Context())) {
		names = append(names, k.Name)
	}
	if want := []string{"2026-000", "2026-001", "2026-001", "2026-002", "2026-003"}; !slices.Equal(names, want) {
		t.Errorf("cases %v, want %v", names, want)
	}
}
