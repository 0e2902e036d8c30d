package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/collectors"
	"holdfast/egress"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// TestWayOut: the Case's demand stands above the node's default, a call that
// says otherwise is refused, and nothing that is not there becomes direct.
func TestWayOut(t *testing.T) {
	n := &node{dir: t.TempDir(), set: &nodedir.Settings{Via: "b"}}
	if err := wholefile.WriteJSON(n.path(fileEgresses), egress.List{{Name: "a", URL: "socks5://127.0.0.1:1"}, {Name: "b", URL: "http://127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		via, demanded, want string
		bad                 bool
	}{
		{"", "", "b", false}, {"direct", "", "direct", false}, {"a", "", "a", false}, {"socks5://h:1", "", "socks5://h:1", false},
		{"", "a", "a", false}, {"a", "a", "a", false}, {"b", "a", "", true}, {"direct", "a", "", true}, {"socks5://h:1", "a", "", true},
		{"gone", "", "", true}, {"", "gone", "", true}, {"", "direct", "direct", false}, {"socks5://u:p@h:1", "", "", true}, {"ftp://h:1", "", "", true},
	} {
		got, err := n.wayOut(c.via, c.demanded)
		if (err != nil) != c.bad || err == nil && got != c.want {
			t.Errorf("--via %q, Case %q: %q, %v", c.via, c.demanded, got, err)
		}
	}
	if _, err := n.wayOut("u:secret@h:1", ""); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a login without a scheme: %v", err)
	}
	if _, err := n.via("gone"); !errors.Is(err, egress.ErrNone) {
		t.Errorf("%v", err)
	}
}

// TestRetryMove: pauses grow and stay bounded, the end rides in the Task, what
// the site answered ends it, and after the end there is no more.
func TestRetryMove(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	failed := func(code string) *collectors.Acquired {
		return &collectors.Acquired{Outcome: collectors.Failed, Reasons: []collectors.Reason{{Code: code}}}
	}
	o := taskOptions{RetryFor: time.Hour}
	task := pipeline.Task{ID: holdfast.NewID()}
	m, err := o.move(task, failed("dns-failed"), now, now)
	if err != nil || m.Done || m.Attempt != 1 || m.Due.Before(now.Add(400*time.Millisecond)) || m.Due.After(now.Add(2*time.Second)) {
		t.Errorf("%+v, %v", m, err)
	}
	task.Cursor, task.Attempt = m.Cursor, 30
	later := now.Add(30 * time.Minute)
	m, _ = o.move(task, failed("connection-closed"), later, later)
	if d := m.Due.Sub(later); m.Done || d < 2*time.Minute || d > 8*time.Minute {
		t.Errorf("pause %s", d)
	}
	nearEnd := now.Add(time.Hour - time.Second)
	if m, _ = o.move(task, failed("time-budget"), nearEnd, nearEnd); m.Done || m.Due.After(now.Add(time.Hour)) {
		t.Errorf("%+v: want one last attempt at the end", m)
	}
	if m, _ = o.move(task, failed("time-budget"), nearEnd, now.Add(time.Hour)); !m.Done {
		t.Error("tried again after the end")
	}
	for _, code := range []string{"http-status", "address-refused", "login-wall", "bot-wall", "consent-wall", "geo-wall", "not-found", "screenshot-failed"} {
		if m, _ = o.move(task, failed(code), now, now); !m.Done {
			t.Errorf("%s is tried again", code)
		}
	}
	if m, _ = (taskOptions{}).move(task, failed("dns-failed"), now, now); !m.Done {
		t.Error("tried again though nobody asked")
	}
}
