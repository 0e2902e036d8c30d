package main

import (
	"testing"
	"time"

	"holdfast"
)

// TestTurnOfAnother guards that two processes which both believe to run a watch make no
// second follower of it: who acts on what he saw before the other finds the other's turn.
func TestTurnOfAnother(t *testing.T) {
	c, n := roundNode(t)
	ctx := t.Context()
	if err := n.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	w, err := c.newWatchRun(ctx, n)
	if err != nil {
		t.Fatal(err)
	}
	defer w.door.Close()
	err = n.changeWatches(ctx, func(list []*watch) ([]*watch, error) {
		return append(list, &watch{ID: holdfast.NewID(), Source: "telegram:@harbour", Cases: []holdfast.ID{n.set.Unfiled}, Added: holdfast.At(time.Now())}), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := n.watches(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w.takeList(seen)
	other := func(list []*watch) ([]*watch, error) {
		list[0].Turn++
		list[0].Follow = list[0].task(w.queue.Queue, partFollow, list[0].Turn)
		return list, nil
	}
	if err := n.changeWatches(ctx, other); err != nil {
		t.Fatal(err)
	}
	if err := w.keepTasks(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	list, err := n.watches(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if list[0].Turn != 1 {
		t.Errorf("turn %d: another follower than the other process's", list[0].Turn)
	}
	if ts, err := n.queue.Tasks(ctx, "", 10); err != nil || len(ts) != 1 || ts[0].ID != list[0].Follow {
		t.Errorf("tasks %v, %v: want the one that follows, %s", ts, err, list[0].Follow)
	}
}
