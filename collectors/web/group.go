package web

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast/collectors/web/cgroup"
)

// What all processes of one browser may take together, for each two pages at once, where
// the system has control groups for it. Two heavy pages take 2 GB and 300 threads.
const (
	DefaultTogether  = 4 << 30 // bytes; all in all three quarters of the machine's memory at most
	DefaultProcesses = 4000    // with threads
)

// places finds once where browsers get a control group of their own.
type places struct {
	once  sync.Once
	place *cgroup.Place
	err   error
}

func (p *places) find() (*cgroup.Place, error) {
	p.once.Do(func() { p.place, p.err = cgroup.Find() })
	return p.place, p.err
}

func (c *Collector) limits() cgroup.Limits { return together(c.opts.Limits, c.opts.Tabs) }

// together gives limits their defaults, for so many pages at once.
func together(l cgroup.Limits, tabs int) cgroup.Limits {
	pairs := int64(tabs+1) / 2
	if l.Memory <= 0 {
		l.Memory = DefaultTogether * pairs
		if n := machineMemory() / 4 * 3; n > 0 {
			l.Memory = min(l.Memory, n)
		}
	}
	if l.Processes <= 0 {
		l.Processes = DefaultProcesses * int(pairs)
	}
	return l
}

// machineMemory is in bytes; 0 if it is not known.
func machineMemory() int64 {
	b, _ := os.ReadFile("/proc/meminfo")
	for l := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(l, "MemTotal:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}

// launchInGroup starts the browser in a control group, and without one where there is
// none: then its processes are looked at all the same, one by one (watch).
func (b *browser) launchInGroup(l launching) error {
	b.limits = l.limits
	place, err := l.places.find()
	if err == nil {
		b.group, err = place.Make(l.limits)
	}
	if b.ungrouped = err; err != nil {
		return b.launch(l.path, l.pin, l.env)
	}
	if err = b.launch(l.path, l.pin, l.env); err == nil {
		return nil
	}
	// It cannot be started at all, or not in a group: Linux before 5.7, or a filter of
	// system calls.
	b.endGroup()
	b.group = nil
	b.ungrouped = fmt.Errorf("%w: %w", cgroup.ErrNone, err)
	return b.launch(l.path, l.pin, l.env)
}

// endGroup ends what is left of the browser, in whatever process group, and removes the
// control group. What cannot be removed is removed by the next process's first browser.
func (b *browser) endGroup() {
	if b.group != nil {
		_ = b.group.Close()
	}
}

// askGroup sees whether the system has ended a process of the browser for what they all
// took. It is asked when one has ended, so the reason is known before anybody tells it.
func (b *browser) askGroup() {
	if b.group == nil {
		return
	}
	now := b.group.Struck()
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Memory > b.struck.Memory {
		b.stopped, b.stoppedAt = fmt.Sprintf("a process of a browser that had %d MB in all", b.limits.Memory>>20), time.Now()
	}
	b.struck = now
}

// refused counts processes and threads that the browser could not start.
func (b *browser) refused() int {
	if b.group == nil {
		return 0
	}
	return b.group.Struck().Processes
}

// isolation says in a sentence what keeps the browser's processes in bounds.
func (b *browser) isolation(memory int64) string {
	one := fmt.Sprintf("one process with more than %d MB is ended, as seen twice a second", memory>>20)
	if b.group != nil {
		return fmt.Sprintf("Each browser has a control group of its own: %d MB in all, no swap, %d processes and threads; %s.", b.limits.Memory>>20, b.limits.Processes, one)
	}
	return fmt.Sprintf("Nothing bounds all processes of a browser together (%v); %s.", b.ungrouped, one)
}
