package postgres_test

import (
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/deploy/engines"
)

// bench waits for the disk at each commit, as a server does that nobody told otherwise.
func bench(b *testing.B, run func(*testing.B, catalog.Catalog)) {
	pg := engines.PostgreSQL(b, "fsync=on", "shared_buffers=512MB", "max_wal_size=4GB")
	run(b, create(b, pg, options(pg, b.TempDir())))
}

func BenchmarkIndex(b *testing.B)  { bench(b, catalogtest.BenchmarkIndex) }
func BenchmarkNewest(b *testing.B) { bench(b, catalogtest.BenchmarkNewest) }

// BenchmarkPosts has the goal of the house: 5,000 posts/s, with two who index, as partitions
// have each their own.
func BenchmarkPosts(b *testing.B) {
	bench(b, func(b *testing.B, c catalog.Catalog) { catalogtest.BenchmarkPosts(b, c, 2) })
}
func BenchmarkSearch(b *testing.B) { bench(b, catalogtest.BenchmarkSearch) }
