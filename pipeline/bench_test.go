package pipeline_test

import (
	"context"
	"io"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// nothing is a sealer that costs nothing, so that what is left is ours.
type nothing struct{}

func (nothing) Find(context.Context, string, int, int64) (*holdfast.Plan, error) { return nil, nil }

func (nothing) Newest(context.Context, string, int, int64, int) ([]*holdfast.Plan, error) {
	return nil, nil
}

func (nothing) Unfinished(context.Context, string, int) ([]*holdfast.Plan, error) { return nil, nil }

func (nothing) Plan(_ context.Context, b pipeline.Batch) (*holdfast.Plan, error) {
	p := &holdfast.Plan{First: b.First, Last: b.Last, Seal: b.Seal(), Planned: holdfast.At(time.Now())}
	for _, it := range b.Items {
		p.Captures = append(p.Captures, holdfast.Planned{ID: it.ID, Position: it.Position})
	}
	return p, nil
}

func (nothing) Carry(_ context.Context, p *holdfast.Plan, b pipeline.Batch) (pipeline.Outcome, error) {
	for _, it := range b.Items {
		io.Discard.Write(it.Manifest)
	}
	return pipeline.Outcome{Seal: p.Seal, State: pipeline.StateSigned}, nil
}

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkWay is the way of 1 KB captures without the sealing: encoded,
// published, normalised (nothing to derive), batched, acknowledged. accept is
// the first two, seal the rest.
func BenchmarkWay(b *testing.B) {
	q := openQueue(b, b.TempDir())
	const size = pipeline.MaxBatch
	var accept, seal time.Duration
	made := make([]*pipeline.Captured, size)
	for range b.N {
		b.StopTimer()
		for i := range made {
			made[i] = pipeline.CaptureOf(holdfast.NewID(), 1000)
		}
		b.StartTimer()
		c := cpu()
		m := make([]pipeline.Message, size)
		for i := range m {
			body, err := made[i].Encode()
			must(b, err)
			m[i] = pipeline.Message{ID: made[i].Manifest.ID, Body: body}
		}
		_, err := q.Publish(b.Context(), nil, m...)
		must(b, err)
		accept += cpu() - c
		c = cpu()
		_, err = (&pipeline.Normalise{Queue: q}).Drain(b.Context())
		must(b, err)
		must(b, (&pipeline.Preserve{Queue: q, Plans: nothing{}, Carrier: nothing{}}).Drain(b.Context()))
		seal += cpu() - c
	}
	n := float64(b.N * size)
	b.ReportMetric(float64(accept.Microseconds())/n, "accept-cpu-µs/capture")
	b.ReportMetric(float64(seal.Microseconds())/n, "seal-cpu-µs/capture")
	b.ReportMetric(n/b.Elapsed().Seconds(), "captures/s")
}
