package alert_test

import (
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/alert"
	"holdfast/alert/alerttest"
)

// TestOutbox: the outbox of one node.
func TestOutbox(t *testing.T) {
	alerttest.Run(t, func(t *testing.T) func() alerttest.Outbox {
		path := filepath.Join(t.TempDir(), "alerts.db")
		return func() alerttest.Outbox {
			o, err := alert.Open(t.Context(), path)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
	})
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
	b := alert.NewBatch(alerttest.Events(2))
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
	es := alerttest.Events(3)
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
	b := alert.NewBatch(alerttest.Events(1))
	if err := (alert.Target{To: s.URL, Secret: []byte("x")}).Tell(t.Context(), b, nil); err == nil || asked != 0 {
		t.Errorf("a certificate that nobody vouches for: asked %d, %v", asked, err)
	}
}
