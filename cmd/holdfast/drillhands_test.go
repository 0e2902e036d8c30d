package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
)

// changesHands: partitions change hands in the middle of batches. One who was asked to
// go leaves nothing behind. One who is killed leaves a Seal that is signed and in no log.
// One who only stood still, longer than his session, wakes up with a plan and nothing else
// of its Seal, and goes on beside who has carried it out and is far past it.
func changesHands(d *drill) {
	for _, name := range []string{"normalise", "index", "preserve"} {
		p := d.one(0, name)
		d.gone(p)
		p.drain()
		d.role(0, name)
		d.more(5, 2*time.Minute)
	}

	killed, seal := d.atWrite("/statement.dsse.json", syscall.SIGKILL)
	d.gone(killed)
	killed.kill()
	also := d.one(killed.node, "normalise")
	d.gone(also)
	also.kill()
	d.carriedOut(seal)
	d.role(killed.node, "preserve")
	d.role(killed.node, "normalise")
	d.more(10, 2*time.Minute)

	stale, seal := d.atWrite("/plan.json", syscall.SIGSTOP)
	all := []*process{stale, d.one(stale.node, "normalise"), d.one(stale.node, "index")}
	for _, p := range all {
		p.signal(syscall.SIGSTOP)
	}
	d.carriedOut(seal)
	d.more(30, 2*time.Minute)
	for _, p := range all {
		p.signal(syscall.SIGCONT)
	}
	d.more(20, 2*time.Minute)
}

// one is a process of that role on node i.
func (d *drill) one(i int, role string) *process {
	d.t.Helper()
	for _, p := range d.roles {
		if p.node == i && p.name == role && p.alive() {
			return p
		}
	}
	d.t.Fatalf("node %d has no %s", i, role)
	return nil
}

// gone: that process may die.
func (d *drill) gone(p *process) {
	d.roles = slices.DeleteFunc(d.roles, func(r *process) bool { return r == p })
}

func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// carriedOut waits until somebody has put a Seal into his log.
func (d *drill) carriedOut(seal string) {
	d.t.Helper()
	d.until("somebody else carries "+seal+" out", 3*time.Minute, func() bool {
		for o := range d.bucket().ListObjects(d.t.Context(), drillBucket, minio.ListObjectsOptions{Prefix: drillPrefix + "/seals/" + seal + "/inclusion/", Recursive: true}) {
			return o.Err == nil
		}
		return false
	})
}

// atWrite sends a signal to the process that writes the next key that ends so, once it is
// in the bucket and before that process hears of it, and says which Seal that key is of.
func (d *drill) atWrite(suffix string, sig syscall.Signal) (*process, string) {
	d.t.Helper()
	type hit struct {
		by  *process
		key string
	}
	all, hits := slices.Clone(d.roles), make(chan hit, 1)
	d.s3.AtName(suffix, func(r *http.Request) {
		h := hit{whoAsks(all, r.RemoteAddr), r.URL.Path}
		for tries := 0; h.by == nil && tries < 50; tries++ { // the kernel's list may lack a line that is there
			time.Sleep(10 * time.Millisecond)
			h.by = whoAsks(all, r.RemoteAddr)
		}
		if h.by != nil {
			h.by.signal(sig)
			for begun := time.Now(); sig == syscall.SIGSTOP && !h.by.stands() && time.Since(begun) < 5*time.Second; {
				time.Sleep(time.Millisecond)
			}
		}
		hits <- h
	})
	var h hit
	d.until("somebody writes "+suffix, 2*time.Minute, func() bool {
		select {
		case h = <-hits:
			return true
		default:
			return false
		}
	})
	_, rest, ok := strings.Cut(h.key, "/seals/")
	if h.by == nil || !ok {
		d.t.Fatalf("nobody knows who wrote %s", h.key)
	}
	return h.by, strings.TrimSuffix(rest, suffix)
}

// stands reports whether each of its threads is stopped.
func (p *process) stands() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	for _, name := range threads {
		b, err := os.ReadFile(name)
		_, state, ok := strings.Cut(string(b), ") ")
		if err == nil && ok && !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// whoAsks finds the process that has a connection from that address of 127.0.0.1, as the
// kernel tells it; nil if none of these has.
func whoAsks(all []*process, remote string) *process {
	_, port, err := net.SplitHostPort(remote)
	n, perr := strconv.Atoi(port)
	table, terr := os.ReadFile("/proc/net/tcp")
	if err != nil || perr != nil || terr != nil {
		return nil
	}
	want, inode := fmt.Sprintf("0100007F:%04X", n), ""
	for line := range strings.Lines(string(table)) {
		const established = "01" // a connection of the same port that is over has no inode
		if f := strings.Fields(line); len(f) > 9 && f[1] == want && f[3] == established {
			inode = "socket:[" + f[9] + "]"
		}
	}
	for _, p := range all {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
		for _, name := range files {
			if to, err := os.Readlink(name); err == nil && to == inode {
				return p
			}
		}
	}
	return nil
}

// TestWhoAsks: the process that asks is found by its connection.
func TestWhoAsks(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	me := &process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	if got := whoAsks([]*process{me}, c.LocalAddr().String()); got != me {
		t.Errorf("not found: %v", got)
	}
	if got := whoAsks([]*process{me}, "127.0.0.1:1"); got != nil {
		t.Errorf("nobody has this one: %v", got)
	}
}
