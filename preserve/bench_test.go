package preserve_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// BenchmarkSeal1KB seals batches of 1,024 captures of 1 KB, four in flight, with
// three authorities and the node's own, all in this process. An operation is
// one batch; the figure to look at is CPU per capture, of the whole process:
// the authorities' work is in it.
func BenchmarkSeal1KB(b *testing.B) {
	n := sealtest.NewNode(b, sealtest.NodeOptions{})
	// The same captures in every batch: preserve does not look beyond one, and
	// the garbage collector has no more to walk through than in a node.
	items := n.Batch(0, 1024, 1024).Items
	batch := func(i int) preserve.Batch {
		first := int64(i) * 1024
		c := preserve.Batch{Queue: sealtest.Queue, First: first, Last: first + 1023, Items: slices.Clone(items)}
		for k := range c.Items {
			c.Items[k].Position = first + int64(k)
		}
		return c
	}
	begin := cpu(b)
	b.ResetTimer()
	run := make(chan preserve.Batch)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for batch := range run {
				if o, err := n.Sealer.Seal(b.Context(), batch); err != nil || o.State != preserve.StateSealed {
					b.Errorf("%+v %v", o.Reason, err)
				}
			}
		})
	}
	for i := range b.N {
		run <- batch(i)
	}
	close(run)
	wg.Wait()
	b.StopTimer()
	spent := cpu(b) - begin
	captures := float64(b.N * 1024)
	b.ReportMetric(float64(spent.Microseconds())/captures, "cpu-µs/capture")
	b.ReportMetric(captures/b.Elapsed().Seconds(), "captures/s")
}

// BenchmarkLatency seals single captures and reports how long each took from
// bytes to sealed: one at once after the other, where the log's checkpoints have
// a least distance of 100 ms, and after a rest.
func BenchmarkLatency(b *testing.B) {
	b.Run("busy", func(b *testing.B) { latency(b, 0) })
	b.Run("idle", func(b *testing.B) { latency(b, 150*time.Millisecond) })
}

func latency(b *testing.B, rest time.Duration) {
	n := sealtest.NewNode(b, sealtest.NodeOptions{})
	took := make([]time.Duration, b.N)
	for i := range b.N {
		time.Sleep(rest)
		batch := n.Batch(int64(i), 1, 1024)
		begin := time.Now()
		if o, err := n.Sealer.Seal(b.Context(), batch); err != nil || o.State != preserve.StateSealed {
			b.Fatalf("%+v %v", o, err)
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Milliseconds()), "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Milliseconds()), "p99-ms")
}

// cpu is the user and system time of this process.
func cpu(tb testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
