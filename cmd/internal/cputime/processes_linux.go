package cputime

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor time in /proc: 100 a second on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// listenersCPU is the processor time of the processes that listen at these ports, with all
// that they began; false where none is found.
func listenersCPU(ports []string) (time.Duration, bool) {
	sockets := map[string]bool{}
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listening(name, ports, sockets)
	}
	parents, used := processTable()
	total, known := time.Duration(0), false
	for pid := range parents {
		if of := ancestor(pid, parents, sockets); of {
			total, known = total+used[pid], true
		}
	}
	return total, known
}

// listening adds the sockets that listen at one of the ports.
func listening(name string, ports []string, sockets map[string]bool) {
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		w := strings.Fields(in.Text())
		if len(w) < 10 || w[3] != "0A" {
			continue
		}
		_, hex, _ := strings.Cut(w[1], ":")
		for _, p := range ports {
			if n, err := strconv.Atoi(p); err == nil && hex == fmt.Sprintf("%04X", n) {
				sockets["socket:["+w[9]+"]"] = true
			}
		}
	}
}

// processTable is each process's parent, and what it and those of its children that have
// ended used.
func processTable() (parents map[string]string, used map[string]time.Duration) {
	parents, used = map[string]string{}, map[string]time.Duration{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range files {
		b, err := os.ReadFile(name)
		_, rest, ok := strings.Cut(string(b), ") ") // behind the program's name
		w := strings.Fields(rest)
		if err != nil || !ok || len(w) < 15 {
			continue // it ended meanwhile
		}
		pid := filepath.Base(filepath.Dir(name))
		parents[pid] = w[1]
		for _, i := range []int{11, 12, 13, 14} {
			n, _ := strconv.ParseInt(w[i], 10, 64)
			used[pid] += time.Duration(n) * tick
		}
	}
	return parents, used
}

// ancestor reports whether a process or one above it has one of the sockets.
func ancestor(pid string, parents map[string]string, sockets map[string]bool) bool {
	for range 32 {
		if holds(pid, sockets) {
			return true
		}
		up, ok := parents[pid]
		if !ok || up == "0" || up == "1" {
			return false
		}
		pid = up
	}
	return false
}

func holds(pid string, sockets map[string]bool) bool {
	files, _ := filepath.Glob("/proc/" + pid + "/fd/*")
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && sockets[to] {
			return true
		}
	}
	return false
}

// MachineNow is what all processors did since the machine began; zero where the system does
// not say.
func MachineNow() (m Machine) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, w := range strings.Fields(line) { // cpu user nice system idle iowait irq softirq steal …
		n, err := strconv.ParseInt(w, 10, 64)
		switch {
		case err != nil || i > 8:
		case i == 4 || i == 5:
			m.Idle += time.Duration(n) * tick
		default:
			m.Busy += time.Duration(n) * tick
		}
	}
	return m
}
