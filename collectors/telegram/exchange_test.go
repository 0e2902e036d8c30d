package telegram

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/gotd/td/session"
	gotd "github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/tg"

	"holdfast/collectors/telegram/telegramtest"
	"holdfast/tl"
)

func connect(t testing.TB, s *telegramtest.Server, f func(ctx context.Context, l *line) error) {
	t.Helper()
	c := gotd.NewClient(1, "hash", gotd.Options{PublicKeys: s.Keys(), DCList: s.DCs(), DC: telegramtest.MainDC, SessionStorage: &session.StorageMemory{}})
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	err := c.Run(ctx, func(ctx context.Context) error {
		code := auth.CodeAuthenticatorFunc(func(context.Context, *tg.AuthSentCode) (string, error) { return s.Code, nil })
		if err := auth.NewFlow(auth.Constant("+"+s.Phone, "", code), auth.SendCodeOptions{}).Run(ctx, c.Auth()); err != nil {
			return err
		}
		return f(ctx, &line{to: c, now: time.Now})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHistorySpeed(t *testing.T) {
	const posts = 20_000
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "example", "Example")
	for i := range posts {
		ch.Post(fmt.Sprintf("post %d: some words that say something of no consequence at all, in a few lines of text %d", i, i*i))
	}
	s, err := telegramtest.Start(w, telegramtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	connect(t, s, func(ctx context.Context, l *line) error {
		begin, n := time.Now(), 0
		for at := 0; n < posts; {
			x, err := l.ask(ctx, &tg.MessagesGetHistoryRequest{Peer: &tg.InputPeerChannel{ChannelID: ch.ID, AccessHash: ch.AccessHash}, OffsetID: at, Limit: 100})
			if err != nil {
				return err
			}
			a, err := tl.Split(x.Answer)
			if err != nil || a.Unread != nil || len(a.Messages) == 0 {
				return fmt.Errorf("%w, %v", err, a)
			}
			for _, m := range a.Messages {
				sha256.Sum256(m.In(x.Answer))
			}
			n += len(a.Messages)
			at = a.Messages[len(a.Messages)-1].ID
		}
		t.Logf("%d messages, %.0f/s", n, float64(n)/time.Since(begin).Seconds())
		return nil
	})
}
