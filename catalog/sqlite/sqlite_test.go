package sqlite_test

import (
	"path/filepath"
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/sqlite"
)

func open(t *testing.T, dir string) catalog.Catalog {
	t.Helper()
	c, err := sqlite.Create(t.Context(), filepath.Join(dir, "catalog.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func TestCatalog(t *testing.T) { catalogtest.Test(t, open) }
