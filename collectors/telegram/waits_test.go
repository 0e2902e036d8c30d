package telegram

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/tgerr"

	"holdfast/collectors"
	"holdfast/collectors/collectorstest"
	"holdfast/collectors/telegram/telegramtest"
)

// TestWaits guards a wait that the service asks for: the method is not asked for again
// before, by nobody that knows of it, and is then; no other method is held by it.
func TestWaits(t *testing.T) {
	var flood atomic.Bool
	flood.Store(true)
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	ch.Post("one")
	s := start(t, w, telegramtest.Options{Fault: func(method string) error {
		if method == "messages.getHistory" && flood.Load() {
			return tgerr.New(420, "FLOOD_WAIT_30")
		}
		return nil
	}})
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	told := map[string]time.Time{}
	waits := NewWaits(nil, func(method string, until time.Time) { told[method] = until })
	l := openLine(t, s, "a1")
	c := NewCollector(CollectorOptions{Line: l, Waits: waits, NoWaits: true, Now: now})
	ask := func(c *Collector, cur []byte) (*collectors.Acquired, time.Duration) {
		t.Helper()
		begun := time.Now()
		a, err := c.Collect(t.Context(), collectors.Request{Source: "telegram:@harbour", Cursor: cur}, &collectorstest.Keeper{})
		var later *collectors.Later
		if err != nil && !errors.As(err, &later) {
			t.Fatal(err)
		}
		if time.Since(begun) > 20*time.Second {
			t.Errorf("it was waited for %s", time.Since(begun))
		}
		if later == nil {
			return a, 0
		}
		return nil, later.At.Sub(now())
	}
	a, _ := ask(c, nil)
	history := a.Next.Cursor
	if _, d := ask(c, history); d < 29*time.Second || d > 32*time.Second || told["messages.getHistory"].Sub(now()) < 25*time.Second {
		t.Errorf("told to wait %s; %v", d, told)
	}
	ahead.Store(int64(10 * time.Second))
	another := NewCollector(CollectorOptions{Line: l, Waits: NewWaits(told, nil), NoWaits: true, Now: now}) // of another process
	for _, c := range []*Collector{c, another} {
		if _, d := ask(c, history); d < 10*time.Second || d > 22*time.Second || s.Asked("messages.getHistory") != 1 {
			t.Errorf("10 s later: to wait %s, asked for %d times", d, s.Asked("messages.getHistory"))
		}
		if a, d := ask(c, nil); a == nil {
			t.Errorf("another method is to wait %s", d)
		}
	}
	flood.Store(false)
	ahead.Store(int64(32 * time.Second))
	if a, d := ask(another, history); a == nil || s.Asked("messages.getHistory") != 2 {
		t.Errorf("32 s later: to wait %s", d)
	}
}
