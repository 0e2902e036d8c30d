package s3_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"holdfast/deploy/engines"
	"holdfast/storage"
	"holdfast/storage/file"
)

// BenchmarkPack keeps packs of the sizes that batches have (1 MiB: 1,024 captures of
// 1 KB; 16 MiB: the largest), one after the other and four at once, as a node with four
// batches in flight does: in the file store; sent to MinIO by a client without any
// manners (no lock, no question, no digest of ours); and through this package. Each round
// does the three in turn, so what else the machine does meanwhile is the same for all, and
// part is how fast this package is beside that client.
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
	create := func(s storage.Creator) func([]byte) error {
		return func(data []byte) error { return s.Create(b.Context(), name(), bytes.NewReader(data)) }
	}
	stores := []func([]byte) error{create(files), func(data []byte) error {
		_, err := plain.raw.PutObject(b.Context(), plain.bucket, name(), bytes.NewReader(data), int64(len(data)), minio.PutObjectOptions{DisableMultipart: true})
		return err
	}, create(bucket)}
	for _, size := range []int{16 << 10, 1 << 20, 16 << 20} {
		for _, workers := range []int{1, 4} {
			b.Run(fmt.Sprintf("%dKiB/x%d", size>>10, workers), func(b *testing.B) {
				data := make([][]byte, workers)
				for i := range data {
					data[i] = noise(size)
				}
				var took [3]time.Duration
				rounds := 0
				for b.Loop() {
					for i, write := range stores {
						begun := time.Now()
						var g errgroup.Group
						for w := range workers {
							binary.BigEndian.PutUint64(data[w], n.Add(1)) // no two are the same
							g.Go(func() error { return write(data[w]) })
						}
						must(b, g.Wait())
						took[i] += time.Since(begun)
					}
					rounds++
				}
				for i, unit := range []string{"file-MB/s", "minio-MB/s", "s3-MB/s"} {
					b.ReportMetric(float64(rounds*workers*size)/1e6/took[i].Seconds(), unit)
				}
				b.ReportMetric(took[1].Seconds()/took[2].Seconds(), "part")
			})
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
