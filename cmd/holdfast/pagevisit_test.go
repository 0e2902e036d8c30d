package main

import (
	"testing"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// TestShows: a failure, a wall and a page that says that there is none are not the page.
func TestShows(t *testing.T) {
	for code, want := range map[string]bool{"incomplete": true, "login-wall": false, notFound: false, "not-found": false, "bot-wall": false, "consent-wall": false} {
		a := &collectors.Acquired{Outcome: collectors.Partial, Reasons: []collectors.Reason{{Code: code}}}
		if shows(a) != want {
			t.Errorf("%s: %t", code, !want)
		}
	}
	if shows(&collectors.Acquired{Outcome: collectors.Failed}) {
		t.Error("a failure is the page")
	}
}

// TestVisitWords: what a visit was follows from its place alone.
func TestVisitWords(t *testing.T) {
	id, other := holdfast.NewID(), holdfast.NewID()
	for want, v := range map[string]pipeline.Version{"first": {Fingerprint: "x", Since: id, Number: 1}, "changed": {Fingerprint: "x", Since: id, Number: 2}, "unchanged": {Fingerprint: "x", Since: other, Number: 2},
		"unread": {Since: other, Number: 2}, "failed": {Since: other, Failures: 1}} {
		if got := visitWords(&v, id); got != want {
			t.Errorf("%+v is %s, want %s", v, got, want)
		}
	}
}
