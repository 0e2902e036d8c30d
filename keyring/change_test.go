package keyring

import (
	"testing"
	"time"

	"holdfast"
)

// TestCompromise guards which keys end, and where.
func TestCompromise(t *testing.T) {
	day := func(n int) holdfast.Time { return holdfast.At(time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC)) }
	at := func(n int) *holdfast.Time { d := day(n); return &d }
	keys := []Key{
		{SPKI: []byte{1}, Made: day(2), Retired: at(9), Until: at(10)},  // ended before
		{SPKI: []byte{2}, Made: day(9), Retired: at(19), Until: at(20)}, // in use then
		{SPKI: []byte{3}, Made: day(70)},                                // younger than the theft
	}
	ids := compromise(keys, day(15))
	if len(ids) != 2 || keys[0].Compromised || !keys[0].Until.Equal(day(10).Time) || !keys[1].Until.Equal(day(15).Time) || !keys[2].Until.Equal(keys[2].From().Time) {
		t.Errorf("ended %v: %+v", ids, keys)
	}
}
