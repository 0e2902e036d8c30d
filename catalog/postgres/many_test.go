package postgres_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/postgres"
	"holdfast/catalog/sqlite"
	"holdfast/deploy/engines"
	"holdfast/storage/file"
)

// TestMain lets the test binary be a process of its own that indexes.
func TestMain(m *testing.M) {
	if url := os.Getenv("HOLDFAST_TEST_INDEX"); url != "" {
		os.Exit(indexForever(url))
	}
	os.Exit(m.Run())
}

const killBatch = 40

// indexForever indexes batch after batch and says so after each; all processes
// of a round index the same ones, as after a redelivery, each in an order of its own.
func indexForever(url string) int {
	ctx := context.Background()
	seed, _ := strconv.ParseUint(os.Getenv("HOLDFAST_TEST_SEED"), 10, 64)
	rnd := rand.New(rand.NewPCG(seed, 1))
	c, err := postgres.Open(ctx, url, postgres.Options{Schema: os.Getenv("HOLDFAST_TEST_SCHEMA")})
	for i := 0; err == nil; i++ {
		batch, st := catalogtest.Load(i, killBatch)
		rnd.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		calls := catalogtest.Facts{
			func(ctx context.Context, c catalog.Writer) error { return c.Accepted(ctx, batch) },
			func(ctx context.Context, c catalog.Writer) error { return c.Sealed(ctx, []catalog.SealState{st}) }}
		rnd.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		if err = calls.Give(ctx, c); err == nil {
			err = c.Sync(ctx)
		}
		if err == nil {
			fmt.Println(i)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestProcesses: several processes index and are killed at any instant, and so is the
// server, three times. What a call that returned has written is there, nothing is there in
// part, and who was not killed has gone on by itself.
func TestProcesses(t *testing.T) {
	pg := engines.PostgreSQL(t)
	rounds := 2
	if os.Getenv("HOLDFAST_LONG") != "" {
		rounds = 50
	}
	for round := range rounds {
		o := options(pg, t.TempDir())
		c := create(t, pg, o)
		last := make(chan int, 3)
		for i := range 3 {
			go runAndKill(t, pg, o, uint64(round*3+i), last)
		}
		for range 3 {
			time.Sleep(time.Duration(500+rand.IntN(500)) * time.Millisecond)
			pg.Kill()
			pg.Restart(t)
		}
		n := max(<-last, <-last, <-last)
		checkKilled(t, c, n)
		checkSound(t, pg, o)
		if n < 3 {
			t.Errorf("only %d batches were indexed", n+1)
		}
	}
}

// runAndKill answers with the last batch that the process said was indexed.
func runAndKill(t *testing.T, pg *engines.PG, o postgres.Options, seed uint64, answer chan<- int) {
	last := -1
	defer func() { answer <- last }()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HOLDFAST_TEST_INDEX="+pg.URL, "PGPASSWORD="+pg.Password, "HOLDFAST_TEST_SCHEMA="+o.Schema, fmt.Sprintf("HOLDFAST_TEST_SEED=%d", seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Error(err)
		return
	}
	killed := make(chan struct{})
	time.AfterFunc(time.Duration(8000+rand.IntN(4000))*time.Millisecond, func() { close(killed); cmd.Process.Kill() })
	for s := bufio.NewScanner(out); s.Scan(); {
		if last, err = strconv.Atoi(s.Text()); err != nil {
			t.Error(err)
		}
	}
	cmd.Wait()
	select {
	case <-killed:
	default:
		t.Error("a process gave up when the server was away")
	}
}

func checkKilled(t *testing.T, c *postgres.Catalog, last int) {
	t.Helper()
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
}

// checkSound asks whether what rows repeat of others is what the others say.
func checkSound(t *testing.T, pg *engines.PG, o postgres.Options) {
	t.Helper()
	cfg, err := pgx.ParseConfig(pg.DSN(pg.URL))
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["search_path"] = o.Schema
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, q := range []string{
		`SELECT count(*) FROM capture c LEFT JOIN LATERAL (SELECT s.state, s.n FROM member m JOIN seal s ON s.n = m.seal WHERE m.id = c.id AND m.manifest = c.manifest
			ORDER BY s.state DESC, s.id LIMIT 1) b ON true WHERE c.state <> coalesce(b.state, 0) OR c.seal IS DISTINCT FROM b.n`,
		`SELECT count(*) FROM (SELECT id FROM capture GROUP BY id HAVING count(*) FILTER (WHERE shown) <> 1 OR bool_or(twice) <> (count(*) > 1)) x`,
		`SELECT count(*) FROM capture c WHERE c.shown AND (c.position, c.manifest) <> (SELECT o.position, o.manifest FROM capture o WHERE o.id = c.id ORDER BY o.position, o.manifest LIMIT 1)`,
		`SELECT count(*) FROM capture c WHERE c.named <> EXISTS (SELECT FROM named n WHERE n.capture = c.id AND n.home = c.home)`,
		`SELECT count(*) FROM capture c WHERE NOT EXISTS (SELECT FROM object o WHERE o.capture = c.n AND o.digest = c.manifest)`,
		`SELECT count(*) FROM ref LEFT JOIN pack ON n = pack WHERE n IS NULL`,
		`SELECT count(*) FROM said s LEFT JOIN text t ON t.n = s.text WHERE t.n IS NULL`,
		`SELECT count(*) FROM linked l LEFT JOIN address a ON a.n = l.address WHERE a.n IS NULL`,
		`SELECT count(*) FROM sight s LEFT JOIN answer a ON a.n = s.answer WHERE a.n IS NULL`,
		`SELECT count(*) FROM unread u WHERE EXISTS (SELECT FROM answer a WHERE a.capture = u.capture AND a.part = u.part) OR u.part = ` + fmt.Sprint(catalog.PagePart) + ` AND EXISTS (SELECT FROM page p WHERE p.capture = u.capture)`,
	} {
		var n int
		if err := conn.QueryRow(t.Context(), q).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows, %v, of %s", n, err, q)
		}
	}
}

// TestSame: of one store, and of one World in any order by many writers at once, both
// catalogs say the same to everybody, and the tables are sound.
func TestSame(t *testing.T) {
	pg := engines.PostgreSQL(t, "max_connections=200")
	t.Run("fold", func(t *testing.T) {
		w := catalogtest.New(71, 300, 32)
		store, err := file.Open(filepath.Join(t.TempDir(), "store"), file.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		if err := w.Write(t.Context(), store); err != nil {
			t.Fatal(err)
		}
		fill := func(ctx context.Context, into catalog.Writer) error {
			f, err := catalog.Fold(ctx, store, into, w, catalog.Options{Now: func() time.Time { return time.Unix(1.8e9, 0) }})
			if f.Problems != 0 || f.Captures == 0 {
				t.Errorf("folded %+v", f)
			}
			return err
		}
		path, o := filepath.Join(t.TempDir(), "catalog.db"), options(pg, t.TempDir())
		if err := sqlite.Rebuild(t.Context(), path, sqlite.Options{}, fill); err != nil {
			t.Fatal(err)
		}
		if err := postgres.Rebuild(t.Context(), pg.URL, o, fill); err != nil {
			t.Fatal(err)
		}
		same(t, path, reopen(t, pg, o), w)
		checkSound(t, pg, o)
	})
	t.Run("writers", func(t *testing.T) {
		w := catalogtest.New(72, 300, 16)
		path, o := filepath.Join(t.TempDir(), "catalog.db"), options(pg, t.TempDir())
		lite, err := sqlite.Create(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Straight(t).Give(t.Context(), lite); err != nil {
			t.Fatal(err)
		}
		lite.Close()
		c := create(t, pg, o)
		var wg sync.WaitGroup
		for i := range 6 {
			facts, own := w.Facts(t, uint64(i)), create(t, pg, o)
			wg.Go(func() {
				if err := facts.Give(t.Context(), own); err != nil {
					t.Errorf("writer %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		same(t, path, c, w)
		checkSound(t, pg, o)
	})
}

func same(t *testing.T, path string, c catalog.Catalog, w *catalogtest.World) {
	t.Helper()
	lite, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lite.Close()
	want, got := catalogtest.Dump(t, lite, w), catalogtest.Dump(t, c, w)
	if got != want || strings.Count(want, "\n") < 500 {
		t.Error(catalogtest.Diff(want, got))
	}
}
