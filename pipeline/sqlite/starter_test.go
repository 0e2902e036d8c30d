package sqlite_test

import (
	"path/filepath"
	"testing"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

// TestStarted: the stage of alerts begins behind what was accepted, keeps what comes
// then from being pruned until it has gone past, and holds up nothing once it is ended.
func TestStarted(t *testing.T) {
	ctx := t.Context()
	q, err := sqlite.Open(ctx, filepath.Join(t.TempDir(), "queue.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	publish := func(n int) {
		for range n {
			if _, err := q.Publish(ctx, nil, pipeline.Message{ID: holdfast.NewID(), Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	move := func(s pipeline.Stage, from, to int64) {
		if err := q.Advance(ctx, pipeline.Ack{Stage: s, From: from, To: to}); err != nil {
			t.Fatal(err)
		}
	}
	publish(2)
	if there, err := q.Started(ctx, pipeline.StageAlerts); there || err != nil {
		t.Fatal(there, err)
	}
	for range 2 {
		if err := q.Start(ctx, pipeline.StageAlerts); err != nil {
			t.Fatal(err)
		}
		publish(1)
	}
	if p, err := q.Position(ctx, pipeline.StageAlerts, 0); p != 2 || err != nil {
		t.Fatalf("it begins at %d, %v", p, err)
	}
	for _, s := range []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve, pipeline.StageIndex} {
		move(s, 0, 4)
	}
	stages := []pipeline.Stage{pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageAlerts}
	if n, err := q.Prune(ctx, 0, stages...); n != 2 || err != nil {
		t.Fatalf("%d pruned, %v", n, err)
	}
	ms, err := q.Receive(ctx, pipeline.StageAlerts, 0, 2, pipeline.Bounds{NoWait: true})
	if err != nil || len(ms) != 2 || ms[0].Position != 3 {
		t.Fatalf("it reads %v, %v", ms, err)
	}
	move(pipeline.StageAlerts, 2, 4)
	if n, err := q.Prune(ctx, 0, stages...); n != 2 || err != nil {
		t.Fatalf("%d pruned then, %v", n, err)
	}
	if err := q.Finish(ctx, pipeline.StageAlerts); err != nil {
		t.Fatal(err)
	}
	if there, err := q.Started(ctx, pipeline.StageAlerts); there || err != nil {
		t.Error(there, err)
	}
	if err := q.Start(ctx, pipeline.StageIndex); err == nil {
		t.Error("a stage that is always there is started")
	}
}
