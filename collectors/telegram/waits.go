package telegram

import (
	"sync"
	"time"
)

// Waits remembers which methods the service wants to hear nothing of before a time,
// from one account: it counts each method by itself, so one that has to wait holds no
// other. What is asked is held against it by every Collector that has it. A nil one
// remembers nothing. It is safe for concurrent use.
type Waits struct {
	told func(method string, until time.Time)

	mu    sync.Mutex
	until map[string]time.Time
}

// NewWaits returns one that begins with what is known, by the method's name in the
// schema. told, optional, is called with each wait that the service asks for.
func NewWaits(known map[string]time.Time, told func(method string, until time.Time)) *Waits {
	w := &Waits{told: told, until: map[string]time.Time{}}
	for m, t := range known {
		w.until[m] = t
	}
	return w
}

// Until is when a method may be asked for again; zero or past: now.
func (w *Waits) Until(method string) time.Time {
	if w == nil {
		return time.Time{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.until[method]
}

// note keeps the later one of two: an answer to a question that was on its way may
// come behind another's.
func (w *Waits) note(method string, until time.Time) {
	if w == nil {
		return
	}
	w.mu.Lock()
	if until.Before(w.until[method]) {
		until = w.until[method]
	}
	w.until[method] = until
	w.mu.Unlock()
	if w.told != nil {
		w.told(method, until)
	}
}
