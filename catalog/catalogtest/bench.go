package catalogtest

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Load makes batch i of n captures without a store: as the index stage gets
// them, parsed.
func Load(i, n int) ([]catalog.Accepted, catalog.SealState) {
	seal := holdfast.SealID("00112233445566aa", 0, int64(i*n))
	st := catalog.SealState{Seal: seal, State: catalog.Sealed, T: time.Unix(1.7e9, 0)}
	home, chain := holdfast.ID(fmt.Sprintf("%032x", i%5)), holdfast.ID(fmt.Sprintf("%032x", 100+i%5))
	batch := make([]catalog.Accepted, n)
	for k := range batch {
		pos := int64(i*n + k)
		d := hashing.Of(fmt.Appendf(nil, "manifest %d", pos))
		o := hashing.Of(fmt.Appendf(nil, "object %d", pos))
		id := holdfast.CaptureID(home, uint64(pos), 0)
		at := holdfast.At(time.UnixMilli(1.7e12 + pos))
		batch[k] = catalog.Accepted{Head: catalog.Head{Chain: chain, Length: 7}, Capture: catalog.Capture{
			ID: id, Kind: holdfast.KindCapture, Source: holdfast.Source(fmt.Sprintf("https://example.org/some/longer/path/of/a/page/%d", pos%977)),
			Case: home, Started: at, Ended: at, Outcome: "complete", Agent: holdfast.Agent{Office: "office", Pseudonym: "agent", Role: "analyst"},
			Node: "bench.0123456789abcdef", Manifest: d, Position: pos}}
		st.Members = append(st.Members, catalog.Member{ID: id, Manifest: d, Position: pos})
		name := holdfast.PackName(home, seal)
		st.Placed = append(st.Placed, catalog.Placed{Digest: d, Ref: catalog.Ref{Name: name, Offset: int64(k * 1500), Size: 1000}},
			catalog.Placed{Digest: o, Ref: catalog.Ref{Name: name, Offset: int64(k*1500 + 1000), Size: 500}})
	}
	return batch, st
}

// BenchmarkIndex is the index stage, parsing apart: 1,024 captures accepted, made
// durable, then their Seal with two small Objects each. The goal is 10,000/s.
func BenchmarkIndex(b *testing.B, c catalog.Catalog) {
	const n = 1024
	i := 0
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		batch, st := Load(i, n)
		i++
		from := cpu(b)
		b.StartTimer()
		if err := Index(b.Context(), c, batch, st); err != nil {
			b.Fatal(err)
		}
		spent += cpu(b) - from
	}
	b.ReportMetric(float64(i*n)/b.Elapsed().Seconds(), "captures/s")
	b.ReportMetric(float64(i*n)/spent.Seconds(), "captures/cpu-s")
}

// cpu is what the process has used of all processors.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Index gives a batch and its Seal, as the index stage does.
func Index(ctx context.Context, c catalog.Catalog, batch []catalog.Accepted, st catalog.SealState) error {
	if err := c.Accepted(ctx, batch); err != nil {
		return err
	}
	if err := c.Sealed(ctx, []catalog.SealState{st}); err != nil {
		return err
	}
	return c.Sync(ctx)
}

// BenchmarkNewest asks for the newest 50 of a Case among 100,000 captures.
func BenchmarkNewest(b *testing.B, c catalog.Catalog) {
	for i := range 100 {
		batch, st := Load(i, 1000)
		if err := Index(b.Context(), c, batch, st); err != nil {
			b.Fatal(err)
		}
	}
	for _, q := range []catalog.Query{{}, {Case: "00000000000000000000000000000003"}, {State: catalog.Sealed}, {State: catalog.Pending},
		{Source: "https://example.org/some/longer/path/of/a/page/5"}, {Kind: holdfast.KindEvent}} {
		q.Limit = 50
		b.Run(fmt.Sprintf("case=%t,state=%s,source=%t,kind=%s", q.Case != "", q.State, q.Source != "", q.Kind), func(b *testing.B) {
			for b.Loop() {
				for _, err := range c.Captures(b.Context(), q) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
	b.Run("cases", func(b *testing.B) {
		for b.Loop() {
			for _, err := range c.Cases(b.Context()) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
