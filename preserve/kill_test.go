package preserve_test

import (
	"encoding/gob"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

const killDir = "HOLDFAST_TEST_KILL_DIR"

// killQueue is what a durable queue would hold.
func killQueue(t *testing.T, dir string) (all []preserve.Batch) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "queue"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := gob.NewDecoder(f).Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

// killNode has no authorities: what they answer is not what a kill can lose.
func killNode(t *testing.T, dir string) *sealtest.Node {
	return sealtest.NewNode(t, sealtest.NodeOptions{Dir: dir, Authorities: []*sealtest.Authority{}})
}

// TestKillChild is the process that is killed: it seals the queue from its
// beginning, as one that has lost its positions, four batches in flight.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("it is started by TestKill")
	}
	n := killNode(t, dir)
	work := make(chan preserve.Batch)
	for range 4 {
		go func() {
			for b := range work {
				if _, err := n.Sealer.Seal(t.Context(), b); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	for _, b := range killQueue(t, dir) {
		work <- b
	}
	time.Sleep(time.Second) // to be killed, or to finish what is in flight
}

// kill -9 at random instants; then every capture is in exactly one Seal, and the
// log is the one that it was.
func TestKill(t *testing.T) {
	t.Parallel()
	kills := 4
	if os.Getenv("HOLDFAST_LONG") != "" {
		kills = 100
	}
	dir := t.TempDir()
	n := killNode(t, dir)
	batches := make([]preserve.Batch, 20)
	for i := range batches {
		batches[i] = n.Batch(int64(i*3), 3, 200)
	}
	n.Close()
	f, err := os.Create(filepath.Join(dir, "queue"))
	if err != nil {
		t.Fatal(err)
	}
	if err := gob.NewEncoder(f).Encode(batches); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for range kills {
		c := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		c.Env = append(os.Environ(), killDir+"="+dir)
		c.Stdout, c.Stderr = io.Discard, io.Discard
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(50+rand.IntN(400)) * time.Millisecond)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait()
	}
	n = killNode(t, dir) // refuses a log that is behind or forked
	tree, _ := n.Tlog.Newest()
	t.Logf("after %d kills the log has %d entries", kills, tree.Size)
	in := make(map[string]int)
	for _, b := range batches {
		o, err := n.Sealer.Seal(t.Context(), b)
		if err != nil || o.State != preserve.StateSigned {
			t.Fatalf("%+v, %v", o, err)
		}
		st := statement(t, n, o.Seal)
		for _, s := range st.Subject {
			in[s.Digest.SHA256]++
		}
	}
	for _, b := range batches {
		for _, it := range b.Items {
			if k := in[hashing.Of(it.Manifest).Hex()]; k != 1 {
				t.Errorf("capture %s is in %d seals", it.ID, k)
			}
		}
	}
	plans := 0
	for e := range contents(t, n.Files, "seals/") {
		if strings.HasSuffix(e, "/plan.json") {
			plans++
		}
	}
	if plans != len(batches) {
		t.Errorf("%d plans for %d batches", plans, len(batches))
	}
}

func statement(t *testing.T, n *sealtest.Node, seal string) *holdfast.Statement {
	t.Helper()
	parts, err := preserve.Parts(t.Context(), n.Files, seal)
	if err != nil {
		t.Fatal(err)
	}
	e, err := holdfast.ParseEnvelope(parts["statement.dsse.json"], holdfast.PayloadStatement, 1<<24)
	if err != nil {
		t.Fatal(err)
	}
	st, err := holdfast.ParseStatement(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return st
}
