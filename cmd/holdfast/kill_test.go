package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// TestKill guards the first promise: kill -9 at any instant loses no accepted
// capture and puts none into two Seals. Processes of the real program and of
// feeder (the same rooms, without Chromium) work on one node and are killed at
// random instants; then plans and Manifests are counted in the store.
//
// HOLDFAST_KILLS says how many (200 with HOLDFAST_LONG); a tenth of them hit captures with
// Chromium.
func TestKill(t *testing.T) {
	w := newKillWorld(t)
	kills := 12
	if long() {
		kills = 200
	}
	if s := os.Getenv("HOLDFAST_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	rounds := []func(){w.feed, w.two, w.feed, w.seal, w.two, w.export, w.feed, w.rebuild, w.two, w.web}
	for i := 0; w.kills < kills; i++ {
		rounds[i%len(rounds)]()
	}
	if chromium() != "" && kills < 20 {
		w.web()
	}
	w.judge()
}

// killWorld is one node, its authorities and a tiny site, which are not killed.
type killWorld struct {
	t        *testing.T
	bin      string // the built program
	dir      string
	data     string
	site     string
	kills    int
	exports  int
	accepted map[string]bool // IDs that a process told of before its death
	homes    map[string]bool // Cases that have one of them
}

func newKillWorld(t *testing.T) *killWorld {
	w := &killWorld{t: t, dir: t.TempDir(), accepted: map[string]bool{}, homes: map[string]bool{}}
	t.Cleanup(w.keep)
	w.bin = filepath.Join(w.dir, "holdfast")
	build := []string{"build", "-o", w.bin, "."}
	if raced {
		build = []string{"build", "-race", "-o", w.bin, "."}
	}
	if out, err := exec.Command("go", build...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(t.Context(), w.dir)
	if err != nil {
		t.Fatal(err)
	}
	w.data = n.dir
	n.Close()
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(rw, "<title>%s</title><p>page %[1]s", r.URL.Path)
	}))
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	w.site = s.URL
	return w
}

// keep copies the node and what its processes said away, if the test has failed:
// what random instants have done does not come again when it is asked for.
func (w *killWorld) keep() {
	if !w.t.Failed() {
		return
	}
	dir, err := os.MkdirTemp("", "holdfast-kill-")
	if err == nil {
		err = exec.Command("cp", "-a", w.dir, dir).Run() // modes and times are part of it
	}
	w.t.Logf("the node is kept in %s: %v", dir, err)
}

// said adds what a process has told on stderr to what is kept.
func (w *killWorld) said(args []string, errs []byte) {
	if bytes.Contains(errs, []byte("WARNING: DATA RACE")) {
		w.t.Errorf("%v: %s", args, errs)
	}
	f, err := os.OpenFile(filepath.Join(w.dir, "said.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "== %s %v\n%s", time.Now().Format(time.RFC3339Nano), args[1:], errs)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		w.t.Error(err)
	}
}

// victim is a process that may be killed. What it told before its death counts.
type victim struct {
	w    *killWorld
	home string // the Case of a feeder
	cmd  *exec.Cmd
	out  chan []string
	errs bytes.Buffer
}

func (w *killWorld) start(stdin, name string, args ...string) *victim {
	v := &victim{w: w, cmd: exec.Command(name, args...), out: make(chan []string, 1)}
	v.cmd.Env = append(os.Environ(), "HOLDFAST_DATA="+w.data)
	v.cmd.Stdin, v.cmd.Stderr = strings.NewReader(stdin), &v.errs
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := v.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	go func() {
		var lines []string
		for in := bufio.NewScanner(out); in.Scan(); {
			lines = append(lines, in.Text())
		}
		v.out <- lines
	}()
	return v
}

// kill waits a random while, kills the process, and takes down what it told. A
// process that has ended before must have ended well.
func (v *victim) kill(within time.Duration) {
	time.Sleep(mrand.N(within))
	_ = syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL)
	lines := <-v.out
	err := v.cmd.Wait()
	v.w.said(v.cmd.Args, v.errs.Bytes())
	if err != nil && !v.cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		v.w.t.Fatalf("%v died by itself: %v\n%s", v.cmd.Args, err, v.errs.String())
	}
	v.w.kills++
	for _, l := range lines {
		var row struct{ Event, ID string }
		if json.Unmarshal([]byte(l), &row) == nil && row.Event == "accepted" {
			v.w.accepted[row.ID], v.w.homes[v.home] = true, true
		}
	}
}

func (w *killWorld) feeder(home string) *victim {
	v := w.start("", "feeder", w.data, home)
	v.home = home
	return v
}

