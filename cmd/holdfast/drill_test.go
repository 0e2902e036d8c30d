package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"holdfast/cmd/internal/nodedir"
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
	var err error
	if d.bin, err = exec.LookPath("holdfast"); err != nil { // TestMain puts it there
		t.Fatal(err)
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
	b, err := os.ReadFile(filepath.Join(d.data[0], nodedir.FileSettings))
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
	dies(cmd)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
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
