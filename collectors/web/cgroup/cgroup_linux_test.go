package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWhere(t *testing.T) {
	const two = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
	const mixed = "30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 24 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	const inside = "35 24 0:30 /system.slice/a.service /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
	for _, c := range []struct{ own, mounts, dir, top string }{
		{"0::/system.slice/a.service\n", two, "/sys/fs/cgroup/system.slice/a.service", "/sys/fs/cgroup"},
		{"0::/\n", two, "/sys/fs/cgroup", "/sys/fs/cgroup"},
		{"9:memory:/x\n0::/y\n", mixed, "/sys/fs/cgroup/unified/y", "/sys/fs/cgroup/unified"},
		{"0::/system.slice/a.service/holdfast\n", inside, "/sys/fs/cgroup/holdfast", "/sys/fs/cgroup"},
		{"0::/system.slice/a.service2\n", inside, "", ""}, // another's
		{"0::/../b.service\n", two, "", ""},
		{"9:memory:/x\n", mixed, "", ""},
		{"0::/y\n", "30 24 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "", ""},
		{"", "", "", ""},
		{"0::/y\n", " - cgroup2 \nx - cgroup2 y", "", ""},
	} {
		dir, top, err := where(c.own, c.mounts)
		if dir != c.dir || top != c.top || (err != nil) != (c.dir == "") {
			t.Errorf("%q in %q: %q, %q, %v", c.own, c.mounts, dir, top, err)
		}
	}
}

// ground is a folder of cgroup v2 for the test, which may move its processes there.
func ground(t *testing.T) string {
	t.Helper()
	own, _ := os.ReadFile("/proc/self/cgroup")
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	_, top, err := where(string(own), string(mounts))
	if err != nil {
		t.Skipf("CONTROL GROUPS ARE NOT TESTED: %v", err)
	}
	dir := filepath.Join(top, "holdfast-test-"+strconv.Itoa(os.Getpid())+"-"+t.Name())
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("CONTROL GROUPS ARE NOT TESTED: %v", err)
	}
	t.Cleanup(func() {
		if err := (&Group{dir: dir}).Close(); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// limited is one whose groups may have limits.
func limited(t *testing.T) string {
	t.Helper()
	dir := ground(t)
	_ = write(filepath.Dir(dir), "cgroup.subtree_control", "+memory +pids") // where it may not be, the next says it
	if err := write(dir, "cgroup.subtree_control", "+memory +pids"); err != nil {
		t.Skipf("LIMITS OF CONTROL GROUPS ARE NOT TESTED: %v", err)
	}
	return dir
}

// run starts a shell in a group; its output is what it prints until it ends.
func run(t *testing.T, g *Group, text string) *exec.Cmd {
	t.Helper()
	c := exec.Command("/bin/sh", "-c", text)
	g.Into(c)
	if err := c.Start(); err != nil {
		t.Skipf("CONTROL GROUPS ARE NOT TESTED: %v", err)
	}
	return c
}

func populated(t *testing.T, dir string, n int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		list, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			t.Fatal(err)
		}
		if len(strings.Fields(string(list))) >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%q in %s, not %d", list, dir, n)
		}
	}
}

// TestEndsAsOne: what has left the process group and the session is ended with the rest,
// and the group is gone.
func TestEndsAsOne(t *testing.T) {
	p := &Place{dir: ground(t)}
	g, err := p.Make(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	c := run(t, g, "setsid sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & sleep 1000")
	populated(t, g.dir, 5)
	if err := g.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(g.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", g.dir, err)
	}
	if err := c.Wait(); c.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("it ended with %v", err)
	}
	if err := g.Close(); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// TestSweep: what a killed process left is ended, what a living one has is not.
func TestSweep(t *testing.T) {
	p := &Place{dir: ground(t)}
	gone := exec.Command("/bin/true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(p.dir, fmt.Sprintf("%s%d-1", prefix, gone.Process.Pid))
	if err := os.Mkdir(dead, 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(dead)
	if err != nil {
		t.Fatal(err)
	}
	left := run(t, &Group{dir: dead, handle: f}, "setsid sleep 1000 & sleep 1000")
	f.Close()
	populated(t, dead, 2)
	mine, err := p.Make(Limits{})
	if err != nil {
		t.Fatal(err)
	}
	others := filepath.Join(p.dir, prefix+"1-1") // process 1 lives
	for _, d := range []string{others, filepath.Join(p.dir, prefix+"odd"), filepath.Join(p.dir, leaf)} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Rmdir(d) })
	}
	p.sweep()
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left: %v", dead, err)
	}
	if left.Wait(); left.ProcessState.Success() {
		t.Error("what ran in it was not ended")
	}
	kept, _ := filepath.Glob(filepath.Join(p.dir, "holdfast*"))
	if len(kept) != 4 {
		t.Errorf("kept %q", kept)
	}
	if err := mine.Close(); err != nil {
		t.Error(err)
	}
}