func (w *killWorld) feed() { w.feeder("kill-a").kill(1200 * time.Millisecond) }

// two processes on one directory, killed one after the other.
func (w *killWorld) two() {
	a, b := w.feeder("kill-a"), w.feeder("kill-b")
	a.kill(1200 * time.Millisecond)
	b.kill(600 * time.Millisecond)
}

func (w *killWorld) seal() {
	a := w.feeder("kill-b")
	w.start("", w.bin, "seal", "--json").kill(800 * time.Millisecond)
	a.kill(300 * time.Millisecond)
}

func (w *killWorld) export() {
	w.exports++
	if w.homes["kill-a"] {
		w.start("", w.bin, "export", "--case", "kill-a", filepath.Join(w.dir, fmt.Sprintf("killed-%d.zip", w.exports))).kill(700 * time.Millisecond)
	}
}

// rebuild that is killed leaves a catalog that refuses questions, not one that
// answers half: the next one ends it. One beside a process that accepts and
// seals disturbs neither.
func (w *killWorld) rebuild() {
	w.start("", w.bin, "rebuild").kill(300 * time.Millisecond)
	w.must("rebuild")
	v := w.feeder("kill-a")
	time.Sleep(time.Second)
	w.must("rebuild")
	v.kill(300 * time.Millisecond)
}

func (w *killWorld) web() {
	if chromium() == "" {
		return
	}
	var urls strings.Builder
	for i := range 8 {
		fmt.Fprintf(&urls, "%s/%d/%d\n", w.site, w.kills, i)
	}
	w.start(urls.String(), w.bin, "capture", "-", "--case", "kill-web", "--allow-private", "--json").kill(6 * time.Second)
	w.noBrowserLeft()
}

// noBrowserLeft waits for the browsers of the dead, which see their pipe close.
func (w *killWorld) noBrowserLeft() {
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		pids := w.browsers()
		if len(pids) == 0 {
			return
		}
		if time.Since(begun) > 15*time.Second {
			for _, p := range pids {
				_ = syscall.Kill(p, syscall.SIGKILL)
			}
			w.t.Errorf("browsers of a killed process live on: %v", pids)
			return
		}
	}
}

