package main

import (
	"context"
	"encoding/json"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	servers "holdfast/deploy/engines"
	"holdfast/pipeline"
	"holdfast/pipeline/postgres"
)

// chaos is a drill whose processes die.
type chaos struct {
	d     *drill
	tasks *postgres.Tasks // of the shared queue; they are asked for here, and none is taken
	home  holdfast.ID
	agent holdfast.Agent
	rng   *mrand.Rand
	seed  uint64
	wants []holdfast.ID // Tasks that were asked for
	kills map[string]int
	stops int
	deck  []int // whose turn it is to be killed
}

// newSmallDrill has one broker: it is not what dies here, nor may it be taken for dead on a
// machine that has much to do.
func newSmallDrill(t *testing.T, nodes int) *drill {
	d := &drill{t: t, all: t, dir: t.TempDir(), server: servers.MinIO(t), pg: servers.PostgreSQL(t), kafka: servers.Kafka(t, 1, "broker.session.timeout.ms=60000")}
	d.begin(nodes)
	return d
}

func (d *drill) oneBroker() string {
	if len(d.kafka.Brokers) == 1 {
		return "&single-broker=true"
	}
	return ""
}

func newChaos(t *testing.T, prepare ...func(*drill)) *chaos {
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
	for _, p := range prepare {
		p(x.d)
	}
	x.d.work()
	x.asks()
	return x
}

// asks opens the Tasks in this process, without the engines' passwords in its environment,
// which tests that run at the same time share.
func (x *chaos) asks() {
	d, t := x.d, x.d.t
	d.must(0, "case", "new", "drill-a")
	for l := range strings.Lines(d.must(0, "case", "list", "--json")) {
		var row struct {
			Case string
			ID   holdfast.ID `json:"case_id"`
		}
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			t.Fatal(err)
		}
		if row.Case == "drill-a" {
			x.home = row.ID
		}
	}
	b, err := os.ReadFile(filepath.Join(d.data[0], nodedir.FileSettings))
	var set struct{ Agent holdfast.Agent }
	if err == nil {
		err = json.Unmarshal(b, &set)
	}
	if err != nil || x.home == "" {
		t.Fatalf("agent and Case %q of node 0: %v", x.home, err)
	}
	x.agent = set.Agent
	x.tasks, err = postgres.Open(t.Context(), postgres.Options{URL: d.pg.URL, Password: d.pg.Password, Schema: drillTasks, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.tasks.Close() })
}

// drillTasks is the namespace of the shared queue's Tasks.
const drillTasks = "holdfast_queue_" + drillPrefix

// ask adds Tasks, which whoever collects takes.
func (x *chaos) ask(options string, urls ...string) {
	x.d.t.Helper()
	tasks := make([]pipeline.Task, len(urls))
	for i, u := range urls {
		s, err := holdfast.ParseSource(u)
		if err != nil {
			x.d.t.Fatal(err)
		}
		tasks[i] = pipeline.Task{Source: s, Case: x.home, Agent: x.agent, Found: holdfast.Found{How: "command", Why: "a drill"}, Options: json.RawMessage(options)}
	}
	ids, err := x.tasks.AddTasks(x.d.t.Context(), tasks...)
	if err != nil {
		x.d.t.Fatal(err)
	}
	x.wants = append(x.wants, ids...)
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

// leasesEnd has every lease run out now, whoever holds it: it is what a holder who was
// gone for two minutes would meet.
func (x *chaos) leasesEnd() {
	x.d.t.Helper()
	c, err := pgx.Connect(x.d.t.Context(), x.d.pg.DSN(x.d.pg.URL))
	if err == nil {
		_, err = c.Exec(x.d.t.Context(), `UPDATE `+drillTasks+`.tasks SET until = 1 WHERE until > 1`)
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
		if left, err = x.tasks.Tasks(d.t.Context(), "", 20); err != nil {
			d.t.Fatal(err)
		}
		return len(left) == 0
	})
}
