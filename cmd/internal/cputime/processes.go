package cputime

import (
	"net"
	"time"
)

// Process is a program that listens, and where.
type Process struct {
	Name  string
	Hosts []string // host:port
}

// Used is the processor time of a [Process] so far, or between two looks. It is known
// where the process runs on this machine, and may be looked at.
type Used struct {
	Name  string
	Time  time.Duration
	Known bool
}

// Machine is the time of all processors, of whatever process.
type Machine struct{ Busy, Idle time.Duration }

// Since is what came between two looks.
func (m Machine) Since(was Machine) Machine {
	return Machine{m.Busy - was.Busy, m.Idle - was.Idle}
}

// Since is what came between two looks of [Of] at the same processes; after is changed.
func Since(before, after []Used) []Used {
	for i := range after {
		after[i].Time -= before[i].Time
		after[i].Known = after[i].Known && before[i].Known
	}
	return after
}

// ports are those of this machine at which it listens; nil if one is another's.
func (p Process) ports() (ports []string) {
	for _, h := range p.Hosts {
		host, port, err := net.SplitHostPort(h)
		ip := net.ParseIP(host)
		if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil
		}
		ports = append(ports, port)
	}
	return ports
}

// Of is what the processes used so far, with all that they began.
func Of(processes []Process) []Used {
	var all []Used
	for _, e := range processes {
		c := Used{Name: e.Name}
		c.Time, c.Known = listenersCPU(e.ports())
		all = append(all, c)
	}
	return all
}
