package preserve_test

import (
	"bytes"
	"path/filepath"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
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
	got, err := preserve.Newest(t.Context(), s, queue, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < inTheHour || len(got) > inTheHour+2 {
		t.Errorf("%d plans of two days ago are looked back over; %d are of the hour before the newest", len(got), inTheHour)
	}
}
