package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/hashing"
)

// TestPolls: how a poll was answered is a series of its one version, from the
// command line and in post.json and post.html; what it asks is in its line.
func TestPolls(t *testing.T) {
	n, err := (&cli{out: new(bytes.Buffer), errs: new(bytes.Buffer)}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	head := map[string]any{"channel": "77", "method": "messages.getHistory", "names": []string{"alpha"}, "title": "Alpha"}
	for i, votes := range []map[string]any{{"voters": 2}, {"voters": 9, "votes": []int{4, 5}}, {"closed": true, "voters": 9, "votes": []int{4, 5}, "correct": []int{1}}} {
		poll := map[string]any{"answers": []string{"yes", "no"}, "question": "Is it?"}
		for k, v := range votes {
			poll[k] = v
		}
		acceptPosts(t, n, false, saidPosts(t, at.Add(time.Duration(i)*time.Minute), head,
			map[string]any{"content": hashing.Of([]byte("poll")), "id": 3, "kind": "message", "poll": poll, "posted": "2026-01-02T03:04:05.000Z"}))
	}
	out, _ := askPosts(t, n, exitDone, "--json", "posts", "@alpha/3", "--versions")
	var r struct {
		State    string
		Versions int
		Line     struct{ Poll struct{ Question string } }
		Counters struct{ Poll json.RawMessage }
		Series   []struct{ Poll json.RawMessage }
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	if r.State != "present" || r.Versions != 1 || r.Line.Poll.Question != "Is it?" || len(r.Series) != 3 || string(r.Series[0].Poll) != `{"voters":2}` ||
		string(r.Series[1].Poll) != `{"voters":9,"votes":[4,5]}` || string(r.Counters.Poll) != `{"closed":true,"correct":[1],"voters":9,"votes":[4,5]}` {
		t.Errorf("it says %s", out)
	}
	askPosts(t, n, exitDone, "seal")
	file := filepath.Join(t.TempDir(), "out.zip")
	askPosts(t, n, exitDone, "export", "telegram:@alpha/3", file)
	bundle, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{"post.json": {`"poll":{"closed":true,"correct":[1],"voters":9,"votes":[4,5]}`, `"question":"Is it?"`}, "post.html": {"Is it?", "4 · 5"}} {
		b := entryOf(t, bundle, name)
		for _, want := range wants {
			if !strings.Contains(string(b), want) {
				t.Errorf("%s does not say %s: %s", name, want, b)
			}
		}
	}
}

// entryOf returns what a ZIP holds under the first name that ends so.
func entryOf(t *testing.T, bundle []byte, end string) []byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(bundle), int64(len(bundle)))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/"+end) {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no %s", end)
	return nil
}
