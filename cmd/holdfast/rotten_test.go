package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"holdfast"
	"holdfast/cmd/internal/seams"
	"holdfast/pipeline"
)

// spoil changes the queue behind the program's back.
func spoil(t *testing.T, n *node, text string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", n.path("queue.db"))
	if err == nil {
		_, err = db.Exec(text, args...)
		err = errors.Join(err, db.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRottenTask: a Task that the disk has changed is named by list and doctor,
// mirrored by nobody, captured by nobody, and can be given up.
func TestRottenTask(t *testing.T) {
	c, n := roundNode(t)
	defer n.Close()
	bad := string(addTask(t, n, "https://bad.invalid/", taskOptions{}))
	addTask(t, n, "https://good.invalid/", taskOptions{})
	spoil(t, n, `UPDATE tasks SET fixed = x'7b' WHERE id = ?`, bad)
	say := func(want int, args ...string) string {
		t.Helper()
		out, errs, code := call(append(args, "--data", c.data, "--json")...)
		if code != want {
			t.Errorf("%v: exit %d, want %d: %s%s", args, code, want, out, errs)
		}
		return out + errs
	}
	if out := say(0, "task", "list"); strings.Count(out, `"damaged":true`) != 1 || !strings.Contains(out, "good.invalid") {
		t.Errorf("list: %s", out)
	}
	if out := say(1, "doctor"); !strings.Contains(out, "task drop") {
		t.Errorf("doctor: %s", out)
	}
	r := roundOf(n, nil)
	r.do(t.Context(), holdfast.ID(bad))
	if !errors.Is(r.waits, errDamaged) {
		t.Errorf("capture: %v, %v", r.waits, r.stopped)
	}
	mirror := t.TempDir() + "/m"
	say(0, "mirror", "--to", mirror)
	if b, err := os.ReadFile(mirror + "/node/tasks.jsonl"); err != nil || strings.Contains(string(b), bad) || !strings.Contains(string(b), "good.invalid") {
		t.Errorf("mirrored: %s, %v", b, err)
	}
	say(0, "task", "drop", bad, "--why", "it is lost")
	if out := say(0, "task", "list"); strings.Contains(out, bad) {
		t.Errorf("left: %s", out)
	}
	found := false
	for _, l := range linesOf(t, n, n.set.Unfiled) {
		found = found || l.Action == "dropped" && l.Why == "it is lost" && l.Objects[0] == bad
	}
	if !found {
		t.Error("no line of custody tells that it was given up")
	}
}

// TestLostPlan: the result of a Seal whose plan is gone holds up none behind it.
func TestLostPlan(t *testing.T) {
	_, n := roundNode(t)
	defer n.Close()
	var told bytes.Buffer
	x := &seams.Indexer{Catalog: n.cat, Store: n.store, Log: slog.New(slog.NewTextHandler(&told, nil)), Told: &n.told}
	q := "0123456789abcdef"
	if err := n.store.Create(t.Context(), "seals/"+holdfast.SealID(q, 0, 2)+"/plan.json", strings.NewReader("{")); err != nil {
		t.Fatal(err)
	}
	var lost []pipeline.Outcome
	for i := range int64(2) {
		lost = append(lost, pipeline.Outcome{Seal: holdfast.SealID(q, 0, i+1), State: pipeline.StateSigned, Reason: "a test"})
	}
	if err := x.Sealed(t.Context(), lost); err != nil || strings.Count(told.String(), "plan not indexed") != 2 {
		t.Errorf("%v: %s", err, told.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Sealed(ctx, lost); err == nil {
		t.Error("a call that was given up says that it is done")
	}
}
