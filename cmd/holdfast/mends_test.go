package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors"
	"holdfast/egress"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

func roundNode(t *testing.T) (*cli, *node) {
	t.Helper()
	c := &cli{out: io.Discard, errs: io.Discard}
	n, err := c.benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	c.data = n.dir
	return c, n
}

// only makes one Collector that of all pages.
func only(c collectors.Collector) map[string]collectors.Collector {
	return map[string]collectors.Collector{"http": c, "https": c, "telegram": c}
}

func addTask(t testing.TB, n *node, source string, o taskOptions) holdfast.ID {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := n.queue.AddTasks(t.Context(), pipeline.Task{Source: holdfast.Source(source), Case: n.set.Unfiled, Options: b})
	if err != nil {
		t.Fatal(err)
	}
	return ids[0]
}

// collects is a Collector by what it does.
type collects func(source string) (*collectors.Acquired, error)

func (f collects) Collect(_ context.Context, r collectors.Request, _ collectors.Keeper) (*collectors.Acquired, error) {
	return f(r.Source)
}

// TestTurns: an attempt that is due again does not wait for the end of the list,
// and a line that never comes does not keep the list waiting.
func TestTurns(t *testing.T) {
	_, n := roundNode(t)
	var mu sync.Mutex
	var order []string
	r := roundOf(n, collects(func(source string) (*collectors.Acquired, error) {
		time.Sleep(100 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		order = append(order, source)
		a := &collectors.Acquired{Started: time.Now(), Ended: time.Now(), Outcome: collectors.Complete}
		if source == "https://bad.invalid/" && !slices.Contains(order[:len(order)-1], source) {
			a.Outcome, a.Reasons = collectors.Failed, []collectors.Reason{{Code: "dns-failed"}}
		}
		return a, nil
	}))
	wishes := []wish{{id: addTask(t, n, "https://bad.invalid/", taskOptions{RetryFor: time.Hour})}}
	for range 50 {
		wishes = append(wishes, wish{id: addTask(t, n, "https://good.invalid/", taskOptions{})})
	}
	r.run(t.Context(), wishes)
	r.names.end(t.Context())
	if len(order) != 52 || len(r.got) != 52 {
		t.Fatalf("%d attempts, %d captures of 51 wishes and one retry; %v %v", len(order), len(r.got), r.refused, r.stopped)
	}
	again := len(order) - 1
	for order[again] != "https://bad.invalid/" {
		again--
	}
	if again < 2 || again > len(order)-5 {
		t.Errorf("the second attempt was number %d of %d", again, len(order))
	}

	now := time.Now()
	q := turns{fresh: []wish{{id: "f"}, {id: "f"}}, later: []wish{{"l", now}, {"l", now}, {"l", now}}}
	got := ""
	for !q.empty() {
		w, pause := q.next(now)
		if pause != 0 {
			t.Fatalf("a pause of %s though something is due", pause)
		}
		got += string(w.id)
	}
	if got != "lflfl" {
		t.Errorf("turns %s", got)
	}
	q = turns{}
	for _, d := range []time.Duration{3, 1, 2} {
		q.wait(wish{due: now.Add(d * time.Second)})
	}
	if _, pause := q.next(now); pause != time.Second {
		t.Errorf("a pause of %s until the soonest", pause)
	}
}

// TestStopBetween: Ctrl-C ends a round that waits for what is due in an hour.
func TestStopBetween(t *testing.T) {
	_, n := roundNode(t)
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	begun := time.Now()
	roundOf(n, trickle{}).run(ctx, []wish{{id: holdfast.NewID(), due: time.Now().Add(time.Hour)}})
	if time.Since(begun) > 10*time.Second {
		t.Error("it waited on")
	}
}

// TestNamedInPause: the custody line of a capture does not wait for the next
// capture, or for the end of a round that pauses for an hour.
func TestNamedInPause(t *testing.T) {
	_, n := roundNode(t)
	k := naming{age: 20 * time.Millisecond}
	if err := k.begin(n); err != nil {
		t.Fatal(err)
	}
	defer k.end(t.Context())
	id := holdfast.NewID()
	k.add(t.Context(), pipeline.Task{Case: n.set.Unfiled}, id)
	for range 500 {
		if l := last(linesOf(t, n, n.set.Unfiled)); l.Action == "collected" && slices.Equal(l.Objects, []string{string(id)}) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no line names the capture while the round goes on")
}

// TestHopeless: what can never come to anything is fetched once, and its custody
// says that it was dropped; what fails for the node's sake waits.
func TestHopeless(t *testing.T) {
	for name, c := range map[string]struct {
		a    *collectors.Acquired
		err  error
		gone bool
	}{
		"form":    {a: &collectors.Acquired{Started: time.Now(), Ended: time.Now(), Outcome: "no such outcome"}, gone: true},
		"refused": {err: collectors.ErrRefused, gone: true},
		"node":    {err: errors.Join(errors.New("a chain of the node"), holdfast.ErrForm)},
		"disk":    {err: syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			_, n := roundNode(t)
			r := roundOf(n, collects(func(string) (*collectors.Acquired, error) { return c.a, c.err }))
			id := addTask(t, n, "https://a.invalid/", taskOptions{})
			before := len(linesOf(t, n, n.set.Unfiled))
			r.do(t.Context(), id)
			r.names.end(t.Context())
			ts, err := n.queue.Tasks(t.Context(), "", 9)
			if err != nil || (len(ts) == 0) != c.gone {
				t.Errorf("%d Tasks left, %v", len(ts), err)
			}
			lines := linesOf(t, n, n.set.Unfiled)[before:]
			if !c.gone {
				if len(lines) != 0 || r.stopped == nil {
					t.Errorf("lines %+v, stopped by %v", lines, r.stopped)
				}
				return
			}
			if r.refused == nil || len(lines) != 1 || lines[0].Action != "dropped" || lines[0].Why == "" || !slices.Equal(lines[0].Objects, []string{string(id)}) {
				t.Errorf("refused %v, lines %+v", r.refused, lines)
			}
		})
	}
}

// TestTaskCommands: what waits is listed, and given up with a reason, due or not,
// but not out of the hands of who captures it.
func TestTaskCommands(t *testing.T) {
	c, n := roundNode(t)
	call := func(args ...string) (int, string) {
		var out bytes.Buffer
		code := run(t.Context(), append(args, "--data", c.data, "--json"), strings.NewReader(""), &out, &out)
		return code, out.String()
	}
	plain := addTask(t, n, "https://plain.invalid/", taskOptions{})
	held := addTask(t, n, "https://held.invalid/", taskOptions{})
	ids, err := n.queue.AddTasks(t.Context(), pipeline.Task{Source: "https://late.invalid/", Case: n.set.Unfiled, Due: time.Now().Add(time.Hour).Truncate(time.Second), Attempt: 3})
	if err != nil {
		t.Fatal(err)
	}
	if ts, err := n.queue.Take(t.Context(), pipeline.Want{IDs: []holdfast.ID{held}, Lease: time.Hour}); err != nil || len(ts) != 1 {
		t.Fatal(err)
	}
	if code, out := call("task", "list"); code != 0 || strings.Count(out, "\n") != 3 || !strings.Contains(out, `"held":true`) || !strings.Contains(out, `"attempts":3`) {
		t.Errorf("%d %s", code, out)
	}
	for _, x := range []struct {
		want int
		args []string
	}{
		{2, []string{"task", "drop", string(plain)}}, {2, []string{"task", "drop", "zzz", "--why", "x"}}, {2, []string{"task", "drop", "--why", "x"}},
		{1, []string{"task", "drop", string(holdfast.NewID()), "--why", "x"}}, {1, []string{"task", "drop", string(held), "--why", "x"}},
		{0, []string{"task", "drop", string(plain), string(ids[0]), "--why", "asked twice"}}, {1, []string{"task", "drop", string(plain), "--why", "x"}},
	} {
		if code, out := call(x.args...); code != x.want {
			t.Errorf("%v: exit %d, want %d: %s", x.args, code, x.want, out)
		}
	}
	if _, out := call("task", "list"); strings.Count(out, "\n") != 1 || !strings.Contains(out, string(held)) {
		t.Errorf("left: %s", out)
	}
	n.Close()
	n = reopen(t, c)
	defer n.Close()
	dropped := 0
	for _, l := range linesOf(t, n, n.set.Unfiled) {
		if l.Action == "dropped" && l.Why == "asked twice" {
			dropped++
		}
	}
	if dropped != 2 {
		t.Errorf("%d lines tell of two Tasks that were dropped", dropped)
	}
}

// TestOldDirect: a Task about whose way out nobody said anything does not go
// direct on a node that has one by now; one that was to go direct does.
func TestOldDirect(t *testing.T) {
	n := &node{dir: t.TempDir(), set: &nodedir.Settings{}}
	if err := wholefile.WriteJSON(n.path(fileEgresses), egress.List{{Name: "a", URL: "socks5://127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		via, standard string
		bad           bool
		name          string
	}{
		{"", "", false, ""}, {"", "direct", false, ""}, {"", "a", true, ""}, {"direct", "a", false, ""}, {"a", "", false, "a"}, {"a", "direct", false, "a"},
	} {
		n.set.Via = c.standard
		v, err := n.viaOf(taskOptions{Via: c.via})
		if errors.Is(err, errDirect) != c.bad || (err != nil) != c.bad || v != nil && v.Name != c.name || v == nil && c.name != "" {
			t.Errorf("a Task with %q, default %q: %v, %v", c.via, c.standard, v, err)
		}
	}
}

// TestResumeAlone: what a call without a URL would ignore is refused, before
// there is a node.
func TestResumeAlone(t *testing.T) {
	for _, flag := range []string{"--via=tor", "--never-keep=x", "--case=x", "--reason=x", "--timeout=1m", "--retry-for=1m", "--note=x", "--allow-private"} {
		var out bytes.Buffer
		dir := filepath.Join(t.TempDir(), "node")
		if code := run(t.Context(), []string{"capture", "--resume", flag, "--data", dir}, strings.NewReader(""), &out, &out); code != exitUsage || !strings.Contains(out.String(), "goes with URLs") {
			t.Errorf("%s: exit %d: %s", flag, code, out.String())
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: a node was made", flag)
		}
	}
}

// TestStoppedExport: Ctrl-C before the bundle is written is not "done".
func TestStoppedExport(t *testing.T) {
	c, n := roundNode(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	got := []captured{{id: holdfast.NewID(), outcome: collectors.Complete}}
	file := filepath.Join(t.TempDir(), "b.zip")
	err := c.captureVerdict(n, got, nil, c.exportAsked(ctx, n, got, captureOptions{export: file}))
	if err == nil || !strings.Contains(err.Error(), "holdfast export "+string(got[0].id)+" "+file) {
		t.Errorf("%v", err)
	}
}

// TestReadRegular: a disk that others had in their hands makes nothing hang, and
// nothing be read that is not on it.
func TestReadRegular(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path("plain"), []byte("12345678"), 0o600))
	must(os.WriteFile(path("long"), []byte("123456789"), 0o600))
	must(os.Symlink(path("plain"), path("link")))
	must(syscall.Mkfifo(path("pipe"), 0o600))
	for name, good := range map[string]bool{"plain": true, "long": false, "link": false, "pipe": false, "none": false, ".": false} {
		done := make(chan error, 1)
		go func() { _, err := readRegular(path(name), 8); done <- err }()
		select {
		case err := <-done:
			if (err == nil) != good {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: it hangs", name)
		}
	}
	if err := createSame(path("pipe"), nil); err == nil {
		t.Error("a query was written into a pipe")
	}
}

// TestSealStops: a stage that fails is exit 1, for more time would not help; what
// is only not there yet is 3.
func TestSealStops(t *testing.T) {
	c, n := roundNode(t)
	acceptOnly(t, n, n.set.Unfiled, "https://one.invalid/", pipeline.Outside{})
	x := (*exitError)(nil)
	if err := c.seal(t.Context(), n, time.Nanosecond); !errors.As(err, &x) || x.code != exitUnsealed {
		t.Errorf("no time at all: %v", err)
	}
	if err := os.WriteFile(n.path(nodedir.FileAuthorities), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.seal(t.Context(), n, time.Minute); err == nil || errors.As(err, &x) {
		t.Errorf("authorities that cannot be read: %v", err)
	}
}

// TestGiverNamed: the giver's text is found however it is written.
func TestGiverNamed(t *testing.T) {
	for _, c := range []struct {
		text, giver string
		want        bool
	}{
		{"from José M.", "Jose\u0301 m.", true}, {"by JÖRG STRASSE", "jo\u0308rg straße", true}, {"Maria\u00a0\n K.", "maria k.", true}, {"Ｍａｒｉａ", "maria", true},
		{"by hand", "maria", false},
	} {
		if got := names(c.text, c.giver); got != c.want {
			t.Errorf("%q names %q: %v", c.text, c.giver, got)
		}
	}
}
