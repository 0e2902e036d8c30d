package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	leaf   = "holdfast"          // the group that this process is in
	prefix = "holdfast-browser-" // and its number: those that it makes
	// removeFor is for how long a group is waited for whose processes were killed.
	removeFor = 5 * time.Second
)

// Place is where groups are made. It is safe for concurrent use.
type Place struct {
	dir  string
	made atomic.Int64
}

// Find looks for a place where this process may make groups, and makes it ready. It
// removes what killed processes left there. Errors wrap [ErrNone] and say what to do.
func Find() (*Place, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	dir, top, err := where(string(own), string(mounts))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if filepath.Base(dir) == leaf {
		dir = filepath.Dir(dir)
	}
	p := &Place{dir: dir}
	if err := p.prepare(dir == top); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	p.sweep()
	return p, nil
}

// where finds the folder of this process's group, and the top of the tree that is seen.
func where(own, mounts string) (dir, top string, err error) {
	var path string
	for l := range strings.Lines(own) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(l), "0::"); ok {
			path = p
		}
	}
	if path == "" || strings.Contains(path, "..") { // .. is outside of the namespace that is seen
		return "", "", errors.New("this process is in no group of cgroup v2")
	}
	for l := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(strings.TrimSpace(l), " - ")
		f := strings.Fields(before)
		if !strings.HasPrefix(after, "cgroup2 ") || len(f) < 5 {
			continue
		}
		root, at := f[3], f[4]
		if below, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/")); ok && (below == "" || below[0] == '/') {
			return filepath.Join(at, below), filepath.Clean(at), nil
		}
	}
	return "", "", errors.New("cgroup v2 is not mounted")
}

// prepare lets groups below have limits, if they may.
func (p *Place) prepare(top bool) error {
	has, err := os.ReadFile(filepath.Join(p.dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	if c := strings.Fields(string(has)); !slices.Contains(c, "memory") || !slices.Contains(c, "pids") {
		return fmt.Errorf("its controllers (%s) lack memory or pids: the system uses cgroup v1 for these, or keeps them", strings.Join(c, " "))
	}
	if !p.ours(top) {
		return errors.New("this process's group is not handed over to it: set Delegate=yes in its systemd unit")
	}
	err = p.enable()
	if !errors.Is(err, syscall.EBUSY) {
		return err
	}
	inner := filepath.Join(p.dir, leaf)
	if err := os.Mkdir(inner, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := p.move(inner); err != nil {
		return err
	}
	if err = p.enable(); err == nil {
		return nil
	}
	// Others are in the group, and they are not ours to move.
	_ = p.move(p.dir)
	_ = os.Remove(inner) // another of us may be in it
	return fmt.Errorf("other programs are in this process's group (%w): start it as a unit or scope of its own", err)
}

func (p *Place) move(to string) error { return write(to, "cgroup.procs", strconv.Itoa(os.Getpid())) }

func (p *Place) enable() error { return write(p.dir, "cgroup.subtree_control", "+memory +pids") }

// ours says whether the group was handed over. Root may write anywhere, so it needs the
// mark that systemd makes; the top of the tree is nobody else's.
func (p *Place) ours(top bool) bool {
	for _, name := range []string{"cgroup.procs", "cgroup.subtree_control"} {
		if syscall.Access(filepath.Join(p.dir, name), 2) != nil { // 2: to write
			return false
		}
	}
	if os.Geteuid() != 0 || top {
		return true
	}
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		b := make([]byte, 8)
		if n, err := syscall.Getxattr(p.dir, name, b); err == nil && string(b[:n]) == "1" {
			return true
		}
	}
	return false
}

// sweep ends and removes groups of processes that are gone.
func (p *Place) sweep() {
	left, _ := filepath.Glob(filepath.Join(p.dir, prefix+"*"))
	for _, dir := range left {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), prefix), "-")
		if pid, err := strconv.Atoi(id); err != nil || pid == os.Getpid() || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			continue
		}
		_ = (&Group{dir: dir}).Close() // the next one tries again
	}
}

// Make makes an empty group with limits. A crash leaves it; the next Find removes it.
func (p *Place) Make(l Limits) (*Group, error) {
	g := &Group{dir: filepath.Join(p.dir, fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), p.made.Add(1)))}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make control group: %w", err)
	}
	if err := g.limit(l); err != nil {
		return nil, errors.Join(fmt.Errorf("make control group: %w", err), g.Close())
	}
	f, err := os.Open(g.dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make control group: %w", err), g.Close())
	}
	g.handle = f
	return g, nil
}

// Group is one control group. Into, Struck and Close may be called from any goroutine,
// Into before the program is started.
type Group struct {
	dir    string
	handle *os.File // of dir
}

func (g *Group) limit(l Limits) error {
	if l.Memory > 0 {
		if err := write(g.dir, "memory.max", strconv.FormatInt(l.Memory, 10)); err != nil {
			return err
		}
		if err := write(g.dir, "memory.swap.max", "0"); err != nil && !errors.Is(err, fs.ErrNotExist) { // a system without swap has no such file
			return err
		}
	}
	if l.Processes > 0 {
		return write(g.dir, "pids.max", strconv.Itoa(l.Processes))
	}
	return nil
}

// Into has c started in the group, so that nothing of it is ever outside. Starting it
// fails where the system is older than Linux 5.7, or forbids clone3.
func (g *Group) Into(c *exec.Cmd) {
	if c.SysProcAttr == nil {
		c.SysProcAttr = &syscall.SysProcAttr{}
	}
	c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD = true, int(g.handle.Fd())
}

// Struck says how often the limits were met; what is not known is 0.
func (g *Group) Struck() Struck {
	return Struck{Memory: g.count("memory.events", "oom_kill"), Processes: g.count("pids.events", "max")}
}

func (g *Group) count(file, name string) int {
	b, err := os.ReadFile(filepath.Join(g.dir, file))
	if err != nil {
		return 0
	}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(l); len(f) == 2 && f[0] == name {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

// Close ends all that runs in the group and removes it. It waits for the end, five
// seconds at most; a group that is left then is said, and removed by a later Find.
func (g *Group) Close() error {
	if g.handle != nil {
		defer g.handle.Close()
	}
	for deadline := time.Now().Add(removeFor); ; time.Sleep(5 * time.Millisecond) {
		g.kill()
		err := syscall.Rmdir(g.dir)
		if err == nil || errors.Is(err, syscall.ENOENT) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("remove control group %s: %w", g.dir, err)
		}
	}
}

// kill ends each process of the group. Systems older than 5.14 have no cgroup.kill: there
// they are ended one by one, as often as Close looks.
func (g *Group) kill() {
	if write(g.dir, "cgroup.kill", "1") == nil {
		return
	}
	list, _ := os.ReadFile(filepath.Join(g.dir, "cgroup.procs"))
	for f := range strings.FieldsSeq(string(list)) {
		if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is fine
		}
	}
}

// write says something to the system's files. They are never made.
func write(dir, name, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
