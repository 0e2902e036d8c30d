package telegram

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/session"
	gotd "github.com/gotd/td/telegram"
	"github.com/gotd/td/telegram/auth"
	"github.com/gotd/td/tg"
	"github.com/gotd/td/tgerr"

	"holdfast/collectors/telegram/telegramtest"
	"holdfast/tl"
)

// options are those of a node that knows the test's service only.
func options(t testing.TB, s *telegramtest.Server) Options {
	t.Helper()
	servers, err := ParseServers(s.File())
	if err != nil {
		t.Fatal(err)
	}
	return Options{App: App{ID: 1, Hash: "hash"}, Servers: servers, Connect: 3 * time.Minute}
}

// TestRun: a stored session is used as it is, by one connection after another; one
// that the service does not know (any more) is said to be logged out, at once, and
// nothing is put in its place.
func TestRun(t *testing.T) {
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "example", "Example")
	ch.Post("one")
	s := start(t, w, telegramtest.Options{})
	o := options(t, s)
	a := Account{Name: "a1", Session: loggedIn(t, s)}
	for range 2 {
		err := o.Run(t.Context(), a, func(ctx context.Context, l *Line) error {
			x, err := l.ask(ctx, history(ch, 0))
			if err != nil {
				return err
			}
			if got, err := tl.Split(x.Answer); err != nil || len(got.Messages) != 1 || l.Account != "a1" || l.DC() != telegramtest.MainDC {
				t.Errorf("%+v, %v, %s in %d", got, err, l.Account, l.DC())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slow := o
	slow.Pace = 300 * time.Millisecond
	began := time.Now()
	err := slow.Run(t.Context(), a, func(ctx context.Context, l *Line) error {
		for range burst + 3 {
			if _, err := l.ask(ctx, &tg.UpdatesGetStateRequest{}); err != nil {
				return err
			}
		}
		return nil
	})
	if took := time.Since(began); err != nil || took < 600*time.Millisecond {
		t.Errorf("%d questions took %s, %v", burst+3, took, err)
	}
	own := errors.New("own")
	if err := o.Run(t.Context(), a, func(context.Context, *Line) error { return own }); err != own {
		t.Errorf("the function's own error: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	if err := o.Run(ctx, a, func(ctx context.Context, _ *Line) error { stop(); <-ctx.Done(); return nil }); err != nil {
		t.Errorf("what was done is done: %v", err)
	}
	if err := o.Run(ctx, a, func(context.Context, *Line) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped before: %v", err)
	}
	s.LogOut()
	err = o.Run(t.Context(), a, func(ctx context.Context, l *Line) error {
		_, err := l.ask(ctx, history(ch, 0))
		return err
	})
	if !errors.Is(err, ErrLoggedOut) || !tgerr.Is(err, "AUTH_KEY_UNREGISTERED") {
		t.Errorf("logged out: %v", err)
	}
}

// TestRunElsewhere: a session of another service, or one that is gone there, is
// not replaced by a new key that nobody is logged in with.
func TestRunElsewhere(t *testing.T) {
	here, there := start(t, telegramtest.NewWorld(), telegramtest.Options{}), start(t, telegramtest.NewWorld(), telegramtest.Options{})
	a := Account{Name: "a1", Session: loggedIn(t, here)}
	began := time.Now()
	err := options(t, there).Run(t.Context(), a, func(ctx context.Context, l *Line) error {
		_, err := l.ask(ctx, &tg.UpdatesGetStateRequest{})
		return fmt.Errorf("reached it: %w", err)
	})
	if !errors.Is(err, ErrLoggedOut) || time.Since(began) > 2*time.Minute {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	if there.Asked("updates.getState") != 0 {
		t.Error("something was asked with a key that nobody is logged in with")
	}
}

// TestRunUnreached: what does not listen, or listens and says nothing, is said to
// be unreached, with the reason.
func TestRunUnreached(t *testing.T) {
	s := start(t, telegramtest.NewWorld(), telegramtest.Options{})
	a := Account{Name: "a1", Session: loggedIn(t, s)}
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := mute.Addr().String()
	try := func(says string) {
		t.Helper()
		o := options(t, s)
		o.Connect = time.Second
		var err error
		if o.Servers, err = ParseServers(serversAt(t, s, address)); err != nil {
			t.Fatal(err)
		}
		err = o.Run(t.Context(), a, func(context.Context, *Line) error { return nil })
		if !errors.Is(err, ErrUnreached) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want words with %q", err, says)
		}
	}
	try("did not answer")
	mute.Close()
	try("refused")
	other := start(t, telegramtest.NewWorld(), telegramtest.Options{})
	address = net.JoinHostPort(other.DCs().Options[0].IPAddress, strconv.Itoa(other.DCs().Options[0].Port))
	o := options(t, s)
	if o.Servers, err = ParseServers(serversAt(t, s, address)); err != nil {
		t.Fatal(err)
	}
	if _, err := o.LogIn(t.Context(), s.Phone, &person{}); !errors.Is(err, ErrUnreached) || !strings.Contains(err.Error(), "public keys") {
		t.Errorf("somebody else answers: %v", err)
	}
	if err := (Options{}).Run(t.Context(), a, nil); !errors.Is(err, ErrNoApp) {
		t.Errorf("no application: %v", err)
	}
	if err := options(t, s).Run(t.Context(), Account{Session: []byte(`{"Version":1,"Data":{"DC":2}}`)}, nil); !errors.Is(err, ErrSession) {
		t.Errorf("no session: %v", err)
	}
	if said := fmt.Sprintf("%v %+v %#v", a, a, options(t, s).App); strings.Contains(said, "AuthKey") || strings.Contains(said, "hash") {
		t.Errorf("secrets are printed: %s", said)
	}
}

func serversAt(t *testing.T, s *telegramtest.Server, address string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"dc": 2, "servers": []any{map[string]any{"id": 2, "addr": address}}, "public_keys": s.PEM()})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loggedIn logs in and returns the session.
func loggedIn(t testing.TB, s *telegramtest.Server) []byte {
	t.Helper()
	kept := &session.StorageMemory{}
	c := gotd.NewClient(1, "hash", gotd.Options{PublicKeys: s.Keys(), DCList: s.DCs(), DC: telegramtest.MainDC, SessionStorage: kept})
	err := c.Run(t.Context(), func(ctx context.Context) error {
		code := auth.CodeAuthenticatorFunc(func(context.Context, *tg.AuthSentCode) (string, error) { return s.Code, nil })
		return auth.NewFlow(auth.Constant("+"+s.Phone, "", code), auth.SendCodeOptions{}).Run(ctx, c.Auth())
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := kept.Bytes(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestParseServers: what names no server, no key or no address is refused.
func TestParseServers(t *testing.T) {
	s := start(t, telegramtest.NewWorld(), telegramtest.Options{})
	good := string(s.File())
	one, err := ParseServers([]byte(good))
	if err != nil || !strings.HasPrefix(one.Service(), "sha256:") || (*Servers)(nil).Service() != Production {
		t.Fatalf("%v, %v", one, err)
	}
	for what, b := range map[string]string{
		"nothing":     "",
		"no object":   "[]",
		"unknown":     strings.Replace(good, `"dc"`, `"dcs"`, 1),
		"no main":     strings.Replace(good, `"dc":2`, `"dc":7`, 1),
		"a name":      strings.Replace(good, `"127.0.0.1:`, `"localhost:`, 1),
		"no keys":     `{"dc":2,"servers":[{"id":2,"addr":"127.0.0.1:1"}],"public_keys":[]}`,
		"another key": `{"dc":2,"servers":[{"id":2,"addr":"127.0.0.1:1"}],"public_keys":["x"]}`,
		"large":       good + strings.Repeat(" ", MaxServers),
	} {
		if _, err := ParseServers([]byte(b)); !errors.Is(err, ErrServers) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
