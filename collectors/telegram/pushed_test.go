package telegram

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"holdfast/collectors/telegram/telegramtest"
)

// TestPushed guards wake-ups: a channel that moves is named, whatever moved it; one
// that is lost is no more than late, and none waits for a reader.
func TestPushed(t *testing.T) {
	var lose atomic.Bool
	w := telegramtest.NewWorld()
	ch, other := w.Channel(1234, "harbour", "Harbour"), w.Channel(77, "quay", "Quay")
	s := start(t, w, telegramtest.Options{LosePush: lose.Load})
	o, a := options(t, s), Account{Name: "a1", Session: loggedIn(t, s)}
	err := o.Run(t.Context(), a, func(_ context.Context, l *Line) error {
		if l.Pushed() != nil {
			t.Error("pushes, though nobody wants any")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Pushes = true
	err = o.Run(t.Context(), a, func(ctx context.Context, l *Line) error {
		if _, err := l.ask(ctx, &tg.UpdatesGetStateRequest{}); err != nil {
			return err
		}
		next := func(what string, want int64) {
			t.Helper()
			select {
			case got := <-l.Pushed():
				if got != want {
					t.Errorf("%s: %d, want %d", what, got, want)
				}
			case <-time.After(20 * time.Second):
				t.Errorf("%s: no push", what)
			}
		}
		id := ch.Post("one")
		next("a post", 1234)
		ch.Edit(id, "two")
		next("an edit", 1234)
		ch.React(id, 5)
		next("a reaction", -1234)
		ch.Corrupt(id) // what gotd cannot read is lost
		lose.Store(true)
		ch.Post("nobody hears of")
		lose.Store(false)
		other.Post("one")
		next("another channel", 77)
		ch.Delete(id)
		next("a deletion", 1234)
		for range 2 * maxPushed { // nobody reads meanwhile
			ch.Post("many")
		}
		_, err := l.ask(ctx, &tg.UpdatesGetStateRequest{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	p := make(pushes, 2)
	for range 5 {
		_ = p.Handle(t.Context(), &tg.Updates{Updates: []tg.UpdateClass{&tg.UpdateChannelTooLong{ChannelID: 1}, &tg.UpdateChannelTooLong{ChannelID: 1}, &tg.UpdateUserStatus{}}})
	}
	if len(p) != 2 {
		t.Errorf("%d wait", len(p))
	}
}
