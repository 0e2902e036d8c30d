package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast"
	servers "holdfast/deploy/engines"
	"holdfast/pipeline"
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
	if os.Getenv("HOLDFAST_KILLS") == "" && os.Getenv("HOLDFAST_LONG") == "" {
		t.Skip("HOLDFAST_KILLS=N kills N processes; TestDrill kills some at given moments")
	}
	x := newChaos(t)
	for _, f := range []struct {
		name string
		do   func(*chaos)
	}{
		{"killed at random", (*chaos).killedAtRandom},
	} {
		if !t.Run(f.name, func(t *testing.T) {
			x.d.t = t
			defer func() { x.d.t = x.d.all }()
			began := time.Now()
			f.do(x)
			t.Logf("%v", time.Since(began).Round(time.Second))
		}) {
			return
		}
	}
}

// chaos is a drill whose processes die.
type chaos struct {
	d     *drill
	n     *node // node 0 in this process: it asks for captures, and takes none
	home  holdfast.ID
	rng   *mrand.Rand
	seed  uint64
	wants []holdfast.ID // Tasks that were asked for
	kills map[string]int
	stops int
	deck  []int // whose turn it is to be killed
}

// newSmallDrill has one broker: it is not what dies here.
func newSmallDrill(t *testing.T, nodes int) *drill {
	d := &drill{t: t, all: t, dir: t.TempDir(), server: servers.MinIO(t), pg: servers.PostgreSQL(t), kafka: servers.Kafka(t, 1)}
	d.begin(nodes)
	return d
}

func (d *drill) oneBroker() string {
	if len(d.kafka.Brokers) == 1 {
		return "&single-broker=true"
	}
	return ""
}

func newChaos(t *testing.T) *chaos {
	x := &chaos{kills: map[string]int{}, seed: uint64(time.Now().UnixNano())}
	if s := os.Getenv("HOLDFAST_SEED"); s != "" {
		var err error
		if x.seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	x.rng = mrand.New(mrand.NewPCG(x.seed, 1))
	t.Logf("HOLDFAST_SEED=%d", x.seed)
	x.d = newSmallDrill(t, 2)
	t.Setenv("AWS_ACCESS_KEY_ID", x.d.s3.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", x.d.s3.SecretKey)
	t.Setenv("PGPASSWORD", x.d.pg.Password)
	x.d.work()
	var err error
	if x.n, err = (&cli{out: io.Discard, errs: io.Discard, data: x.d.data[0]}).open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(x.n.Close)
	if x.home, err = x.n.caseNamed(t.Context(), "drill-a"); err != nil {
		t.Fatal(err)
	}
	return x
}

// ask adds Tasks, which whoever collects takes.
func (x *chaos) ask(options string, urls ...string) {
	x.d.t.Helper()
	tasks := make([]pipeline.Task, len(urls))
	for i, u := range urls {
		s, err := holdfast.ParseSource(u)
		if err != nil {
			x.d.t.Fatal(err)
		}
		tasks[i] = pipeline.Task{Source: s, Case: x.home, Agent: x.n.set.Agent, Found: holdfast.Found{How: "command", Why: "a drill"}, Options: json.RawMessage(options)}
	}
	ids, err := x.n.queue.AddTasks(x.d.t.Context(), tasks...)
	if err != nil {
		x.d.t.Fatal(err)
	}
	x.wants = append(x.wants, ids...)
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

// gather has Tasks taken on every node.
func (x *chaos) gather() {
	for i, data := range x.d.data {
		x.d.roles = append(x.d.roles, x.d.start("gatherer", i, "gatherer", data))
	}
}

// end drains the processes of a name.
func (d *drill) end(name string) {
	d.roles = slices.DeleteFunc(d.roles, func(p *process) bool {
		if p.name == name {
			p.drain()
		}
		return p.name == name
	})
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

// leasesEnd has every lease run out now, whoever holds it: it is what a holder who was
// gone for two minutes would meet.
func (x *chaos) leasesEnd() {
	x.d.t.Helper()
	c, err := pgx.Connect(x.d.t.Context(), x.d.pg.URL)
	if err == nil {
		_, err = c.Exec(x.d.t.Context(), `UPDATE holdfast_queue_`+drillPrefix+`.tasks SET until = 1 WHERE until > 1`)
		_ = c.Close(context.Background())
	}
	if err != nil {
		x.d.t.Fatalf("end leases: %v", err)
	}
}

// judge ends the flow, has every Task come to its end, and counts.
func (x *chaos) judge() census {
	d := x.d
	d.t.Helper()
	d.quiet()
	x.leasesEnd()
	x.ended(3 * time.Minute)
	c := d.settle(4 * time.Minute)
	for _, id := range x.wants {
		if n := c.plans[string(holdfast.CaptureID(id, 0, 0))]; n != 1 {
			d.t.Errorf("task %s was asked for and is done, and its capture is in %d Seals", id, n)
		}
	}
	d.rebuilt()
	return c
}

// ended waits until no Task is left.
func (x *chaos) ended(within time.Duration) {
	d := x.d
	d.t.Helper()
	left := []pipeline.Task{}
	d.until("every Task comes to its end", within, func() (done bool) {
		var err error
		if left, err = x.n.queue.Tasks(d.t.Context(), "", 20); err != nil {
			d.t.Fatal(err)
		}
		return len(left) == 0
	})
}
