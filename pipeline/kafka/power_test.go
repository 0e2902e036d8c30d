package kafka_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/deploy/engines"
)

// TestPowerLoss: the power of all brokers fails, and the end of each log was not on
// their disks: here the partitions' files are put back as they were, while how far the
// groups are is not. What is published then gets the positions of what was lost, before
// any stage looks. Nothing of it is passed over, and nothing that was sealed is sealed
// again.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	c := engines.Kafka(t, 1, "log.dirs="+dir)
	t.Setenv(brokers, strings.Join(c.Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	all := map[holdfast.ID]bool{}
	publish := func(n int) {
		t.Helper()
		m := captures(t, n, 300)
		_, err := q.Publish(t.Context(), nil, m...)
		must(t, err)
		for _, k := range m {
			all[k.ID] = true
		}
	}
	work := func() {
		t.Helper()
		stop := p.working(t, q)
		defer stop()
		settled(t, q, time.Minute)
	}
	publish(100)
	work()
	kept := files(t, c, dir)
	publish(100)
	work()
	p.putBack(t, c, dir, kept, "*")
	publish(150)
	before, err := q.Identity(t.Context())
	must(t, err)
	work()
	after, err := q.Identity(t.Context())
	must(t, err)
	if before.Queue == after.Queue {
		t.Error("positions were taken twice, and the queue kept its name")
	}
	if s := p.once(t, all); len(s.of) != len(all) {
		t.Errorf("%d sealed, %d published", len(s.of), len(all))
	}
}

// files copies what the one broker has, while it is down.
func files(t *testing.T, c *engines.KafkaCluster, dir string) (kept string) {
	t.Helper()
	c.Kill(0)
	kept = t.TempDir()
	must(t, exec.Command("cp", "-a", dir+"/.", kept).Run())
	c.Restart(t, 0)
	return kept
}

// putBack has the partitions of those topics be as they were, and how far the groups are not.
func (p place) putBack(t *testing.T, c *engines.KafkaCluster, dir, kept, topics string) {
	t.Helper()
	c.Kill(0)
	_, prefix := p.raw(t)
	lost, err := filepath.Glob(filepath.Join(dir, prefix+"."+topics))
	must(t, err)
	for _, name := range lost {
		must(t, os.RemoveAll(name))
		must(t, exec.Command("cp", "-a", filepath.Join(kept, filepath.Base(name)), name).Run())
	}
	if topics == "*" { // else the broker finds out by itself, which takes a moment
		for _, name := range []string{"recovery-point-offset-checkpoint", "replication-offset-checkpoint", "log-start-offset-checkpoint"} {
			must(t, exec.Command("cp", "-a", filepath.Join(kept, name), filepath.Join(dir, name)).Run())
		}
	}
	c.Restart(t, 0)
}
