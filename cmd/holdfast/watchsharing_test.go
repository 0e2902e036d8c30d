package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"holdfast"
)

// office of nodes that share watches, without a database: each looks and acts in turn.
type sharers struct {
	list  []*watch
	there map[string]aboutWatcher
	busy  map[holdfast.ID]bool
}

// turn lets each node look once, and says how many watches changed hands.
func (o *sharers) turn() (moved int) {
	for node := range o.there {
		s := newSharing(o.list, o.there, node)
		take, give := s.take(), s.give(o.busy)
		if len(give) == 0 {
			give = s.level(o.busy)
		}
		for _, k := range o.list {
			_, run := o.there[k.by]
			switch {
			case slices.Contains(give, string(k.Source)) && k.by == node:
				k.by, moved = "", moved+1
			case slices.Contains(take, string(k.Source)) && !run:
				k.by, moved = node, moved+1
			}
		}
	}
	return moved
}

func (o *sharers) settle(t *testing.T) {
	t.Helper()
	for range 200 {
		if o.turn() == 0 {
			return
		}
	}
	t.Fatalf("nodes hand watches to each other for ever: %v", o.runs())
}

func (o *sharers) runs() map[string]int {
	n := map[string]int{}
	for _, k := range o.list {
		if k.Paused == nil {
			n[k.by]++
		}
	}
	return n
}

func sharersOf(watches int, there map[string]aboutWatcher) *sharers {
	o := &sharers{there: there, busy: map[holdfast.ID]bool{}}
	for i := range watches {
		s := holdfast.Source(fmt.Sprintf("telegram:@channel_%02d", i))
		o.list = append(o.list, &watch{ID: holdfast.ID(s), Source: s, Cases: []holdfast.ID{"c"}})
	}
	return o
}

func (o *sharers) want(t *testing.T, want map[string]int) {
	t.Helper()
	if got := o.runs(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("run by %v, want %v", got, want)
	}
}

// TestSharing guards who runs what: each by its accounts, what one node alone can run
// there, what a node that is gone ran by the others, and nothing to and fro.
func TestSharing(t *testing.T) {
	acc := func(n int) aboutWatcher { return aboutWatcher{Accounts: n} }
	o := sharersOf(12, map[string]aboutWatcher{"one": acc(1), "two": acc(2)})
	o.list[11].Paused = &holdfast.Time{}
	o.settle(t)
	third := func() {
		t.Helper()
		if got := o.runs(); got["one"]+got["two"] != 11 || got["one"] < 3 || got["one"] > 4 {
			t.Errorf("run by %v, want a third and two thirds of 11", got)
		}
	}
	third()
	delete(o.there, "two") // it has died
	o.settle(t)
	o.want(t, map[string]int{"one": 11})
	o.there["two"] = acc(2) // it is back, and has its part after some time
	o.turn()
	if got := o.runs(); got["two"] > 1 {
		t.Errorf("%v: more than one watch went over at once", got)
	}
	o.settle(t)
	third()

	first := o.list[0]
	unfit := func(node string, k *watch, why string) {
		a := o.there[node]
		a.Unfit = map[holdfast.Source]string{k.Source: why}
		o.there[node] = a
	}
	first.by = "one"
	unfit("one", first, "no egress")
	o.busy[first.ID] = true
	if s := newSharing(o.list, o.there, "one"); len(s.give(o.busy)) != 0 {
		t.Error("a watch was given away while it is asked about")
	}
	delete(o.busy, first.ID)
	o.settle(t)
	if first.by != "two" {
		t.Errorf("what one lacks the egress for is run by %q", first.by)
	}
	unfit("two", first, "no egress either")
	o.settle(t)
	if first.by != "" {
		t.Errorf("what nobody has the egress for is run by %q", first.by)
	}
	first.by, first.Cannot = "two", map[string][]string{"one": {"a1"}, "two": {"a1", "a2"}}
	o.settle(t)
	if first.by != "two" {
		t.Errorf("what nobody's accounts can read stays with the last, not with %q", first.by)
	}
	if !first.unreadBy("two", []string{"a2"}) || first.unreadBy("two", []string{"a2", "a3"}) || first.unreadBy("three", nil) {
		t.Error("an account that has not tried yet counts as one that cannot read it")
	}

	o = sharersOf(3, map[string]aboutWatcher{"one": {Pages: "no account"}})
	o.settle(t)
	o.want(t, map[string]int{"one": 3})
	o.there["two"] = acc(1)
	o.settle(t)
	o.want(t, map[string]int{"two": 3})
	o.there["two"] = aboutWatcher{} // neither accounts nor pages
	o.settle(t)
	o.want(t, map[string]int{"one": 3})
}

// TestSharingEnds: whatever nodes there are and whatever each lacks, what somebody can run
// is run, by one who can, and then nothing changes hands any more.
func TestSharingEnds(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		o := sharersOf(1+r.IntN(20), map[string]aboutWatcher{})
		for i := range 1 + r.IntN(4) {
			a := aboutWatcher{Accounts: r.IntN(3), Unfit: map[holdfast.Source]string{}}
			if r.IntN(2) == 0 {
				a.Pages = "no account"
			}
			for _, k := range o.list {
				if r.IntN(3) == 0 || !a.able() {
					a.Unfit[k.Source] = "why"
				}
			}
			o.there[fmt.Sprint("node", i)] = a
		}
		o.settle(t)
		for _, k := range o.list {
			fit := newSharing(o.list, o.there, "").fit(k)
			if len(fit) > 0 != (k.by != "") || k.by != "" && !slices.Contains(fit, k.by) {
				t.Fatalf("round %d: %s is run by %q, and %v could: %v", round, k.Source, k.by, fit, o.there)
			}
		}
	}
}
