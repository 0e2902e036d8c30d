package webbench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Memory watches this process and those below it.
type Memory struct {
	mu        sync.Mutex
	tree, own int64 // greatest, bytes
}

// sampled is how often it looks. To count the pages of a browser takes some ms.
const sampled = 500 * time.Millisecond

// Watch looks until ctx ends. Without /proc (not Linux) it sees nothing.
func (m *Memory) Watch(ctx context.Context) {
	tick := time.NewTicker(sampled)
	defer tick.Stop()
	for {
		m.look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Peak is the greatest proportional set size (PSS: shared pages are counted once) of the
// tree, and of this process alone, in bytes; 0 if unknown.
func (m *Memory) Peak() (tree, own int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tree, m.own
}

func (m *Memory) look() {
	me := os.Getpid()
	own, all := pss(me), int64(0)
	for _, pid := range below(me) {
		all += pss(pid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.own, m.tree = max(m.own, own), max(m.tree, own+all)
}

// below lists the processes that pid has started, and those that they have, without the
// site, which is ours and not what is measured.
func below(pid int) (list []int) {
	children := map[int][]int{}
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		id, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + d.Name() + "/stat")
		_, rest, ok := strings.Cut(string(stat), ") ")
		if f := strings.Fields(rest); ok && len(f) > 1 {
			parent, _ := strconv.Atoi(f[1])
			children[parent] = append(children[parent], id)
		}
	}
	for todo := []int{pid}; len(todo) > 0; {
		next := children[todo[0]]
		todo = append(todo[1:], next...)
		list = append(list, next...)
	}
	var kept []int
	for _, id := range list {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id)); !bytes.Contains(line, []byte(siteCommand)) {
			kept = append(kept, id)
		}
	}
	return kept
}

// siteCommand is what the site's process is called with.
const siteCommand = "\x00site\x00"

func pss(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	_, line, ok := strings.Cut(string(b), "\nPss:")
	if err != nil || !ok {
		return 0
	}
	var kb int64
	fmt.Sscan(line, &kb) //nolint:errcheck // 0 then
	return kb << 10
}
