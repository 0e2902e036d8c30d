package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// takeWish accepts a capture for a Task that waits.
func takeWish(t *testing.T, n *node, id holdfast.ID) string {
	t.Helper()
	ts, err := n.queue.Take(t.Context(), pipeline.Want{IDs: []holdfast.ID{id}, Lease: lease})
	if err != nil || len(ts) != 1 {
		t.Fatalf("%d tasks, %v", len(ts), err)
	}
	a, err := trickle{}.Collect(t.Context(), collectors.Request{}, n.store)
	if err != nil {
		t.Fatal(err)
	}
	in := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	acc, err := in.Accept(t.Context(), ts[0], a, ts[0].Finish())
	if err != nil {
		t.Fatal(err)
	}
	return string(acc.ID)
}

// TestOlderQueue: an older copy of the queue is put back under newer custody and
// newer plans. What is planned stays in its one Seal, custody lines come into one,
// what only the newer queue held is named as lost, and a Task that was done since
// is done again without a second Seal for one ID. A rebuild changes no answer.
func TestOlderQueue(t *testing.T) {
	c, n := roundNode(t)
	do := func(want int, args ...string) string {
		t.Helper()
		out, errs, code := call(append(args, "--data", c.data)...)
		if code != want {
			t.Errorf("%v: exit %d, want %d: %s%s", args, code, want, out, errs)
		}
		return out
	}
	open := func() *node {
		t.Helper()
		n, err := c.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	accept := func(n *node, name string) string {
		t.Helper()
		return acceptOnly(t, n, n.set.Unfiled, "https://"+name+".invalid/", pipeline.Outside{})
	}
	sealed := []string{accept(n, "one")}
	n.Close()
	do(0, "seal")
	n = open()
	sealed = append(sealed, accept(n, "queued"))
	wish := addTask(t, n, "https://wish.invalid/", taskOptions{})
	n.Close()
	old := map[string][]byte{}
	for _, end := range []string{"", "-wal", "-shm"} {
		if b, err := os.ReadFile(n.path("queue.db" + end)); err == nil {
			old[end] = b
		}
	}
	do(0, "seal")
	n = open()
	sealed = append(sealed, takeWish(t, n, wish), accept(n, "later"))
	n.Close()
	do(0, "seal")
	n = open()
	lost := accept(n, "lost")
	n.Close()
	n = open() // its custody line is written
	n.Close()
	for _, end := range []string{"", "-wal", "-shm"} {
		_ = os.Remove(n.path("queue.db" + end))
		if b, ok := old[end]; ok {
			if err := os.WriteFile(n.path("queue.db"+end), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	do(0, "list")
	n = open()
	again := takeWish(t, n, wish)
	n.Close()
	do(0, "seal", "--wait", "20s")
	n = open()
	defer n.Close()
	in := planOf(t, n)
	for _, id := range append(sealed, again) {
		if in[holdfast.ID(id)] != 1 {
			t.Errorf("capture %s is in %d plans", id, in[holdfast.ID(id)])
		}
	}
	for id, plans := range in {
		if plans != 1 {
			t.Errorf("%s is in %d plans", id, plans)
		}
	}
	h, err := n.outbox.Head(t.Context(), n.set.Unfiled)
	if err != nil {
		t.Fatal(err)
	}
	for i := range h.Length {
		if id := holdfast.EventID(h.Chain, i+1); in[id] != 1 {
			t.Errorf("custody line %d is in %d plans", i+1, in[id])
		}
	}
	if all, naming := lineCount(t, n, "lost", lost); all != 1 || naming != 1 {
		t.Errorf("%d lines of loss, %d name %s", all, naming, lost)
	}
	before := do(0, "list", "--json")
	do(0, "rebuild")
	if after := do(0, "list", "--json"); after != before {
		t.Errorf("a rebuild changes answers:\n%s\n%s", before, after)
	}
	for line := range strings.Lines(before) {
		var cp struct{ State string }
		if err := json.Unmarshal([]byte(line), &cp); err != nil || cp.State != "sealed" {
			t.Errorf("not sealed: %s", line)
		}
	}
}
