package web

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/collectors/web/confined"
)

// TestMemoryBomb: a page that takes memory without an end loses its process, and says
// why; what was received is there, the browser goes on, and the next capture is clean.
func TestMemoryBomb(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/bomb":
			io.WriteString(w, `<title>bomb</title><p>tick<script>const a=[];setInterval(()=>{const b=new Uint8Array(32<<20);b.fill(a.length+1);a.push(b)},30)</script><img src=/never>`)
		case "/never":
			<-r.Context().Done()
		default:
			io.WriteString(w, "<p>fine")
		}
	}), nil)
	c := newCollector(t, Options{Memory: 500 << 20})
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/bomb", AllowPrivate: true, Budget: collectors.Budget{Time: 40 * time.Second}})
	if a.Outcome != collectors.Partial || !hasReason(a, "memory-limit") || !hasReason(a, "page-crashed") || len(object(t, a, k, "source.html")) == 0 {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	first := c.browser
	a, k = collect(t, c, collectors.Request{Source: "http://" + s.addr + "/fine", AllowPrivate: true})
	if a.Outcome != collectors.Complete || string(object(t, a, k, "text.txt")) != "fine" || c.browser != first {
		t.Errorf("after it: %s %v", a.Outcome, a.Reasons)
	}
}

// TestBrowserMemory: the browser's own process above the limit ends both attempts, which
// leave a record that says so.
func TestBrowserMemory(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { time.Sleep(3 * time.Second) }), nil)
	c := newCollector(t, Options{Memory: 20 << 20})
	a, _ := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	said := fmt.Sprint(a.Reasons)
	if a.Outcome != collectors.Failed || !hasReason(a, "browser-died") || !hasReason(a, "memory-limit") || !strings.Contains(said, "which was ended: a process of the browser had") {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
}

// TestNothingIsLeft: 20 captures (1,000 with HOLDFAST_LONG), by several browsers, of
// which some are killed: no process of theirs is left, no zombie, no folder, and nothing
// in the system's temporary folder. What our own process holds does not grow with them.
func TestNothingIsLeft(t *testing.T) {
	n := 20
	if os.Getenv("HOLDFAST_LONG") != "" {
		n = 1000
	}
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p>one of many")
	}), nil)
	long := filepath.Join(t.TempDir(), strings.Repeat("a-long-name-as-data-folders-have", 2))
	c := newCollector(t, Options{Dir: long})
	temp, err := os.MkdirTemp("", "hf-") // short, as the system's own
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	t.Setenv("TMPDIR", temp) // of this process, whose browsers it goes to
	var groups []int
	var first holdings
	for i := range n {
		a, err := c.Collect(t.Context(), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true}, &discard{})
		if err != nil || a.Outcome != collectors.Complete {
			t.Fatalf("capture %d: %v, %+v", i+1, err, a)
		}
		if pid := c.browser.cmd.Process.Pid; !slices.Contains(groups, pid) {
			groups = append(groups, pid)
		}
		if every := n / 20; i >= 2*every-1 && (i+1)%every == 0 { // what is made once has been made then
			now := held(t)
			if first.goroutines == 0 {
				first = now
			}
			t.Logf("after %d captures: %s, browser %d MB", i+1, now, treeOf(c.browser.cmd.Process.Pid)>>20)
			first.grown(t, now)
		}
		switch b := c.browser; i % (n / 5) {
		case n/5 - 1:
			c.retire(b)
		case n / 10:
			kill(b.cmd)
			<-b.exited
		}
	}
	if dirs, _ := os.ReadDir(c.work.path); len(dirs) > 2 { // the lock, and the browser's
		t.Errorf("%d folders are left by captures", len(dirs)-2)
	}
	c.Close()
	if len(groups) < 5 {
		t.Errorf("%d browsers", len(groups))
	}
	for _, g := range groups {
		for deadline := time.Now().Add(10 * time.Second); len(group(g)) > 0; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("processes %v of browser %d are left", group(g), g)
				break
			}
		}
	}
	for pid, line := range commandLines() {
		if strings.Contains(line, long) || strings.Contains(line, temp) {
			t.Errorf("process %d is left: %.200q", pid, line)
		}
	}
	for _, dir := range []string{long, temp} {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range left {
			t.Errorf("%s is left in %s (%v)", d.Name(), dir, d.Type())
		}
	}
}

