package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// TestRetryAfter guards what is believed of an answer that asks to be left alone: both
// forms, of 429 and 503 alone, by the site's own clock, never longer than a day.
func TestRetryAfter(t *testing.T) {
	got := time.Date(2026, 3, 1, 8, 0, 0, 400e6, time.UTC)
	site := got.Add(-72 * time.Hour) // its clock is three days behind
	date := site.Format(http.TimeFormat)
	for _, c := range []struct {
		status       int
		value, date  string
		least, most  time.Duration
		says, notNow bool
	}{
		{429, "120", "", 120 * time.Second, 122 * time.Second, true, true},
		{503, " 120\t", date, 120 * time.Second, 122 * time.Second, true, true},
		{503, "0", "", 0, 2 * time.Second, true, false},
		{503, site.Add(time.Hour).Format(http.TimeFormat), date, time.Hour - time.Second, time.Hour + 2*time.Second, true, true},
		{429, got.Add(time.Hour).Format(http.TimeFormat), "", time.Hour - time.Second, time.Hour + 2*time.Second, true, true},
		{429, got.Add(time.Hour).Format(time.RFC850), "no date", time.Hour - time.Second, time.Hour + 2*time.Second, true, true},
		{429, site.Add(-time.Hour).Format(http.TimeFormat), date, 0, 2 * time.Second, true, false},
		{503, "86401", "", collectors.MaxAgain, collectors.MaxAgain + time.Second, true, true},
		{503, "99999999999999999999999999", "", collectors.MaxAgain, collectors.MaxAgain + time.Second, true, true},
		{503, strings.Repeat("9", 100_000), "", collectors.MaxAgain, collectors.MaxAgain + time.Second, true, true},
		{503, "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", collectors.MaxAgain, collectors.MaxAgain + time.Second, true, true},
		{503, "", "", 0, 0, false, false}, {503, "-5", "", 0, 0, false, false}, {503, "+5", "", 0, 0, false, false}, {503, "1.5", "", 0, 0, false, false},
		{503, "5, 10", "", 0, 0, false, false}, {503, "0x10", "", 0, 0, false, false}, {503, "５", "", 0, 0, false, false}, {503, "soon", "", 0, 0, false, false},
		{200, "120", "", 0, 0, false, false}, {301, "120", "", 0, 0, false, false}, {500, "120", "", 0, 0, false, false}, {404, "120", "", 0, 0, false, false},
	} {
		x := &exchange{status: c.status, headed: got, fields: warc.Fields{{Name: "retry-after", Value: c.value}, {Name: "Date", Value: c.date}}}
		at := againAt(x)
		if at.IsZero() == c.says {
			t.Errorf("%d %.40q: %s", c.status, c.value, at)
			continue
		}
		if wait := at.Sub(got); c.says && (wait < c.least || wait > c.most) {
			t.Errorf("%d %.40q: after %s, want %s to %s", c.status, c.value, wait, c.least, c.most)
		}
	}
	if at := againAt(nil); !at.IsZero() {
		t.Error("without an answer", at)
	}
}

// TestLeftAlone guards that what a real site says comes out of a capture, in the exact
// way and in the browser's own, and that nothing but the page's own answer counts.
func TestLeftAlone(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/later":
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "<title>later</title><p>We are at it.")
		case "/date":
			w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, "<title>later</title><p>Too many.")
		case "/part":
			fmt.Fprint(w, `<title>page</title><p>words<img src="/later">`)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}), nil)
	c := newCollector(t, Options{})
	for _, k := range []struct {
		path, options string
		says          bool
	}{{"/later", "", true}, {"/date", "", true}, {"/later", Decoded, true}, {"/part", "", false}} {
		begun := time.Now()
		req := collectors.Request{Source: "http://" + s.addr + k.path, AllowPrivate: true}
		if k.options != "" {
			req.Options = []byte(k.options)
		}
		a, _ := collect(t, c, req)
		if wait := a.Again.Sub(begun); a.Again.IsZero() == k.says || k.says && (wait < time.Hour-2*time.Second || wait > time.Hour+time.Minute+time.Since(begun)) {
			t.Errorf("%s %s: %s (%s from its begin), %v", k.path, k.options, a.Again, wait, a.Reasons)
		}
		if k.says && (a.Outcome != collectors.Failed || !strings.Contains(fmt.Sprint(a.Reasons), "left alone until")) {
			t.Errorf("%s %s: %s %v", k.path, k.options, a.Outcome, a.Reasons)
		}
	}
}
