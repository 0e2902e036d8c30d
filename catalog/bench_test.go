package catalog_test

import (
	"context"
	"testing"

	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
)

type nowhere struct{ n int }

func (w *nowhere) Accepted(_ context.Context, b []catalog.Accepted) error { w.n += len(b); return nil }
func (w *nowhere) Sealed(context.Context, []catalog.SealState) error      { return nil }

// BenchmarkFold reads plans, packs and Manifests, without a database and with.
func BenchmarkFold(b *testing.B) {
	w := catalogtest.New(50, 5000, 1024)
	s, _ := newStore(b)
	if err := w.Write(b.Context(), s); err != nil {
		b.Fatal(err)
	}
	for name, open := range map[string]func() catalog.Writer{
		"read":   func() catalog.Writer { return new(nowhere) },
		"sqlite": func() catalog.Writer { return newCatalog(b) },
	} {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				b.StopTimer()
				c := open()
				b.StartTimer()
				f, err := catalog.Fold(b.Context(), s, c, w, catalog.Options{})
				if err != nil || f.Problems > 0 {
					b.Fatal(f, err)
				}
				n += int(f.Captures + f.Events)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "captures/s")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	m := catalogtest.New(51, 1, 10).Messages[4]
	b.SetBytes(int64(len(m.Manifest)))
	for b.Loop() {
		if _, err := catalog.Read(1, m.Manifest); err != nil {
			b.Fatal(err)
		}
	}
}
