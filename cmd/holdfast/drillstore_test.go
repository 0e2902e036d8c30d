package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	servers "holdfast/deploy/engines"
)

// TestDrillStore is the part of the drill that the store alone is asked, with the queue
// and the catalog in the data directory. With HOLDFAST_LONG each fault is judged for itself.
func TestDrillStore(t *testing.T) {
	t.Parallel() // it waits more than it works
	d := newStoreDrill(t)
	if os.Getenv("HOLDFAST_LONG") == "" {
		d.under([]fault{{"store fails in every way", storeFails}})
	} else {
		d.under(slices.Concat(storeFaults, storeFaultsLong))
	}
	d.under(sealingFaults)
}

// under brings each fault in while captures flow, and judges after each.
func (d *drill) under(faults []fault) {
	for _, f := range faults {
		if d.all.Failed() {
			return // what follows would be judged on a store that is wrong already
		}
		d.all.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			d.t = t
			defer func() { d.t = d.all }()
			began, before, halts := time.Now(), d.accepted.count(), d.halted.Load()
			for i := range 3 {
				d.accepts(i%len(d.data), []string{"drill-a", "drill-a", "drill-b"}[i])
			}
			d.more(10, 2*time.Minute)
			f.do(d)
			d.more(20, 2*time.Minute)
			c := d.settle(3 * time.Minute)
			d.rebuilt()
			if said := d.lastHalt.Swap(nil); said != nil {
				t.Logf("the last that could not said: %.600s", *said)
			}
			t.Logf("%v; %d captures accepted meanwhile, %d halts; the store has %d Seals with %d captures and %d events",
				time.Since(began).Round(time.Second), d.accepted.count()-before, d.halted.Load()-halts, c.seals, c.captures, c.events)
		})
	}
}

// fault is brought in, and ended again by who brought it.
type fault struct {
	name string
	do   func(*drill)
}

// storeFaults are those of a bucket.
var storeFaults = []fault{
	{"store refuses", storeMeets(servers.Refuse, 1)},
	{"store answers 500", storeMeets(servers.Broken, 1)},
	{"store answers 500 to writes", storeMeets(servers.Writes500, 1)},
	{"store loses answers", storeMeets(servers.LostAnswer, 3)},
	{"store gives wrong bytes", storeMeets(servers.WrongBytes, 3)},
	{"store cuts answers", storeMeets(servers.Cut, 3)},
	{"store slow", storeSlow},
	{"store full", storeFull},
	{"store killed and restarted", storeKilled},
}

// storeFaultsLong are of the same kinds, less dense.
var storeFaultsLong = []fault{
	{"store refuses now and then", storeMeets(servers.Refuse, 4)},
	{"store answers 500 now and then", storeMeets(servers.Broken, 3)},
}

// sealingFaults are those of whoever seals.
var sealingFaults = []fault{{"sealing killed at its writes", sealingKilled}}

func (d *drill) until(what string, within time.Duration, yes func() bool) {
	d.t.Helper()
	for begun := time.Now(); !yes(); time.Sleep(50 * time.Millisecond) {
		if time.Since(begun) > within {
			d.still()
			d.t.Fatalf("not in %v: %s", within, what)
		}
	}
}

// storeMeets has one of every so many requests meet a fault, for some seconds.
func storeMeets(f servers.Fault, every int) func(*drill) {
	return func(d *drill) {
		d.s3.Set(f, every)
		defer d.s3.Set(servers.None, 1)
		begun := time.Now()
		d.until(string(f)+" is met", time.Minute, func() bool { return d.s3.Met() >= 5 && time.Since(begun) > 8*time.Second })
	}
}

// storeFails brings in all of storeFaults, one behind the other.
func storeFails(d *drill) {
	for _, f := range storeFaults {
		f.do(d)
		d.more(3, 2*time.Minute)
	}
}

func storeSlow(d *drill) {
	d.s3.SetSlow(servers.Slow, 1, 2*time.Second)
	defer d.s3.Set(servers.None, 1)
	d.until("slow answers", 2*time.Minute, func() bool { return d.s3.Met() >= 30 })
}

// storeFull: what is accepted meanwhile is small and lies in the queue; large Objects are
// refused before anything of them is accepted.
func storeFull(d *drill) {
	before := d.halted.Load()
	d.s3.Set(servers.Full, 1)
	defer d.s3.Set(servers.None, 1)
	d.until("an accepter says that the store is full", 2*time.Minute, func() bool {
		said := d.lastHalt.Load()
		return d.halted.Load() > before && said != nil && strings.Contains(*said, "full")
	})
}

func storeKilled(d *drill) {
	d.server.Kill()
	time.Sleep(5 * time.Second)
	d.server.Restart(d.t)
}

// sealingKilled: the process that seals is killed before one of its writes to the store,
// then behind the next (with HOLDFAST_LONG before and behind each), and so on, until it
// gets through all that it had to write. Beside Kafka, where the next one waits until the
// dead one's session is over, every fourth write is enough without HOLDFAST_LONG.
func sealingKilled(d *drill) {
	d.quiet()
	var others []*process
	for _, p := range d.roles { // else another seals
		if p.name == "preserve" {
			p.drain()
		} else {
			others = append(others, p)
		}
	}
	d.roles = others
	kills, step := 0, 1
	if d.kafka != nil && !long() {
		step = 4
	}
	for n := 1; ; n += step {
		more := d.start("accepter", 0, "accepter", d.data[0], "drill-a")
		d.more(3, 2*time.Minute)
		more.drain()
		through := false
		ways := []bool{kills%2 == 1} // whether the write is carried out
		if long() {
			ways = []bool{false, true}
		}
		for _, carried := range ways {
			p := d.sealer()
			d.s3.AtWrite(n, carried, func() { _ = p.cmd.Process.Kill() })
			d.until("it is killed, or has sealed all", 2*time.Minute, func() bool { return !p.alive() || d.allSealed() })
			through = p.alive() || p.err == nil
			d.s3.AtWrite(0, false, nil)
			p.kill()
			if kills++; through {
				break
			}
		}
		if through {
			d.t.Logf("%d kills; the process that was to die at its write %d had done all before", kills-1, n)
			break
		}
	}
	if d.kafka != nil {
		for i := range d.data {
			d.role(i, "preserve")
		}
	}
	d.accepts(0, "drill-a")
}

// sealer is a process that seals what waits.
func (d *drill) sealer() *process {
	if d.kafka == nil {
		return d.start("seal", 0, d.bin, "seal", "--wait", "1m")
	}
	return d.start("preserve", 0, d.bin, "node", "preserve")
}

// allSealed: nothing that the catalog knows is open.
func (d *drill) allSealed() bool {
	states := d.states()
	for _, s := range states {
		if s != "sealed" {
			return false
		}
	}
	return len(states) > 0
}
