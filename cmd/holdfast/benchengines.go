package main

import (
	"net"
	"net/url"
	"strings"
	"time"
)

// engineProcess is an engine, and where it listens.
type engineProcess struct {
	name  string
	hosts []string // host:port
}

// engineCPU is the processor time of an engine so far, or between two looks. It is known
// where the engine runs on this machine, and may be looked at.
type engineCPU struct {
	name  string
	used  time.Duration
	known bool
}

// machineCPU is the time of all processors, of whatever process.
type machineCPU struct{ busy, idle time.Duration }

func (m machineCPU) since(was machineCPU) machineCPU {
	return machineCPU{m.busy - was.busy, m.idle - was.idle}
}

func usedSince(before, after []engineCPU) []engineCPU {
	for i := range after {
		after[i].used -= before[i].used
		after[i].known = after[i].known && before[i].known
	}
	return after
}

// processes are the engines that have processes of their own.
func (e engineURLs) processes() (all []engineProcess) {
	if _, rest, ok := strings.Cut(e.Queue, "kafka://"); ok {
		hosts, _, _ := strings.Cut(rest, "/")
		all = append(all, engineProcess{"broker", strings.Split(hosts, ",")})
	}
	if u, err := url.Parse(e.Store); err == nil && u.Scheme == kindS3 {
		at := ""
		if end, err := url.Parse(u.Query().Get("endpoint")); err == nil {
			at = end.Host
		}
		all = append(all, engineProcess{"store", []string{at}})
	}
	if u, err := url.Parse(e.Catalog); err == nil && kindOf(e.Catalog) == kindPostgres {
		all = append(all, engineProcess{"database", []string{u.Host}})
	}
	return all
}

// ports are those of this machine at which the engine listens; nil if one is another's.
func (p engineProcess) ports() (ports []string) {
	for _, h := range p.hosts {
		host, port, err := net.SplitHostPort(h)
		ip := net.ParseIP(host)
		if err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			return nil
		}
		ports = append(ports, port)
	}
	return ports
}

func cpuOf(engines []engineProcess) []engineCPU {
	var all []engineCPU
	for _, e := range engines {
		c := engineCPU{name: e.name}
		c.used, c.known = listenersCPU(e.ports())
		all = append(all, c)
	}
	return all
}
