package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

// TestCanceledLook guards what is read after a look that was broken off: an earlier
// driver left its statement open, and with it that connection at what there was then,
// for as long as the process lived. A Task that was just added was not found.
func TestCanceledLook(t *testing.T) {
	q, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "queue.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for i := range 40 {
		for k := range 200 {
			ctx, stop := context.WithTimeout(t.Context(), time.Duration(k%100)*time.Microsecond)
			_, _ = q.Tasks(ctx, "", 5)
			stop()
		}
		ids, err := q.AddTasks(t.Context(), pipeline.Task{Source: "https://a.example/", Case: holdfast.NewID()})
		if err != nil {
			t.Fatal(err)
		}
		found, err := q.Tasks(t.Context(), ids[0][:31], 1)
		if err != nil || len(found) != 1 || found[0].ID != ids[0] {
			t.Fatalf("round %d: %d tasks found, %v", i, len(found), err)
		}
	}
}
