package main

import (
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"
)

// everythingTwice: each stage is given all again that its topic still has, in a queue
// where one who preserved was killed behind his plan; and all that lies in captured and
// in normalised is written once more, by somebody who does not know that it is there.
// Nothing is normalised, nothing sealed, a second time.
func everythingTwice(d *drill) {
	killed, _ := d.atWrite("/plan.json", syscall.SIGKILL)
	killed.kill()
	d.gone(killed)
	d.quiet()
	for _, p := range d.roles {
		p.drain()
	}
	d.roles = nil
	for stage := range reads {
		d.rewind(stage)
	}
	was, given := map[string]bool{}, 0
	ends := map[int]int64{}
	for p := range drillPartitions {
		made := d.records("normalised", p)
		for _, r := range made {
			was[headOf(r, "id")] = true
		}
		given += len(made)
		d.produce("captured", p, d.records("captured", p))
		d.produce("normalised", p, d.records("normalised", p))
		now, err := d.ends("normalised")
		if err != nil {
			d.t.Fatal(err)
		}
		ends[p] = now[p].LastOffset
	}
	d.t.Logf("%d messages of normalised are given again", given)
	d.work()
	d.until("all is given again", 3*time.Minute, func() bool { return d.behind() == nil })
	again := 0
	for p := range drillPartitions {
		for _, r := range d.records("normalised", p) {
			if r.Offset >= ends[p] && was[headOf(r, "id")] {
				again++
			}
		}
	}
	if again > 0 {
		d.t.Errorf("%d captures were normalised a second time", again)
	}
	for i := range 2 {
		d.accepts(i, "drill-a")
	}
}

func headOf(r kafka.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
