package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// saidPosts is posts.jsonl with a head and the lines given.
func saidPosts(t *testing.T, at time.Time, head map[string]any, lines ...map[string]any) []byte {
	t.Helper()
	all := map[string]any{"count": len(lines), "kind": "posts", "received": holdfast.At(at), "training": true, "unread": nil, "version": 1}
	for k, v := range head {
		all[k] = v
	}
	var out bytes.Buffer
	for _, l := range append([]map[string]any{all}, lines...) {
		b, err := canon.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(b, '\n'))
	}
	return out.Bytes()
}

// saidPost is a line; its content is its text.
func saidPost(id int, text string, views int) map[string]any {
	d := hashing.Of([]byte(text))
	return map[string]any{"content": d, "id": id, "kind": "message", "posted": "2026-01-02T03:04:05.000Z", "text": text, "text_digest": d, "views": views}
}

// acceptPosts takes a hand-made capture through intake; a Kept one lies in the
// store as an Object of its own.
func acceptPosts(t *testing.T, n *node, kept bool, body []byte) holdfast.ID {
	t.Helper()
	intake := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	o := collectors.Object{Name: "posts.jsonl", Role: catalog.RolePosts, MediaType: "application/jsonl", Size: int64(len(body)), Digest: hashing.Of(body), Inline: body}
	if kept {
		if _, _, err := n.store.Put(t.Context(), bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		o.Kept, o.Inline = true, nil
	}
	now := time.Now()
	a := &collectors.Acquired{Started: now, Ended: now, Outcome: collectors.Complete, Objects: []collectors.Object{o}}
	got, err := intake.Accept(t.Context(), pipeline.Task{ID: holdfast.NewID(), Source: "https://t.me/s/alpha", Case: n.set.Unfiled}, a, nil)
	if err != nil {
		t.Fatal(err)
	}
	return got.ID
}

// removeObject takes an Object's file from the store.
func removeObject(t *testing.T, n *node, d hashing.Digest) (gone int) {
	t.Helper()
	err := filepath.WalkDir(n.path("store"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.Contains(path, d.Hex()) {
			gone++
			return os.Remove(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return gone
}

// askPosts runs the program.
func askPosts(t *testing.T, n *node, code int, args ...string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := run(t.Context(), append([]string{"--data", n.dir}, args...), strings.NewReader(""), &o, &e); got != code {
		t.Fatalf("%v: exit %d, want %d: %s", args, got, code, e.String())
	}
	return o.String(), e.String()
}

// postLines shows of each row what a test compares.
func postLines(t *testing.T, out string, of func(id holdfast.ID) string) string {
	t.Helper()
	var s strings.Builder
	for line := range strings.Lines(out) {
		var r struct {
			Channel, State, How, Text        string
			ID, Version, Versions            int
			Capture                          holdfast.ID
			FirstSeen, LastSeen, FirstAbsent string
			Gone                             holdfast.ID `json:"gone_capture"`
			GoneHow                          string      `json:"gone_how"`
			TextDigest                       string      `json:"text_digest"`
			CaptureState                     string      `json:"capture_state"`
			Counters                         struct{ Views int }
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Text != "" && r.TextDigest != hashing.Of([]byte(r.Text)).String() {
			t.Errorf("text %q is not of %s", r.Text, r.TextDigest)
		}
		fmt.Fprintf(&s, "%s %d %s %d/%d %q %q %s gone %q %s %d views %q\n", r.Channel, r.ID, r.State, r.Version, r.Versions, r.Text, r.How, of(r.Capture), r.GoneHow, of(r.Gone), r.Counters.Views, r.CaptureState)
	}
	return s.String()
}

// TestPosts: captures with posts.jsonl, inline and large, through intake; the
// answers from the queue, after the seal, and after a rebuild are the same.
func TestPosts(t *testing.T) {
	n, err := (&cli{out: new(bytes.Buffer), errs: new(bytes.Buffer)}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if _, errs := askPosts(t, n, exitCould, "posts", "@alpha"); !strings.Contains(errs, "holdfast capture telegram:@alpha") {
		t.Errorf("nothing is known, and it says: %s", errs)
	}
	askPosts(t, n, exitUsage, "posts", "https://t.me/+invitation")
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	step := func() time.Time { at = at.Add(time.Minute); return at }
	names := map[holdfast.ID]string{"": "-"}
	give := func(name string, kept bool, body []byte) { names[acceptPosts(t, n, kept, body)] = name }
	of := func(id holdfast.ID) string { return names[id] }
	here := func(method string, more map[string]any) map[string]any {
		m := map[string]any{"channel": "77", "method": method, "names": []string{"alpha", "beta"}, "title": "Alpha"}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	give("page", false, saidPosts(t, step(), here("messages.getHistory", nil), saidPost(3, "three", 1), saidPost(2, "two", 1), saidPost(1, "one", 1)))
	large := saidPosts(t, step(), here("messages.getHistory", nil), saidPost(2, "two, changed", 5))
	give("large", true, large)
	give("swept", false, saidPosts(t, step(), here("channels.getMessages", map[string]any{"absent": []int{3, 4}, "asked": []int{2, 3, 4}}), saidPost(2, "two, changed", 7)))
	give("blind", false, saidPosts(t, step(), here("channels.getMessages", map[string]any{"absent": []int{1}, "asked": []int{1}})))
	give("told", false, saidPosts(t, step(), here("updates.getChannelDifference", map[string]any{"deleted": []int{9}})))
	give("bad", false, []byte("{}\n"))
	want := `77 1 unknown 1/1 "one" "history" page gone "sweep" blind 1 views "STATE"
77 2 edited 1/2 "two" "history" page gone "" - 7 views "STATE"
77 2 edited 2/2 "two, changed" "history" large gone "" - 7 views "STATE"
77 3 absent 1/1 "three" "history" page gone "sweep" swept 1 views "STATE"
77 9 absent 0/0 "" "" - gone "difference" told 0 views ""
`
	check := func(when, state string) {
		t.Helper()
		out, _ := askPosts(t, n, exitDone, "posts", "telegram:@alpha", "--versions", "--json")
		if got, w := postLines(t, out, of), strings.ReplaceAll(want, "STATE", state); got != w {
			t.Errorf("%s:\n%s\nwant\n%s", when, got, w)
		}
	}
	check("in the queue", "pending")
	askPosts(t, n, exitDone, "rebuild")
	check("in the queue, rebuilt", "pending")
	askPosts(t, n, exitDone, "seal")
	check("sealed", "sealed")
	if _, errs := askPosts(t, n, exitCould, "rebuild"); !strings.Contains(errs, "posts: kind") { // the bad one is told
		t.Errorf("rebuild says %s", errs)
	}
	check("sealed, rebuilt", "sealed")
	for args, ids := range map[string]string{"posts @beta": "1 2 3 9", "posts @alpha --deleted": "3 9", "posts https://t.me/s/alpha/2": "2", "posts @alpha --deleted --versions": "3 9"} {
		out, _ := askPosts(t, n, exitDone, strings.Fields(args)...)
		var got []string
		for line := range strings.Lines(out) {
			got = append(got, strings.Fields(line)[0])
		}
		if strings.Join(got, " ") != ids {
			t.Errorf("%s lists %v, want %s:\n%s", args, got, ids, out)
		}
	}
	askPosts(t, n, exitCould, "posts", "@alpha/8")
	one, _ := askPosts(t, n, exitDone, "--json", "posts", "@alpha/2")
	if views := regexp.MustCompile(`"views":\d+`).FindAllString(one, -1); strings.Join(views, " ") != `"views":7 "views":5 "views":1 "views":5 "views":7` { // the last, its version's line, then the series
		t.Errorf("its counters were %v: %s", views, one)
	}

	// A text that cannot be read any more is null; what is known of the post stays.
	if gone := removeObject(t, n, hashing.Of(large)); gone != 1 {
		t.Fatalf("%d files of the large object", gone)
	}
	out, errs := askPosts(t, n, exitDone, "--json", "posts", "@alpha/2", "--versions")
	if !strings.Contains(out, `"text":"two"`) || !strings.Contains(out, `"text":null`) || !strings.Contains(errs, "cannot be read") || strings.Count(out, "\n") != 2 {
		t.Errorf("without the large object: %s%s", out, errs)
	}

	give("moved", false, saidPosts(t, step(), map[string]any{"channel": "88", "method": "messages.getHistory", "names": []string{"alpha"}, "title": "\x1b[31mOther"}, saidPost(1, "other", 0)))
	out, errs = askPosts(t, n, exitDone, "posts", "@alpha")
	if strings.Count(out, "\n") != 5 || !strings.Contains(out, "88 ") || !strings.Contains(errs, "2 channels") || strings.Contains(errs, "\x1b") {
		t.Errorf("a name that has moved: %s%s", out, errs)
	}
}
