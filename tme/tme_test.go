package tme

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func at(t testing.TB, s string) Address {
	t.Helper()
	a, ok := ParseAddress(s, Hosts())
	if !ok {
		t.Fatalf("%s is no address", s)
	}
	return a
}

// TestChannelPage guards what is read of a page of t.me's shape (written by hand
// from what programs that read the real site expect; the site was never reached).
func TestChannelPage(t *testing.T) {
	p, err := Read(fixture(t, "channel.html"), at(t, "https://t.me/s/Harbour_news?before=121"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Channel != "1001234567" || p.Title != "Harbour News ⚓" || p.Lowest() != 101 || p.Missing || p.At.Before != 121 {
		t.Errorf("channel %q, title %q, lowest %d", p.Channel, p.Title, p.Lowest())
	}
	if len(p.Unread) != 1 || !strings.Contains(p.Unread[0], "mallory") {
		t.Errorf("unread: %q", p.Unread)
	}
	l := Lines{Address: "https://t.me/s/Harbour_news", Received: "2026-01-02T03:04:05.000Z", Most: 1 << 20}
	b, err := l.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range bytes.Lines(b) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		delete(m, "content")
		delete(m, "text_digest")
		s, _ := json.Marshal(m)
		got = append(got, string(s))
	}
	want := []string{
		`{"address":"https://t.me/s/Harbour_news","channel":"1001234567","count":5,"kind":"posts","method":"web","names":["harbour_news"],"received":"2026-01-02T03:04:05.000Z","title":"Harbour News ⚓","training":false,"unread":{"byte":0,"why":"block 6: it is post \"mallory_channel/1\", of no channel that was asked for"},"version":1}`,
		`{"id":101,"kind":"service","posted":"2024-05-01T07:00:00.000Z","text":"Channel name was changed to «Harbour News»"}`,
		`{"author":"The Editor","edited_mark":true,"forward":{"author":"A. Writer","id":77,"name":"The Other Channel","username":"other_channel"},"id":102,"kind":"message","links":["https://host.invalid/a?b=1\u0026c=2"],"media":[{"kind":"photo"},{"kind":"webpage","name":"A title"}],"mentions":["reporter_a"],"posted":"2024-05-01T07:30:05.000Z","reply_to":99,"text":"⚡️ Fire at the harbour, see here\n\nby @Reporter_A #fire","views_shown":"79.8K"}`,
		`{"grouped":true,"id":104,"kind":"message","links":["https://host.invalid/more"],"media":[{"kind":"photo","post":104},{"kind":"video","post":105}],"posted":"2024-05-01T08:00:00.000Z","text":"Two pictures","views":177}`,
		`{"id":106,"kind":"message","not_shown":true,"posted":"2024-05-01T08:01:00.000Z"}`,
		`{"id":107,"kind":"message","media":[{"kind":"audio","name":"A song"},{"kind":"poll","name":"Is it so?"}],"posted":"2024-05-01T08:02:00.000Z"}`,
	}
	if len(got) != len(want) {
		t.Fatalf("%d lines: %s", len(got), b)
	}
	for i, w := range want {
		if got[i] != w {
			t.Errorf("line %d:\n%s\nwant\n%s", i, got[i], w)
		}
	}
	l.Most = 8<<10 + 600
	if b, _ := l.Encode(p); len(b) > l.Most || !bytes.Contains(b, []byte("do not fit")) || !bytes.Contains(b, []byte(`"count":1,`)) {
		t.Errorf("bounded: %s", b)
	}
}

// TestOneContent guards that one post on both kinds of page is one version, and
// that what only counts, or comes later, makes none; an edit does.
func TestOneContent(t *testing.T) {
	channel, err := Read(fixture(t, "channel.html"), at(t, "https://t.me/s/harbour_news"))
	if err != nil {
		t.Fatal(err)
	}
	post := fixture(t, "post.html")
	one, err := Read(post, at(t, "https://t.me/Harbour_News/102?embed=1"))
	if err != nil || len(one.Posts) != 1 || one.Channel != channel.Channel || one.Title != "Harbour News" {
		t.Fatalf("%+v, %v", one, err)
	}
	if channel.Posts[1].Content != one.Posts[0].Content || one.Posts[0].EditedMark {
		t.Error("the same post on the other page is another version")
	}
	for from, same := range map[string]bool{"80K": true, "p2.jpg": true, "The Other Channel": true, "Fire at": false, "</b>,": false, "message_photo_wrap": false, "host.invalid/a": false} {
		p, err := Read(bytes.ReplaceAll(post, []byte(from), []byte("1")), one.At)
		if err != nil || len(p.Posts) != 1 {
			t.Fatalf("%s: %+v, %v", from, p, err)
		}
		if (p.Posts[0].Content == one.Posts[0].Content) != same {
			t.Errorf("%s changed: the same version %v, want %v", from, !same, same)
		}
	}
}

// TestMissing guards that "not found" is taken for nothing else.
func TestMissing(t *testing.T) {
	b := fixture(t, "missing.html")
	post := at(t, "https://t.me/harbour_news/9?embed=1")
	p, err := Read(b, post)
	if err != nil || !p.Missing || len(p.Posts) != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	if m, err := (Lines{Address: "https://t.me/harbour_news/9?embed=1", Received: "2026-01-02T03:04:05.000Z"}).Missing(p); err != nil ||
		string(m) != `{"address":"https://t.me/harbour_news/9?embed=1","kind":"missing-post","name":"harbour_news","post":9,"received":"2026-01-02T03:04:05.000Z","said":"Post not found","training":false,"version":1}` {
		t.Errorf("%s %v", m, err)
	}
	for name, c := range map[string]struct {
		b  []byte
		at Address
	}{
		"another error":     {bytes.ReplaceAll(b, []byte("Post not found"), []byte("Channel with username <b>@harbour_news</b> not found")), post},
		"a channel's page":  {b, at(t, "https://t.me/s/harbour_news")},
		"beside a post":     {bytes.Replace(fixture(t, "post.html"), []byte("<script"), []byte(`<div class="tgme_widget_message_error">Post not found</div><script`), 1), post},
		"beside a bad post": {bytes.Replace(b, []byte("<div"), []byte(`<div class="tgme_widget_message" data-post="x"></div><div`), 1), post},
		"said twice":        {bytes.Replace(b, []byte("</body>"), []byte(`<div class="tgme_widget_message_error">Post not found</div></body>`), 1), post},
		"a text of a post":  {bytes.Replace(b, []byte("tgme_widget_message_error"), []byte("x"), 1), post},
	} {
		if p, err := Read(c.b, c.at); err != nil || p.Missing {
			t.Errorf("%s: missing %v, %v", name, p != nil && p.Missing, err)
		}
	}
}

// TestAddress guards that only what came from there is of a channel.
func TestAddress(t *testing.T) {
	for s, want := range map[string]Address{
		"https://t.me/s/Harbour_news":                    {Channel: "harbour_news"},
		"https://t.me:443/s/harbour_news":                {Channel: "harbour_news"},
		"https://telegram.me/s/harbour_news?before=20":   {Channel: "harbour_news", Before: 20},
		"https://t.me/s/harbour_news/7":                  {Channel: "harbour_news"},
		"https://t.me/harbour_news/7?embed=1":            {Channel: "harbour_news", Post: 7},
		"https://t.me/harbour_news/7?embed=1&mode=tme#a": {Channel: "harbour_news", Post: 7},
	} {
		if a, ok := ParseAddress(s, Hosts()); !ok || a != want {
			t.Errorf("%s: %+v %v", s, a, ok)
		}
	}
	for _, s := range []string{"http://t.me/s/harbour_news", "https://t.me.host.invalid/s/harbour_news", "https://host.invalid/s/harbour_news", "https://t.me@host.invalid/s/harbour_news",
		"https://u@t.me/s/harbour_news", "https://t.me:8443/s/harbour_news", "https://xt.me/s/harbour_news", "https://t.me/harbour_news/7", "https://t.me/harbour_news", "https://t.me/s/", "https://t.me/s/a",
		"https://t.me/harbour_news/0?embed=1", "https://t.me/harbour_news/7/8?embed=1", "https://t.me/s/h%61rbour_news%2f", "https://t.me/harbour_news/99999999999?embed=1"} {
		if a, ok := ParseAddress(s, Hosts()); ok {
			t.Errorf("%s is taken for %+v", s, a)
		}
	}
	if a, ok := ParseAddress("https://127.0.0.1:4443/s/harbour_news", []string{"127.0.0.1:4443"}); !ok || a.Channel != "harbour_news" {
		t.Error("the host that was named is not taken")
	}
	if PostPage(Base, "harbour_news", 7) != "https://t.me/harbour_news/7?embed=1" || ChannelPage(Base, "harbour_news", 20) != "https://t.me/s/harbour_news?before=20" {
		t.Error("the addresses that are asked for")
	}
}

// TestRefused guards that what is cut, too large, or of two minds gives no posts.
func TestRefused(t *testing.T) {
	b := fixture(t, "channel.html")
	here := at(t, "https://t.me/s/harbour_news")
	for name, c := range map[string][]byte{
		"cut":        b[:len(b)*3/4],
		"too large":  append(bytes.Repeat([]byte(" "), MaxPage), b...),
		"empty":      nil,
		"post twice": bytes.ReplaceAll(b, []byte(`"Harbour_news/104"`), []byte(`"Harbour_news/102"`)),
	} {
		if p, err := Read(c, here); !errors.Is(err, ErrPage) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	other, err := Read(bytes.Replace(b, []byte("eyJjIjotMTAwMTIzNDU2NywicCI6MTA2fQ"), []byte("eyJjIjotOTk5fQ"), 1), here)
	if err != nil || len(other.Posts) != 4 || other.Channel != "1001234567" {
		t.Errorf("a block of another number: %+v, %v", other, err)
	}
	none, err := Read(bytes.ReplaceAll(b, []byte("data-view="), []byte("data-x=")), here)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := (Lines{Most: 1 << 20}).Encode(none); l != nil || err != nil {
		t.Errorf("posts of no channel: %s %v", l, err)
	}
	two, err := Read(bytes.Replace(b, []byte(`<div class="tgme_widget_message_poll `), []byte(`<div class="js-message_text">a</div><div class="js-message_text">b</div><div class="`), 1), here)
	if err != nil || len(two.Posts) != 4 {
		t.Errorf("two texts: %+v, %v", two, err)
	}
	// What fuzzing found: an element that lacks what is always in it.
	bare, err := Read([]byte(`<div class="tgme_widget_message" data-post="harbour_news/1" data-view="eyJjIjotOTk5fQ"><a class="tgme_widget_message_date"></a><span class="tgme_widget_message_via"></span>
<div class="tgme_widget_message_forwarded_from"></div><a class="tgme_widget_message_reply"></a><div class="tgme_widget_message_document_wrap"></div><div class="tgme_widget_message_poll"></div></div></html>`), here)
	if err != nil || len(bare.Posts) != 1 || bare.Posts[0].Posted != "" {
		t.Errorf("bare: %+v, %v", bare, err)
	}
	deep, err := Read([]byte(strings.Repeat("<div>", 300)+strings.Repeat("<b>", 5000)+"</html>"), here)
	if err == nil && len(deep.Posts) != 0 {
		t.Errorf("deep: %+v", deep)
	}
}

// FuzzRead: whatever comes, it ends, is bounded, and gives lines that a catalog
// reads.
func FuzzRead(f *testing.F) {
	for _, n := range []string{"channel.html", "post.html", "missing.html"} {
		f.Add(fixture(f, n))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, a := range []Address{{Channel: "harbour_news"}, {Channel: "harbour_news", Post: 102}} {
			p, err := Read(b, a)
			if err != nil {
				if !errors.Is(err, ErrPage) {
					t.Fatal(err)
				}
				continue
			}
			l := Lines{Address: "https://t.me/s/harbour_news", Received: "2026-01-02T03:04:05.000Z", Most: 64 << 10}
			lines, err := l.Encode(p)
			if err != nil || len(lines) > l.Most {
				t.Fatalf("%d bytes, %v", len(lines), err)
			}
			if lines != nil {
				check(t, lines)
			}
		}
	})
}
