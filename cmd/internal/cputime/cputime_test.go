package cputime_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"holdfast/cmd/internal/cputime"
)

// TestOwn: work is processor time of this process, of the machine, and of who listens at
// a port of this process; a process elsewhere is not known.
func TestOwn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	who := []cputime.Process{{Name: "this", Hosts: []string{l.Addr().String()}}, {Name: "another's", Hosts: []string{"192.0.2.1:80"}}, {Name: "nobody", Hosts: []string{"127.0.0.1:1"}}}
	before, machine, own := cputime.Of(who), cputime.MachineNow(), cputime.Own()
	var s cputime.Span
	s.Add(func() {
		for end := cputime.Own() + 100*time.Millisecond; cputime.Own() < end; {
		}
	})
	if used := cputime.Own() - own; used < 100*time.Millisecond || s.CPU < 100*time.Millisecond || s.CPU > used || s.Wall <= 0 {
		t.Errorf("used %s, a span of %+v", used, s)
	}
	got := cputime.Since(before, cputime.Of(who))
	if got[1].Known || got[2].Known || got[1].Name != "another's" {
		t.Errorf("%+v", got)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if !got[0].Known || got[0].Time < 50*time.Millisecond { // it is counted in ticks
		t.Errorf("of this process the table says %+v", got[0])
	}
	if m := cputime.MachineNow().Since(machine); m.Busy < 50*time.Millisecond {
		t.Errorf("the machine was busy for %s", m.Busy)
	}
}
