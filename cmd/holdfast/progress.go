package main

import (
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progress is a bar on stderr, drawn only on a terminal and only once the work
// has taken a second. Its methods may be called concurrently and on nil.
type progress struct {
	mu    sync.Mutex
	c     *cli
	what  string
	begun time.Time
	bar   *progressbar.ProgressBar
}

func (c *cli) progress(what string) *progress {
	if !c.onTerminal() || c.json {
		return nil
	}
	return &progress{c: c, what: what, begun: time.Now()}
}

// bytes shows done of total bytes.
func (p *progress) bytes(done, total int64) {
	if p == nil || time.Since(p.begun) < time.Second {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar == nil {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.c.errs), progressbar.OptionSetDescription(p.what),
			progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	p.bar.Set64(done)
}

// done takes the bar away.
func (p *progress) done() {
	if p != nil && p.bar != nil {
		p.bar.Finish()
	}
}
