package alert_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/alert"
)

func events(n int) (out []alert.Event) {
	for i := range n {
		out = append(out, alert.Event{ID: fmt.Sprintf("%032x", i), Rule: "r", Kind: "match", At: "2026-01-01T00:00:00.000Z", Node: "n", Words: fmt.Sprintf("words %d <&>", i), Text: "text"})
	}
	return out
}

// TestOutbox: what is found again is not told again, what is not taken waits longer
// each time, and each destination stands for itself; all of it outlives the process.
func TestOutbox(t *testing.T) {
	path, ctx, now := filepath.Join(t.TempDir(), "alerts.db"), t.Context(), time.Now()
	open := func() *alert.Outbox {
		o, err := alert.Open(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { o.Close() })
		return o
	}
	o := open()
	all := events(130)
	if n, err := o.Add(ctx, all, "a", "b"); n != 260 || err != nil {
		t.Fatal(n, err)
	}
	o.Close()
	o = open()
	if n, err := o.Add(ctx, all, "a", "b"); n != 0 || err != nil {
		t.Errorf("again: %d new, %v", n, err)
	}
	due, err := o.Due(ctx, "r", "a", now)
	if err != nil || len(due) != alert.MaxBatch || due[0] != all[0] {
		t.Fatalf("%d due, %v", len(due), err)
	}
	last := time.Duration(0)
	for i := range 12 {
		if err := o.Failed(ctx, "r", "a", errors.New(strings.Repeat("no ", 5000)), now); err != nil {
			t.Fatal(err)
		}
		s, err := o.State(ctx, "r", "a")
		wait := s.Next.Sub(now)
		if err != nil || s.Tries != int64(i+1) || wait < last || wait > 4*time.Hour || i == 0 && wait > 2*time.Minute || len(s.Error) > 5000 {
			t.Fatalf("after %d failures: %+v, %v", i+1, s, err)
		}
		last = wait
		if due, err := o.Due(ctx, "r", "a", now); err != nil || len(due) != 0 {
			t.Errorf("%d are due while it is waited, %v", len(due), err)
		}
	}
	if last < time.Hour {
		t.Errorf("it waits %s after 12 failures", last)
	}
	if due, err := o.Due(ctx, "r", "a", now.Add(last+time.Second)); err != nil || len(due) != alert.MaxBatch {
		t.Errorf("%d are due then, %v", len(due), err)
	}
	if due, err := o.Due(ctx, "r", "a", now.Add(-30*24*time.Hour)); err != nil || len(due) == 0 {
		t.Errorf("a clock that was set back: %d are due, %v", len(due), err)
	}
	if due, err := o.Due(ctx, "r", "b", now); err != nil || len(due) != alert.MaxBatch {
		t.Errorf("the other: %d are due, %v", len(due), err)
	}
	if err := o.Told(ctx, "r", "a", due, now); err != nil {
		t.Fatal(err)
	}
	s, err := o.State(ctx, "r", "a")
	if err != nil || s.Told != 100 || s.Waiting != 30 || s.Tries != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	rest, err := o.Due(ctx, "r", "a", now)
	if err != nil || len(rest) != 30 || rest[0] != all[100] {
		t.Errorf("%d are left, %v", len(rest), err)
	}
	if newest, err := o.Last(ctx, "r", "a", 5); err != nil || len(newest) != 5 || newest[0] != all[129] {
		t.Errorf("the newest: %v, %v", newest, err)
	}
	if err := o.Drop(ctx, "r"); err != nil {
		t.Fatal(err)
	}
	if s, err := o.State(ctx, "r", "a"); err != nil || s != (alert.State{}) {
		t.Errorf("dropped: %+v, %v", s, err)
	}
}

