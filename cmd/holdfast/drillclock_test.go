package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast"
)

// TestDrillClock guards what holdfast says and keeps where the clock of a node is wrong, and
// jumps while captures are accepted, normalised and sealed. By minutes, within what an S3
// store takes (15 minutes): all goes on, processes that are killed and read what they
// remember by the wrong clock too. By hours, beyond it: the store refuses the node, which
// says so, accepts nothing that it cannot keep, and goes on by itself once its clock is
// right; the other node goes on. Nothing is lost or sealed twice, no Task waits for the
// jump, T and notBefore stay true, and a line of custody that is published again by the
// wrong clock is in one Seal.
//
// The program is built with a clock that a test can set: the standard library's package
// time has an offset added to it. The kernel's times of files, and the servers' clocks, stay
// right. That takes minutes, so it runs with HOLDFAST_LONG only; by default the parts are
// tested: TestPostgres/ClocksApart, TestMemoryIsNotOfTheClock, TestNewest, TestKnown, and
// the clock of the authorities (clock_test.go).
func TestDrillClock(t *testing.T) {
	if !long() {
		t.Skip("NOT TESTED without HOLDFAST_LONG: the standard library is built anew for it")
	}
	began := time.Now()
	x := newChaos(t, settable)
	x.gather()
	for i := range 3 {
		x.d.accepts(i%2, "drill-a")
	}
	for _, off := range []time.Duration{10 * time.Minute, 0, -10 * time.Minute, 0} {
		x.jump(off, true)
		x.doctorSays(off, "this node's clock is 10m", "this node's clock is 9m")
	}
	x.judge()
	for i := range 3 {
		x.d.accepts(i%2, "drill-a")
	}
	for _, off := range []time.Duration{2 * time.Hour, 0, -2 * time.Hour, 0} {
		x.jump(off, false)
		x.doctorSays(off, "set this machine's clock, or the server's")
	}
	x.judge()
	x.publishedAgain()
	x.honest(began)
}

// jump sets the clock of node 1 in the midst of captures and Tasks. Restarted: its sealer
// and its normaliser begin again by it.
func (x *chaos) jump(off time.Duration, restarted bool) {
	d := x.d
	d.more(15, 2*time.Minute)
	x.ask(`{}`, fmt.Sprintf("https://task.invalid/before-%d", len(x.wants)))
	d.setClock(1, off)
	d.more(15, 2*time.Minute)
	for _, p := range d.roles {
		if restarted && p.node == 1 && (p.name == "preserve" || p.name == "normalise") {
			p.kill()
			x.again(p)
		}
	}
	x.ask(`{}`, fmt.Sprintf("https://task.invalid/after-%d", len(x.wants)))
	x.leasesEnd()
	d.more(15, 2*time.Minute)
	x.noTaskWaits()
}

