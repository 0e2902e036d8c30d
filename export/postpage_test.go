package export_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"holdfast"
	"holdfast/canon"
	"holdfast/export"
	"holdfast/hashing"
	"holdfast/messages"
)

func onePost(t *testing.T) *export.Post {
	t.Helper()
	at := func(s string) holdfast.Time {
		var x holdfast.Time
		if err := x.UnmarshalText([]byte(s)); err != nil {
			t.Fatal(err)
		}
		return x
	}
	sight := func(s, how string) export.PostSight {
		return export.PostSight{At: at(s), How: how, Capture: holdfast.ID(strings.Repeat("a1", 16))}
	}
	line := func(text string) json.RawMessage {
		b, err := canon.Marshal(map[string]any{"text": text, "author": "<b>who</b>", "links": []string{"https://host.invalid/\u202egnp", "javascript:alert(1)"},
			"media": []map[string]any{{"kind": "photo", "name": "a\u202e.jpg", "size": 7}}, "forward": map[string]any{"name": "Other & co", "id": 3}, "reply_to": 4, "via": "4711", "topic": 12, "factcheck": "It is <i>not</i> so", "ttl": 60,
			"buttons": []map[string]any{{"kind": "url", "text": "Read <b>", "url": "javascript:alert(2)"}}, "poll": map[string]any{"question": "Is <i>it</i>?", "answers": []string{"yes", "no\u202e"}, "quiz": true, "public": true}})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	posted, stated, after, back := at("2026-01-01T00:00:00.000Z"), at("2026-01-02T00:00:00.000Z"), at("2026-01-03T00:00:00.000Z"), at("2026-01-06T00:00:00.000Z")
	p := &export.Post{AsOf: at("2026-01-09T00:00:00.000Z"), Channel: "77", ID: 5, Source: "telegram:@harbour/5", State: "absent", Title: "Harbour <news>\u202e", Training: true,
		Versions: []export.PostVersion{
			{Content: hashing.Of([]byte("1")), First: sight("2026-01-01T01:00:00.000Z", "history"), Last: sight("2026-01-01T02:00:00.000Z", "sweep"), Line: line("<script>alert(1)</script>\nsecond line \u202e\u0007"), Posted: &posted},
			{Content: hashing.Of([]byte("2")), First: sight("2026-01-02T01:00:00.000Z", "difference"), Last: sight("2026-01-03T00:00:00.000Z", "web"), Line: line(""), Posted: &posted, Edited: &stated},
			{Content: hashing.Of([]byte("3")), First: sight("2026-01-06T00:00:00.000Z", "newer way"), Last: sight("2026-01-06T00:00:00.000Z", "update")},
		},
		Edits: []export.PostEdit{{From: 1, To: 2, After: after, Before: back, How: "difference", Stated: &stated}},
		Absences: []export.PostAbsence{
			{State: "absent", First: sight("2026-01-04T00:00:00.000Z", "sweep"), Last: sight("2026-01-05T00:00:00.000Z", "sweep"), After: &after, Back: &back},
			{State: "unknown", First: sight("2026-01-07T00:00:00.000Z", "sweep"), Last: sight("2026-01-07T00:00:00.000Z", "sweep")},
			{State: "absent", Told: true, First: sight("2026-01-08T00:00:00.000Z", "difference"), Last: sight("2026-01-09T00:00:00.000Z", "sweep")},
		},
		Captures: []export.PostCapture{
			{Capture: holdfast.ID(strings.Repeat("a1", 16)), Manifest: hashing.Of([]byte("m")), State: export.Sealed, Seal: "00112233445566aa-0-00000000000000000001", Time: &back, Source: "telegram:@harbour"},
			{Capture: holdfast.ID(strings.Repeat("a2", 16)), Manifest: hashing.Of([]byte("n")), State: export.Pending, Source: "telegram:@harbour"}},
	}
	for i := range 700 {
		p.Series = append(p.Series, export.PostCount{At: posted, Capture: p.Captures[0].Capture, Views: int64(i)})
	}
	p.Series[0].Poll, p.Series[1].Poll, p.Series[2].Poll = json.RawMessage(`{"voters":9}`), json.RawMessage(`{"voters":9,"votes":[4,5]}`), json.RawMessage(`{"closed":true,"voters":7,"votes":[3,4]}`)
	return p
}

// TestPostPage: the page says all of it in each language, and runs nothing, asks
// for nothing and hides nothing, whatever the post says.
func TestPostPage(t *testing.T) {
	t.Parallel()
	p := onePost(t)
	langs, err := messages.Languages()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range langs {
		b, err := export.PostPage(p, lang)
		if err != nil {
			t.Fatal(err)
		}
		again, err := export.PostPage(p, lang)
		if err != nil || !bytes.Equal(b, again) {
			t.Errorf("%s: made again it is another one: %v", lang, err)
		}
		page := strings.ReplaceAll(string(b), "&#43;", "+")
		c, err := messages.Open(lang)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`lang="` + lang + `"`, c.Text("post.states", nil), c.Text("post.state.absent", nil), c.Text("page.training", nil), "&lt;script&gt;alert(1)&lt;/script&gt;\nsecond line ⟨U+202E⟩⟨U+0007⟩",
			"telegram:@harbour/5", "newer way", c.Text("post.unreadable", nil), c.Text("post.notext", nil), c.Text("state.pending", nil), p.Captures[0].Seal, p.Captures[1].Manifest.Hex(),
			"Other &amp; co", "https://host.invalid/⟨U+202E⟩gnp", `<td class="n">499</td>`, c.HTML("post.more", messages.Args{"more": 200}), "Is &lt;i&gt;it&lt;/i&gt;?", "no⟨U+202E⟩", "4711", "It is &lt;i&gt;not&lt;/i&gt; so", "Read &lt;b&gt;",
			c.HTML("post.poll.voters", messages.Args{"voters": int64(9)}), c.HTML("post.poll.votes", messages.Args{"voters": int64(9), "votes": messages.Code("4 · 5")}), c.HTML("post.poll.closed", messages.Args{"voters": int64(7), "votes": messages.Code("3 · 4")}), c.Text("post.unreadable", nil)} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: it does not say %q", lang, want)
			}
		}
		for _, bad := range []string{"⟦", "<script", "href=", "src=", "http-equiv=\"refresh", "\u202e", "\u0007", "<b>who", `<td class="n">500</td>`, "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: it holds %q", lang, bad)
			}
		}
		if places := regexp.MustCompile(`\{[a-z]+\}`).FindAllString(regexp.MustCompile(`(?s)<style>.*</style>`).ReplaceAllString(page, ""), -1); len(places) > 0 {
			t.Errorf("%s: places are not filled: %v", lang, places)
		}
	}
}

// TestPostEncode: post.json is canonical, has all of it and no list that is null.
func TestPostEncode(t *testing.T) {
	t.Parallel()
	for _, p := range []*export.Post{onePost(t), {ID: 7, State: "absent"}} {
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := canon.Check(b); err != nil {
			t.Error(err)
		}
		if bytes.Contains(b, []byte("null")) || !bytes.Contains(b, []byte(`"class":"derived"`)) || !bytes.Contains(b, fmt.Appendf(nil, `"id":%d,"kind":"post"`, p.ID)) {
			t.Errorf("it says %.300s", b)
		}
		if _, err := export.PostPage(p); err != nil {
			t.Error(err)
		}
	}
}
