package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/postgres"
	"holdfast/deploy/engines"
	"holdfast/pg"
	"holdfast/search"
)

// raw runs statements behind the catalog's back, in its schema.
func raw(t *testing.T, pg *engines.PG, o postgres.Options, stmts ...string) {
	t.Helper()
	cfg, err := pgx.ParseConfig(pg.DSN(pg.URL))
	if err != nil {
		t.Fatal(err)
	}
	cfg.RuntimeParams["search_path"] = o.Schema + ", public"
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, s := range stmts {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// filled makes a catalog of a small World.
func filled(t *testing.T, pg *engines.PG) (o postgres.Options, w *catalogtest.World, dump string) {
	t.Helper()
	o, w = options(pg, t.TempDir()), catalogtest.New(1, 12, 8)
	o.Owner = "a store"
	c := create(t, pg, o)
	if err := w.Straight(t).Give(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return o, w, catalogtest.Dump(t, c, w)
}

func reopen(t *testing.T, pg *engines.PG, o postgres.Options) *postgres.Catalog {
	t.Helper()
	c, err := postgres.Open(t.Context(), pg.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestOpen(t *testing.T) {
	server := engines.PostgreSQL(t, "max_connections=200")
	for name, test := range map[string]func(*testing.T, *engines.PG){"refuses": testRefuses, "refused by the server": testServerRefuses, "older": testOlder, "at once": testCreateAtOnce,
		"rebuild beside others": testRebuildBesideOthers, "rebuild broken": testRebuildBroken, "rebuilds wait": testRebuildsWait, "rebuild that lost its lock": testRebuildLostLock, "slow": testSlow} {
		t.Run(name, func(t *testing.T) { test(t, server) })
	}
}

// testRefuses: each unusable catalog says what to do, and Rebuild cures those that are
// this store's and of no newer program.
func testRefuses(t *testing.T, server *engines.PG) {
	for name, d := range map[string]struct {
		spoil string
		other func(*postgres.Options)
		want  error
		says  string
		cured bool
	}{
		"absent":        {other: func(o *postgres.Options) { o.Schema = "nothing_here" }, want: catalog.ErrRebuild, says: "holdfast rebuild", cured: true},
		"newer":         {spoil: `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)`, want: catalog.ErrNewer, says: "newer holdfast"},
		"newer words":   {spoil: `UPDATE meta SET folding = 99`, want: catalog.ErrNewer, says: "newer holdfast"},
		"unfinished":    {spoil: `UPDATE meta SET folding = 0, complete = false`, want: catalog.ErrRebuild, says: "there is none", cured: true},
		"older words":   {spoil: `UPDATE meta SET folding = -1`, want: catalog.ErrRebuild, says: "holdfast rebuild", cured: true},
		"lost table":    {spoil: `DROP TABLE sight`, want: catalog.ErrRebuild, says: "lost tables", cured: true},
		"lost meta":     {spoil: `DROP TABLE meta`, want: catalog.ErrRebuild, says: "lost tables", cured: true},
		"empty meta":    {spoil: `DELETE FROM meta`, want: catalog.ErrRebuild, says: "lost tables", cured: true},
		"half made":     {spoil: `UPDATE meta SET complete = false`, want: catalog.ErrRebuild, says: "broken off", cured: true},
		"another's":     {other: func(o *postgres.Options) { o.Owner = "another store" }, says: "catalog of another store"},
		"stranger":      {spoil: `DROP TABLE meta; CREATE TABLE invoices (n int)`, says: "another program"},
		"not a catalog": {spoil: `UPDATE meta SET program = 'accounting'`, says: "another program"},
		"no name":       {other: func(o *postgres.Options) { o.Schema = `x"; DROP TABLE y` }, says: "a lower-case letter"},
	} {
		t.Run(name, func(t *testing.T) {
			o, w, dump := filled(t, server)
			if d.other != nil {
				d.other(&o)
			}
			if d.spoil != "" {
				raw(t, server, o, d.spoil)
			}
			c, err := postgres.Open(t.Context(), server.URL, o)
			if err == nil || d.want != nil && !errors.Is(err, d.want) || d.want == nil && errors.Is(err, catalog.ErrRebuild) || !strings.Contains(err.Error(), d.says) {
				t.Fatalf("open: %v, %v", c, err)
			}
			c, err = postgres.Create(t.Context(), server.URL, o)
			if c != nil {
				c.Close()
			}
			if (err == nil) != (name == "absent" || name == "unfinished") {
				t.Fatalf("create: %v, %v", c, err)
			}
			err = postgres.Rebuild(t.Context(), server.URL, o, w.Straight(t).Give)
			if !d.cured {
				if err == nil || !strings.Contains(err.Error(), d.says) {
					t.Errorf("rebuild: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := catalogtest.Dump(t, reopen(t, server, o), w); got != dump {
				t.Error(catalogtest.Diff(dump, got))
			}
		})
	}
	// What is in no schema of ours stays: a table of that name elsewhere is another's.
	o, w, _ := filled(t, server)
	raw(t, server, o, `CREATE TABLE IF NOT EXISTS public.sight (n int)`, `DROP TABLE sight`)
	if err := postgres.Rebuild(t.Context(), server.URL, o, w.Straight(t).Give); err != nil {
		t.Error(err)
	}
	raw(t, server, o, `INSERT INTO public.sight VALUES (1)`, `DROP TABLE public.sight`)
}

// testServerRefuses: what the server, or the URL, does not let through is said in a
// sentence, at once.
func testServerRefuses(t *testing.T, server *engines.PG) {
	raw(t, server, options(server, "x"), `CREATE ROLE poor LOGIN PASSWORD 'poor'`, `CREATE DATABASE bare`, `REVOKE CREATE ON DATABASE bare FROM public`)
	bare := strings.Replace(server.URL, "/holdfast?", "/bare?", 1)
	poor := strings.Replace(bare, "//holdfast@", "//poor@", 1)
	in := *server
	in.URL = bare
	raw(t, &in, options(server, "x"), `CREATE SCHEMA theirs AUTHORIZATION poor`)
	for name, d := range map[string]struct {
		url  string
		o    postgres.Options
		says string
		is   error
	}{
		"password":         {server.URL, postgres.Options{Password: "wrong"}, "HOLDFAST_PG_PASSWORD_FILE", pg.ErrRefused},
		"password in URL":  {server.DSN(server.URL), postgres.Options{}, "take it out", pg.ErrURL},
		"not a database":   {strings.Replace(server.URL, "/holdfast?", "/nowhere?", 1), postgres.Options{Password: server.Password}, "createdb", pg.ErrRefused},
		"no schema's user": {poor, postgres.Options{Password: "poor"}, "GRANT CREATE", pg.ErrRefused},
		"no trigrams":      {poor, postgres.Options{Password: "poor", Schema: "theirs"}, "CREATE EXTENSION pg_trgm", nil},
	} {
		from := time.Now()
		c, err := postgres.Create(t.Context(), d.url, d.o)
		if err == nil || !strings.Contains(err.Error(), d.says) || d.is != nil && !errors.Is(err, d.is) || strings.Contains(err.Error(), server.Password) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
		if took := time.Since(from); took > 20*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
	}
	raw(t, &in, options(server, "x"), `CREATE EXTENSION pg_trgm WITH SCHEMA public`) // as the sentence says
	c, err := postgres.Create(t.Context(), poor, postgres.Options{Password: "poor", Schema: "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	nobody := postgres.Options{Patience: -1}
	if _, err := postgres.Open(t.Context(), "postgres://holdfast@127.0.0.1:1/x", nobody); !errors.Is(err, pg.ErrUnavailable) {
		t.Errorf("nobody there: %v", err)
	}
}

// testOlder: a schema that lacks a program's last step gets it, and keeps what it has; the
// program before then refuses it, and one that has it open goes on.
func testOlder(t *testing.T, server *engines.PG) {
	o, w, dump := filled(t, server)
	before, later := reopen(t, server, o), postgres.Later(t, o, `ALTER TABLE who ADD COLUMN later text; CREATE TABLE later (n int);`)
	if got := catalogtest.Dump(t, reopen(t, server, later), w); got != dump {
		t.Error(catalogtest.Diff(dump, got))
	}
	raw(t, server, o, `INSERT INTO later VALUES (1)`)
	if c, err := postgres.Open(t.Context(), server.URL, o); !errors.Is(err, catalog.ErrNewer) {
		t.Errorf("the program before opens it: %v, %v", c, err)
	}
	if err := postgres.Rebuild(t.Context(), server.URL, o, w.Straight(t).Give); !errors.Is(err, catalog.ErrNewer) {
		t.Errorf("the program before makes it again: %v", err)
	}
	if got := catalogtest.Dump(t, before, w); got != dump {
		t.Error(catalogtest.Diff(dump, got))
	}
}

// testCreateAtOnce: several processes may find that there is none.
func testCreateAtOnce(t *testing.T, server *engines.PG) {
	o, w := options(server, t.TempDir()), catalogtest.New(1, 10, 16)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			c, err := postgres.Create(t.Context(), server.URL, o)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if err := w.Straight(t).Give(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(catalogtest.Collect(t, reopen(t, server, o).Captures(t.Context(), catalog.Query{Kind: "capture"}))); n != 10 {
		t.Errorf("%d captures", n)
	}
}

// testRebuildBesideOthers: a handle that was open before a rebuild refuses
// while it is at work, or waits where it was told how, and what it indexes meanwhile is
// not lost.
func testRebuildBesideOthers(t *testing.T, server *engines.PG) {
	o, w, dump := filled(t, server)
	other := reopen(t, server, o)
	done, waited := make(chan struct{}), make(chan error, 1)
	patient := o
	patient.Rebuilding = func(context.Context) error { <-done; return nil }
	waiting := reopen(t, server, patient)
	facts := w.Straight(t)
	err := postgres.Rebuild(t.Context(), server.URL, o, func(ctx context.Context, into catalog.Writer) error {
		if _, err := other.Case(ctx, string(w.Cases[0])); !errors.Is(err, catalog.ErrRebuild) {
			t.Errorf("an answer in the middle of a rebuild: %v", err)
		}
		go func() {
			_, err := waiting.Case(ctx, string(w.Cases[0]))
			waited <- err
		}()
		if err := facts[1](ctx, other); err != nil { // the index stage of another process
			t.Error(err)
		}
		return facts[0](ctx, into)
	})
	close(done)
	if err := errors.Join(err, <-waited); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*postgres.Catalog{other, reopen(t, server, o)} {
		if got := catalogtest.Dump(t, c, w); got != dump {
			t.Error(catalogtest.Diff(dump, got))
		}
	}
}

// testRebuildBroken: a fold that fails leaves a catalog that answers nothing.
func testRebuildBroken(t *testing.T, server *engines.PG) {
	o, w, dump := filled(t, server)
	broken := errors.New("store is gone")
	err := postgres.Rebuild(t.Context(), server.URL, o, func(ctx context.Context, into catalog.Writer) error {
		return errors.Join(w.Straight(t)[0](ctx, into), broken)
	})
	if !errors.Is(err, broken) {
		t.Errorf("rebuild: %v", err)
	}
	if _, err := postgres.Open(t.Context(), server.URL, o); !errors.Is(err, catalog.ErrRebuild) {
		t.Errorf("open: %v", err)
	}
	if _, err := postgres.Create(t.Context(), server.URL, o); !errors.Is(err, catalog.ErrRebuild) {
		t.Errorf("create: %v", err)
	}
	if err := postgres.Rebuild(t.Context(), server.URL, o, w.Straight(t).Give); err != nil {
		t.Fatal(err)
	}
	if got := catalogtest.Dump(t, reopen(t, server, o), w); got != dump {
		t.Error(catalogtest.Diff(dump, got))
	}
}

// testRebuildsWait: rebuilds of one catalog come one after another.
func testRebuildsWait(t *testing.T, server *engines.PG) {
	o, w, dump := filled(t, server)
	var wg sync.WaitGroup
	var at sync.Mutex
	for range 3 {
		wg.Go(func() {
			err := postgres.Rebuild(t.Context(), server.URL, o, func(ctx context.Context, into catalog.Writer) error {
				if !at.TryLock() {
					t.Error("two rebuilds at once")
					return nil
				}
				defer at.Unlock()
				return w.Straight(t).Give(ctx, into)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := catalogtest.Dump(t, reopen(t, server, o), w); got != dump {
		t.Error(catalogtest.Diff(dump, got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := postgres.Rebuild(t.Context(), server.URL, o, func(context.Context, catalog.Writer) error {
		cancel()
		return postgres.Rebuild(ctx, server.URL, o, w.Straight(t).Give)
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a rebuild inside a rebuild: %v", err)
	}
}

// testRebuildLostLock: a server that was started anew knows nothing of the first
// rebuild's lock, so a second one begins beside it. The first does not call the catalog
// complete that the second is still filling.
func testRebuildLostLock(t *testing.T, server *engines.PG) {
	o, w, dump := filled(t, server)
	facts := w.Straight(t)
	emptied, ended := make(chan struct{}), make(chan error, 1)
	second := make(chan error, 1)
	err := postgres.Rebuild(t.Context(), server.URL, o, func(ctx context.Context, into catalog.Writer) error {
		if err := facts[0](ctx, into); err != nil {
			return err
		}
		raw(t, server, o, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted`)
		go func() {
			second <- postgres.Rebuild(t.Context(), server.URL, o, func(ctx context.Context, into catalog.Writer) error {
				close(emptied)
				if err := <-ended; err == nil {
					t.Error("the first rebuild says that it has ended well")
				}
				if _, err := postgres.Open(ctx, server.URL, o); !errors.Is(err, catalog.ErrRebuild) {
					t.Errorf("what is half filled answers: %v", err)
				}
				return facts.Give(ctx, into)
			})
		}()
		<-emptied
		return facts[1](ctx, into)
	})
	ended <- err
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if got := catalogtest.Dump(t, reopen(t, server, o), w); got != dump {
		t.Error(catalogtest.Diff(dump, got))
	}
}

// testSlow: a question that takes long ends, and says what to do.
func testSlow(t *testing.T, server *engines.PG) {
	o, _, _ := filled(t, server)
	o.Timeout = 200 * time.Millisecond
	c := reopen(t, server, o)
	raw(t, server, o, `ALTER TABLE text RENAME TO text_of`, `CREATE VIEW text AS SELECT t.* FROM text_of t, pg_sleep(60)`)
	q, err := search.Parse("revision")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Search(t.Context(), catalog.TextQuery{Words: q}); err == nil || !strings.Contains(err.Error(), "ask for less") {
		t.Errorf("a slow question: %v", err)
	}
}
