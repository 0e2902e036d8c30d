package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/mirrors"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/restore"
	"holdfast/deploy/engines"
	"holdfast/mirror"
	"holdfast/wholefile"
)

// TestKillMirror guards that a mirror is a state of the node at whatever instant
// its making is killed, while the node accepts and seals, and that a restore
// which is killed is finished by the same command: each restored node seals what
// is open, holds no capture in two Seals and all that the last whole run had, and
// what it exports is proven under its own Policy and contradicted under no other.
func TestKillMirror(t *testing.T) {
	rounds := 20
	if os.Getenv("HOLDFAST_LONG") != "" {
		rounds = 100 // two kills each
	}
	killMirror(t, rounds, func(w *killWorld) string { return filepath.Join(w.dir, "safe") })
}

// TestKillMirrorBucket is the same of a mirror in a bucket, of MinIO.
func TestKillMirrorBucket(t *testing.T) {
	rounds := 4
	if os.Getenv("HOLDFAST_LONG") != "" {
		rounds = 50
	}
	s := &office{t: t, minio: engines.MinIO(t)}
	if err := s.bucket("safe", true); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", s.minio.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.minio.SecretKey)
	killMirror(t, rounds, func(*killWorld) string { return "s3://safe/mirror?endpoint=" + s.minio.Endpoint })
}

func killMirror(t *testing.T, rounds int, safe func(*killWorld) string) {
	t.Setenv("HOLDFAST_PASSPHRASE", "six words that nobody would guess")
	w := newKillWorld(t)
	m := &mirrorKills{killWorld: w, safe: safe(w), keys: filepath.Join(w.dir, "keys.age")}
	w.must("key", "export", m.keys)
	for i := range rounds {
		v := w.feeder([]string{"kill-a", "kill-b"}[i%2])
		time.Sleep(100 * time.Millisecond)
		if i%5 == 2 {
			m.whole()
		}
		w.start("", w.bin, "mirror", "--to", m.safe, "--json").kill(450 * time.Millisecond)
		v.kill(50 * time.Millisecond)
		if i%4 == 3 {
			m.restore(i)
		}
	}
	m.whole()
	m.restore(rounds)
	w.judge()
	t.Logf("%d kills, %d restores of which %d went on with the old log, at least %d captures in each of the last", w.kills, m.restores, m.continued, len(m.had))
	if m.continued == 0 || m.continued == m.restores {
		t.Errorf("%d of %d restores went on with the log: the test hardly tests", m.continued, m.restores)
	}
}

type mirrorKills struct {
	*killWorld
	safe, keys          string
	had                 []string // captures that the last whole run must have
	restores, continued int
}

// whole lets a run end. What was sealed before it began is then in the mirror.
func (m *mirrorKills) whole() {
	list := m.must("list", "--state", "sealed", "--json")
	m.must("mirror", "--to", m.safe)
	m.had = nil
	for l := range strings.Lines(list) {
		var row struct{ ID string }
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			m.t.Fatal(err)
		}
		m.had = append(m.had, row.ID)
	}
}

// restore makes a node, killed once, from whatever the mirror is now. It is not
// killed on its way to the mirror's first run.
func (m *mirrorKills) restore(round int) {
	if !m.begun() {
		return
	}
	r := &killWorld{t: m.t, bin: m.bin, dir: m.dir, data: filepath.Join(m.dir, fmt.Sprintf("restored-%d", round)), accepted: map[string]bool{}}
	args := []string{"restore", "--from", m.safe, "--json"}
	switch round % 6 {
	case 1:
	case 3:
		args = append(args, "--keys", m.keys, "--all-copies-old")
	default:
		args = append(args, "--keys", m.keys)
	}
	r.start("", r.bin, args...).kill(4 * time.Second)
	m.kills++
	if _, err := os.Stat(filepath.Join(r.data, restore.FileName)); err == nil || !exists(r.data) {
		r.must(args...)
	} else if !exists(filepath.Join(r.data, nodedir.FileSettings)) {
		m.t.Fatalf("round %d: the restore has left a directory that is neither empty nor half restored", round)
	}
	m.restores++
	r.must("seal", "--wait", "2m")
	c := countStore(m.t, r.data)
	for id, n := range c.plans {
		if n != 1 {
			m.t.Errorf("round %d: %s is in %d Seals", round, id, n)
		}
	}
	for _, id := range m.had {
		if c.plans[id] != 1 {
			m.t.Errorf("round %d: capture %s was in the whole mirror and is in %d Seals", round, id, c.plans[id])
		}
	}
	if c.captures > 0 {
		m.proven(r, round)
	}
	if err := os.RemoveAll(r.data); err != nil {
		m.t.Fatal(err)
	}
}

// begun reports whether the mirror has what a node can be made of.
func (m *mirrorKills) begun() bool {
	if engineset.KindOf(m.safe) != engineset.KindS3 {
		return exists(filepath.Join(m.safe, "node", nodedir.FileSettings))
	}
	s, err := mirrors.OpenBucket(m.t.Context(), m.safe, "", slog.New(slog.DiscardHandler), mirrors.ToRead)
	if err != nil {
		return false
	}
	defer s.Close()
	v, err := mirror.OpenVersions(m.t.Context(), s, "")
	if err != nil {
		m.t.Fatal(err)
	}
	_, err = mirror.Read(m.t.Context(), v, "node/"+nodedir.FileSettings, wholefile.MaxJSON)
	return err == nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// proven exports what was restored and asks the Policies of both nodes.
func (m *mirrorKills) proven(r *killWorld, round int) {
	name := func(what string) string { return filepath.Join(m.dir, fmt.Sprintf("%s-%d", what, round)) }
	r.must("export", "--case", "kill-a", name("restored.zip"))
	r.must("policy", "export", name("restored.policy"))
	r.must("verify", name("restored.zip"), "--policy", name("restored.policy"))
	m.must("policy", "export", name("old.policy"))
	out, err := exec.Command(m.bin, "verify", name("restored.zip"), "--policy", name("old.policy")).CombinedOutput()
	x := (*exec.ExitError)(nil)
	if err != nil && (!errors.As(err, &x) || x.ExitCode() != 4) {
		m.t.Errorf("round %d: under the old node's policy: %v\n%s", round, err, out)
	}
	set, err := nodedir.Read(r.data)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(set.Former) == 0 {
		m.continued++
	}
}
