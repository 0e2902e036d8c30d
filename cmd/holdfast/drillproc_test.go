package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// process is one that runs on beside the test.
type process struct {
	d    *drill
	name string
	node int
	cmd  *exec.Cmd
	log  *os.File
	gone chan struct{}
	err  error // once it is gone
}

// dies has the kernel end a child with this process: what a test that was broken off has
// begun must not go on. The kernel counts the death of the thread that began it, so who
// begins it keeps that thread until the child is gone.
func dies(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

func (d *drill) start(name string, node int, args ...string) *process {
	d.t.Helper()
	p := &process{d: d, name: name, node: node, gone: make(chan struct{})}
	var err error
	if p.log, err = os.OpenFile(filepath.Join(d.dir, fmt.Sprintf("said-%s-%d.log", name, node)), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		d.t.Fatal(err)
	}
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(d.env, "HOLDFAST_DATA="+d.data[node])
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	dies(p.cmd)
	begun := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.gone)
		err := p.cmd.Start()
		if begun <- err; err != nil {
			return
		}
		in := bufio.NewScanner(out)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			d.heard(in.Bytes())
		}
		p.err = p.cmd.Wait()
		_ = p.log.Close()
	}()
	if err := <-begun; err != nil {
		d.t.Fatal(err)
	}
	d.all.Cleanup(p.kill)
	return p
}

// heard takes down what a process told of: that counts, whatever becomes of it.
func (d *drill) heard(line []byte) {
	var row struct{ Event, ID, Error string }
	if json.Unmarshal(line, &row) != nil {
		return
	}
	switch row.Event {
	case "accepted":
		d.accepted.add(row.ID)
	case "halted":
		d.halted.Add(1)
		d.lastHalt.Store(&row.Error)
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// drain asks the process to end as its operator does, and it must, and well.
func (p *process) drain() {
	p.d.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
		if p.err != nil {
			p.d.t.Errorf("%s of node %d, asked to end: %v\n%s", p.name, p.node, p.err, p.said())
		}
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Signal(syscall.SIGQUIT)
		p.kill()
		p.d.t.Errorf("%s of node %d did not end in a minute\n%s", p.name, p.node, p.said())
	}
}

func (p *process) said() string {
	b, _ := os.ReadFile(p.log.Name())
	return string(b[max(0, len(b)-6000):])
}

func (p *process) alive() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// role starts a role of node i.
func (d *drill) role(i int, name string) *process {
	p := d.start(name, i, d.bin, "node", name)
	d.roles = append(d.roles, p)
	return p
}

// accepts starts captures at node i, for the named Case.
func (d *drill) accepts(i int, home string) {
	args := []string{"accepter", d.data[i], home}
	if d.kafka == nil { // an embedded queue has no roles
		args = append(args, "work")
	}
	d.flow = append(d.flow, d.start("accepter", i, args...))
}

// still checks that nobody who was not killed has died: a fault of an engine ends no role.
func (d *drill) still() {
	d.t.Helper()
	for _, p := range slices.Concat(d.flow, d.roles) {
		if !p.alive() {
			d.t.Errorf("%s of node %d died: %v\n%s", p.name, p.node, p.err, p.said())
		}
	}
}
