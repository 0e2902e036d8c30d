package telegram

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gotd/td/tgerr"

	"holdfast/collectors/telegram/telegramtest"
)

// person answers what a login asks, and counts.
type person struct {
	code, password string
	asked          []string
}

func (p *person) Code(_ context.Context, how string) (string, error) {
	p.asked = append(p.asked, "code "+how)
	return p.code, nil
}

func (p *person) Password(_ context.Context, hint string) (string, error) {
	p.asked = append(p.asked, "password "+hint)
	if p.password == "" {
		return "", errors.New("no password here")
	}
	return p.password, nil
}

// TestLogIn: by code, with a second password and without; what is wrong ends it at
// once, in words, and is asked for once.
func TestLogIn(t *testing.T) {
	s := start(t, telegramtest.NewWorld(), telegramtest.Options{})
	o := options(t, s)
	log := func(phone string, p *person) (*Login, error) { return o.LogIn(t.Context(), phone, p) }
	refused := func(phone string, p *person, says string) {
		t.Helper()
		l, err := log(phone, p)
		_, _, do := Judge(err)
		if l != nil || err == nil || !strings.Contains(do+err.Error(), says) {
			t.Errorf("%v, %v: %s; want words with %q", l, err, do, says)
		}
	}
	l, err := log("+"+s.Phone, &person{code: " " + s.Code + "\n"})
	if err != nil || l.User == 0 {
		t.Fatal(l, err)
	}
	if _, err := o.Check(t.Context(), Account{Session: l.Session}); err != nil {
		t.Error(err)
	}
	refused("+"+s.Phone, &person{code: "1"}, "take the newest")
	refused("+4930123456", &person{}, "country's code")
	if n := s.Asked("auth.sendCode"); n != 3 {
		t.Errorf("%d codes were sent for", n)
	}

	if err := s.SetPassword("correct horse", "the usual"); err != nil {
		t.Fatal(err)
	}
	good := &person{code: s.Code, password: "correct horse"}
	if l, err = log("+"+s.Phone, good); err != nil || strings.Join(good.asked, ",") != "code in the Telegram app of this account, on a device that is logged in,password the usual" {
		t.Fatalf("%v, asked %q", err, good.asked)
	}
	refused("+"+s.Phone, &person{code: s.Code}, "no password here")
	wrong := &person{code: s.Code, password: "battery staple"}
	refused("+"+s.Phone, wrong, "second password is wrong")
	if len(wrong.asked) != 2 {
		t.Errorf("asked %q", wrong.asked)
	}
	if err := o.LogOut(t.Context(), Account{Session: l.Session}); err != nil {
		t.Error(err)
	}
	if _, err := o.Adopt(t.Context(), l.Session); !errors.Is(err, ErrLoggedOut) {
		t.Errorf("after it: %v", err)
	}
	if said := fmt.Sprintf("%v %#v %+v", l, l, l); strings.Contains(said, "AuthKey") || strings.Contains(said, "91") {
		t.Errorf("a session is printed: %s", said)
	}
}

// TestJudge: what the service says of an account is a state that a person sees, and
// nothing is asked a second time by itself.
func TestJudge(t *testing.T) {
	var next atomic.Pointer[tgerr.Error]
	s := start(t, telegramtest.NewWorld(), telegramtest.Options{Fault: func(method string) error {
		if e := next.Load(); e != nil && (method == "auth.sendCode" || method == "users.getUsers" || method == "help.getConfig" && e.Type == "CONNECTION_API_ID_INVALID") {
			return e
		}
		return nil
	}})
	o := options(t, s)
	l, err := o.LogIn(t.Context(), s.Phone, &person{code: s.Code})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code  int
		what  string
		state State
		wait  time.Duration
	}{
		{420, "FLOOD_WAIT_3600", StateWaiting, time.Hour},
		{400, "PHONE_NUMBER_BANNED", StateBanned, 0},
		{401, "USER_DEACTIVATED_BAN", StateBanned, 0},
		{401, "USER_DEACTIVATED", StateBanned, 0},
		{401, "AUTH_KEY_UNREGISTERED", StateLoggedOut, 0},
		{401, "SESSION_REVOKED", StateLoggedOut, 0},
		{406, "AUTH_KEY_DUPLICATED", StateLoggedOut, 0},
		{400, "API_ID_INVALID", "", 0},
	} {
		next.Store(tgerr.New(c.code, c.what))
		before := s.Asked("auth.sendCode") + s.Asked("users.getUsers")
		var err error
		if c.code == 400 {
			_, err = o.LogIn(t.Context(), s.Phone, &person{code: s.Code})
		} else {
			_, err = o.Check(t.Context(), Account{Session: l.Session})
		}
		if state, wait, do := Judge(err); state != c.state || wait != c.wait || do == "" {
			t.Errorf("%s: %q for %s, %q (%v)", c.what, state, wait, do, err)
		}
		if n := s.Asked("auth.sendCode") + s.Asked("users.getUsers") - before; n != 1 {
			t.Errorf("%s: asked %d times, want once", c.what, n)
		}
	}
	next.Store(tgerr.New(400, "CONNECTION_API_ID_INVALID"))
	began, before := time.Now(), s.Asked("help.getConfig")
	_, err = o.Check(t.Context(), Account{Session: l.Session})
	if _, _, do := Judge(err); !strings.Contains(do, "app_id") || time.Since(began) > 2*time.Minute || s.Asked("help.getConfig")-before != 1 {
		t.Errorf("an application that is none: %q (%v) after %s, asked %d times", do, err, time.Since(began), s.Asked("help.getConfig")-before)
	}
	if state, _, do := Judge(errors.New("a full disk")); state != "" || do != "" {
		t.Errorf("of nothing: %q %q", state, do)
	}
}

// TestQR: a picture is scanned, one that got too old is shown anew, and a second
// password is asked for here too.
func TestQR(t *testing.T) {
	s := start(t, telegramtest.NewWorld(), telegramtest.Options{PictureLife: 2})
	if err := s.SetPassword("correct horse", ""); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	show := func(url string, until time.Time) error {
		if shown[url] || time.Until(until) > 3*time.Second {
			t.Errorf("%s, good until %s", url, until)
		}
		if shown[url] = true; len(shown) < 2 {
			return nil
		}
		return s.Scan(url)
	}
	l, err := options(t, s).LogInByQR(t.Context(), show, &person{password: "correct horse"})
	if err != nil || l.User == 0 || len(shown) != 2 {
		t.Errorf("%v, %v, %d pictures", l, err, len(shown))
	}
}

// TestLogInElsewhere: an account that lives in another data centre is logged in
// there, by code and by picture, and its session is of there.
func TestLogInElsewhere(t *testing.T) {
	s := start(t, telegramtest.NewWorld(), telegramtest.Options{Home: telegramtest.FileDC})
	o := options(t, s)
	byCode, err := o.LogIn(t.Context(), s.Phone, &person{code: s.Code})
	if err != nil {
		t.Fatal(err)
	}
	byPicture, err := o.LogInByQR(t.Context(), func(url string, _ time.Time) error { return s.Scan(url) }, &person{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Login{byCode, byPicture} {
		if d, err := decodeSession(l.Session); err != nil || d.DC != telegramtest.FileDC {
			t.Errorf("the session is of %d, %v", d.DC, err)
		}
	}
}
