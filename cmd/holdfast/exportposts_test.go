package main

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"

	"holdfast"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/export"
	"holdfast/tl"
)

// wholeBundle is all bytes of a Bundle, by name; what is base64 in it once more,
// decoded.
func wholeBundle(t *testing.T, path string) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	all := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		all[f.Name] = b
		for i, run := range regexp.MustCompile(`[A-Za-z0-9+/]{24,}={0,2}`).FindAll(b, -1) {
			if in, err := base64.StdEncoding.DecodeString(string(run)); err == nil {
				all[fmt.Sprintf("%s, base64 %d", f.Name, i)] = in
			}
		}
	}
	return all
}

// where are the files that hold a text.
func where(all map[string][]byte, text string) (out []string) {
	for name, b := range all {
		if bytes.Contains(b, []byte(text)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// harbour is a node with a channel of posts 1 to n, each with its number in words
// of its own, captured once.
func harbour(t *testing.T, n int) (*node, *telegramtest.Channel, func(source string, wish taskOptions)) {
	t.Helper()
	w := telegramtest.NewWorld()
	ch := w.Channel(1234, "harbour", "Harbour news")
	for i := range n {
		ch.Post(fmt.Sprintf("word-%d-of-it", i+1), func(m *tg.Message) { m.SetViews(i) })
	}
	s, err := telegramtest.Start(w, telegramtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	_, node := roundNode(t)
	by := telegram.NewCollector(telegram.CollectorOptions{Line: lineTo(t, s), Training: true})
	collect := func(source string, o taskOptions) {
		t.Helper()
		r := roundOf(node, by)
		r.run(t.Context(), []wish{{id: addTask(t, node, source, o)}})
		r.names.end(t.Context())
	}
	collect("telegram:@harbour", taskOptions{})
	return node, ch, collect
}

// provenBundle is the verdict of the program under the node's own Policy.
func provenBundle(t *testing.T, n *node, path string) {
	t.Helper()
	out, errs := askPosts(t, n, exitDone, "verify", "--policy", n.path("policy.json"), path)
	if !strings.HasPrefix(out, "PROVEN") {
		t.Errorf("verify says %s%s", out, errs)
	}
}

// TestExportPost: a post that was edited and deleted, out of captures that show a
// hundred others: all that is about it, and no byte of a neighbour.
func TestExportPost(t *testing.T) {
	n, ch, collect := harbour(t, 250)
	ch.Edit(50, "word-50-of-it, changed")
	collect("telegram:@harbour/50", taskOptions{})
	ch.Delete(50)
	collect("telegram:@harbour/50", taskOptions{})
	askPosts(t, n, exitDone, "seal")
	file := filepath.Join(t.TempDir(), "post.zip")
	askPosts(t, n, exitUsage, "export", "telegram:@harbour", file)
	askPosts(t, n, exitUsage, "export", "telegram:@harbour/50", file, "--since", "2026-01-01")
	askPosts(t, n, exitUsage, "export", "t.me/+abc", file)
	if _, errs := askPosts(t, n, exitCould, "export", "telegram:@harbour/251", file); !strings.Contains(errs, "was never seen") {
		t.Errorf("a post that nobody has seen: %s", errs)
	}
	askPosts(t, n, exitDone, "export", "telegram:@harbour/50", file, "--pages", "no")
	provenBundle(t, n, file)
	all := wholeBundle(t, file)
	for i := range 250 {
		if got := where(all, fmt.Sprintf("word-%d-of-it", i+1)); i+1 != 50 && len(got) > 0 {
			t.Errorf("post %d is in %v", i+1, got)
		}
	}
	var names []string
	for name := range all {
		if f, ok := strings.CutPrefix(name, "data/exhibits/"); ok && !strings.Contains(f, "base64") && !strings.HasSuffix(f, ".salt") {
			names = append(names, f)
		}
	}
	slices.Sort(names)
	want := `1/exchange.json 1/manifest.json 1/slices/answer.tl/m-50 1/slices/messages.jsonl/m-50 1/slices/posts.jsonl/head 1/slices/posts.jsonl/m-50 ` +
		`2/exchange.json 2/manifest.json 2/slices/answer.tl/m-50 2/slices/messages.jsonl/m-50 2/slices/posts.jsonl/m-50 ` +
		`3/exchange.json 3/manifest.json 3/slices/answer.tl/m-50 3/slices/messages.jsonl/m-50`
	if got := strings.Join(names, " "); got != want {
		t.Errorf("it has\n%s, want\n%s", got, want)
	}
	if got := where(all, "word-50-of-it"); len(got) != 6 {
		t.Errorf("the post is in %v", got)
	}
	if st, err := os.Stat(file); err != nil || st.Size() > 400<<10 {
		t.Errorf("%d bytes: %v", st.Size(), err)
	}
}

// TestExportPages: the page of a post is an exhibit of its own, sealed with the rest,
// in the language that was asked for; it says what the exhibits show, and is not made
// again while nothing has changed.
func TestExportPages(t *testing.T) {
	n, ch, collect := harbour(t, 120)
	ch.Edit(50, "word-50-of-it, changed")
	collect("telegram:@harbour/50", taskOptions{})
	ch.Delete(50)
	collect("telegram:@harbour/50", taskOptions{})
	dir := t.TempDir()
	file := filepath.Join(dir, "post.zip")
	out, errs := askPosts(t, n, exitDone, "--json", "export", "telegram:@harbour/50", file, "--lang", "fr") // seals what it needs
	if !strings.Contains(out, `"exhibits":4`) || !strings.Contains(out, `"unsealed":0`) {
		t.Errorf("export says %s%s", out, errs)
	}
	provenBundle(t, n, file)
	all := wholeBundle(t, file)
	for i := range 120 {
		if got := where(all, fmt.Sprintf("word-%d-of-it", i+1)); i+1 != 50 && len(got) > 0 {
			t.Errorf("post %d is in %v", i+1, got)
		}
	}
	page := string(all["data/exhibits/1/post.html"])
	for _, want := range []string{`lang="fr"`, "Elle ne prouve rien par elle-même", ">word-50-of-it<", "word-50-of-it, changed", "telegram:@harbour/50"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	trust := filepath.Join(dir, "trust")
	askPosts(t, n, exitDone, "policy", "export", "--dir", trust)
	if said, err := exec.CommandContext(t.Context(), "bash", "../../export/verify.sh", "--trust", trust, file).CombinedOutput(); err != nil {
		t.Errorf("verify.sh: %v: %s", err, said)
	}
	var doc export.Post
	if err := json.Unmarshal(all["data/exhibits/1/post.json"], &doc); err != nil {
		t.Fatal(err)
	}
	if doc.State != "absent" || len(doc.Versions) != 2 || len(doc.Edits) != 1 || len(doc.Absences) != 1 || len(doc.Captures) != 3 || len(doc.Series) != 2 || doc.Absences[0].First.How != "sweep" || doc.Absences[0].After == nil {
		t.Errorf("post.json says %+v", doc)
	}
	for _, c := range doc.Captures { // what it names is here
		if got := where(all, c.Manifest.Hex()); !slices.Contains(got, "00-READ-ME-FIRST.html") {
			t.Errorf("capture %s is in %v", c.Capture, got)
		}
	}
	var m holdfast.Manifest
	if err := json.Unmarshal(all["data/exhibits/1/manifest.json"], &m); err != nil || m.Collection.Egress != "none" || len(m.Transformations) != 2 || m.Completeness.Asked != 0 {
		t.Errorf("manifest %+v: %v", m, err)
	}
	count := func() int {
		out, _ := askPosts(t, n, exitDone, "--json", "list")
		return strings.Count(out, "\n")
	}
	before := count()
	askPosts(t, n, exitDone, "export", "telegram:@harbour/50", filepath.Join(dir, "again.zip"), "--lang", "fr")
	again := wholeBundle(t, filepath.Join(dir, "again.zip"))
	if count() != before || !bytes.Equal(all["data/exhibits/1/post.html"], again["data/exhibits/1/post.html"]) || !strings.Contains(page, "-0-0000") {
		t.Errorf("%d captures, before %d", count(), before)
	}
	ch.React(51, 3)
	collect("telegram:@harbour/51", taskOptions{}) // which asks for its neighbours too
	askPosts(t, n, exitDone, "export", "telegram:@harbour/50", filepath.Join(dir, "third.zip"), "--lang", "fr")
	if count() <= before+2 {
		t.Errorf("the same page for what has changed: %d captures, before %d", count(), before)
	}
	if out, errs := askPosts(t, n, exitDone, "custody", string(n.set.Unfiled)); strings.Contains(errs, "BROKEN") {
		t.Errorf("custody: %s%s", out, errs)
	}
	askPosts(t, n, exitDone, "rebuild")
	askPosts(t, n, exitDone, "export", "@harbour", filepath.Join(dir, "all.zip"), "--since", "2001-01-01")
	provenBundle(t, n, filepath.Join(dir, "all.zip"))
	window := wholeBundle(t, filepath.Join(dir, "all.zip"))
	pages := 0
	for name := range window {
		if strings.HasSuffix(name, "/post.html") {
			pages++
		}
	}
	if got := where(window, `"kind":"coverage"`); len(got) != 1 || !strings.HasSuffix(got[0], "/coverage.json") {
		t.Errorf("the statement of completeness is in %v", got)
	}
	if pages != 120 {
		t.Errorf("%d pages of 120 posts", pages)
	}
}

// TestExportPostOfACase: what another Case has captured is not shown, and no page
// tells of it.
func TestExportPostOfACase(t *testing.T) {
	n, _, collect := harbour(t, 30)
	askPosts(t, n, exitDone, "case", "new", "first")
	askPosts(t, n, exitDone, "case", "new", "second")
	if err := n.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	unfiled := n.set.Unfiled
	for _, name := range []string{"first", "second"} {
		cs, err := n.cat.Case(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		n.set.Unfiled = cs.ID
		collect("telegram:@harbour/7", taskOptions{})
	}
	n.set.Unfiled = unfiled
	askPosts(t, n, exitDone, "seal")
	file := filepath.Join(t.TempDir(), "one.zip")
	out, errs := askPosts(t, n, exitDone, "--json", "export", "telegram:@harbour/7", file, "--case", "second")
	if !strings.Contains(out, `"exhibits":1,`) || !strings.Contains(errs, "1 posts have no page") {
		t.Errorf("export says %s%s", out, errs)
	}
	provenBundle(t, n, file)
	if got := where(wholeBundle(t, file), "first"); len(got) > 0 && slices.Contains(got, "data/custody.jsonl") {
		t.Errorf("the other case is in %v", got)
	}
	if _, errs := askPosts(t, n, exitCould, "export", "telegram:@harbour/29", filepath.Join(t.TempDir(), "x.zip"), "--case", "second"); !strings.Contains(errs, "belongs to case") {
		t.Errorf("a post that the case has not: %s", errs)
	}
}

// TestExportWindow: posts of a time, in parts too.
func TestExportWindow(t *testing.T) {
	n, _, _ := harbour(t, 250)
	askPosts(t, n, exitDone, "seal")
	out, _ := askPosts(t, n, exitDone, "--json", "posts", "@harbour")
	var posted []string
	for line := range strings.Lines(out) {
		var row struct{ Posted string }
		if err := json.Unmarshal([]byte(line), &row); err != nil || row.Posted == "" {
			t.Fatalf("no post: %q, %v", line, err)
		}
		posted = append(posted, row.Posted)
	}
	if len(posted) != 250 {
		t.Fatalf("%d posts", len(posted))
	}
	dir := t.TempDir()
	askPosts(t, n, exitCould, "export", "@harbour", filepath.Join(dir, "none.zip"), "--until", "2001-01-01")
	file := filepath.Join(dir, "all.zip")
	askPosts(t, n, exitDone, "export", "@harbour", file, "--since", posted[0], "--pages", "no")
	provenBundle(t, n, file)
	all := wholeBundle(t, file)
	for i := range 250 {
		if got := where(all, fmt.Sprintf("word-%d-of-it", i+1)); len(got) != 3 {
			t.Errorf("post %d is in %v", i+1, got)
		}
	}
	askPosts(t, n, exitDone, "export", "@harbour", filepath.Join(dir, "part.zip"), "--since", posted[0], "--pages", "no", "--size", "1MiB")
	provenBundle(t, n, filepath.Join(dir, "part-1.zip"))
}

// TestUpdatesOf: of a difference, what edits one of the posts, and deletions of them
// alone.
func TestUpdatesOf(t *testing.T) {
	message := func(id int) tg.MessageClass {
		return &tg.Message{ID: id, PeerID: &tg.PeerChannel{ChannelID: 1}, Message: "words"}
	}
	d := &tg.UpdatesChannelDifference{Pts: 9, NewMessages: []tg.MessageClass{message(1)}, OtherUpdates: []tg.UpdateClass{
		&tg.UpdateEditChannelMessage{Message: message(5)}, &tg.UpdateEditChannelMessage{Message: message(6)},
		&tg.UpdateDeleteChannelMessages{ChannelID: 1, Messages: []int{5, 6}}, &tg.UpdateDeleteChannelMessages{ChannelID: 1, Messages: []int{5, 7}},
		&tg.UpdateDeleteChannelMessages{ChannelID: 1}, &tg.UpdateChannel{ChannelID: 1},
	}}
	var b bin.Buffer
	if err := d.Encode(&b); err != nil {
		t.Fatal(err)
	}
	a, err := tl.Split(b.Buf)
	if err != nil || a.Unread != nil || len(a.Updates) != 6 {
		t.Fatalf("%d updates: %v, %v", len(a.Updates), err, a.Unread)
	}
	var o holdfast.Object
	for i, u := range a.Updates {
		o.Slices = append(o.Slices, holdfast.Slice{Name: fmt.Sprintf("u-%d", i), Offset: int64(u.Offset), Length: int64(u.Length)})
	}
	if got := updatesOf(b.Buf, o, map[int64]bool{5: true, 7: true}); strings.Join(got, " ") != "u-0 u-3" {
		t.Errorf("shown: %v", got)
	}
	o.Slices[0].Length--
	if got := updatesOf(b.Buf, o, map[int64]bool{5: true, 6: true}); strings.Join(got, " ") != "u-1 u-2" {
		t.Errorf("shown where one slice is another: %v", got)
	}
}

// TestUpdateLines: the line of an update is shown where the update is, and no other.
func TestUpdateLines(t *testing.T) {
	o := holdfast.Object{Role: telegram.RoleSchema}
	for i, name := range []string{"m-4", "m-5", "u-0", "u-1", "u-5"} {
		o.Slices = append(o.Slices, holdfast.Slice{Name: name, Offset: int64(i), Length: 1})
	}
	for _, role := range []string{telegram.RoleSchema, telegram.RolePosts} {
		o.Role = role
		got, err := (&shownPosts{}).slicesOf(t.Context(), nil, o, map[int64]bool{5: true}, map[string]bool{"u-1": true, "m-4": true})
		if err != nil || strings.Join(got, " ") != "m-5 u-1" {
			t.Errorf("%s: shown %v, %v", role, got, err)
		}
	}
}

// TestNamesOnly: a head is shown where it names no other post.
func TestNamesOnly(t *testing.T) {
	posts := map[int64]bool{5: true}
	for head, want := range map[string]bool{
		`{"asked":[5],"channel":"7","count":1,"kind":"posts","names":["abcd"],"unread":null}`: true,
		`{"absent":[5],"deleted":[5],"unread":null}`:                                          true,
		`{"asked":[4,5],"unread":null}`:                                                       false,
		`{"absent":[4],"unread":null}`:                                                        false,
		`{"deleted":[6],"unread":null}`:                                                       false,
		`{"unread":{"byte":7,"why":"words of another"}}`:                                      false,
		`{"newer":["words of another"],"unread":null}`:                                        false,
		`[]`: false, ``: false,
	} {
		if got := namesOnly([]byte(head), posts); got != want {
			t.Errorf("%s: shown %t", head, got)
		}
	}
}
