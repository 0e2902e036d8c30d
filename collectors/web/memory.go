package web

import (
	"fmt"
	"os"
	"time"

	"holdfast/collectors/web/confined"
)

// DefaultMemory is what one process of the browser may take, in bytes. Heavy pages take
// half a gigabyte.
const DefaultMemory = 3 << 29

// lookEvery is how often the browser's processes are looked at. A page that takes a
// gigabyte a second has half of one more before it is seen.
const lookEvery = 500 * time.Millisecond

// watch ends each process of the browser that takes more than limit, until the browser
// has ended: a page's process costs its page (the browser says that it was killed, and
// goes on), the browser's own costs the attempt, as if it had died. Where the system
// does not show processes, nothing is watched. A limit of the system's own (RLIMIT_AS)
// does not do: a page's process reserves terabytes of addresses that it never uses.
func (b *browser) watch(limit int64) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.exited:
			return
		case <-tick.C:
		}
		for _, pid := range group(b.cmd.Process.Pid) {
			if n := confined.Memory(pid); n > limit {
				b.stop(pid, n)
			}
		}
	}
}

// stop ends a process, and remembers it before, so that whoever is told of its end finds
// the reason.
func (b *browser) stop(pid int, n int64) {
	if s, ok := statOf(pid); !ok || s.group != b.cmd.Process.Pid || s.state == 'Z' {
		return // it is over, and its number may be another's
	}
	b.mu.Lock()
	b.stopped, b.stoppedAt = fmt.Sprintf("a process of the browser had %d MB", n>>20), time.Now()
	b.mu.Unlock()
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill() // gone already is fine
	}
}

// whyStopped says what was ended for its memory since a time; "" is nothing.
func (b *browser) whyStopped(since time.Time) string {
	b.askGroup()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stoppedAt.Before(since) {
		return ""
	}
	return b.stopped
}
