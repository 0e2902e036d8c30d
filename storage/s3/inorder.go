package s3

import (
	"cmp"
	"container/heap"
	"iter"

	"github.com/minio/minio-go/v7"
)

// pageSize is how many versions and delete markers a server lists in one answer.
const pageSize = 1000

// inOrder yields a list by key. Answers follow each other in that order, but within
// one a server may put all delete markers before or behind all versions, as
// versitygw does. So of what is at hand the least is yielded once there is more than
// an answer can hold; an error is yielded when it comes, as the last.
func inOrder(infos iter.Seq[minio.ObjectInfo]) iter.Seq[minio.ObjectInfo] {
	return func(yield func(minio.ObjectInfo) bool) {
		var h infoHeap
		for info := range infos {
			if info.Err != nil {
				yield(info)
				return
			}
			heap.Push(&h, info)
			if len(h) > pageSize && !yield(heap.Pop(&h).(minio.ObjectInfo)) {
				return
			}
		}
		for len(h) > 0 {
			if !yield(heap.Pop(&h).(minio.ObjectInfo)) {
				return
			}
		}
	}
}

// infoHeap has the least key on top, and of one key the newest version.
type infoHeap []minio.ObjectInfo

func (h infoHeap) Len() int { return len(h) }
func (h infoHeap) Less(i, j int) bool {
	newest := func(i minio.ObjectInfo) int {
		if i.IsLatest {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(h[i].Key, h[j].Key), cmp.Compare(newest(h[i]), newest(h[j]))) < 0
}
func (h infoHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *infoHeap) Push(x any) { *h = append(*h, x.(minio.ObjectInfo)) }

// Pop implements heap.Interface.
func (h *infoHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = minio.ObjectInfo{}
	*h = old[:len(old)-1]
	return last
}
