package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// TestLinkFrom: why a page was captured is read as it was written.
func TestLinkFrom(t *testing.T) {
	in := holdfast.NewID()
	for _, c := range []struct {
		why  string
		by   holdfast.ID
		post int64
	}{
		{linkWhy(linkLine{ID: 7, Content: hashing.Of(nil)}, "telegram:@harbour", in), in, 7},
		{fmt.Sprintf("%s of telegram:@harbour/7 names it", in), in, 0},
		{"post 7 of telegram:@harbour, content x, in capture nothing, links to it", "", 0},
		{linkWhy(linkLine{ID: -1}, "telegram:@harbour", in), "", 0}, {"seen in the news", "", 0}, {"", "", 0},
	} {
		if by, post := linkFrom(holdfast.Found{Why: c.why}); by != c.by || post != c.post {
			t.Errorf("%q: %q, %d", c.why, by, post)
		}
	}
}

// TestExportBeside: what is about a post alone is beside it, under whichever name the
// channel had then; what is another channel's under the same name, another post's, or
// shows more than the post, is not.
func TestExportBeside(t *testing.T) {
	_, n := roundNode(t)
	in := &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}
	give := func(source, why, final string, objects ...collectors.Object) holdfast.ID {
		t.Helper()
		now := time.Now()
		a := &collectors.Acquired{Started: now, Ended: now, Outcome: collectors.Complete, Objects: objects}
		if final != "" {
			a.Address = collectors.Address{Asked: source, Final: final}
		}
		got, err := in.Accept(t.Context(), pipeline.Task{ID: holdfast.NewID(), Source: holdfast.Source(source), Case: n.set.Unfiled, Found: holdfast.Found{How: "test", Why: why}}, a, nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.ID
	}
	object := func(name, role, text string) collectors.Object {
		return collectors.Object{Name: name, Role: role, MediaType: "text/plain", Size: int64(len(text)), Digest: hashing.Of([]byte(text)), Inline: []byte(text)}
	}
	at := time.Now().Add(-time.Hour)
	answer := func(source, channel, name string, posts ...map[string]any) holdfast.ID {
		at = at.Add(time.Minute)
		b := saidPosts(t, at, map[string]any{"channel": channel, "method": "messages.getHistory", "names": []string{name}, "title": "A"}, posts...)
		return give(source, "", "", object("posts.jsonl", catalog.RolePosts, string(b)))
	}
	linked := func(id int) map[string]any {
		p := saidPost(id, "see", 1)
		p["links"] = []string{"host.example/x"}
		return p
	}
	first := answer("telegram:@alpha", "77", "alpha", linked(5), linked(6))
	answer("telegram:@betab", "77", "betab", linked(5))
	answer("telegram:@alpha", "88", "alpha", saidPost(5, "another channel's", 1))
	media := func(channel, text string) {
		give("telegram:@alpha/5", "", "", object("file", telegram.RoleMedia, text), object(telegram.NameMedia, telegram.RoleMediaJSON, `{"channel":"`+channel+`","post":5}`))
	}
	media("77", "FILE-OF-77")
	media("88", "FILE-OF-88")
	page := func(source, final, why, text string) { give(source, why, final, object("source.html", "source", text)) }
	const link = "https://host.example/x"
	page(link, link, linkWhy(linkLine{ID: 5, Content: hashing.Of(nil)}, "telegram:@alpha", first), "PAGE-FOR-5")
	page(link, link, linkWhy(linkLine{ID: 6, Content: hashing.Of(nil)}, "telegram:@alpha", first), "PAGE-FOR-6")
	page(link, link, string(first)+" of telegram:@alpha names it", "PAGE-NAMED")
	page(link, link, "seen in the news", "PAGE-ELSE")
	for _, name := range []string{"alpha", "betab"} {
		embed := "https://t.me/" + name + "/5?embed=1"
		page(embed, embed, "", "SILENT-"+name)
		page(embed, "", "", "NOTHING-"+name) // no answer came
		page(embed, "https://t.me/s/"+name, "", "SHOWS-ALL-"+name)
	}
	askPosts(t, n, exitDone, "seal")
	file := filepath.Join(t.TempDir(), "post.zip")
	askPosts(t, n, exitDone, "export", "telegram:@betab/5", file, "--pages", "no")
	provenBundle(t, n, file)
	all := wholeBundle(t, file)
	for text, want := range map[string]bool{"FILE-OF-77": true, "FILE-OF-88": false, "PAGE-FOR-5": true, "PAGE-FOR-6": false, "PAGE-NAMED": true, "PAGE-ELSE": false,
		"SILENT-betab": true, "NOTHING-betab": true, "SHOWS-ALL-betab": false, "SILENT-alpha": false, "SHOWS-ALL-alpha": false, "another channel's": false} {
		if got := where(all, text); (len(got) == 1 && strings.HasPrefix(got[0], "data/exhibits/")) != want {
			t.Errorf("%s is in %v", text, got)
		}
	}
}
