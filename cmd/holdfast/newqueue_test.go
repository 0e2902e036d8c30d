package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/filelock"
	"holdfast/keyring"
	"holdfast/pipeline"
	"holdfast/preserve/plans"
)

// lineCount counts the lines of an action in all chains on the disk, and those of
// them that name object.
func lineCount(t *testing.T, n *node, action, object string) (all, naming int) {
	t.Helper()
	names, err := filepath.Glob(n.path("outbox/*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for raw := range strings.Lines(string(b)) {
			if strings.Contains(raw, `"action":"`+action+`"`) {
				all++
				if strings.Contains(raw, object) {
					naming++
				}
			}
		}
	}
	return all, naming
}

// planOf tells in how many plans each ID is.
func planOf(t *testing.T, n *node) map[holdfast.ID]int {
	t.Helper()
	in := map[holdfast.ID]int{}
	if err := plans.Each(t.Context(), n.store, func(p *holdfast.Plan) error {
		for _, c := range p.Captures {
			in[c.ID]++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return in
}

// TestLostQueue: a queue that is missing or empty is never made anew without a
// word; `init --new-queue` names what is lost, seals each custody line once, and
// is finished by the next command where it was killed.
func TestLostQueue(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"missing": os.Remove,
		"empty":   func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			c, n := roundNode(t)
			acceptOnly(t, n, n.set.Unfiled, "https://sealed.invalid/", pipeline.Outside{})
			say := func(want int, args ...string) (string, string) {
				t.Helper()
				out, errs, code := call(append(args, "--data", c.data)...)
				if code != want {
					t.Errorf("%v: exit %d, want %d: %s%s", args, code, want, out, errs)
				}
				return out, errs
			}
			say(0, "seal")
			lost := acceptOnly(t, n, n.set.Unfiled, "https://lost.invalid/", pipeline.Outside{})
			if err := n.refresh(t.Context()); err != nil { // the catalog has heard of it
				t.Fatal(err)
			}
			addTask(t, n, "https://wish.invalid/", taskOptions{})
			note, err := n.outbox.Append(t.Context(), pipeline.Entry{Case: n.set.Unfiled, Action: "noted", Why: "in the queue alone"})
			if err != nil {
				t.Fatal(err)
			}
			old, err := n.queue.Identity(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n.Close()
			for _, f := range []string{"queue.db-wal", "queue.db-shm"} {
				_ = os.Remove(n.path(f))
			}
			if err := lose(n.path("queue.db")); err != nil {
				t.Fatal(err)
			}
			_ = os.WriteFile(n.path("queue.db-wal"), []byte("the last pages"), 0o600)
			for _, args := range [][]string{{"list"}, {"seal"}, {"init"}, {"init", "--new-log"}, {"rebuild"}} {
				if _, errs := say(1, args...); !strings.Contains(errs, "init --new-queue") {
					t.Errorf("%v: %s", args, errs)
				}
			}
			if b, err := os.ReadFile(n.path("queue.db-wal")); err != nil || string(b) != "the last pages" {
				t.Errorf("what is left of the queue is gone: %q, %v", b, err)
			}
			say(2, "init", "--new-queue", "--label", "other")
			out, _ := say(0, "init", "--new-queue", "--json")
			if !strings.Contains(out, `"event":"queue-begun"`) || !strings.Contains(out, lost) {
				t.Errorf("new queue: %s", out)
			}
			if kept, _ := filepath.Glob(n.path("queue.lost-*-wal")); len(kept) != 1 {
				t.Errorf("kept: %v", kept)
			}
			if _, errs := say(1, "init", "--new-queue"); !strings.Contains(errs, "queue.db is there") {
				t.Errorf("a queue that is there: %s", errs)
			}
			say(0, "seal")
			n, err = c.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			if all, naming := lineCount(t, n, "lost", lost); all != 1 || naming != 1 {
				t.Errorf("%d lines of loss, %d name the capture", all, naming)
			}
			if all, _ := lineCount(t, n, "queue-begun", ""); all != 1 || n.set.Open != nil {
				t.Errorf("%d lines of the new queue, left to do %+v", all, n.set.Open)
			}
			in := planOf(t, n)
			for i := range note.Length + 1 {
				if id := holdfast.EventID(note.Chain, i+1); in[id] != 1 {
					t.Errorf("line %d of %d is in %d plans", i+1, note.Length, in[id])
				}
			}
			if id, _ := n.queue.Identity(t.Context()); id.Queue == old.Queue {
				t.Error("the new queue has the old name")
			}
		})
	}
}

// TestBegunAndKilled: a new log whose process dies behind the write of node.json
// is finished by the next command: every Case has its chain, and each line is
// written once, however often that is killed.
func TestBegunAndKilled(t *testing.T) {
	c, n := roundNode(t)
	home, err := n.caseNamed(t.Context(), "2026-017")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.nameRest(t.Context()); err != nil {
		t.Fatal(err)
	}
	n.Close()
	keep := func(a holdfast.Agent) holdfast.Agent { a.Pseudonym = "heron"; return a }
	if err := c.beginLog(t.Context(), keep); err != nil { // and is killed here
		t.Fatal(err)
	}
	for i := range 3 {
		n, err := c.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.outbox.Head(t.Context(), home); err != nil || n.set.Agent.Pseudonym != "heron" {
			t.Errorf("start %d: %v, agent %+v", i, err, n.set.Agent)
		}
		if all, naming := lineCount(t, n, "log-begun", n.set.Name); all != 1 || naming != 1 {
			t.Errorf("start %d: %d lines, %d name the log", i, all, naming)
		}
		s, err := nodedir.Read(c.data)
		if err != nil || s.Open != nil {
			t.Errorf("start %d: left to do %+v, %v", i, s.Open, err)
		}
		err = n.changeSettings(t.Context(), func(s *nodedir.Settings) error { s.Leave().Log = true; return nil }) // killed before it was crossed off
		if err != nil {
			t.Fatal(err)
		}
		n.Close()
	}
}

// TestNewLogKeepsWhatOthersChange: what is written to node.json while a new log
// waits for whoever seals stays there.
func TestNewLogKeepsWhatOthersChange(t *testing.T) {
	c, n := roundNode(t)
	unlock, err := filelock.Try(n.path("preserve.lock"))
	if err != nil || unlock == nil {
		t.Fatal("no lock", err)
	}
	done := make(chan error, 1)
	go func() {
		done <- c.beginLog(t.Context(), func(a holdfast.Agent) holdfast.Agent { return a })
	}()
	k, err := keyring.Make(t.Context(), c.vault(), "", "", true)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // it has read what it reads before it waits
	if _, err := n.keeper().Rotate(t.Context(), k, nil); err != nil {
		t.Fatal(err)
	}
	unlock()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s, err := nodedir.Read(c.data)
	if err != nil || len(s.Keys) != 2 || s.Keys[1].ID() != k.ID() || len(s.Former) != 1 {
		t.Errorf("keys %+v, former %+v, %v", s.Keys, s.Former, err)
	}
}

// TestNewLogTwice: a log under which nothing was signed is no Previous; options
// that cannot be meant change nothing.
func TestNewLogTwice(t *testing.T) {
	c, n := roundNode(t)
	acceptOnly(t, n, n.set.Unfiled, "https://one.invalid/", pipeline.Outside{})
	if out, errs, code := call("seal", "--data", c.data); code != 0 {
		t.Fatal(out, errs)
	}
	n.Close()
	first := n.set.Name
	before, err := os.ReadFile(n.path(nodedir.FileSettings))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range [][]string{{"--encrypt-keys"}, {"--label", "x"}, {"--training"}, {"--key", "awskms://x"}, {"--agent", strings.Repeat("x", 300)}} {
		if _, errs, code := call(append([]string{"init", "--new-log", "--data", c.data}, wrong...)...); code != exitUsage {
			t.Errorf("%v: exit %d, %s", wrong, code, errs)
		}
	}
	if after, _ := os.ReadFile(n.path(nodedir.FileSettings)); string(after) != string(before) {
		t.Error("wrong options have changed node.json")
	}
	for range 2 {
		if _, errs, code := call("init", "--new-log", "--data", c.data); code != 0 {
			t.Fatal(errs)
		}
	}
	s, err := nodedir.Read(c.data)
	if err != nil || len(s.Former) != 2 || s.Previous == nil || s.Previous.Origin != first {
		b, _ := json.Marshal(s)
		t.Errorf("%s, %v", b, err)
	}
}

// TestLostSettings: a directory with Custody and no node.json is not made into
// another node.
func TestLostSettings(t *testing.T) {
	c, n := roundNode(t)
	n.Close()
	if err := os.Remove(n.path(nodedir.FileSettings)); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := call("init", "--data", c.data); code != 1 || !strings.Contains(errs, "no node.json") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
