package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/sqlite"
)

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if path := os.Getenv("HOLDFAST_TEST_INDEX"); path != "" {
		os.Exit(indexForever(path))
	}
	os.Exit(m.Run())
}

const killBatch = 40

// indexForever indexes batch after batch and says so after each; both processes
// of a round index the same ones, as after a redelivery.
func indexForever(path string) int {
	ctx := context.Background()
	c, err := sqlite.Open(ctx, path, sqlite.Options{})
	for i := 0; err == nil; i++ {
		batch, st := catalogtest.Load(i, killBatch)
		if err = catalogtest.Index(ctx, c, batch, st); err == nil {
			fmt.Println(i)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestKill: two processes index and are killed at any instant. What a call that
// returned has written is there, nothing is there in part, and the database is
// sound without repair.
func TestKill(t *testing.T) {
	rounds := 4
	if os.Getenv("HOLDFAST_LONG") != "" {
		rounds = 100
	}
	total := 0
	for range rounds {
		path := filepath.Join(t.TempDir(), "catalog.db")
		c, err := sqlite.Create(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		last := make(chan int, 2)
		for range 2 {
			go runAndKill(t, path, last)
		}
		n := max(<-last, <-last)
		checkKilled(t, path, n)
		total += n + 1
	}
	if total == 0 {
		t.Error("no process has indexed anything")
	}
}

// runAndKill answers with the last batch that the process said was indexed.
func runAndKill(t *testing.T, path string, answer chan<- int) {
	last := -1
	defer func() { answer <- last }()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), "HOLDFAST_TEST_INDEX="+path), os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	time.AfterFunc(time.Duration(300+rand.IntN(900))*time.Millisecond, func() { cmd.Process.Kill() })
	for s := bufio.NewScanner(out); s.Scan(); {
		if last, err = strconv.Atoi(s.Text()); err != nil {
			t.Error(err)
		}
	}
	cmd.Wait()
}

func checkKilled(t *testing.T, path string, last int) {
	t.Helper()
	c := reopen(t, path)
	perBatch := make(map[int64]int)
	for _, k := range catalogtest.Collect(t, c.Captures(t.Context(), catalog.Query{})) {
		perBatch[k.Position/killBatch]++
		if k.State == catalog.Sealed != (k.Seal != "") {
			t.Errorf("capture %+v", k)
		}
		if k.Position/killBatch <= int64(last) && k.State != catalog.Sealed {
			t.Errorf("capture at %d is %s; batch %d was said to be indexed", k.Position, k.State, last)
		}
	}
	for i := range int64(last + 1) {
		if perBatch[i] != killBatch {
			t.Errorf("batch %d of %d has %d captures", i, last, perBatch[i])
		}
	}
	for i, n := range perBatch {
		if n != killBatch {
			t.Errorf("batch %d is there in part: %d captures", i, n)
		}
	}
	checkSound(t, path)
}

// checkSound asks SQLite for its own opinion, and whether what captures repeat
// of their Seals is what the Seals say.
func checkSound(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("integrity: %q, %v", verdict, err)
	}
	for _, q := range []string{
		`SELECT count(*) FROM capture c WHERE (c.state, coalesce(c.seal, 0)) IS NOT (
			SELECT coalesce(max(s.state), 0), coalesce((SELECT s.n FROM member m JOIN seal s ON s.n = m.seal WHERE m.id = c.id AND m.manifest = c.manifest ORDER BY s.state DESC, s.id LIMIT 1), 0)
			FROM member m JOIN seal s ON s.n = m.seal WHERE m.id = c.id AND m.manifest = c.manifest)`,
		`SELECT count(*) FROM (SELECT id FROM capture GROUP BY id HAVING sum(shown) <> 1 OR max(twice) <> (count(*) > 1))`,
		`SELECT count(*) FROM ref LEFT JOIN pack ON n = pack WHERE n IS NULL`,
	} {
		var n int
		if err := db.QueryRow(q).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows, %v, of %s", n, err, q)
		}
	}
}

// TestSound does the same after the orders of the suite.
func TestSound(t *testing.T) {
	for seed := range uint64(3) {
		dir := t.TempDir()
		w := catalogtest.New(seed, 120, 10)
		if err := w.Facts(t, seed).Give(t.Context(), open(t, dir)); err != nil {
			t.Fatal(err)
		}
		checkSound(t, filepath.Join(dir, "catalog.db"))
	}
}