// TestLimits: who takes more memory than the group may have is ended there, and who starts
// more processes is refused; both are counted, and nobody outside pays.
func TestLimits(t *testing.T) {
	hold(t, &Place{dir: limited(t)})
}

func hold(t *testing.T, p *Place) {
	t.Helper()
	g, err := p.Make(Limits{Memory: 64 << 20, Processes: 50})
	if err != nil {
		t.Fatal(err)
	}
	c := run(t, g, `head -c 300000000 /dev/zero | tail -n 1 | wc -c; exit 0`)
	if err := c.Wait(); err != nil {
		t.Errorf("the rest of the group was ended too: %v", err)
	}
	if s := g.Struck(); s.Memory != 1 || s.Processes != 0 {
		t.Errorf("after a memory bomb: %+v", s)
	}
	c = run(t, g, `i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done 2>/dev/null; exit 0`)
	c.Wait() // a shell that cannot fork gives up
	if s := g.Struck(); s.Processes == 0 {
		t.Errorf("after a fork bomb: %+v", s)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// inside is set in a process that TestHandedOver starts in a group.
const inside = "HOLDFAST_TEST_CGROUP"

// TestHandedOver: groups are made in what was handed over, by a user and by root, also for
// a second process in it, and nowhere else.
func TestHandedOver(t *testing.T) {
	top := limited(t)
	if os.Geteuid() != 0 {
		t.Skip("HANDING OVER IS NOT TESTED: it needs root")
	}
	binary := filepath.Join(t.TempDir(), "cgroup.test")
	b, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = errors.Join(os.WriteFile(binary, b, 0o755), os.Chmod(filepath.Dir(binary), 0o755), os.Chmod(filepath.Dir(filepath.Dir(binary)), 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		uid   int
		given bool // chowned, and marked as systemd does
		crowd bool // another process is in the group
		works bool
	}{
		{"root", 0, true, false, true},
		{"root-unmarked", 0, false, false, false},
		{"user", 65534, true, false, true},
		{"user-unmarked", 65534, false, false, false},
		{"crowd", 65534, true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(top, c.name)
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			defer (&Group{dir: dir}).end(t)
			if c.given {
				for _, name := range []string{"", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"} {
					if err := os.Chown(filepath.Join(dir, name), c.uid, c.uid); err != nil {
						t.Fatal(err)
					}
				}
				if err := syscall.Setxattr(dir, "trusted.delegate", []byte("1"), 0); err != nil {
					t.Fatal(err)
				}
			}
			f, err := os.Open(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if c.crowd {
				other := run(t, &Group{dir: dir, handle: f}, "sleep 1000")
				defer other.Wait()
				defer other.Process.Kill()
			}
			for range 2 { // a second process finds the first one's groups in place
				cmd := exec.Command(binary, "-test.run=^TestInside$", "-test.v", "-test.count=1")
				cmd.Env = append(os.Environ(), inside+"="+fmt.Sprint(c.works))
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(c.uid), Gid: uint32(c.uid)}}
				(&Group{handle: f}).Into(cmd)
				out, err := cmd.CombinedOutput()
				if strings.Contains(string(out), "device or resource busy") && strings.Contains(fmt.Sprint(err), "fork") {
					break
				}
				if err != nil || !strings.Contains(string(out), "--- PASS: TestInside") {
					t.Errorf("%v\n%s", err, out)
				}
				if !c.works {
					continue
				}
				// What has limits below takes no process beside them; a second one begins in the leaf.
				f.Close()
				if f, err = os.Open(filepath.Join(dir, leaf)); err != nil {
					t.Fatal(err)
				}
				defer f.Close()
			}
		})
	}
}

// end removes a group with those below it.
func (g *Group) end(t *testing.T) {
	t.Helper()
	below, _ := os.ReadDir(g.dir)
	for _, d := range below {
		if d.IsDir() {
			(&Group{dir: filepath.Join(g.dir, d.Name())}).end(t)
		}
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}

// TestInside is the inside of TestHandedOver.
func TestInside(t *testing.T) {
	works := os.Getenv(inside)
	if works == "" {
		t.Skip("runs in a group that TestHandedOver makes")
	}
	before, _ := os.ReadFile("/proc/self/cgroup")
	p, err := Find()
	if works == "false" {
		after, _ := os.ReadFile("/proc/self/cgroup")
		if !errors.Is(err, ErrNone) || string(after) != string(before) {
			t.Errorf("%v; was in %q, is in %q", err, before, after)
		}
		t.Logf("said: %v", err)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(p.dir, prefix+"*")); len(left) != 0 {
		t.Errorf("Find has left what a process that is gone had: %q", left)
	}
	hold(t, p)
	if left, _ := filepath.Glob(filepath.Join(p.dir, prefix+"*")); len(left) != 0 {
		t.Errorf("left %q", left)
	}
	g, err := p.Make(Limits{}) // as one that is killed leaves it
	if err != nil {
		t.Fatal(err)
	}
	run(t, g, "sleep 1000")
}
