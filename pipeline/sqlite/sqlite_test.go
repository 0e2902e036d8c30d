package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/queuetest"
	"holdfast/pipeline/sqlite"
)

func open(ctx context.Context, dir string, now func() time.Time) (queuetest.Queue, error) {
	q, err := sqlite.Open(ctx, filepath.Join(dir, "queue.db"), sqlite.Options{Now: now})
	if err != nil {
		return nil, err
	}
	return q, nil
}

func TestMain(m *testing.M) {
	queuetest.Main(open)
	os.Exit(m.Run())
}

func TestQueue(t *testing.T) { queuetest.Test(t, open) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestForeignFiles(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"text": func(p string) error {
			return os.WriteFile(p, []byte("this is no database, whatever its name says\n"), 0o600)
		},
		"folder": func(p string) error { return os.Mkdir(p, 0o700) },
		"link":   func(p string) error { return os.Symlink("elsewhere", p) },
		"other program's": func(p string) error {
			return script(p, `CREATE TABLE t (a)`)
		},
		"newer": func(p string) error {
			q, err := sqlite.Open(context.Background(), p, sqlite.Options{})
			if err != nil {
				return err
			}
			q.Close()
			return script(p, `PRAGMA user_version = 99`)
		},
	} {
		path := filepath.Join(t.TempDir(), "queue.db")
		must(t, spoil(path))
		before, _ := os.ReadFile(path)
		_, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if !errors.Is(err, pipeline.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s: was changed", name)
		}
	}
	if _, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "no", "folder"), sqlite.Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

func script(path, text string, args ...any) error {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(text, args...)
	return err
}

func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	defer q.Close()
	for range 3 {
		id := holdfast.NewID()
		_, err := q.Publish(t.Context(), nil, pipeline.Message{ID: id, Body: queuetest.Body(id)})
		must(t, err)
	}
	must(t, q.Check(t.Context()))
	q, err = sqlite.Open(t.Context(), path, sqlite.Options{}) // remembers nothing
	must(t, err)
	defer q.Close()
	must(t, script(path, `UPDATE captured SET body = x'00' || substr(body, 2) WHERE position = 2`))
	got, err := q.Receive(t.Context(), pipeline.StageNormalise, 0, 0, pipeline.Bounds{})
	must(t, err)
	for i, want := range []bool{false, true, false} {
		if got[i].Damaged != want {
			t.Errorf("position %d: damaged %v", i+1, got[i].Damaged)
		}
	}
	must(t, script(path, `DELETE FROM captured WHERE position = 2`))
	if _, err := q.Receive(t.Context(), pipeline.StageNormalise, 0, 0, pipeline.Bounds{}); !errors.Is(err, pipeline.ErrForeign) {
		t.Errorf("a lost row: %v", err)
	}
}

// Pages overwritten with rubbish are an error, never a wrong answer.
func TestRubbish(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	for range 200 {
		id := holdfast.NewID()
		_, err := q.Publish(t.Context(), nil, pipeline.Message{ID: id, Body: make([]byte, 3000)})
		must(t, err)
	}
	must(t, q.Close()) // the last one writes the WAL back
	st, err := os.Stat(path)
	must(t, err)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	rubbish := make([]byte, 16384)
	for i := range rubbish {
		rubbish[i] = byte(i * 7)
	}
	for off := int64(16384); off < st.Size(); off += 16384 {
		_, err := f.WriteAt(rubbish, off)
		must(t, err)
	}
	q, err = sqlite.Open(t.Context(), path, sqlite.Options{})
	if err == nil {
		defer q.Close()
		_, err = q.Receive(t.Context(), pipeline.StageNormalise, 0, 0, pipeline.Bounds{NoWait: true})
		if cerr := q.Check(t.Context()); !errors.Is(cerr, pipeline.ErrForeign) {
			t.Errorf("check: %v", cerr)
		}
	}
	if !errors.Is(err, pipeline.ErrForeign) {
		t.Errorf("receive: %v", err)
	}
}

// A full disk refuses, says so, and leaves what was there; with space it goes on.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	q, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	must(t, err)
	defer q.Close()
	q.SetMaxPages(t.Context(), 40)
	n := 0
	for ; n < 1000; n++ {
		if _, err = q.Publish(t.Context(), nil, pipeline.Message{ID: holdfast.NewID(), Body: make([]byte, 10000)}); err != nil {
			break
		}
	}
	if err == nil || errors.Is(err, pipeline.ErrStopped) {
		t.Fatalf("full after %d: %v", n, err)
	}
	q.SetMaxPages(t.Context(), 1<<20)
	at, err := q.Publish(t.Context(), nil, pipeline.Message{ID: holdfast.NewID(), Body: make([]byte, 10000)})
	must(t, err)
	if at[0] != pipeline.Place(n)+1 {
		t.Fatalf("position %d after %d accepted", at[0], n)
	}
}
