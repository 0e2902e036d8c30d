package web

import (
	"os"
	"strconv"
	"strings"
)

// group lists the processes of a process group, in no order; nil where the system does
// not show them.
func group(id int) (pids []int) {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if s, ok := statOf(pid); ok && s.group == id {
			pids = append(pids, pid)
		}
	}
	return pids
}

type stat struct {
	state         byte // 'Z' is a zombie
	parent, group int
}

// statOf reads /proc/PID/stat. The name in it may hold anything, so what follows its last
// parenthesis is read.
func statOf(pid int) (s stat, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return s, false
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(f) < 3 || len(f[0]) != 1 {
		return s, false
	}
	s.state = f[0][0]
	s.parent, _ = strconv.Atoi(f[1])
	s.group, _ = strconv.Atoi(f[2])
	return s, true
}
