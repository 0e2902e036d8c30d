package sqlite_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/queuetest"
	"holdfast/pipeline/sqlite"
)

func rotten(t *testing.T) (*sqlite.Queue, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	t.Cleanup(func() { q.Close() })
	return q, path
}

// A Task that the disk has changed holds up no other, is named, and is given out
// only to who asks for it, to drop it.
func TestRottenTask(t *testing.T) {
	for name, spoil := range map[string]string{
		"not JSON":       `UPDATE tasks SET fixed = x'7b' WHERE id = ?`,
		"nothing":        `UPDATE tasks SET fixed = x'' WHERE id = ?`,
		"another Source": `UPDATE tasks SET fixed = replace(fixed, 'one.example', 'two.example') WHERE id = ?`,
		"no Source":      `UPDATE tasks SET fixed = '{"source":""}' WHERE id = ?`,
	} {
		q, path := rotten(t)
		var ids []holdfast.ID
		for i := range 3 {
			got, err := q.AddTasks(t.Context(), pipeline.Task{Source: "https://one.example/", Case: holdfast.NewID(), Due: time.UnixMilli(int64(i + 1)), Options: []byte(`{"a": "<&>"}`)})
			must(t, err)
			ids = append(ids, got...)
		}
		must(t, script(path, spoil, ids[0]))
		got, err := q.Take(t.Context(), pipeline.Want{Max: 1})
		if err != nil || len(got) != 1 || got[0].ID != ids[1] || got[0].Damaged {
			t.Fatalf("%s: take %+v, %v", name, got, err)
		}
		listed, err := q.Tasks(t.Context(), "", 9)
		must(t, err)
		for _, k := range listed {
			if k.Damaged != (k.ID == ids[0]) || k.Damaged != (k.Source == "") {
				t.Errorf("%s: listed %+v", name, k)
			}
		}
		got, err = q.Take(t.Context(), pipeline.Want{IDs: ids[:1]})
		if err != nil || len(got) != 1 || !got[0].Damaged {
			t.Fatalf("%s: take by id %+v, %v", name, got, err)
		}
		_, err = q.Publish(t.Context(), got[0].Finish())
		must(t, err)
	}
}

// What an earlier program wrote has no sum, and is taken as it is.
func TestTaskWithoutSum(t *testing.T) {
	q, path := rotten(t)
	ids, err := q.AddTasks(t.Context(), pipeline.Task{Source: "https://one.example/", Case: holdfast.NewID()})
	must(t, err)
	must(t, script(path, `UPDATE tasks SET fixed = json_remove(CAST(fixed AS TEXT), '$.sum')`))
	got, err := q.Take(t.Context(), pipeline.Want{})
	if err != nil || len(got) != 1 || got[0].ID != ids[0] || got[0].Damaged {
		t.Fatalf("%+v, %v", got, err)
	}
}

// A message that has lost even its ID is poison, and its plan can be written.
func TestRottenID(t *testing.T) {
	for _, id := range []string{`x''`, `x'00'`, `x'00112233445566778899aabbccddeeff0011'`} {
		q, path := rotten(t)
		sent := holdfast.NewID()
		_, err := q.Publish(t.Context(), nil, pipeline.Message{ID: sent, Body: queuetest.Body(sent)})
		must(t, err)
		must(t, script(path, `UPDATE captured SET id = `+id))
		other, err := sqlite.Open(t.Context(), path, sqlite.Options{}) // remembers nothing
		must(t, err)
		defer other.Close()
		got, err := other.Receive(t.Context(), pipeline.StageNormalise, 0, 0, pipeline.Bounds{NoWait: true})
		if err != nil || len(got) != 1 || !got[0].Damaged {
			t.Fatalf("%s: %+v, %v", id, got, err)
		}
		queue := "0123456789abcdef"
		p := holdfast.Plan{Seal: holdfast.SealID(queue, 0, 1), Queue: queue, First: 1, Last: 1, Planned: holdfast.At(time.Now()),
			Skipped: []holdfast.Skipped{{ID: got[0].ID, Position: 1, Reason: "poison"}}}
		if _, err := p.Encode(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Rows that are gone where nobody has read them yet are an error, not an end.
func TestLostRows(t *testing.T) {
	q, path := rotten(t)
	for range 3 {
		id := holdfast.NewID()
		_, err := q.Publish(t.Context(), nil, pipeline.Message{ID: id, Body: queuetest.Body(id)})
		must(t, err)
	}
	must(t, q.Check(t.Context()))
	must(t, script(path, `DELETE FROM captured WHERE position >= 2`))
	if err := q.Check(t.Context()); !errors.Is(err, pipeline.ErrForeign) {
		t.Errorf("check: %v", err)
	}
}
