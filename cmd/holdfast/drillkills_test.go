package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// TestDrillKills guards the first promise where several nodes share real engines: against
// kill -9 of any process at any moment, and processes that stand still while others take
// what they hold. In the end every capture that was told of, and every Task, is in exactly
// one Seal, by plans and Manifests counted in the bucket, and the catalog equals a rebuild.
//
// HOLDFAST_KILLS says how often processes are killed (1,000 with HOLDFAST_LONG; where
// neither is set it is not run), and HOLDFAST_SEED which ones and when, as far as that
// hangs on us.
func TestDrillKills(t *testing.T) {
	if os.Getenv("HOLDFAST_KILLS") == "" && !long() {
		t.Skip("HOLDFAST_KILLS=N kills N processes; TestDrill kills some at given moments")
	}
	newChaos(t).killedAtRandom()
}

// killedAtRandom: all roles of two nodes, accepters, and those that collect Tasks.
func (x *chaos) killedAtRandom() {
	kills := 20
	if long() {
		kills = 1000
	}
	if s := os.Getenv("HOLDFAST_KILLS"); s != "" {
		kills, _ = strconv.Atoi(s)
	}
	d := x.d
	x.gather()
	for done := 0; done < kills; {
		for i := range 3 {
			d.accepts(i%len(d.data), []string{"drill-a", "drill-a", "drill-b"}[i])
		}
		d.more(10, 2*time.Minute)
		for range min(100, kills-done) {
			x.killOne()
			if done++; done%10 == 0 { // else nobody would ever get a partition
				x.calm()
			}
		}
		c := x.judge()
		d.t.Logf("%d kills %v, %d stops; %d captures told of, %d Tasks; %d Seals with %d captures and %d events; seed %d",
			done, x.kills, x.stops, d.accepted.count(), len(x.wants), c.seals, c.captures, c.events, x.seed)
	}
	d.end("gatherer")
}

// killOne kills a process at some moment, sometimes while another stands still, and
// starts it again, sometimes after a while.
func (x *chaos) killOne() {
	d := x.d
	x.ask(`{}`, fmt.Sprintf("https://task.invalid/%d", x.rng.Int()), fmt.Sprintf("https://task.invalid/%d", x.rng.Int()))
	pause := func(most time.Duration) { time.Sleep(time.Duration(x.rng.Int64N(int64(most)))) }
	pause(1200 * time.Millisecond)
	still := x.any()
	stop := x.rng.IntN(4) == 0
	if stop {
		x.stops++
		still.freeze()
		x.leasesEnd()
	}
	p := x.next()
	if !p.alive() {
		d.t.Errorf("%s of node %d died by itself: %v\n%s", p.name, p.node, p.err, p.said())
	}
	p.kill()
	x.kills[p.name]++
	if x.rng.IntN(4) == 0 {
		pause(4 * time.Second)
	}
	x.again(p)
	if stop && still != p {
		pause(3 * time.Second)
		still.thaw()
	}
}

// next is one of those that were not killed yet in this turn: the bad luck goes round.
func (x *chaos) next() *process {
	all := slices.Concat(x.d.flow, x.d.roles)
	if len(x.deck) == 0 {
		x.deck = x.rng.Perm(len(all))
	}
	i := x.deck[0]
	x.deck = x.deck[1:]
	return all[i%len(all)]
}

// any of those that can be killed.
func (x *chaos) any() *process {
	all := slices.Concat(x.d.flow, x.d.roles)
	return all[x.rng.IntN(len(all))]
}

// again starts what was killed, as whoever watches over processes does.
func (x *chaos) again(p *process) {
	fresh := x.d.start(p.name, p.node, p.cmd.Args...)
	for _, list := range [][]*process{x.d.flow, x.d.roles} {
		if i := slices.Index(list, p); i >= 0 {
			list[i] = fresh
		}
	}
}

// calm lets captures flow, and has all leases run out, those of the living too.
func (x *chaos) calm() {
	x.d.more(5, 3*time.Minute)
	x.leasesEnd()
}
