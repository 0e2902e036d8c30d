package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDrill guards the first promise where an office has outgrown one machine: two
// nodes with all their roles on three real brokers, a real server of objects and a real
// database, and captures flowing while each fault is brought in. After each of them every
// accepted capture is in exactly one Seal with its quorum, by plans and Manifests counted
// in the bucket, and so is every line of Custody; no stage has anything before it, so
// nothing can still come into a second one; and the catalog equals what a fold over the
// store gives.
//
// With HOLDFAST_LONG the faults of the store are judged each for itself, and whoever seals
// is killed before and behind each of his writes (TestDrillPlaces kills him at each).
func TestDrill(t *testing.T) {
	t.Parallel() // it waits more than it works
	d := newDrill(t, 2)
	d.work()
	d.under([]fault{{"none", func(*drill) {}}})
	d.under(faults)
	if long() {
		d.under(slices.Concat(storeFaults, storeFaultsLong, sealingFaults))
	}
}

// work starts the roles of every node, but for collect: accepters take Tasks themselves.
func (d *drill) work() {
	for i := range d.data {
		for _, name := range []string{"normalise", "preserve", "index"} {
			d.role(i, name)
		}
	}
}

// faults are those of what the nodes share.
var faults = []fault{
	{"broker killed and restarted", brokerKilled},
	{"leader moved", leaderMoved},
	{"database killed and restarted", databaseKilled},
	{"two of three brokers gone", twoBrokersGone},
	{"partition changes hands in mid batch", changesHands},
	{"authorities down", authoritiesDown},
	{"everything delivered twice", everythingTwice},
	{"store fails in every way", storeFails},
}

// brokerKilled: the one that leads. The two others go on.
func brokerKilled(d *drill) {
	i := d.leader(drillPrefix+".captured", 0)
	d.kafka.Kill(i)
	d.more(10, 2*time.Minute)
	d.kafka.Restart(d.t, i)
}

// leaderMoved: as an operator does, in order.
func leaderMoved(d *drill) {
	for range 2 {
		i := d.leader(drillPrefix+".captured", 0)
		d.kafka.Stop(i)
		d.more(5, 2*time.Minute)
		d.kafka.Start(d.t, i)
		d.more(5, 2*time.Minute)
	}
}

// twoBrokersGone: nothing is accepted, and who captures is told why; it goes on by itself
// when they are back.
func twoBrokersGone(d *drill) {
	i := d.leader(drillPrefix+".captured", 0)
	gone := []int{(i + 1) % 3, (i + 2) % 3}
	for _, b := range gone {
		d.kafka.Kill(b)
	}
	time.Sleep(time.Second) // what was acknowledged before has been told by now
	before := d.accepted.count()
	d.lastHalt.Store(nil)
	d.until("who captures is told that too few brokers are up", 3*time.Minute, func() bool {
		said := d.lastHalt.Load()
		return said != nil && strings.Contains(*said, "queue is not available now: ") && strings.Contains(*said, "bring back those that are down")
	})
	if n := d.accepted.count() - before; n > 0 {
		d.t.Errorf("%d captures were accepted with one broker of three", n)
	}
	for _, b := range gone {
		d.kafka.Start(d.t, b)
	}
	d.more(20, 2*time.Minute)
}

func databaseKilled(d *drill) {
	for range 2 {
		d.pg.Kill()
		time.Sleep(3 * time.Second)
		d.pg.Restart(d.t)
		d.more(5, 2*time.Minute)
	}
}

// authoritiesDown: what is accepted is signed, in the log and acknowledged, and told as
// signed; it is sealed when they are there again. No partition stands still meanwhile.
func authoritiesDown(d *drill) {
	for _, a := range d.tsa {
		a.down.Store(true)
	}
	d.more(30, 2*time.Minute)
	d.until("captures are told as signed", 2*time.Minute, func() bool {
		signed := 0
		for _, s := range d.states() {
			if s == "signed" {
				signed++
			}
		}
		return signed >= 20
	})
	for _, a := range d.tsa {
		a.down.Store(false)
	}
}
