package postgres_test

import (
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/postgres"
)

// clocksApart: nodes whose clocks are hours off share Tasks with one whose clock is right.
// What is due in a moment is due in a moment for all, a lease holds everybody off for as
// long as it was given for, and each reads times by a clock like its own.
func clocksApart(t *testing.T) {
	name := schema(t.TempDir())
	at := func(off time.Duration) (*postgres.Tasks, func() time.Time) {
		mine := func() time.Time { return time.Now().Add(off) }
		return opened(t, postgres.Options{Schema: name, Mine: mine}), mine
	}
	near := func(what string, got, want time.Time) {
		t.Helper()
		if got.Sub(want).Abs() > time.Minute {
			t.Errorf("%s: %v, want about %v", what, got, want)
		}
	}
	right, _ := at(0)
	for what, off := range map[string]time.Duration{"ahead": time.Hour, "behind": -time.Hour} {
		wrong, mine := at(off)
		soon := pipeline.Task{ID: holdfast.NewID(), Source: "https://a/", Case: holdfast.NewID(), Due: mine().Add(-time.Second)}
		late := soon
		late.ID, late.Due = holdfast.NewID(), mine().Add(30*time.Minute)
		_, err := wrong.AddTasks(t.Context(), soon, late)
		must(t, err)
		got, err := right.Take(t.Context(), pipeline.Want{Max: 9, Lease: 10 * time.Minute})
		must(t, err)
		if len(got) != 1 || got[0].ID != soon.ID {
			t.Fatalf("%s: %d Tasks are due for a node with the right clock: %+v", what, len(got), got)
		}
		near(what+": due", got[0].Due, time.Now())
		if again, err := wrong.Take(t.Context(), pipeline.Want{Max: 9}); err != nil || len(again) != 0 {
			t.Fatalf("%s: taken under another's lease: %+v, %v", what, again, err)
		}
		all, err := wrong.Tasks(t.Context(), "", 9)
		must(t, err)
		for _, k := range all {
			if k.ID == soon.ID {
				near(what+": lease as it is listed", k.Lease.Until, mine().Add(10*time.Minute))
			} else {
				near(what+": due as it is listed", k.Due, late.Due)
			}
		}
		must(t, right.Settle(t.Context(), got[0].Again(time.Now().Add(20*time.Minute)), false))
		due, _, err := wrong.Waiting(t.Context(), 9)
		if err != nil || len(due) != 0 {
			t.Errorf("%s: %d are due, %v; one is put off, the other comes in half an hour", what, len(due), err)
		}
		got, err = wrong.Take(t.Context(), pipeline.Want{IDs: []holdfast.ID{soon.ID}, Early: true})
		must(t, err)
		near(what+": due as it is taken", got[0].Due, mine().Add(20*time.Minute))
		near(what+": lease as it is taken", got[0].Lease.Until, mine().Add(5*time.Minute))
		must(t, wrong.Settle(t.Context(), got[0].Later(mine().Add(-time.Second)), false))
		got, err = right.Take(t.Context(), pipeline.Want{Max: 9})
		must(t, err)
		if len(got) != 1 || got[0].ID != soon.ID {
			t.Errorf("%s: what was put off for no time at all is not due: %+v", what, got)
		}
		must(t, right.Drop(t.Context(), soon.ID, late.ID))
	}
}
