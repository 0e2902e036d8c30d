package sqlite_test

import (
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

func openBench(b *testing.B) *sqlite.Queue {
	q, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "queue.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { q.Close() })
	return q
}

// cpu is what a process costs; wall time on a shared machine says little.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func messages(n int) []pipeline.Message {
	m := make([]pipeline.Message, n)
	for i := range m {
		m[i] = pipeline.Message{ID: holdfast.NewID(), Body: make([]byte, 2200)}
	}
	return m
}

func BenchmarkPublish(b *testing.B) {
	for _, size := range []int{1, 100, 1000} {
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("batch=%d/callers=%d", size, callers), func(b *testing.B) {
				q := openBench(b)
				all := make([][]pipeline.Message, b.N)
				for i := range all {
					all[i] = messages(size)
				}
				b.ResetTimer()
				c0 := cpu()
				var wg sync.WaitGroup
				for w := range callers {
					wg.Go(func() {
						for i := w; i < b.N; i += callers {
							if _, err := q.Publish(b.Context(), nil, all[i]...); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				n := float64(b.N * size)
				b.ReportMetric(float64((cpu()-c0).Microseconds())/n, "cpu-µs/msg")
				b.ReportMetric(n/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

func BenchmarkConsume(b *testing.B) {
	q := openBench(b)
	const size = 1000
	at, spent := int64(0), time.Duration(0)
	for range b.N {
		b.StopTimer()
		if _, err := q.Publish(b.Context(), nil, messages(size)...); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		c0 := cpu()
		for _, s := range []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve} {
			got, err := q.Receive(b.Context(), s, 0, at, pipeline.Bounds{Count: size})
			if err != nil || len(got) != size {
				b.Fatal(len(got), err)
			}
			if err := q.Advance(b.Context(), pipeline.Ack{Stage: s, From: at, To: at + size}); err != nil {
				b.Fatal(err)
			}
		}
		at += size
		spent += cpu() - c0
	}
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N*size), "cpu-µs/msg")
}
