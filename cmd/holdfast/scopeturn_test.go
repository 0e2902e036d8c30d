package main

import (
	"database/sql"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/pipeline"
	"holdfast/preserve"
)

// TestEditThatDoesNotCount guards against a person who believes in a scope that
// is not enforced: a clock was years ahead when an earlier chain was written.
func TestEditThatDoesNotCount(t *testing.T) {
	c := &cli{out: io.Discard, errs: io.Discard}
	n, err := c.benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	home, err := n.caseNamed(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	c.data = n.dir
	edit := func(value string) error {
		cmd := c.caseEditCmd()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs([]string{"c", "--scope-source", value})
		return cmd.ExecuteContext(t.Context())
	}
	if err := edit("example.org"); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", n.path("catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	body, err := catalog.Record{Purpose: "old"}.Encode("")
	if err != nil {
		t.Fatal(err)
	}
	far := time.Now().AddDate(9, 0, 0).UnixMilli()
	if res, err := db.Exec(`INSERT INTO record (home, chain, line, at, body) SELECT home, x'00112233445566778899aabbccddeeff', 2, ?, ? FROM record LIMIT 1`, far, []byte(body)); err != nil {
		t.Fatal(err)
	} else if k, _ := res.RowsAffected(); k != 1 {
		t.Fatalf("%d rows for case %s", k, home)
	}
	if err := edit("example.com"); err == nil || !strings.Contains(err.Error(), "does not count") {
		t.Errorf("the edit is told as done: %v", err)
	}
}

// TestClockOfEachCapture: a long round states what is known of the clock when a
// capture is accepted, not what was when the round began.
func TestClockOfEachCapture(t *testing.T) {
	ctx := t.Context()
	c := &cli{out: io.Discard, errs: io.Discard}
	n, err := c.benchNode(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	r := &round{n: n, by: only(trickle{}), intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
	defer r.names.end(ctx)
	n.noteClock(preserve.Drift{Offset: -time.Minute, Operators: []string{"A", "B"}, At: time.Now()})
	ids, err := n.queue.AddTasks(ctx, pipeline.Task{Source: "https://a.invalid/", Case: n.set.Unfiled, Options: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.task(ctx, ids[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := n.refresh(ctx); err != nil {
		t.Fatal(err)
	}
	raw, _, err := n.kept().Manifest(ctx, got[0].id)
	if err != nil {
		t.Fatal(err)
	}
	m, err := holdfast.ParseManifest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if m.Collection.Clock.OffsetMS != -60_000 {
		t.Errorf("the Manifest says %+v", m.Collection.Clock)
	}
}
