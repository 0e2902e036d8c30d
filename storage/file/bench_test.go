//go:build unix

package file_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/storage"
	"holdfast/storage/file"
)

// BenchmarkPut keeps Objects that differ, one after the other and eight at once.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int{10 << 10, 1 << 20, 64 << 20} {
		for _, workers := range []int{1, 8} {
			if size > 1<<20 && workers > 1 {
				continue // the disk is the limit
			}
			b.Run(fmt.Sprintf("%dKiB/x%d", size>>10, workers), func(b *testing.B) {
				s := open(b, b.TempDir(), file.Options{})
				var n atomic.Uint64
				b.SetBytes(int64(size))
				b.SetParallelism(workers)
				one := func() {
					data := make([]byte, size)
					binary.BigEndian.PutUint64(data, n.Add(1))
					if _, _, err := s.Put(b.Context(), bytes.NewReader(data)); err != nil {
						b.Error(err)
					}
				}
				run(b, workers, one)
			})
		}
	}
}

// run calls one b.N times, by so many goroutines.
func run(b *testing.B, workers int, one func()) {
	if workers == 1 {
		for b.Loop() {
			one()
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			one()
		}
	})
}

// BenchmarkCreate makes the eight small parts of a Seal, together and singly.
func BenchmarkCreate(b *testing.B) {
	items := func(n int) (its []storage.Item) {
		for i := range 8 {
			its = append(its, storage.Item{Name: fmt.Sprintf("seals/%d/%d", n, i), Data: make([]byte, 2048)})
		}
		return its
	}
	b.Run("together", func(b *testing.B) {
		s := open(b, b.TempDir(), file.Options{})
		for i := 0; b.Loop(); i++ {
			if _, err := s.CreateAll(b.Context(), items(i)...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("singly", func(b *testing.B) {
		s := open(b, b.TempDir(), file.Options{})
		for i := 0; b.Loop(); i++ {
			for _, it := range items(i) {
				if err := s.Create(b.Context(), it.Name, bytes.NewReader(it.Data)); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

// BenchmarkOpen reads and verifies; sha256-ratio is its speed as a part of what
// plain SHA-256 over the same bytes in memory reaches, in the same run.
func BenchmarkOpen(b *testing.B) {
	data := randomBytes(16 << 20)
	s := open(b, b.TempDir(), file.Options{})
	d, _, err := s.Put(b.Context(), bytes.NewReader(data))
	must(b, err)
	buf := make([]byte, 128<<10)
	var plain, stored time.Duration
	for b.Loop() {
		t0 := time.Now()
		sha256.Sum256(data)
		t1 := time.Now()
		r, _, err := s.Open(b.Context(), d)
		must(b, err)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, buf); err != nil {
			b.Fatal(err)
		}
		r.Close()
		plain, stored = plain+t1.Sub(t0), stored+time.Since(t1)
	}
	b.ReportMetric(plain.Seconds()/stored.Seconds(), "sha256-ratio")
	b.ReportMetric(float64(len(data))*float64(b.N)/1e6/stored.Seconds(), "read-MB/s")
	b.ReportMetric(0, "ns/op")
}
