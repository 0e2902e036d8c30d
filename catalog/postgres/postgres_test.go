package postgres_test

import (
	"fmt"
	"hash/fnv"
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/postgres"
	"holdfast/deploy/engines"
)

// options are those of a schema of its own, for a folder.
func options(pg *engines.PG, dir string) postgres.Options {
	h := fnv.New64a()
	h.Write([]byte(dir))
	return postgres.Options{Password: pg.Password, Schema: fmt.Sprintf("c%x", h.Sum64())}
}

// create opens the catalog of that schema, and makes it if there is none.
func create(t testing.TB, pg *engines.PG, o postgres.Options) *postgres.Catalog {
	t.Helper()
	c, err := postgres.Create(t.Context(), pg.URL, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCatalog(t *testing.T) {
	pg := engines.PostgreSQL(t, "max_connections=300")
	catalogtest.Test(t, func(t *testing.T, dir string) catalog.Catalog { return create(t, pg, options(pg, dir)) })
}
