package sqlite_test

import (
	"path/filepath"
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/catalog/sqlite"
)

func bench(b *testing.B, run func(*testing.B, catalog.Catalog)) {
	c, err := sqlite.Create(b.Context(), filepath.Join(b.TempDir(), "catalog.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	run(b, c)
}

func BenchmarkIndex(b *testing.B)  { bench(b, catalogtest.BenchmarkIndex) }
func BenchmarkNewest(b *testing.B) { bench(b, catalogtest.BenchmarkNewest) }

// BenchmarkPosts has the goal of the house: 3,000 posts/s. One writes at a time.
func BenchmarkPosts(b *testing.B) {
	bench(b, func(b *testing.B, c catalog.Catalog) { catalogtest.BenchmarkPosts(b, c, 1) })
}
func BenchmarkSearch(b *testing.B) { bench(b, catalogtest.BenchmarkSearch) }
