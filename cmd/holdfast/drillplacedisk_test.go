package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// diskFull: the disk with one node's directory is full, to the last byte, while the
// other's is not. What that node is asked to accept it refuses, and says why, and a Task
// that it has taken stays a wish; the other goes on; no role of either dies, and with room
// again all is as it was.
func (x *sites) diskFull() {
	d, t := x.d, x.d.t
	if !mayMount() {
		t.Skip("NOT TESTED: a small file system cannot be mounted here; run as root")
	}
	disk := d.data[1]
	x.onSmallDisk(disk)
	x.gather() // takes up what accepters and commands leave
	for i := range 2 {
		d.accepts(i, "drill-a")
	}
	d.more(10, time.Minute)
	fill(t, disk, 0)
	before := d.halted.Load()
	d.lastHalt.Store(nil)
	d.until("an accepter says that its disk is full", 2*time.Minute, func() bool {
		said := d.lastHalt.Load()
		return d.halted.Load() > before && said != nil && (strings.Contains(*said, "full") || strings.Contains(*said, "no space left"))
	})
	t.Logf("it said: %s", *d.lastHalt.Load())
	var tasks []string // that its collector takes too
	for i := range 20 {
		tasks = append(tasks, fmt.Sprintf("https://task.invalid/full-%d", i))
	}
	x.ask(`{}`, tasks...)
	d.more(20, time.Minute)        // the other node
	x.gatherers((*process).freeze) // else one may have the Task before the command
	out, errs, err := d.try(1, "capture", "https://full.invalid/")
	x.gatherers((*process).thaw)
	if err == nil || !strings.Contains(errs, "free space where ") || strings.Contains(errs, "panic") {
		t.Errorf("capture with a full disk: %v\n%s%s", err, out, errs)
	}
	t.Logf("capture said: %s", errs)
	for _, args := range [][]string{{"list"}, {"doctor"}} {
		if out, errs, err := d.try(1, args...); strings.Contains(out+errs, "panic") {
			t.Errorf("%v with a full disk: %v\n%s%s", args, err, out, errs)
		}
	}
	d.still()
	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	halts := d.halted.Load()
	d.more(30, 2*time.Minute)
	d.until("the node with the full disk accepts again", time.Minute, func() bool {
		now := d.halted.Load()
		quiet := now == halts
		halts = now
		time.Sleep(3 * time.Second)
		return quiet
	})
	c := x.judge()
	d.end("gatherer")
	x.onceEach(tasks)
	t.Logf("%d Seals with %d captures and %d events", c.seals, c.captures, c.events)
}

// gatherers has something done with each process that collects.
func (x *sites) gatherers(do func(*process)) {
	for _, p := range x.d.roles {
		if p.name == "gatherer" {
			do(p)
		}
	}
}

// onSmallDisk moves a node's directory to a file system of its own of 64 MB, with its
// processes stopped, as an operator does, until the test ends.
func (x *sites) onSmallDisk(dir string) {
	d, t := x.d, x.d.t
	node := slices.Index(d.data, dir)
	var names []string
	d.roles = slices.DeleteFunc(d.roles, func(p *process) bool {
		if p.node != node {
			return false
		}
		p.drain()
		names = append(names, p.name)
		return true
	})
	aside := dir + ".aside"
	err := os.Rename(dir, aside)
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m,mode=700")
	}
	if err == nil {
		err = exec.Command("cp", "-a", aside+"/.", dir).Run()
	}
	if err != nil {
		t.Fatalf("move %s to a small file system: %v", dir, err)
	}
	d.all.Cleanup(func() {
		if d.all.Failed() { // what is kept shows it
			_ = exec.Command("cp", "-a", dir, dir+".was").Run()
		}
		_ = unix.Unmount(dir, unix.MNT_DETACH)
	})
	for _, name := range names {
		d.role(node, name)
	}
}

// mayMount reports whether this process has CAP_SYS_ADMIN: who has it must be able to.
func mayMount() bool {
	var data [2]unix.CapUserData
	err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0])
	return err == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}
