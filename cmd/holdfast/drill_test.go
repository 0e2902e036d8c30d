package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	servers "holdfast/deploy/engines"
	"holdfast/preserve/authority"
)

// drill is an office of several machines on one set of real engines: data directories,
// the roles of each as processes of the real program, and processes that accept
// captures. Faults are brought in while captures flow; then the store is counted.
type drill struct {
	t    *testing.T // of the fault that is there
	all  *testing.T // of the whole drill
	dir  string
	bin  string
	env  []string
	data []string // the nodes' directories

	kafka  *servers.KafkaCluster
	s3     *servers.FaultyS3 // what the nodes talk to; behind it lies the server itself
	server *servers.S3
	pg     *servers.PG
	tsa    [2]*switched

	accepted ids // what a process told of
	flow     []*process
	roles    []*process
	halted   atomic.Int64 // how often an accepter said that it could not
	lastHalt atomic.Pointer[string]
}

// ids is a set that several goroutines fill.
type ids struct {
	mu  sync.Mutex
	all map[string]bool
}

func (i *ids) add(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.all == nil {
		i.all = map[string]bool{}
	}
	i.all[id] = true
}

func (i *ids) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.all)
}

func (i *ids) each(do func(string)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id := range i.all {
		do(id)
	}
}

// switched is an authority that can be down.
type switched struct {
	http.Handler
	down atomic.Bool
}

func (s *switched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	s.Handler.ServeHTTP(w, r)
}

const (
	drillBucket = "holdfast-drill"
	drillPrefix = "office"
)

// newDrill makes that many nodes on three brokers, a database and a bucket.
func newDrill(t *testing.T, nodes int) *drill {
	d := &drill{t: t, all: t, dir: t.TempDir(), server: servers.MinIO(t), pg: servers.PostgreSQL(t), kafka: servers.Kafka(t, 3)}
	d.begin(nodes)
	return d
}

// newStoreDrill makes one node whose store alone lies in a bucket.
func newStoreDrill(t *testing.T) *drill {
	d := &drill{t: t, all: t, dir: t.TempDir(), server: servers.MinIO(t)}
	d.begin(1)
	return d
}

func (d *drill) begin(nodes int) {
	t := d.t
	d.s3 = servers.Faulty(t, d.server)
	d.bin = filepath.Join(d.dir, "holdfast")
	if out, err := exec.Command("go", "build", "-o", d.bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	d.env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+d.s3.AccessKey, "AWS_SECRET_ACCESS_KEY="+d.s3.SecretKey)
	if d.pg != nil {
		d.env = append(d.env, "PGPASSWORD="+d.pg.Password)
	}
	d.makeEngines()
	urls := d.authorities()
	for i := range nodes {
		d.addNode(i, urls)
	}
	for i := range nodes {
		for k := range i { // what one has sealed counts with the other
			d.join(i, k)
			d.join(k, i)
		}
	}
	t.Cleanup(d.keep)
}

// makeEngines does what an operator does before the first init.
func (d *drill) makeEngines() {
	err := d.bucket().MakeBucket(d.t.Context(), drillBucket, minio.MakeBucketOptions{ObjectLocking: true})
	if err != nil {
		d.t.Fatal(err)
	}
}

// bucket is a client of the server behind the faults.
func (d *drill) bucket() *minio.Client {
	u, err := url.Parse(d.server.Endpoint)
	if err != nil {
		d.t.Fatal(err)
	}
	c, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(d.server.AccessKey, d.server.SecretKey, ""), Region: d.server.Region})
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

func (d *drill) authorities() (urls [2]string) {
	for i, name := range []string{"alpha", "beta"} {
		a, err := authority.Open(filepath.Join(d.dir, name), authority.Options{Operator: "TRAINING " + name, Training: true})
		if err != nil {
			d.t.Fatal(err)
		}
		d.tsa[i] = &switched{Handler: a.Handler()}
		s := httptest.NewServer(d.tsa[i])
		d.t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
		urls[i] = s.URL + "/"
	}
	return urls
}

func (d *drill) addNode(i int, tsa [2]string) {
	d.data = append(d.data, filepath.Join(d.dir, fmt.Sprintf("node-%d", i)))
	args := []string{"init", "--training", "--label", fmt.Sprintf("drill-%d", i),
		"--store", "s3://" + drillBucket + "/" + drillPrefix + "?endpoint=" + url.QueryEscape(d.s3.Endpoint) + "&region=" + d.s3.Region}
	if d.kafka != nil {
		args = append(args, "--queue", "kafka://"+strings.Join(d.kafka.Brokers, ",")+"/"+drillPrefix+"?partitions=2"+d.oneBroker(), "--catalog", d.pg.URL)
	}
	if i > 0 {
		args = append(args, "--join", d.storeID())
	}
	d.must(i, args...)
	for k, name := range []string{"alpha", "beta"} {
		d.must(i, "authority", "add", name, tsa[k], "--operator", "TRAINING "+name, "--roots", filepath.Join(d.dir, name, "roots.pem"))
	}
}

