package main

import (
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// TestDrill guards the first promise where an office has outgrown one machine: two
// nodes with all their roles on three real brokers, a real server of objects and a real
// database, and captures flowing while each fault is brought in. After each of them every
// accepted capture is in exactly one Seal with its quorum, by plans and Manifests counted
// in the bucket, and the catalog equals what a fold over the store gives.
//
// Not brought in here yet: two of three brokers gone, a partition that changes hands in
// mid-batch, everything delivered twice, processes killed at random, and the faults of the
// store beside a scaled queue (TestDrillStore has those on an embedded one).
func TestDrill(t *testing.T) {
	d := newDrill(t, 2)
	d.work()
	d.under(slices.Concat(storeFaults[:1], faults))
}

// work starts the roles of every node, but for collect: accepters take Tasks themselves.
func (d *drill) work() {
	for i := range d.data {
		for _, name := range []string{"normalise", "preserve", "index"} {
			d.role(i, name)
		}
	}
}

// faults are those of what the nodes share besides the store.
var faults = []fault{
	{"broker killed and restarted", brokerKilled},
	{"leader moved", leaderMoved},
	{"database killed and restarted", databaseKilled},
	{"authorities down", authoritiesDown},
}

// leader is the broker (0 is the first) that leads a partition.
func (d *drill) leader(topic string, partition int) int {
	d.t.Helper()
	m, err := d.kafka.Client().Metadata(d.t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil || len(m.Topics) != 1 || len(m.Topics[0].Partitions) <= partition {
		d.t.Fatalf("who leads %s: %v", topic, err)
	}
	for _, p := range m.Topics[0].Partitions {
		if p.ID == partition && p.Leader.ID > 0 {
			return p.Leader.ID - 1
		}
	}
	d.t.Fatalf("nobody leads %s/%d", topic, partition)
	return 0
}

// brokerKilled: the one that leads. The two others go on.
func brokerKilled(d *drill) {
	i := d.leader(drillPrefix+".captured", 0)
	d.kafka.Kill(i)
	d.more(10, time.Minute)
	d.kafka.Restart(d.t, i)
}

// leaderMoved: as an operator does, in order.
func leaderMoved(d *drill) {
	for range 2 {
		i := d.leader(drillPrefix+".captured", 0)
		d.kafka.Stop(i)
		d.more(5, time.Minute)
		d.kafka.Start(d.t, i)
		d.more(5, time.Minute)
	}
}

func databaseKilled(d *drill) {
	for range 2 {
		d.pg.Kill()
		time.Sleep(3 * time.Second)
		d.pg.Restart(d.t)
		d.more(5, time.Minute)
	}
}

// authoritiesDown: what is accepted is signed, in the log and acknowledged, and told as
// signed; it is sealed when they are there again. No partition stands still meanwhile.
func authoritiesDown(d *drill) {
	for _, a := range d.tsa {
		a.down.Store(true)
	}
	d.more(30, time.Minute)
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