// settable has the processes of each node run by a clock of its own.
func settable(d *drill) {
	t := d.all
	real := filepath.Join(d.dir, "clocked", "real")
	if err := os.MkdirAll(real, 0o700); err != nil {
		t.Fatal(err)
	}
	program := os.Getenv("HOLDFAST_TEST_CLOCKED") // one that was built before
	if program == "" {
		program = filepath.Join(real, "program")
		build := exec.Command("go", "test", "-c", "-overlay", overlay(t, d.dir), "-o", program, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	for _, name := range []string{"holdfast", "accepter", "gatherer"} {
		err := os.Symlink(program, filepath.Join(real, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(filepath.Dir(real), name), []byte("#!/bin/sh\nHOLDFAST_TEST_CLOCK=\"$HOLDFAST_DATA.clock\" exec '"+real+"/"+name+"' \"$@\"\n"), 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", filepath.Dir(real)+":"+os.Getenv("PATH"))
	d.bin = filepath.Join(filepath.Dir(real), "holdfast")
	for i := range d.data {
		d.setClock(i, 0)
	}
}

// overlay is the standard library with testdata/clock in its package time.
func overlay(t *testing.T, dir string) string {
	lib := filepath.Join(runtime.GOROOT(), "src", "time")
	b, err := os.ReadFile(filepath.Join(lib, "time.go"))
	if err != nil {
		t.Fatal(err)
	}
	const ask = "sec, nsec, mono := runtimeNow()"
	if strings.Count(string(b), ask) != 1 {
		t.Fatalf("package time of this Go (%s) does not ask for the time as it did in 1.26", runtime.Version())
	}
	changed, own := filepath.Join(dir, "time.go"), filepath.Join(dir, "shift.go")
	shift, err := os.ReadFile("testdata/clock/shift.go.txt")
	if err == nil {
		err = os.WriteFile(changed, []byte(strings.Replace(string(b), ask, "sec, nsec, mono := testNow()", 1)), 0o600)
	}
	if err == nil {
		err = os.WriteFile(own, shift, 0o600)
	}
	list, lerr := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(lib, "time.go"): changed, filepath.Join(lib, "testshift.go"): own}})
	if err == nil {
		err = lerr
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "overlay.json")
}

// setClock sets that of a node, for all its processes at once.
func (d *drill) setClock(i int, off time.Duration) {
	name := d.data[i] + ".clock"
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600) // in place: processes have it mapped
	if err == nil {
		_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(off/time.Second))), 0)
		_ = f.Close()
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// noTaskWaits: neither a lease nor a due time waits for an hour that nobody lives through.
func (x *chaos) noTaskWaits() {
	x.d.until("Tasks are taken whatever the clocks say", time.Minute, func() bool {
		all, err := x.tasks.Tasks(x.d.t.Context(), "", 50)
		if err != nil {
			x.d.t.Fatal(err)
		}
		for _, k := range all {
			if strings.HasPrefix(string(k.Source), "https://task.invalid/") {
				return false
			}
		}
		return true
	})
}

// doctorSays: what is wrong with the clock of node 1, in one of these ways, and nothing of
// that of node 0.
func (x *chaos) doctorSays(off time.Duration, ways ...string) {
	for i, off := range []time.Duration{0, off} {
		out, errs, _ := x.d.try(i, "doctor")
		says := false
		for _, w := range ways {
			says = says || strings.Contains(out, w)
		}
		if says != (off != 0) {
			x.d.t.Errorf("doctor of node %d, whose clock is off by %v, says:\n%s%s", i, off, out, errs)
		}
	}
}

// publishedAgain: both clocks go ahead as far as the store takes it; then node 1 has the
// marks of its outbox that it had before, as after a kill before the later ones were
// written, and publishes lines again.
func (x *chaos) publishedAgain() {
	d := x.d
	marks, _ := filepath.Glob(filepath.Join(d.data[1], "outbox", "*.published"))
	old := map[string][]byte{}
	for _, m := range marks {
		b, err := os.ReadFile(m)
		if err != nil {
			d.t.Fatal(err)
		}
		old[m] = b
	}
	if len(old) == 0 {
		d.t.Fatal("node 1 has no outbox")
	}
	for range 3 {
		d.must(1, "audit", "--sample", "1") // a line each
	}
	x.judge()
	for i := range d.data {
		d.setClock(i, 14*time.Minute)
	}
	for i := range 2 {
		d.accepts(i, "drill-b")
	}
	d.more(15, 2*time.Minute)
	for m, b := range old {
		if err := os.WriteFile(m, b, 0o600); err != nil {
			d.t.Fatal(err)
		}
	}
	d.must(1, "list") // publishes
	x.judge()
}

// honest: no Seal says a time that was not, whatever its node's clock said: T is of the
// authorities, and notBefore is never behind it.
func (x *chaos) honest(began time.Time) {
	d := x.d
	for i := range d.data {
		d.setClock(i, 0)
	}
	for l := range strings.Lines(d.must(0, "list", "--json")) {
		var row struct {
			ID string
			T  holdfast.Time `json:"not_after"`
		}
		if err := json.Unmarshal([]byte(l), &row); err != nil {
			d.t.Fatal(err)
		}
		if row.T.Before(began.Add(-time.Minute)) || row.T.After(time.Now().Add(time.Minute)) {
			d.t.Errorf("capture %s is sealed not later than %s, and the drill ran from %s to %s", row.ID, row.T, began, time.Now())
		}
	}
	file, policy := filepath.Join(d.dir, "drill.zip"), filepath.Join(d.dir, "policy.json")
	d.must(0, "export", "--case", "drill-a", file)
	d.must(0, "policy", "export", policy)
	d.must(0, "verify", file, "--policy", policy)
}
