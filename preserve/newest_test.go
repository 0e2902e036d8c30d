package preserve_test

import (
	"bytes"
	"context"
	"iter"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage"
	"holdfast/storage/file"
)

// TestNewest guards the hour of plans that preserve looks back over when it starts: after
// a weekend at which nothing was planned, and after a clock's jump, it is the hour before
// the newest plan; what was published again in between is met.
func TestNewest(t *testing.T) {
	s, err := file.Open(filepath.Join(t.TempDir(), "store"), file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	queue, end := "0123456789abcdef", time.Now().Add(-50*time.Hour)
	const plans, inTheHour = 120, 100
	for i := range int64(plans) {
		at := end.Add(-time.Duration(plans-1-i) * time.Hour / inTheHour)
		p := &holdfast.Plan{Queue: queue, First: i + 1, Last: i + 1, Seal: holdfast.SealID(queue, 0, i+1), Planned: holdfast.At(at), Training: true,
			Captures: []holdfast.Planned{{ID: holdfast.NewID(), Manifest: hashing.Of([]byte{byte(i)}), Position: i + 1}}}
		b, err := p.Encode()
		if err == nil {
			err = s.Create(t.Context(), "seals/"+p.Seal+"/plan.json", bytes.NewReader(b))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, near := range []int64{0, 1, plans, 70_000, 100_000, 1 << 40} { // far off, or of another queue: the same answer
		got, err := preserve.Newest(t.Context(), s, queue, 0, near, 64)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < inTheHour || len(got) > inTheHour+2 {
			t.Errorf("near %d: %d plans of two days ago are looked back over; %d are of the hour before the newest", near, len(got), inTheHour)
		}
		for i, p := range got {
			if p.First != plans-int64(i) {
				t.Fatalf("near %d: plan %d begins at %d", near, i, p.First)
			}
		}
	}
}

// counted counts the names that are given out.
type counted struct {
	preserve.Store
	names int
}

func (c *counted) List(ctx context.Context, prefix string) iter.Seq2[storage.Entry, error] {
	return c.ListAfter(ctx, prefix, "")
}

func (c *counted) ListAfter(ctx context.Context, prefix, after string) iter.Seq2[storage.Entry, error] {
	return func(yield func(storage.Entry, error) bool) {
		for e, err := range c.Store.ListAfter(ctx, prefix, after) {
			if c.names++; !yield(e, err) {
				return
			}
		}
	}
}

// The start of a partition with very many Seals looks at its newest. Its Seals of long ago
// have 1,024 positions each, and those of the last hour one.
func TestNewestOfMany(t *testing.T) {
	t.Parallel()
	f, err := file.Open(filepath.Join(t.TempDir(), "store"), file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := &counted{Store: f}
	queue, now := "0123456789abcdef", time.Now()
	const old, lately = 1000, 100
	var items []storage.Item
	for i := range int64(old + lately) {
		first, at := i*1024, now.Add(-48*time.Hour)
		if i >= old {
			first, at = old*1024+i-old, now.Add(-30*time.Minute)
		}
		p := &holdfast.Plan{Queue: queue, First: first, Last: first, Seal: holdfast.SealID(queue, 0, first), Planned: holdfast.At(at), Training: true,
			Captures: []holdfast.Planned{{ID: holdfast.NewID(), Manifest: hashing.Of([]byte{1}), Position: first}}}
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, storage.Item{Name: "seals/" + p.Seal + "/plan.json", Data: b})
	}
	for some := range slices.Chunk(items, storage.MaxItems) {
		if _, err := f.CreateAll(t.Context(), some...); err != nil {
			t.Fatal(err)
		}
	}
	got, err := preserve.Newest(t.Context(), s, queue, 0, old*1024+lately-1, 64)
	if err != nil || len(got) != lately {
		t.Fatalf("%d plans, %v", len(got), err)
	}
	if s.names > lately+100 {
		t.Errorf("%d names were listed", s.names)
	}
	got, err = preserve.Newest(t.Context(), s, queue, 0, old*1024+lately-1, lately+500)
	if err != nil || len(got) != lately+500 || got[0].First != old*1024+lately-1 || got[len(got)-1].First != (old-500)*1024 {
		t.Errorf("%d plans, %v", len(got), err)
	}
}
