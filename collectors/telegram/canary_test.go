package telegram

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	gotd "github.com/gotd/td/telegram"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"holdfast/collectors/telegram/telegramtest"
)

var token = strings.Repeat("0a", tokenBytes)

// TestCanaryBounds guards what a canary may send: three methods, its own channel, a
// text of its own form, its own posts. All else is refused before a byte leaves.
func TestCanaryBounds(t *testing.T) {
	sent := 0
	l := &Line{now: time.Now, to: gotd.InvokeFunc(func(context.Context, bin.Encoder, bin.Decoder) error { sent++; return errors.New("sent") })}
	c := &Canary{l: l, channel: 1234, hash: 5, own: map[int]bool{7: true}}
	l.writes = c.writes
	text := CanaryText(token, 1)
	send := func(change func(*tg.MessagesSendMessageRequest)) request {
		r := c.sending(text, 1)
		change(r)
		return r
	}
	edit := func(change func(*tg.MessagesEditMessageRequest)) request {
		r := c.editing(7, CanaryText(token, 2))
		change(r)
		return r
	}
	remove := func(change func(*tg.ChannelsDeleteMessagesRequest)) request {
		r := c.deleting([]int{7})
		change(r)
		return r
	}
	other := &tg.InputPeerChannel{ChannelID: 1235, AccessHash: 5}
	for name, r := range map[string]request{
		"post elsewhere":         send(func(r *tg.MessagesSendMessageRequest) { r.Peer = other }),
		"post to oneself":        send(func(r *tg.MessagesSendMessageRequest) { r.Peer = &tg.InputPeerSelf{} }),
		"post to a chat":         send(func(r *tg.MessagesSendMessageRequest) { r.Peer = &tg.InputPeerChat{ChatID: 1234} }),
		"post by another's hash": send(func(r *tg.MessagesSendMessageRequest) { r.Peer = &tg.InputPeerChannel{ChannelID: 1234, AccessHash: 6} }),
		"post words":             send(func(r *tg.MessagesSendMessageRequest) { r.Message = "It was the harbour master" }),
		"post words behind it":   send(func(r *tg.MessagesSendMessageRequest) { r.Message += " And more." }),
		"post a reply":           send(func(r *tg.MessagesSendMessageRequest) { r.SetReplyTo(&tg.InputReplyToMessage{ReplyToMsgID: 3}) }),
		"post as another":        send(func(r *tg.MessagesSendMessageRequest) { r.SetSendAs(other) }),
		"post later":             send(func(r *tg.MessagesSendMessageRequest) { r.SetScheduleDate(2_000_000_000) }),
		"post links": send(func(r *tg.MessagesSendMessageRequest) {
			r.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityTextURL{Length: 4, URL: "https://x"}})
		}),
		"post aloud":     send(func(r *tg.MessagesSendMessageRequest) { r.Silent = false }),
		"post and pay":   send(func(r *tg.MessagesSendMessageRequest) { r.SetAllowPaidStars(10) }),
		"edit elsewhere": edit(func(r *tg.MessagesEditMessageRequest) { r.Peer = other }),
		"edit another's": edit(func(r *tg.MessagesEditMessageRequest) { r.ID = 8 }),
		"edit to words":  edit(func(r *tg.MessagesEditMessageRequest) { r.SetMessage("It was nobody") }),
		"edit in a file": edit(func(r *tg.MessagesEditMessageRequest) { r.SetMedia(&tg.InputMediaEmpty{}) }),
		"delete elsewhere": remove(func(r *tg.ChannelsDeleteMessagesRequest) {
			r.Channel = &tg.InputChannel{ChannelID: 1235, AccessHash: 5}
		}),
		"delete another's":   remove(func(r *tg.ChannelsDeleteMessagesRequest) { r.ID = []int{7, 8} }),
		"delete nothing":     remove(func(r *tg.ChannelsDeleteMessagesRequest) { r.ID = nil }),
		"delete the history": &tg.ChannelsDeleteHistoryRequest{Channel: &tg.InputChannel{ChannelID: 1234, AccessHash: 5}},
		"delete a chat's":    &tg.MessagesDeleteMessagesRequest{ID: []int{7}},
		"send a file":        &tg.MessagesSendMediaRequest{Peer: c.peer(), Media: &tg.InputMediaEmpty{}},
		"react":              &tg.MessagesSendReactionRequest{Peer: c.peer(), MsgID: 7},
		"join":               &tg.ChannelsJoinChannelRequest{Channel: &tg.InputChannel{ChannelID: 1234, AccessHash: 5}},
	} {
		if x, err := l.ask(t.Context(), r); x != nil || !errors.Is(err, ErrMethod) || sent != 0 {
			t.Errorf("%s: %v, %d sent", name, err, sent)
		}
	}
	for i, r := range []request{send(func(*tg.MessagesSendMessageRequest) {}), edit(func(*tg.MessagesEditMessageRequest) {}), remove(func(*tg.ChannelsDeleteMessagesRequest) {}), &tg.UpdatesGetStateRequest{}} {
		if _, err := l.ask(t.Context(), r); errors.Is(err, ErrMethod) || sent != i+1 {
			t.Errorf("%T: %v, %d sent", r, err, sent)
		}
	}
}

