package s3_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"holdfast/deploy/engines"
	"holdfast/storage"
	"holdfast/storage/file"
)

// BenchmarkPack keeps packs of the sizes that batches have (1 MiB: 1,024 captures of
// 1 KB; 16 MiB: the largest), one after the other and four at once, as a node with four
// batches in flight does: in the file store; sent to MinIO by a client without any
// manners (no lock, no question, no digest of ours); and through this package.
func BenchmarkPack(b *testing.B) {
	server := engines.MinIO(b)
	p := newPlace(b, server, true)
	plain := newPlace(b, server, false)
	files, err := file.Open(filepath.Join(b.TempDir(), "store"), file.Options{MinFree: -1})
	must(b, err)
	b.Cleanup(func() { files.Close() })
	bucket := p.open(b)
	var n atomic.Uint64
	name := func() string { return fmt.Sprintf("cases/c/packs/%d.zip", n.Add(1)) }
	create := func(s storage.Creator) func(*testing.B, []byte) {
		return func(b *testing.B, data []byte) { must(b, s.Create(b.Context(), name(), bytes.NewReader(data))) }
	}
	stores := []struct {
		name  string
		write func(*testing.B, []byte)
	}{
		{"file", create(files)},
		{"minio", func(b *testing.B, data []byte) {
			_, err := plain.raw.PutObject(b.Context(), plain.bucket, name(), bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{DisableMultipart: true})
			must(b, err)
		}},
		{"s3", create(bucket)},
	}
	for _, size := range []int{16 << 10, 1 << 20, 16 << 20} {
		for _, workers := range []int{1, 4} {
			for _, s := range stores {
				b.Run(fmt.Sprintf("%dKiB/x%d/%s", size>>10, workers, s.name), func(b *testing.B) {
					b.SetBytes(int64(size))
					b.SetParallelism(workers)
					one := func(data []byte) {
						binary.BigEndian.PutUint64(data, n.Add(1)) // no two are the same
						s.write(b, data)
					}
					if workers == 1 {
						data := noise(size)
						for b.Loop() {
							one(data)
						}
						return
					}
					b.RunParallel(func(pb *testing.PB) {
						for data := noise(size); pb.Next(); {
							one(data)
						}
					})
				})
			}
		}
	}
}

// BenchmarkSeal makes the eight small parts of a Seal.
func BenchmarkSeal(b *testing.B) {
	p := newPlace(b, engines.MinIO(b), true)
	files, err := file.Open(filepath.Join(b.TempDir(), "store"), file.Options{MinFree: -1})
	must(b, err)
	b.Cleanup(func() { files.Close() })
	n := 0
	for _, s := range []struct {
		name  string
		store storage.Creator
	}{{"file", files}, {"s3", p.open(b)}} {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				n++
				var items []storage.Item
				for i := range 8 {
					items = append(items, storage.Item{Name: fmt.Sprintf("seals/%d/%d", n, i), Data: make([]byte, 2048)})
				}
				_, err := s.store.CreateAll(b.Context(), items...)
				must(b, err)
			}
		})
	}
}
