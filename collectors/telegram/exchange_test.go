package telegram

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/session"
	gotd "github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"
	"golang.org/x/time/rate"

	"holdfast/collectors"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/tl"
)

func start(t testing.TB, w *telegramtest.World, o telegramtest.Options) *telegramtest.Server {
	t.Helper()
	s, err := telegramtest.Start(w, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// connect logs in over real MTProto and hands over the line.
func connect(t testing.TB, s *telegramtest.Server, f func(ctx context.Context, l *Line) error) {
	t.Helper()
	c := gotd.NewClient(1, "hash", gotd.Options{PublicKeys: s.Keys(), DCList: s.DCs(), DC: telegramtest.MainDC, SessionStorage: &session.StorageMemory{}})
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	err := c.Run(ctx, func(ctx context.Context) error {
		code := auth.CodeAuthenticatorFunc(func(context.Context, *tg.AuthSentCode) (string, error) { return s.Code, nil })
		if err := auth.NewFlow(auth.Constant("+"+s.Phone, "", code), auth.SendCodeOptions{}).Run(ctx, c.Auth()); err != nil {
			return err
		}
		return f(ctx, &Line{to: c, now: time.Now})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func history(ch *telegramtest.Channel, before int) *tg.MessagesGetHistoryRequest {
	return &tg.MessagesGetHistoryRequest{Peer: &tg.InputPeerChannel{ChannelID: ch.ID, AccessHash: ch.AccessHash}, OffsetID: before, Limit: 100}
}

// backfill asks for a channel's history, newest first, until the first post.
func backfill(ctx context.Context, l *Line, ch *telegramtest.Channel, page func(*Exchange, *tl.Answer) error) error {
	for before := 0; ; {
		x, err := l.ask(ctx, history(ch, before))
		if err != nil {
			return err
		}
		a, err := tl.Split(x.Answer)
		if err != nil || len(a.Messages) == 0 {
			return err
		}
		if err := page(x, a); err != nil {
			return err
		}
		before = a.Messages[len(a.Messages)-1].ID
	}
}

// TestAsk guards what is kept of an exchange, packed by the service or not: the
// answer's bytes are those that the service made, and the request's those that
// were asked with.
func TestAsk(t *testing.T) {
	for _, packed := range []bool{false, true} {
		w := telegramtest.NewWorld()
		ch := w.Channel(1234, "example", "Example")
		for i := range 250 {
			ch.Post(fmt.Sprintf("post %d", i), func(m *tg.Message) { m.SetViews(i) })
		}
		ch.Edit(7, "edited")
		ch.Delete(9, 10)
		s := start(t, w, telegramtest.Options{GZIP: packed})
		connect(t, s, func(ctx context.Context, l *Line) error {
			var ids []int
			err := backfill(ctx, l, ch, func(x *Exchange, a *tl.Answer) error {
				var asked tg.MessagesGetHistoryRequest
				if err := asked.Decode(&bin.Buffer{Buf: x.Request}); err != nil || asked.Limit != 100 || x.Method != "messages.getHistory" || x.Received.Before(x.Sent) {
					t.Errorf("%s %+v, %v", x.Method, asked, err)
				}
				if a.Unread != nil || a.PTS != ch.PTS() || a.Total != 248 || len(a.Chats) != 1 {
					t.Errorf("%+v", a)
				}
				for _, m := range a.Messages {
					var again bin.Buffer
					if err := m.TL.Encode(&again); err != nil || string(again.Raw()) != string(m.In(x.Answer)) {
						t.Errorf("post %d is not the bytes that were sent: %v", m.ID, err)
					}
					if text := m.TL.(*tg.Message).Message; (m.ID == 7) != (text == "edited") {
						t.Errorf("post %d says %q", m.ID, text)
					}
					ids = append(ids, m.ID)
				}
				return nil
			})
			slices.Reverse(ids)
			if len(ids) != 248 || !slices.IsSorted(ids) || slices.Contains(ids, 9) || slices.Contains(ids, 10) {
				t.Errorf("posts %v", ids)
			}
			return err
		})
	}
}

// TestAskReads guards the promise that nothing is ever sent that the other side
// could see: what is not on the list does not reach the network.
func TestAskReads(t *testing.T) {
	sent := 0
	l := &Line{now: time.Now, to: gotd.InvokeFunc(func(context.Context, bin.Encoder, bin.Decoder) error { sent++; return nil })}
	for _, r := range []request{&tg.ChannelsJoinChannelRequest{Channel: &tg.InputChannel{}}, &tg.ChannelsReadHistoryRequest{Channel: &tg.InputChannel{}},
		&tg.MessagesGetMessagesViewsRequest{Peer: &tg.InputPeerSelf{}}, &tg.MessagesSendReactionRequest{Peer: &tg.InputPeerSelf{}},
		&tg.MessagesSendMessageRequest{Peer: &tg.InputPeerSelf{}}, &tg.MessagesSendMessageRequest{Peer: &tg.InputPeerChannel{ChannelID: 1}, Message: CanaryText(strings.Repeat("0a", tokenBytes), 1)},
		&tg.MessagesEditMessageRequest{Peer: &tg.InputPeerChannel{ChannelID: 1}, ID: 1}, &tg.ChannelsDeleteMessagesRequest{Channel: &tg.InputChannel{ChannelID: 1}, ID: []int{1}}, &tg.AccountUpdateStatusRequest{}, &tg.MessagesSendVoteRequest{Peer: &tg.InputPeerSelf{}},
		&tg.StoriesReadStoriesRequest{Peer: &tg.InputPeerSelf{}}, &tg.StoriesIncrementStoryViewsRequest{Peer: &tg.InputPeerSelf{}}, &tg.StoriesSendReactionRequest{Peer: &tg.InputPeerSelf{}},
		&tg.MessagesReadDiscussionRequest{Peer: &tg.InputPeerSelf{}}, &tg.StoriesGetStoriesArchiveRequest{Peer: &tg.InputPeerSelf{}},
		&tg.MessagesImportChatInviteRequest{}, &tg.InvokeWithLayerRequest{Query: &tg.UpdatesGetStateRequest{}}} {
		if _, err := l.ask(t.Context(), r); !errors.Is(err, ErrMethod) || sent != 0 {
			t.Errorf("%T: %v, %d sent", r, err, sent)
		}
	}
	self := &tg.InputPeerSelf{}
	for i, r := range []request{&tg.UpdatesGetStateRequest{}, &tg.MessagesGetRepliesRequest{Peer: self}, &tg.MessagesGetDiscussionMessageRequest{Peer: self}, &tg.MessagesGetForumTopicsRequest{Peer: self},
		&tg.StoriesGetPeerStoriesRequest{Peer: self}, &tg.StoriesGetPinnedStoriesRequest{Peer: self}, &tg.StoriesGetStoriesByIDRequest{Peer: self}} {
		if _, err := l.ask(t.Context(), r); err != nil || sent != i+1 {
			t.Errorf("%T, which reads: %v, %d sent", r, err, sent)
		}
	}
}

// TestAskFails guards what a caller branches on: the service's own errors come
// through, with what they say, and a line that breaks is taken up again.
func TestAskFails(t *testing.T) {
	var next atomic.Pointer[error]
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "example", "Example")
	ch.Post("one")
	s := start(t, w, telegramtest.Options{Fault: func(method string) error {
		if e := next.Swap(nil); e != nil && method == "messages.getHistory" {
			return *e
		}
		return nil
	}})
	connect(t, s, func(ctx context.Context, l *Line) error {
		fail := func(e error) error {
			next.Store(&e)
			_, err := l.ask(ctx, history(ch, 0))
			return err
		}
		if d, ok := tgerr.AsFloodWait(fail(tgerr.New(420, "FLOOD_WAIT_17"))); !ok || d != 17*time.Second {
			t.Errorf("wait of %s, %t", d, ok)
		}
		ch.Close("CHANNEL_PRIVATE")
		if _, err := l.ask(ctx, history(ch, 0)); !tgerr.Is(err, "CHANNEL_PRIVATE") || !strings.Contains(err.Error(), "messages.getHistory") {
			t.Errorf("private: %v", err)
		}
		ch.Close("")
		if err := fail(telegramtest.ErrHangUp); err == nil {
			t.Log("a connection that ended in the middle was taken up again")
		}
		x, err := l.ask(ctx, history(ch, 0))
		if err != nil {
			return fmt.Errorf("after the line came back: %w", err)
		}
		if a, err := tl.Split(x.Answer); err != nil || len(a.Messages) != 1 {
			t.Errorf("after the line came back: %v, %v", a, err)
		}
		s.LogOut()
		if _, err := l.ask(ctx, history(ch, 0)); !tgerr.Is(err, "AUTH_KEY_UNREGISTERED") {
			t.Errorf("logged out: %v", err)
		}
		return nil
	})
}

// BenchmarkBackfill is a history over MTProto on loopback, each message's bytes
// found and hashed by themselves.
func BenchmarkBackfill(b *testing.B) {
	const posts = 20_000
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "example", "Example")
	for i := range posts {
		ch.Post(fmt.Sprintf("post %d: some words that say something of no consequence at all, in a few lines of text %d", i, i*i))
	}
	s := start(b, w, telegramtest.Options{})
	connect(b, s, func(ctx context.Context, l *Line) error {
		n := 0
		for b.Loop() {
			err := backfill(ctx, l, ch, func(x *Exchange, a *tl.Answer) error {
				for _, m := range a.Messages {
					sha256.Sum256(m.In(x.Answer))
				}
				n += len(a.Messages)
				return nil
			})
			if err != nil {
				return err
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "msg/s")
		return nil
	})
}

// TestAskPaced: where the time is over before the account's turn comes, nothing is
// sent and nothing has failed.
func TestAskPaced(t *testing.T) {
	sent := 0
	l := &Line{now: time.Now, dc: func() int { return 2 }, pace: rate.NewLimiter(rate.Every(time.Hour), 1),
		to: gotd.InvokeFunc(func(context.Context, bin.Encoder, bin.Decoder) error { sent++; return context.DeadlineExceeded })}
	if !l.pace.Allow() {
		t.Fatal("no turn")
	}
	a, err := NewCollector(CollectorOptions{Line: l}).Collect(t.Context(), collectors.Request{Source: "telegram:@example", Budget: collectors.Budget{Time: 50 * time.Millisecond}}, nil)
	if a != nil || !errors.As(err, new(*collectors.Later)) || sent != 0 {
		t.Errorf("%v, %v, %d sent", a, err, sent)
	}
}