// TestTokenOf: a text is a canary's only if it is one to the last letter.
func TestTokenOf(t *testing.T) {
	for _, form := range []int{1, 2} {
		if got := tokenOf(CanaryText(token, form)); got != token {
			t.Errorf("form %d: %q", form, got)
		}
	}
	for _, text := range []string{"", "holdfast canary ", CanaryText(token, 3), CanaryText(strings.ToUpper(token), 1), CanaryText(token[2:], 1), " " + CanaryText(token, 1), CanaryText(token, 1) + "\n", "holdfast canary " + token} {
		if got := tokenOf(text); got != "" {
			t.Errorf("%q has the token %q", text, got)
		}
	}
}

func (o Options) canary(t *testing.T, phone string, s *telegramtest.Server, name string, channel int64, f func(context.Context, *Canary) error) error {
	t.Helper()
	l, err := o.LogIn(t.Context(), "+"+phone, &person{code: s.Code})
	if err != nil {
		t.Fatal(err)
	}
	return o.RunCanary(t.Context(), Account{Name: "c1", Session: l.Session}, Name{Channel: name}, channel, f)
}

// TestCanary over the real protocol: what it writes is the channel's life; an account
// that may not write is told what to do; it goes into no other channel; what another
// has written it neither finds nor deletes.
func TestCanary(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "own_canary", "Own")
	w.Channel(1235, "another", "Another").Admin(telegramtest.OtherID)
	ch.Admin(telegramtest.OtherID)
	ch.Post("one")
	var fail error
	s := start(t, w, telegramtest.Options{Fault: func(method string) error {
		if e := fail; method == "messages.sendMessage" {
			fail = nil
			return e
		}
		return nil
	}})
	o := options(t, s)
	err := o.canary(t, s.Phone, s, "own_canary", 1234, func(ctx context.Context, c *Canary) error {
		_, err := c.Post(ctx, token)
		return err
	})
	if !errors.Is(err, ErrMayNot) || !strings.Contains(err.Error(), "administrator") || len(ch.Life()) != 1 {
		t.Errorf("without rights: %v", err)
	}
	never := func(context.Context, *Canary) error { t.Error("it can write"); return nil }
	if err := o.canary(t, s.Other, s, "another", 1234, never); !errors.Is(err, ErrAnotherChannel) {
		t.Errorf("another channel: %v", err)
	}
	if err := o.canary(t, s.Other, s, "nobody_here", 1234, never); err == nil {
		t.Error("no channel")
	}
	err = o.canary(t, s.Other, s, "own_canary", 1234, func(ctx context.Context, c *Canary) error {
		p, err := c.Post(ctx, token)
		if err != nil {
			return err
		}
		e, err := c.Edit(ctx, p.ID, token)
		if err != nil {
			return err
		}
		d, err := c.Delete(ctx, p.ID)
		if err != nil || p.ID != 2 || e.ID != 2 || d.ID != 2 || p.PTS != 3 || e.PTS != 4 || d.PTS != 5 || d.Answered.Before(p.Answered) || p.Answered.IsZero() {
			t.Errorf("%+v, %+v, %+v, %v", p, e, d, err)
		}
		if _, err := c.Edit(ctx, 1, token); !errors.Is(err, ErrMethod) {
			t.Errorf("a post that is there already: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var life []string
	for _, e := range ch.Life()[1:] {
		life = append(life, e.What+" "+e.Text)
	}
	if want := []string{"posted " + CanaryText(token, 1), "edited " + CanaryText(token, 2), "deleted "}; !slices.Equal(life, want) {
		t.Errorf("it wrote %q", life)
	}

	// What a run that was stopped has left, in either form; and what only looks like it.
	later := strings.Repeat("0b", tokenBytes)
	one, two := ch.Post(CanaryText(token, 1)), ch.Post(CanaryText(later, 2))
	ch.Post("holdfast canary " + token)
	kept := ch.Post(CanaryText(strings.Repeat("0c", tokenBytes), 1))
	for i := range 150 {
		ch.Post("filler " + strings.Repeat("x", i))
	}
	err = o.canary(t, s.Other, s, "own_canary", 1234, func(ctx context.Context, c *Canary) error {
		if _, err := c.Delete(ctx, one); !errors.Is(err, ErrMethod) {
			t.Errorf("deleted what it does not know to be its own: %v", err)
		}
		found, whole, err := c.Find(ctx, []string{token, later}, time.Now().Add(-time.Hour))
		if err != nil || !whole || len(found) != 2 || !slices.Equal(found[token], []int{one}) || !slices.Equal(found[later], []int{two}) {
			t.Errorf("found %v, %v", found, err)
		}
		if _, err := c.Delete(ctx, one, kept); !errors.Is(err, ErrMethod) {
			t.Errorf("deleted another's: %v", err)
		}
		if _, err := c.Delete(ctx, one, two); err != nil {
			return err
		}
		fail = telegramtest.ErrHangUp
		short, stop := context.WithTimeout(ctx, 2*time.Second)
		defer stop()
		if _, err := c.Post(short, strings.Repeat("0d", tokenBytes)); err != nil && !errors.Is(err, ErrUnclear) {
			t.Errorf("the line broke: %v", err)
		}
		fail = tgerr.New(500, "RPC_CALL_FAIL")
		if _, err := c.Post(ctx, strings.Repeat("0e", tokenBytes)); !errors.Is(err, ErrUnclear) {
			t.Errorf("the service's own trouble: %v", err)
		}
		fail = tgerr.New(420, "FLOOD_WAIT_30")
		_, err = c.Post(ctx, strings.Repeat("0f", tokenBytes))
		if d, ok := tgerr.AsFloodWait(err); !ok || d != 30*time.Second || errors.Is(err, ErrUnclear) {
			t.Errorf("a wait: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFollowsOf: whether the account has joined is the channel's own word, in the first
// answer and in each behind it; so is how long is to be waited between two.
func TestFollowsOf(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour")
	ch.Post("old")
	f := newFollower(t, NewCollector(CollectorOptions{Line: openLine(t, start(t, w, telegramtest.Options{}), "a1")}), "telegram:@harbour")
	if _, known := FollowsOf(f.req.Cursor); known {
		t.Error("known before anything was asked")
	}
	f.kept()
	if got, known := FollowsOf(f.req.Cursor); !known || !got.Joined || got.Pause != usualWait {
		t.Errorf("%+v, %t", got, known)
	}
	ch.Leave()
	ch.SetTimeout(7)
	ch.Post("new")
	f.kept()
	if got, known := FollowsOf(f.req.Cursor); !known || got.Joined || got.Pause != 7*time.Second {
		t.Errorf("left: %+v, %t", got, known)
	}
}
