package s3

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/minio/minio-go/v7"
)

// Answers in any order within themselves come out by key, the newest version first,
// and none is lost.
func TestInOrder(t *testing.T) {
	var all []minio.ObjectInfo
	for i := range 5000 {
		k := fmt.Sprintf("k/%05d", i/2)
		all = append(all, minio.ObjectInfo{Key: k, IsLatest: i%2 == 0, IsDeleteMarker: i%2 == 0})
	}
	shuffled := slices.Clone(all)
	for page := range slices.Chunk(shuffled, pageSize) {
		rand.Shuffle(len(page), func(i, j int) { page[i], page[j] = page[j], page[i] })
	}
	got := slices.Collect(inOrder(slices.Values(shuffled)))
	if len(got) != len(all) {
		t.Fatalf("%d of %d", len(got), len(all))
	}
	for i := range all {
		if got[i].Key != all[i].Key || got[i].IsLatest != all[i].IsLatest {
			t.Fatalf("item %d is %s, latest %t", i, got[i].Key, got[i].IsLatest)
		}
	}
	var broken iter.Seq[minio.ObjectInfo] = func(yield func(minio.ObjectInfo) bool) {
		_ = yield(all[0]) && yield(minio.ObjectInfo{Err: errClosed}) && yield(all[1])
	}
	if got := slices.Collect(inOrder(broken)); len(got) != 1 || got[0].Err == nil {
		t.Errorf("an error in between: %v", got)
	}
}
