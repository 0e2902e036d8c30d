package web

import (
	"fmt"
	"time"
)

// openLimit is for how long a browser may take to open an empty page. On a busy machine it
// takes seconds.
const openLimit = 30 * time.Second

// hangs ends a browser that does not answer any more. All captures in it end with it, and
// are made again in another. It returns when it has ended.
func (b *browser) hangs() {
	b.mu.Lock()
	b.hung = true
	b.mu.Unlock()
	kill(b.cmd)
	select { // whoever asks for a browser next must not be given this one
	case <-b.dead:
	case <-time.After(5 * time.Second):
	}
}

// whyEnded says why the browser was ended since a time; "" is it was not.
func (b *browser) whyEnded(since time.Time) string {
	if why := b.whyStopped(since); why != "" {
		return why
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hung {
		return fmt.Sprintf("it did not open a page within %s, or the time of the capture", openLimit)
	}
	return ""
}
