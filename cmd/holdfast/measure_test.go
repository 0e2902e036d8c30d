package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// long says whether tests that take minutes are to run.
func long() bool { return os.Getenv("HOLDFAST_LONG") != "" }

// TestBytesToSealed measures from the bytes received to sealed, as a catalog
// shows it, one capture after the other through the running stages, with the
// office's own authorities. The budget is p99 < 2 s on an idle machine.
func TestBytesToSealed(t *testing.T) {
	count := 20
	if long() {
		count = 400
	}
	n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.work(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("stages: %v", err)
		}
	}()
	var took []time.Duration
	r := &round{n: n, by: only(trickle{}), told: func(captured) {},
		intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
	for i := range count + 1 {
		ids, err := n.queue.AddTasks(ctx, pipeline.Task{Source: holdfast.Source("https://one.invalid/" + strconv.Itoa(i)), Case: n.set.Unfiled,
			Agent: n.set.Agent, Options: json.RawMessage(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		r.do(ctx, ids[0])
		for len(r.got) <= i || !n.isSealed(ctx, r.got[i].id) {
			if r.stopped != nil || time.Since(begun) > time.Minute {
				t.Fatalf("not sealed: %v", r.stopped)
			}
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(begun))
		time.Sleep(rand.N(150 * time.Millisecond)) // the window of the last batch is over, or is not
	}
	took = took[1:] // the first one waits for the log and the stages to begin
	slices.Sort(took)
	p50, p99 := took[count/2], took[count*99/100]
	t.Logf("bytes to sealed, %d captures: p50 %v, p99 %v, most %v", count, p50.Round(time.Millisecond), p99.Round(time.Millisecond), took[count-1].Round(time.Millisecond))
	if p99 > 2*time.Second && long() {
		t.Errorf("p99 %v, want less than 2 s", p99)
	}
}

func (n *node) isSealed(ctx context.Context, id holdfast.ID) bool {
	c, err := n.cat.Capture(ctx, id)
	return err == nil && c.State == pipeline.StateSealed
}

// TestDownloadIsStreamed guards that a download of 50 MB never lies in memory.
func TestDownloadIsStreamed(t *testing.T) {
	if chromium() == "" {
		t.Skip("no Chromium: set HOLDFAST_BROWSER")
	}
	const size = 50 << 20
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(size))
		noise := rand.NewChaCha8([32]byte{1})
		_, _ = io.CopyN(w, noise, size)
	}))
	defer s.Close()
	w := newBenchWorld(t)
	out, rss, took := w.measured("capture", s.URL+"/file.bin", "--allow-private", "--export", filepath.Join(w.dir, "download.zip"))
	t.Logf("a download of 50 MiB captured, sealed and exported in %v; our process had %d MB resident at most", took.Round(time.Millisecond), rss/1e6)
	if rss > 200e6 {
		t.Errorf("%d MB resident, want less than 200", rss/1e6)
	}
	st, err := os.Stat(filepath.Join(w.dir, "download.zip"))
	if err != nil || st.Size() < size {
		t.Errorf("the bundle does not hold the download: %v, %v\n%s", st, err, out)
	}
}

// TestLargeCase measures export and verify of 100,000 entries in one Case.
func TestLargeCase(t *testing.T) {
	if !long() {
		t.Skip("takes minutes: set HOLDFAST_LONG=1")
	}
	const count = 50_000 // two entries each: manifest.json and one Object
	w := newBenchWorld(t)
	n, err := (&cli{out: io.Discard, errs: io.Discard, data: w.data}).open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n.set.Unfiled, err = n.caseNamed(t.Context(), "large"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	err = n.fillQueue(t.Context(), count, 300)
	n.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d captures published in %v", count, time.Since(begun).Round(time.Second))
	_, rss, took := w.measured("seal", "--wait", "20m")
	t.Logf("seal: %v, %d MB resident", took.Round(time.Second), rss/1e6)
	file, policy := filepath.Join(w.dir, "large.zip"), filepath.Join(w.dir, "policy.json")
	w.must("policy", "export", policy)
	for _, args := range [][]string{{"export", "--case", "large", file}, {"verify", file, "--policy", policy}, {"list", "--json"}, {"rebuild"}} {
		_, rss, took := w.measured(args...)
		t.Logf("%s of %d: %v, %d MB resident", args[0], count, took.Round(100*time.Millisecond), rss/1e6)
		most := int64(256e6)
		switch args[0] {
		case "export":
			most = 225e6 // room for larger Manifests than these
		case "verify":
			most = 150e6
		}
		if rss > most {
			t.Errorf("%s: %d MB resident, want less than %d", args[0], rss/1e6, most/1e6)
		}
	}
	if st, err := os.Stat(file); err == nil {
		t.Logf("the bundle has %d MB", st.Size()/1e6)
	}
}

// newBenchWorld is a killWorld that nobody kills.
func newBenchWorld(t *testing.T) *killWorld {
	w := &killWorld{t: t, dir: t.TempDir(), accepted: map[string]bool{}}
	var err error
	if w.bin, err = exec.LookPath("holdfast"); err != nil {
		t.Fatal(err)
	}
	n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(t.Context(), w.dir)
	if err != nil {
		t.Fatal(err)
	}
	w.data = n.dir
	n.Close()
	return w
}

var peak = regexp.MustCompile(`VmHWM:\s+([0-9]+) kB`)

// measured runs a command to its end and returns the most bytes that it had
// resident, without its children.
func (w *killWorld) measured(args ...string) (out string, rss int64, took time.Duration) {
	cmd := exec.Command(w.bin, args...)
	cmd.Env = append(os.Environ(), "HOLDFAST_DATA="+w.data)
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			if err != nil {
				w.t.Fatalf("%v: %v\n%.2000s", args, err, text.String())
			}
			return text.String(), rss, time.Since(begun)
		case <-time.After(20 * time.Millisecond):
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)) // gone: the next round ends
			if f := peak.FindSubmatch(b); f != nil {
				kb, _ := strconv.ParseInt(string(f[1]), 10, 64)
				rss = max(rss, kb*1024)
			}
		}
	}
}

// BenchmarkSeal is `holdfast bench seal`, for -cpuprofile.
func BenchmarkSeal(b *testing.B) {
	for b.Loop() {
		if err := (&cli{out: os.Stderr, errs: os.Stderr}).benchSeal(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
