package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gotd/td/tgerr"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/telegramtest"
)

// canaryLines are the lines about a canary, in short.
func canaryLines(t *testing.T, n *node) (all []string) {
	t.Helper()
	err := n.outbox.Lines(n.set.Unfiled, func(b []byte, _ holdfast.Head) error {
		var l holdfast.Line
		if err := json.Unmarshal(b, &l); err != nil || !strings.HasPrefix(l.Action, "canary-") {
			return err
		}
		var w canaryWritingX
		var m canaryMeasuredX
		if err := errors.Join(json.Unmarshal(l.X, &w), json.Unmarshal(l.X, &m)); err != nil {
			return err
		}
		s := l.Action
		if w.Act != "" {
			s += " " + w.Act
		}
		for _, a := range m.Acts {
			s += fmt.Sprintf(" %s:%s", a.Act, a.Result)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

// TestCanaryRound guards what is left of a round, whatever comes between: of each act a
// line is there when the service is asked; the post goes, also where the edit was
// refused, where nobody said whether it was posted, and where somebody stops it.
func TestCanaryRound(t *testing.T) {
	n, err := (&cli{out: new(bytes.Buffer), errs: new(bytes.Buffer)}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	var mu sync.Mutex
	var fault func(method string) error
	asked := func(method string) error {
		act := map[string]string{"messages.sendMessage": actPost, "messages.editMessage": actEdit, "channels.deleteMessages": actDelete}[method]
		if act == "" {
			return nil
		}
		if all := canaryLines(t, n); len(all) == 0 || all[len(all)-1] != canaryWriting+" "+act {
			t.Errorf("asked for %s, and the last line is of %q", method, all)
		}
		mu.Lock()
		defer mu.Unlock()
		if fault != nil {
			return fault(method)
		}
		return nil
	}
	w := telegramtest.NewWorld()
	ch := w.Channel(1001, "own_channel", "Own")
	ch.Admin(telegramtest.OtherID)
	ch.Post("one")
	s, err := telegramtest.Start(w, telegramtest.Options{Fault: asked})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	servers, err := telegram.ParseServers(s.File())
	if err != nil {
		t.Fatal(err)
	}
	o := telegram.Options{App: telegram.App{ID: 1, Hash: "hash"}, Servers: servers, Connect: 3 * time.Minute}
	l, err := o.LogIn(t.Context(), "+"+s.Other, asker{code: s.Code})
	if err != nil {
		t.Fatal(err)
	}
	place := canaryPlace{source: "telegram:@own_channel", channel: "1001", id: 1001, home: n.set.Unfiled, cases: []holdfast.ID{n.set.Unfiled}}
	x := &canaryRun{c: &cli{out: new(bytes.Buffer), json: true}, n: n, account: "c1", within: time.Millisecond, canaryPlace: place}
	stopped, stop := context.WithCancel(t.Context())
	for _, d := range []struct {
		name  string
		ctx   context.Context
		fault func(method string) error
		lines string
		err   error
	}{
		{name: "missed", lines: "canary-writing post, canary-writing edit, canary-writing delete, canary-measured post:missed edit:missed delete:missed"},
		{name: "edit refused", err: telegram.ErrMayNot, lines: "canary-writing post, canary-writing edit, canary-writing delete, canary-measured post:missed edit:refused delete:missed", fault: func(method string) error {
			if method == "messages.editMessage" {
				return tgerr.New(403, "CHAT_ADMIN_REQUIRED")
			}
			return nil
		}},
		{name: "post refused", err: telegram.ErrMayNot, lines: "canary-writing post, canary-measured post:refused", fault: func(string) error { return tgerr.New(403, "CHAT_WRITE_FORBIDDEN") }},
		{name: "posted, and nobody said so", err: telegram.ErrUnclear, lines: "canary-writing post, canary-writing delete, canary-measured post:unclear delete:missed", fault: func(method string) error {
			if method == "messages.sendMessage" {
				var token canaryWritingX
				_ = n.outbox.Lines(n.set.Unfiled, func(b []byte, _ holdfast.Head) error {
					var l holdfast.Line
					if err := json.Unmarshal(b, &l); err == nil && l.Action == canaryWriting {
						_ = json.Unmarshal(l.X, &token)
					}
					return nil
				})
				ch.Post(telegram.CanaryText(token.Token, 1))
				return tgerr.New(500, "RANDOM_ID_DUPLICATE")
			}
			return nil
		}},
		{name: "stopped", ctx: stopped, err: errStoppedCanary, lines: "canary-writing post, canary-writing delete, canary-measured post:missed delete:missed", fault: func(method string) error {
			if method == "messages.sendMessage" {
				stop()
			}
			return nil
		}},
		{name: "delete refused, and cleaned by the next", err: telegram.ErrMayNot, lines: "canary-writing post, canary-writing edit, canary-writing delete, canary-measured post:missed edit:missed delete:refused", fault: func(method string) error {
			if method == "channels.deleteMessages" {
				return tgerr.New(403, "MESSAGE_DELETE_FORBIDDEN")
			}
			return nil
		}},
		{name: "the next", lines: "canary-writing delete, canary-cleaned, canary-writing post, canary-writing edit, canary-writing delete, canary-measured post:missed edit:missed delete:missed"},
	} {
		mu.Lock()
		fault = d.fault
		mu.Unlock()
		before := len(canaryLines(t, n))
		ctx := d.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		err := o.RunCanary(t.Context(), telegram.Account{Name: "c1", Session: l.Session}, telegram.Name{Channel: "own_channel"}, 1001, func(line context.Context, k *telegram.Canary) error {
			if err := x.clean(line, k); err != nil {
				return err
			}
			acts, err := x.round(ctx, line, k)
			return errors.Join(x.measured(line, acts), err)
		})
		if d.err == nil && err != nil || !errors.Is(err, d.err) {
			t.Errorf("%s: %v", d.name, err)
		}
		if got := strings.Join(canaryLines(t, n)[before:], ", "); got != d.lines {
			t.Errorf("%s:\n%s\nwant\n%s", d.name, got, d.lines)
		}
		there := map[int]bool{}
		for _, e := range ch.Life() {
			there[e.ID] = e.What != telegramtest.Deleted
		}
		left := 0
		for _, is := range there {
			if is {
				left++
			}
		}
		if want := map[bool]int{true: 2, false: 1}[strings.HasPrefix(d.name, "delete refused")]; left != want {
			t.Errorf("%s: %d posts are there, want %d", d.name, left, want)
		}
	}
}

// TestCanaryTold: what was missed before `watch run` began is told when it begins; what
// is measured from then on once, whatever it is.
func TestCanaryTold(t *testing.T) {
	n, err := (&cli{out: new(bytes.Buffer), errs: new(bytes.Buffer)}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	out := new(bytes.Buffer)
	w := &watchRun{n: n, tell: &teller{c: &cli{out: out, json: true}, n: n}, list: map[holdfast.ID]*watched{}}
	for _, source := range []holdfast.Source{"telegram:@bad", "telegram:@good"} {
		w.list[holdfast.NewID()] = &watched{watch: watch{Source: source}}
	}
	keep := func(source holdfast.Source, missed ...string) {
		t.Helper()
		if err := n.keepCanary(canaryLast{Source: source, At: holdfast.At(time.Now()), Made: 3, Seen: 3 - len(missed), Missed: missed}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // another time of change
	}
	told := func(want ...string) {
		t.Helper()
		out.Reset()
		w.canaries()
		w.canaries()
		var got []string
		for line := range strings.Lines(out.String()) {
			var row struct{ Event, Source, Why string }
			if err := json.Unmarshal([]byte(line), &row); err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%s %s %t", row.Event, row.Source, row.Why != ""))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	keep("telegram:@bad", "edit of post 7 (missed)")
	keep("telegram:@good")
	keep("telegram:@not_watched", "edit of post 7 (missed)")
	told("canary telegram:@bad true")
	told()
	keep("telegram:@good")
	told("canary telegram:@good false")
	keep("telegram:@bad")
	told("canary telegram:@bad false")
	if _, ok := n.canaryLasts()["telegram:@bad"]; !ok {
		t.Error("nothing is kept")
	}
}