// join has node i trust node k.
func (d *drill) join(i, k int) {
	file := filepath.Join(d.dir, fmt.Sprintf("policy-%d-%d.json", i, k))
	d.must(k, "policy", "export", file)
	d.must(i, "policy", "join", file)
}

// storeID is what the first node has written down of the store.
func (d *drill) storeID() string {
	b, err := os.ReadFile(filepath.Join(d.data[0], fileSettings))
	if err != nil {
		d.t.Fatal(err)
	}
	var s struct {
		Engines struct {
			StoreID string `json:"store_id"`
		}
	}
	if err := json.Unmarshal(b, &s); err != nil || s.Engines.StoreID == "" {
		d.t.Fatalf("node.json has no store_id: %v\n%s", err, b)
	}
	return s.Engines.StoreID
}

// try runs a command of node i to its end.
func (d *drill) try(i int, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, d.bin, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // it says what it waits for
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(d.env, "HOLDFAST_DATA="+d.data[i])
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (d *drill) must(i int, args ...string) string {
	d.t.Helper()
	out, errs, err := d.try(i, args...)
	if err != nil {
		d.t.Fatalf("%v: %v\n%s%s", args, err, out, errs)
	}
	return out
}

// process is one that runs on beside the test.
type process struct {
	d    *drill
	name string
	node int
	cmd  *exec.Cmd
	log  *os.File
	gone chan struct{}
	err  error // once it is gone
}

func (d *drill) start(name string, node int, args ...string) *process {
	d.t.Helper()
	p := &process{d: d, name: name, node: node, gone: make(chan struct{})}
	var err error
	if p.log, err = os.OpenFile(filepath.Join(d.dir, fmt.Sprintf("said-%s-%d.log", name, node)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		d.t.Fatal(err)
	}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(d.env, "HOLDFAST_DATA="+d.data[node])
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	go func() {
		defer close(p.gone)
		in := bufio.NewScanner(out)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			d.heard(in.Bytes())
		}
		p.err = p.cmd.Wait()
		_ = p.log.Close()
	}()
	d.all.Cleanup(p.kill)
	return p
}

// heard takes down what a process told of: that counts, whatever becomes of it.
func (d *drill) heard(line []byte) {
	var row struct{ Event, ID, Error string }
	if json.Unmarshal(line, &row) != nil {
		return
	}
	switch row.Event {
	case "accepted":
		d.accepted.add(row.ID)
	case "halted":
		d.halted.Add(1)
		d.lastHalt.Store(&row.Error)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// drain asks the process to end as its operator does, and it must, and well.
func (p *process) drain() {
	p.d.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
		if p.err != nil {
			p.d.t.Errorf("%s of node %d, asked to end: %v\n%s", p.name, p.node, p.err, p.said())
		}
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		p.kill()
		p.d.t.Errorf("%s of node %d did not end in a minute\n%s", p.name, p.node, p.said())
	}
}

func (p *process) said() string {
	b, _ := os.ReadFile(p.log.Name())
	return string(b[max(0, len(b)-6000):])
}

func (p *process) alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// role starts a role of node i.
func (d *drill) role(i int, name string) *process {
	p := d.start(name, i, d.bin, "node", name)
	d.roles = append(d.roles, p)
	return p
}

// accepts starts captures at node i, for the named Case.
func (d *drill) accepts(i int, home string) {
	args := []string{"accepter", d.data[i], home}
	if d.kafka == nil { // an embedded queue has no roles
		args = append(args, "work")
	}
	d.flow = append(d.flow, d.start("accepter", i, args...))
}

// still checks that nobody who was not killed has died: a fault of an engine ends no role.
func (d *drill) still() {
	d.t.Helper()
	for _, p := range slices.Concat(d.flow, d.roles) {
		if !p.alive() {
			d.t.Errorf("%s of node %d died: %v\n%s", p.name, p.node, p.err, p.said())
		}
	}
}

// more waits until that many more captures were accepted.
func (d *drill) more(n int, within time.Duration) {
	d.t.Helper()
	want, begun := d.accepted.count()+n, time.Now()
	for d.accepted.count() < want {
		if time.Since(begun) > within {
			halt := ""
			if h := d.lastHalt.Load(); h != nil {
				halt = *h
			}
			d.still()
			d.t.Fatalf("only %d captures more in %v, wanted %d; the last that could not said: %s", d.accepted.count()-want+n, within, n, halt)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// settle ends the flow of captures, waits until all that was accepted is in a Seal with
// its quorum and the catalog says so, and counts.
func (d *drill) settle(within time.Duration) census {
	d.t.Helper()
	d.quiet()
	begun := time.Now()
	for {
		if d.kafka == nil {
			d.must(0, "seal", "--wait", "1m")
		}
		c, why := d.settled()
		if why == nil {
			d.once(c)
			return c
		}
		if time.Since(begun) > within {
			d.still()
			d.t.Fatalf("after %v of quiet: %v", within, why)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// settled is the census once nothing is open, or what is.
func (d *drill) settled() (census, error) {
	states := d.states()
	var open []string
	for id, state := range states {
		if state != "sealed" {
			open = append(open, id+" is "+state)
		}
	}
	d.accepted.each(func(id string) {
		if states[id] == "" {
			open = append(open, id+" is not listed")
		}
	})
	if len(open) > 0 {
		return census{}, fmt.Errorf("%d of %d captures are open, of %d that were told of: %.400q", len(open), len(states), d.accepted.count(), open)
	}
	c, wrong := d.count()
	if len(wrong) > 0 {
		return c, errors.Join(wrong...)
	}
	if c.captures != len(states) {
		return c, fmt.Errorf("%d captures are in the store and %d in the catalog", c.captures, len(states))
	}
	return c, nil
}

// once: each in one Seal, whatever became of the process that told of it.
func (d *drill) once(c census) {
	d.t.Helper()
	d.accepted.each(func(id string) {
		if n := c.plans[id]; n != 1 {
			d.t.Errorf("capture %s was accepted and is in %d Seals", id, n)
		}
	})
	for id, n := range c.plans {
		if n != 1 {
			d.t.Errorf("%s is in %d Seals", id, n)
		}
	}
	d.still()
}

// states are what `list` says.
func (d *drill) states() map[string]string {
	out, errs, err := d.try(0, "list", "--json")
	if err != nil {
		d.t.Logf("list: %v: %s", err, errs)
		return nil
	}
	states := map[string]string{}
	for l := range strings.Lines(out) {
		var row struct{ ID, State string }
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			d.t.Fatal(err)
		}
		states[row.ID] = row.State
	}
	return states
}

// count fetches what the bucket holds, past the faults, and counts plans and Manifests.
func (d *drill) count() (census, []error) {
	d.t.Helper()
	to, kept := filepath.Join(d.dir, "counted", "store"), map[string]bool{}
	b := d.bucket()
	for o := range b.ListObjects(d.t.Context(), drillBucket, minio.ListObjectsOptions{Prefix: drillPrefix + "/", Recursive: true}) {
		if o.Err != nil {
			d.t.Fatal(o.Err)
		}
		name := strings.TrimPrefix(o.Key, drillPrefix+"/")
		if hex, ok := strings.CutPrefix(name, "objects/sha256/"); ok {
			kept[hex[strings.IndexByte(hex, '/')+1:]] = true
			continue
		}
		file := filepath.Join(to, filepath.FromSlash(name))
		if _, err := os.Stat(file); err == nil {
			continue // its name is write-once
		}
		if err := b.FGetObject(d.t.Context(), drillBucket, o.Key, file, minio.GetObjectOptions{}); err != nil {
			d.t.Fatal(err)
		}
	}
	c, wrong := storeCensus(filepath.Dir(to))
	for hex, id := range c.large {
		if !kept[hex] {
			wrong = append(wrong, fmt.Errorf("object %s of capture %s is not in the bucket", hex, id))
		}
	}
	return c, wrong
}

// rebuilt: the catalog says what a fold over the store says.
func (d *drill) rebuilt() {
	d.t.Helper()
	before := d.must(0, "list", "--json")
	d.must(0, "rebuild")
	if again := d.must(0, "list", "--json"); again != before {
		d.t.Errorf("rebuild changed the list:\n%s\nit was:\n%s", firstDiff(again, before), firstDiff(before, again))
	}
}

// quiet ends the flow of captures.
func (d *drill) quiet() {
	d.t.Helper()
	for _, p := range d.flow {
		p.drain()
	}
	d.flow = nil
}

// keep copies what everybody said away, if the test has failed.
func (d *drill) keep() {
	if !d.t.Failed() {
		return
	}
	dir, err := os.MkdirTemp("", "holdfast-drill-")
	if err == nil {
		err = exec.Command("cp", "-a", d.dir, dir).Run()
	}
	d.t.Logf("the nodes are kept in %s: %v", dir, err)
}
