package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"holdfast"
	"holdfast/collectors"
)

// TestVisitHow guards what a row may say of how a page is visited, that what it leaves out
// stays as it was, and that a list of an older program means what it meant.
func TestVisitHow(t *testing.T) {
	for _, f := range []howFlags{{session: "No"}, {session: "../x"}, {consent: "accept"}, {more: "all"}, {decoded: "true"}, {films: "youtube-dl"}} {
		if h, err := f.how(); err == nil {
			t.Errorf("%+v is %+v", f, h)
		}
	}
	h := visitHow{}
	for _, step := range []struct {
		give howFlags
		want visitHow
	}{
		{howFlags{session: "reader", consent: "leave"}, visitHow{Session: "reader", Consent: "leave"}},
		{howFlags{more: "none", decoded: "yes"}, visitHow{"reader", "leave", "none", true, ""}},
		{howFlags{}, visitHow{"reader", "leave", "none", true, ""}},
		{howFlags{consent: "refuse", decoded: "no"}, visitHow{Session: "reader", More: "none"}},
		{howFlags{session: "none", more: "buttons", films: "yt-dlp"}, visitHow{Films: "yt-dlp"}},
		{howFlags{films: "none"}, visitHow{}},
	} {
		other, err := step.give.how()
		if h.take(step.give, other); err != nil || h != step.want || !h.sound() {
			t.Errorf("%+v makes it %+v, %v; want %+v", step.give, h, err, step.want)
		}
	}
	for _, h := range []visitHow{{Session: "none"}, {Session: "No"}, {Consent: "refuse"}, {More: "all"}, {Films: "youtube-dl"}, {Films: "yt-dlp", Decoded: true}} {
		if h.sound() {
			t.Errorf("%+v is kept", h)
		}
	}
	channel := &watch{Source: "telegram:@harbour", Cases: []holdfast.ID{holdfast.NewID()}, visitHow: visitHow{Session: "reader"}}
	if channel.sound() {
		t.Error("a channel has a session")
	}
	b, err := json.Marshal(&watch{Source: "https://host.test/", Cases: channel.Cases, Schedule: "decaying"})
	if err != nil || bytes.Contains(b, []byte("session")) || bytes.Contains(b, []byte("consent")) {
		t.Errorf("%s, %v", b, err)
	}
	if o, err := (visitHow{}).page().options(false); o != nil || err != nil {
		t.Errorf("a Task of an older program is another one now: %s, %v", o, err)
	}
}

// TestSessionWaits guards that a session which is not there, or cannot be used, is one
// Task's affair: it ends no call and holds nothing else.
func TestSessionWaits(t *testing.T) {
	for _, err := range []error{errNoSession, collectors.ErrSession, missingSession("reader")} {
		if err = fmt.Errorf("capture https://host.test/: %w", err); !taskWaits(err) || !sessionWaits(err) {
			t.Errorf("%v ends all", err)
		}
	}
	if err := errors.New("no browser"); taskWaits(err) || sessionWaits(err) {
		t.Errorf("%v is of a session", err)
	}
}
