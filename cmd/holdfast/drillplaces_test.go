package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/collectors/telegram/telegramtest"
)

// TestDrillPlaces guards the first promise, as TestDrill does, against what befalls one
// place of several that share real engines: whoever seals is killed at his writes;
// a collector with a real browser and a real session is killed, or stands still while
// another holds its lease too; and a disk is full to the last byte.
func TestDrillPlaces(t *testing.T) {
	t.Parallel() // it waits more than it works
	x := &sites{chaos: newChaos(t)}
	x.d.under(sealingFaults)
	for _, f := range []struct {
		name string
		do   func(*sites)
	}{
		{"a collector killed", (*sites).collectorKilled},
		{"a collector stopped", (*sites).collectorStopped},
		{"the disk of a node full", (*sites).diskFull},
	} {
		if t.Failed() {
			return // what follows would be judged on a store that is wrong already
		}
		t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			x.d.t = t
			defer func() { x.d.t = x.d.all }()
			began := time.Now()
			f.do(x)
			t.Logf("%v", time.Since(began).Round(time.Second))
		})
	}
}

// sites are the places of a drill, and a service that it captures from.
type sites struct {
	*chaos
	service *telegramtest.Server // nil until somebody needs it
	slow    atomic.Bool          // it answers slowly
}
