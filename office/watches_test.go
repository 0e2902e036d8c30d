package office_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/office"
)

func watchRow(source string) office.Watch {
	return office.Watch{Source: source, Body: []byte("body of " + source)}
}

// watches: a list that several change: each sees what the others did, and none takes back
// what he has not seen.
func watches(t *testing.T, open func() *office.Book) {
	ctx, a, b := t.Context(), open().Watches(), open().Watches()
	if v, err := a.Version(ctx); v != 0 || err != nil {
		t.Fatalf("a new list has version %d, %v", v, err)
	}
	if err := a.Change(ctx, 0, "e1", []office.Watch{watchRow("x"), watchRow("y")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Change(ctx, 0, "e2", []office.Watch{watchRow("z")}, nil); !errors.Is(err, office.ErrChanged) {
		t.Errorf("a change of a list that was not seen: %v", err)
	}
	rows, v, err := b.Since(ctx, 0)
	if err != nil || v != 1 || len(rows) != 2 || rows[1].Source != "y" || string(rows[1].Body) != "body of y" {
		t.Fatalf("%v, version %d, %v", rows, v, err)
	}
	if err := b.Change(ctx, v, "e3", nil, []string{"x"}); err != nil {
		t.Fatal(err)
	}
	if rows, v, err = a.Since(ctx, v); err != nil || v != 2 || len(rows) != 1 || rows[0].Source != "x" || len(rows[0].Body) != 0 {
		t.Errorf("what has changed: %v, version %d, %v: want x, removed", rows, v, err)
	}
	if err := a.Change(ctx, v, "e4", []office.Watch{{Source: "big", Body: make([]byte, office.MaxWatch+1)}}, nil); err == nil {
		t.Error("a watch without bounds was taken")
	}
	var made atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			err := a.Change(ctx, v, fmt.Sprint("w", i), []office.Watch{watchRow("x")}, nil)
			if err == nil {
				made.Add(1)
			} else if !errors.Is(err, office.ErrChanged) {
				t.Error(err)
			}
		})
	}
	if wg.Wait(); made.Load() != 1 {
		t.Errorf("%d of 8 changes of one version were made", made.Load())
	}
}

// watchers: who is there keeps what he runs, and of who is not the first who comes takes
// it, and no second one; what was removed, nobody.
func watchers(t *testing.T, open func() *office.Book) {
	ctx, w := t.Context(), open().Watches()
	if err := w.Change(ctx, 0, "e", []office.Watch{watchRow("x"), watchRow("y"), watchRow("gone")}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Change(ctx, 1, "f", nil, []string{"gone"}); err != nil {
		t.Fatal(err)
	}
	take := func(node string, want string) {
		t.Helper()
		got, err := w.Take(ctx, node, []string{"x", "y", "gone", "none"})
		if s := fmt.Sprint(got); err != nil || s != want {
			t.Errorf("%s takes %s, %v: want %s", node, s, err, want)
		}
	}
	beat := func(node string, lease time.Duration) {
		t.Helper()
		if err := w.Beat(ctx, node, lease, []byte(node)); err != nil {
			t.Fatal(err)
		}
	}
	beat("one", time.Hour)
	take("one", "map[x: y:]")
	_, before, err := w.Since(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Change(ctx, 2, "g", []office.Watch{watchRow("z")}, nil); err != nil {
		t.Errorf("who runs what is no change of what is watched: %v", err)
	}
	if _, before, err = w.Since(ctx, 0); err != nil {
		t.Fatal(err)
	}
	take("two", "map[]")
	if v, err := w.Version(ctx); v != before || err != nil {
		t.Errorf("nothing was taken, and the list has version %d, not %d, %v", v, before, err)
	}
	beat("one", 0) // it has died
	beat("two", time.Hour)
	all, err := w.Watchers(ctx)
	if err != nil || len(all) != 2 || all[0].Left != 0 || all[1].Left < time.Minute || string(all[1].Body) != "two" {
		t.Errorf("%+v, %v", all, err)
	}
	var mu sync.Mutex
	taken := map[string][]string{}
	var wg sync.WaitGroup
	for _, node := range []string{"two", "three", "four"} {
		beat(node, time.Hour)
		wg.Go(func() {
			got, err := w.Take(ctx, node, []string{"x", "y"})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for s, was := range got {
				taken[s] = append(taken[s], node)
				if was != "one" {
					t.Errorf("%s was run by %q before", s, was)
				}
			}
		})
	}
	if wg.Wait(); len(taken["x"]) != 1 || len(taken["y"]) != 1 {
		t.Errorf("taken by %v, want one each", taken)
	}
	rows, _, err := w.Since(ctx, before)
	if s := fmt.Sprint(rows); err != nil || len(rows) != 2 || !strings.Contains(s, taken["x"][0]) {
		t.Errorf("%s, %v: what was taken has changed", s, err)
	}
	if err := w.Give(ctx, taken["x"][0], []string{"x"}); err != nil {
		t.Fatal(err)
	}
	take("five", "map[x:]")
}
