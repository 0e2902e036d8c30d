package postgres_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/postgres"
	"holdfast/deploy/engines"
)

// TestScrub: what a rebuild no longer finds is in none of the server's files after it, its
// own statistics among them, also where a table is left empty; but in pg_wal. Who does not
// own the database is told what its owner has to do.
func TestScrub(t *testing.T) {
	server := engines.PostgreSQL(t)
	o := options(server, t.TempDir())
	create(t, server, o)
	raw(t, server, o,
		`INSERT INTO text (digest, at, lang, wide, body, handle) VALUES ('\x01', 1, '', false, 'zxwordone there', 'zxhandleone'), ('\x02', 2, '', false, 'zxwordtwo here', 'zxhandletwo')`,
		`INSERT INTO address (digest, body) VALUES ('\x01', 'zxaddressone'), ('\x02', 'zxaddresstwo')`,
		`INSERT INTO called VALUES ('zxnameone', 1, 1, 1), ('zxnametwo', 2, 2, 2)`,
		`INSERT INTO answer VALUES (1, 1, 0, 1, 'zxtitleone', 0, '', 0, 0, 0, 0, 0, 0, 0), (2, 2, 0, 1, 'zxtitletwo', 0, '', 0, 0, 0, 0, 0, 0, 0)`,
		`INSERT INTO sight VALUES (1, 1, 1, 0, 0, '', '', false, NULL, NULL, 0, 0, 0, 0, 'zxpollone'), (2, 2, 2, 0, 0, '', '', false, NULL, NULL, 0, 0, 0, 0, 'zxpolltwo')`,
		`ANALYZE`, `CHECKPOINT`)
	words := []string{"zxwordone", "zxhandleone", "zxaddressone", "zxnameone", "zxtitleone", "zxpollone"}
	for _, word := range words {
		if found := inFiles(t, server, word); !strings.Contains(strings.Join(found, " "), "base") {
			t.Errorf("%s is not found before: %q", word, found)
		}
	}
	if err := postgres.Rebuild(t.Context(), server.URL, o, func(context.Context, catalog.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	c := reopen(t, server, o)
	if err := c.Scrub(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw(t, server, o, `CHECKPOINT`)
	for _, word := range words {
		if found := inFiles(t, server, word); len(found) > 0 {
			t.Errorf("%s is in %q", word, found)
		}
	}
	where, err := c.Lingers(t.Context())
	if err != nil || strings.Contains(where, "VACUUM") {
		t.Errorf("%q, %v", where, err)
	}
	raw(t, server, o, `CREATE ROLE other SUPERUSER`, `ALTER DATABASE holdfast OWNER TO other`, `ALTER ROLE holdfast NOSUPERUSER`)
	if where, err = c.Lingers(t.Context()); err != nil || !strings.Contains(where, "VACUUM FULL pg_catalog.pg_statistic") {
		t.Errorf("to one who owns nothing: %q, %v", where, err)
	}
	if err := c.Scrub(t.Context()); err != nil {
		t.Errorf("of one who owns nothing: %v", err)
	}
}

// inFiles are the server's files that have a text, but those of pg_wal.
func inFiles(t *testing.T, server *engines.PG, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(server.Data(), func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "pg_wal" {
			return fs.SkipDir
		}
		if err != nil || !d.Type().IsRegular() {
			return nil // removed meanwhile
		}
		b, err := os.ReadFile(name)
		if err == nil && bytes.Contains(b, []byte(text)) {
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