// browsers are the processes that were started with a folder of our node.
func (w *killWorld) browsers() (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && bytes.Contains(b, []byte("--user-data-dir="+w.data)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// must runs a command to its end. One that does not come to it is made to say
// what it waits for, shortly before its own limit of two minutes.
func (w *killWorld) must(args ...string) string {
	cmd := exec.Command(w.bin, args...)
	cmd.Env = append(os.Environ(), "HOLDFAST_DATA="+w.data)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	tell := time.AfterFunc(100*time.Second, func() { _ = cmd.Process.Signal(syscall.SIGQUIT) })
	err := cmd.Wait()
	tell.Stop()
	w.said(cmd.Args, errs.Bytes())
	if err != nil {
		w.t.Fatalf("%v: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

// judge seals the rest and counts.
func (w *killWorld) judge() {
	t := w.t
	before := w.must("list", "--json")
	w.must("seal", "--wait", "2m")
	census := countStore(t, w.data)
	for id := range w.accepted {
		if n := census.plans[id]; n != 1 {
			t.Errorf("capture %s was accepted and is in %d Seals", id, n)
		}
	}
	for id, n := range census.plans {
		if n != 1 {
			t.Errorf("%s is in %d Seals", id, n)
		}
	}
	list := w.must("list", "--json")
	if n := strings.Count(list, `"state":"sealed"`); n != strings.Count(list, "\n") || n < len(w.accepted) || n != census.captures {
		t.Errorf("%d of %d captures are listed as sealed; %d were told of, %d are in the store", n, strings.Count(list, "\n"), len(w.accepted), census.captures)
	}
	w.sameAnswers(list)
	w.named(list)
	w.proven()
	w.clean()
	t.Logf("%d kills, %d captures told of (%d before the last seal), %d Seals with %d captures and %d events", w.kills, len(w.accepted),
		strings.Count(before, "\n"), census.seals, census.captures, census.events)
	if len(w.accepted) < w.kills {
		t.Errorf("only %d captures in %d kills: the test hardly tests", len(w.accepted), w.kills)
	}
}

func (w *killWorld) sameAnswers(list string) {
	id := strings.Split(strings.SplitN(list, `"id":"`, 2)[1], `"`)[0]
	show := w.must("show", id, "--json")
	w.must("rebuild")
	if again := w.must("list", "--json"); again != list {
		w.t.Errorf("rebuild changed the list:\n%s\nit was:\n%s", firstDiff(again, list), firstDiff(list, again))
	}
	if w.must("show", id, "--json") != show {
		w.t.Errorf("rebuild changed what is shown of %s", id)
	}
}

// named: after recovery a custody line of its home Case names every capture.
func (w *killWorld) named(list string) {
	names := map[string]bool{}
	for _, home := range []string{"kill-a", "kill-b", "kill-web"} {
		if !strings.Contains(list, `"case":"`+home+`"`) {
			continue
		}
		for l := range strings.Lines(w.must("custody", home, "--json")) {
			var row struct {
				Action  string
				Objects []string
			}
			if json.Unmarshal([]byte(l), &row) == nil && row.Action == "collected" {
				for _, id := range row.Objects {
					names[home+id] = true
				}
			}
		}
	}
	for l := range strings.Lines(list) {
		var row struct{ ID, Case string }
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			w.t.Fatal(err)
		}
		if !names[row.Case+row.ID] {
			w.t.Errorf("no line of %s names capture %s", row.Case, row.ID)
		}
	}
}

func firstDiff(a, b string) string {
	other := strings.Split(b, "\n")
	for l := range strings.SplitSeq(a, "\n") {
		if !slices.Contains(other, l) {
			return l
		}
	}
	return "(the order)"
}

// proven exports each Case and has it verified as a stranger would.
func (w *killWorld) proven() {
	policy := filepath.Join(w.dir, "policy.json")
	w.must("policy", "export", policy)
	for _, home := range []string{"kill-a", "kill-b"} {
		if !w.homes[home] { // a busy machine
			continue
		}
		file := filepath.Join(w.dir, home+".zip")
		w.must("export", "--case", home, file)
		w.must("verify", file, "--policy", policy)
	}
}

// clean looks for what the dead left: the next capture has swept it.
func (w *killWorld) clean() {
	if chromium() != "" {
		w.must("capture", w.site+"/last", "--allow-private")
		if left, _ := filepath.Glob(filepath.Join(w.data, "spool-*")); len(left) > 0 {
			w.t.Errorf("spools of the dead: %v", left)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(w.data, "store", "tmp", "*", "*")); len(left) > 0 {
		w.t.Errorf("half-written files of the dead: %v", left)
	}
}

// feeder is a process that accepts captures until it is killed, in the way of
// `capture` but for the browser.
func feeder() {
	ctx := context.Background()
	c := &cli{out: os.Stdout, errs: os.Stderr, data: os.Args[1], json: true}
	err := c.feed(ctx, os.Args[2])
	fmt.Fprintln(os.Stderr, "feeder:", err)
	os.Exit(1)
}

func (c *cli) feed(ctx context.Context, caseName string) error {
	n, err := c.open(ctx)
	if err != nil {
		return err
	}
	home, err := n.caseNamed(ctx, caseName)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.work(ctx) })
	r := &round{n: n, by: only(trickle{}), told: c.sayAccepted,
		intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
	for range n.set.AtOnce() {
		g.Go(func() error {
			for {
				s, err := parseURL("https://feed.invalid/"+strconv.Itoa(mrand.Int()), false)
				if err != nil {
					return err
				}
				ids, err := n.queue.AddTasks(ctx, pipeline.Task{Source: s, Case: home, Agent: n.set.Agent, Options: json.RawMessage(`{}`)})
				if err != nil {
					return err
				}
				r.do(ctx, ids[0])
				r.mu.Lock()
				err = errors.Join(r.stopped, r.refused)
				r.mu.Unlock()
				if err != nil {
					return err
				}
			}
		})
	}
	return g.Wait()
}

// trickle acquires a small text, and one time in five a large Object too.
type trickle struct{}

func (trickle) Collect(ctx context.Context, req collectors.Request, keep collectors.Keeper) (*collectors.Acquired, error) {
	b := []byte(rand.Text())
	a := &collectors.Acquired{Started: time.Now(), Ended: time.Now(), Outcome: collectors.Complete,
		Objects: []collectors.Object{{Name: "text.txt", Role: "text", MediaType: "text/plain", Size: int64(len(b)), Digest: hashing.Of(b), Inline: b}}}
	if mrand.IntN(5) > 0 {
		return a, nil
	}
	d, size, err := keep.Put(ctx, io.MultiReader(bytes.NewReader(b), io.LimitReader(zeros{}, 300_000)))
	a.Objects = append(a.Objects, collectors.Object{Name: "large.bin", Role: "source", MediaType: "application/octet-stream", Size: size, Digest: d, Kept: true})
	return a, err
}