// TestTexts: the texts of what was told long ago go, their IDs stay.
func TestTexts(t *testing.T) {
	ctx := t.Context()
	o, err := alert.Open(ctx, filepath.Join(t.TempDir(), "alerts.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	all := events(500)
	if _, err := o.Add(ctx, all, "a"); err != nil {
		t.Fatal(err)
	}
	for {
		due, err := o.Due(ctx, "r", "a", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(due) == 0 {
			break
		}
		if err := o.Told(ctx, "r", "a", due, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if last, err := o.Last(ctx, "r", "a", 1000); err != nil || len(last) != 200 {
		t.Errorf("%d texts are kept, %v", len(last), err)
	}
	if n, err := o.Add(ctx, all, "a"); n != 0 || err != nil {
		t.Errorf("%d are new again, %v", n, err)
	}
}

func TestTargets(t *testing.T) {
	mail := alert.Mail{Server: "smtps://host", From: "node@host"}
	for to, ok := range map[string]bool{"https://host/x": true, "http://host/": false, "exec:/bin/true": true, "exec:true": false, "/a/b.atom": true, "b.atom": true, "mailto:a@b": true,
		"mailto:a": false, "mailto:a@b\r\nBcc: c@d": false, "ftp://x/y.atom": false, "": false, "x": false} {
		if err := (alert.Target{To: to, Mail: mail}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", to, err)
		}
	}
	for server, ok := range map[string]bool{"smtp://host": true, "smtps://host:99": true, "host": false, "http://host": false, "smtp://a@host": false, "smtp://": false} {
		if err := (alert.Target{To: "mailto:a@b", Mail: alert.Mail{Server: server, From: "c@d"}}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", server, err)
		}
	}
}

// TestSign: the signature is what anybody computes with the secret.
func TestSign(t *testing.T) {
	// printf '1700000000.{}' | openssl dgst -sha256 -hmac 'a secret of 16 ch'
	got := alert.Sign([]byte("a secret of 16 ch"), []byte("{}"), time.Unix(1_700_000_000, 0))
	if want := "t=1700000000,v1=1b42ad291a70b234ad65303b48ecf7469966f636080313042faee1c0a25146e3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestProgram: it gets the batch and nothing of this program's, and says with its exit
// whether it has taken it.
func TestProgram(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOLDFAST_SECRET", "hidden")
	program := filepath.Join(dir, "p")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ncat >"+dir+"/in; env >"+dir+"/env; test ! -e "+dir+"/no || { echo because >&2; exit 3; }\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	b := alert.NewBatch(events(2))
	target := alert.Target{To: "exec:" + program}
	if err := target.Tell(t.Context(), b, nil); err != nil {
		t.Fatal(err)
	}
	in, _ := os.ReadFile(dir + "/in")
	env, _ := os.ReadFile(dir + "/env")
	if !strings.Contains(string(in), `"id":"`+b.ID+`"`) || !strings.Contains(string(env), "HOLDFAST_ALERT="+b.ID) || strings.Contains(string(env), "hidden") {
		t.Errorf("it got %s and %s", in, env)
	}
	if err := os.WriteFile(dir+"/no", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := target.Tell(t.Context(), b, nil); err == nil || !strings.Contains(err.Error(), "because") {
		t.Errorf("it has not taken it: %v", err)
	}
}

// TestFeed: a file that any reader of XML takes, whole, whatever the text is.
func TestFeed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.atom")
	es := events(3)
	es[1].Words, es[1].Text = "]]> <b>\x01\ufffe", "\xff & \u202e"
	if err := (alert.Target{To: path}).Tell(t.Context(), alert.NewBatch(es), es); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Entries []struct {
			ID    string `xml:"id"`
			Title string `xml:"title"`
		} `xml:"entry"`
	}
	if err := xml.Unmarshal(b, &f); err != nil || len(f.Entries) != 3 || f.Entries[0].Title != es[0].Words || !strings.HasSuffix(f.Entries[2].ID, es[2].ID) {
		t.Errorf("%v: %s", err, b)
	}
}

// TestWebhook: no certificate of a stranger's, no clear text, no redirect.
func TestWebhook(t *testing.T) {
	asked := 0
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked++ }))
	defer s.Close()
	b := alert.NewBatch(events(1))
	if err := (alert.Target{To: s.URL, Secret: []byte("x")}).Tell(t.Context(), b, nil); err == nil || asked != 0 {
		t.Errorf("a certificate that nobody vouches for: asked %d, %v", asked, err)
	}
}
