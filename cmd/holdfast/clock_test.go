package main

import (
	"strings"
	"testing"
	"time"

	"holdfast"
)

// TestOldClockIsNotStated guards that an offset which nobody measured again is
// not stated as what the clock is: after a day, or in another boot.
func TestOldClockIsNotStated(t *testing.T) {
	n := &node{dir: t.TempDir()}
	boot, up := uptime()
	if boot == "" {
		t.Skip("this system does not tell its uptime")
	}
	for name, c := range map[string]struct {
		age    time.Duration
		boot   string
		stated bool
	}{"fresh": {time.Minute, boot, true}, "a day old": {clockStale + time.Minute, boot, false}, "of another boot": {time.Minute, "another", false}} {
		m := measuredClock{OffsetMS: 604800000, Operators: []string{"A", "B"}, Measured: holdfast.At(time.Now().Add(-c.age)), Boot: c.boot, UpMS: (up - c.age).Milliseconds()}
		if err := writeJSON(n.path(fileClock), m); err != nil {
			t.Fatal(err)
		}
		got := n.knownClock()
		if (got.OffsetMS != 0) != c.stated || !strings.Contains(got.Source, m.Measured.String()) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