// holdings are what a process has that could grow with each capture.
type holdings struct {
	heap              uint64
	goroutines, files int
}

func held(t *testing.T) (h holdings) {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.heap, h.goroutines = m.HeapAlloc, runtime.NumGoroutine()
	if files, err := os.ReadDir("/proc/self/fd"); err == nil { // 0 where the system does not say
		h.files = len(files)
	}
	return h
}

func (h holdings) String() string {
	return fmt.Sprintf("%d KB, %d goroutines, %d files", h.heap>>10, h.goroutines, h.files)
}

// grown fails where a later state has more than one capture that is still being put away,
// and the test's own account of what was asked, can explain.
func (h holdings) grown(t *testing.T, now holdings) {
	t.Helper()
	if now.heap > h.heap+16<<20 || now.goroutines > h.goroutines+60 || now.files > h.files+60 {
		t.Errorf("it has grown: %s, before %s", now, h)
	}
}

// treeOf is the memory of a browser's processes.
func treeOf(id int) (sum int64) {
	for _, pid := range group(id) {
		sum += confined.Memory(pid)
	}
	return sum
}

// commandLines are those of all processes that the system shows.
func commandLines() map[int]string {
	lines := map[int]string{}
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		if pid, err := strconv.Atoi(d.Name()); err == nil && pid != os.Getpid() {
			b, _ := os.ReadFile("/proc/" + d.Name() + "/cmdline")
			lines[pid] = string(b)
		}
	}
	return lines
}

// A link that stands for a folder that is gone is removed, one that leads somewhere is not.
func TestSweepShort(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	here := t.TempDir()
	live, err := shortName(here)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shortName(filepath.Join(here, "gone")); err != nil {
		t.Fatal(err)
	}
	sweepShort(temp)
	left, _ := os.ReadDir(temp)
	if len(left) != 1 || left[0].Name() != filepath.Base(live) {
		t.Errorf("left %v", left)
	}
}

// TestRelativeFolder: a folder may be named from where the program stands (--data node).
// The browser was given a link to one that led nowhere, where the name was long, and did
// not start.
func TestRelativeFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newCollector(t, Options{Dir: strings.Repeat("d", maxTempPath)})
	if _, err := c.Warm(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCheck: what is wrong with a browser is said, with what to do: there is none, it ends
// at once, it is too old; and a good one is named with its digest.
func TestCheck(t *testing.T) {
	real := browserPath(t)
	script := func(text string) string {
		p := filepath.Join(t.TempDir(), "browser")
		if err := os.WriteFile(p, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for name, c := range map[string]struct{ browser, says string }{
		"missing": {"/nonexistent/chromium", "install chromium"},
		"ends":    {script("echo No usable sandbox! >&2; exit 1"), "No usable sandbox!"},
	} {
		_, _, err := newCollector(t, Options{Browser: c.browser}).Check(t.Context())
		if !errors.Is(err, ErrBrowser) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := newCollector(t, Options{Browser: real})
	name, notes, err := c.Check(t.Context())
	if err != nil || !strings.Contains(name, " sha256:") {
		t.Errorf("%s, %v", name, err)
	}
	if isRoot() != strings.Contains(strings.Join(notes, " "), "without its sandbox") {
		t.Errorf("notes %q", notes)
	}
	c.browser.version.Product = "Chrome/124.0.1.2"
	if _, _, err := c.Check(t.Context()); !errors.Is(err, ErrBrowser) || !strings.Contains(err.Error(), "too old, 125 or newer") {
		t.Errorf("an old one: %v", err)
	}
}
