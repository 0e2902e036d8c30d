package kafka_test

import (
	"context"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast/deploy/engines"
	"holdfast/pipeline"
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSealed is the way of 1 KB captures on one broker and a file store, on the
// same machine: published in calls of 250, normalised and sealed (signed, logged, no
// authority asked) by one process, while they come, until the last one is. The CPU
// is this process's, without the broker's.
func BenchmarkSealed(b *testing.B) {
	b.Setenv(brokers, strings.Join(engines.Kafka(b, 1).Brokers, ","))
	for _, partitions := range []int{1, 4} {
		b.Run(map[int]string{1: "partition", 4: "4partitions"}[partitions], func(b *testing.B) {
			p := place{b.TempDir()}
			q := p.queue(b, partitions)
			const calls, size = 80, 250
			made := make([][]pipeline.Message, calls)
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- p.work(ctx, b, q) }()
			warm := captures(b, 1000, 1000)
			_, err := q.Publish(b.Context(), nil, warm...)
			must(b, err)
			settled(b, q, time.Minute)
			var accept time.Duration
			for b.Loop() {
				b.StopTimer()
				for i := range made {
					made[i] = captures(b, size, 1000)
				}
				used := cpu()
				b.StartTimer()
				var wg sync.WaitGroup
				begin := time.Now()
				for w := range 4 {
					wg.Go(func() {
						for i := w; i < calls; i += 4 {
							_, err := q.Publish(b.Context(), nil, made[i]...)
							must(b, err)
						}
					})
				}
				wg.Wait()
				accept += time.Since(begin)
				settled(b, q, 5*time.Minute)
				b.ReportMetric(float64((cpu()-used).Microseconds())/(calls*size), "cpu-µs/capture")
			}
			b.ReportMetric(float64(b.N*calls*size)/accept.Seconds(), "accepted/s")
			b.ReportMetric(float64(b.N*calls*size)/b.Elapsed().Seconds(), "sealed/s")
			stop()
			must(b, <-done)
		})
	}
}
