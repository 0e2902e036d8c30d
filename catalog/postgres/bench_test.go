package postgres_test

import (
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/deploy/engines"
)

// workers is how many index at once, as partitions have each their own.
const workers = 4

// bench waits for the disk at each commit, as a server does that nobody told otherwise.
func bench(b *testing.B, run func(*testing.B, catalog.Catalog)) {
	pg := engines.PostgreSQL(b, "fsync=on", "shared_buffers=512MB", "max_wal_size=4GB")
	o := options(pg, b.TempDir())
	o.Writers = workers
	run(b, create(b, pg, o))
}

func BenchmarkIndex(b *testing.B)  { bench(b, catalogtest.BenchmarkIndex) }
func BenchmarkNewest(b *testing.B) { bench(b, catalogtest.BenchmarkNewest) }

// BenchmarkPosts has the goal of the house: 5,000 posts/s.
func BenchmarkPosts(b *testing.B) {
	bench(b, func(b *testing.B, c catalog.Catalog) { catalogtest.BenchmarkPosts(b, c, workers) })
}
func BenchmarkSearch(b *testing.B) { bench(b, catalogtest.BenchmarkSearch) }
