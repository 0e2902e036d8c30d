package tme

import (
	"strings"
	"testing"
)

// TestCompare guards what is said of two views of one post, field by field: a page
// that lacks something does not show it, one that says otherwise differs.
func TestCompare(t *testing.T) {
	for _, c := range []struct{ name, record, page, want string }{
		{"the same",
			`{"author":"A","content":"x","edited":"2026-01-02T03:04:05.000Z","forward":{"channel":"9","id":77},"id":5,"kind":"message","links":["Host.invalid/a","https://host.invalid"],"media":[{"kind":"photo"},{"kind":"webpage"}],"posted":"2026-01-01T00:00:00.000Z","reply_to":4,"text":"a\nb","views":9}`,
			`{"author":"A","edited_mark":true,"forward":{"id":77,"name":"Other","username":"other"},"id":5,"kind":"message","links":["http://host.invalid/a","https://host.invalid/"],"media":[{"kind":"photo"}],"posted":"2026-01-01T00:00:00.000Z","reply_to":4,"text":"a\nb","views_shown":"1K"}`,
			"author= date= edited= forward= kind= links= media= reply_to= text="},
		{"nothing beside the text", `{"id":5,"kind":"message","text":"a"}`, `{"id":5,"kind":"message","text":"a"}`,
			"author= date= edited= forward= kind= links= media= reply_to= text="},
		{"all differs",
			`{"author":"A","forward":{"channel":"9","id":77},"id":5,"kind":"message","links":["a.invalid"],"media":[{"kind":"photo"}],"posted":"2026-01-01T00:00:00.000Z","reply_to":4,"text":"a"}`,
			`{"author":"B","edited_mark":true,"forward":{"id":78},"id":5,"kind":"service","links":["http://b.invalid"],"media":[{"kind":"video"}],"posted":"2026-01-01T00:00:01.000Z","reply_to":3,"text":"b"}`,
			"author! date! edited! forward! kind! links! media? reply_to! text?"},
		{"text and media differ", `{"id":5,"kind":"message","media":[{"kind":"photo"}],"text":"a"}`, `{"id":5,"kind":"message","text":"a "}`,
			"author= date= edited= forward= kind= links= media! reply_to= text!"},
		{"text is gone from the page", `{"id":5,"kind":"message","text":"a"}`, `{"id":5,"kind":"message"}`, "author= date= edited= forward= kind= links= media= reply_to= text!"},
		{"media on the page only", `{"id":5,"kind":"message"}`, `{"id":5,"kind":"message","media":[{"kind":"photo"}]}`, "author= date= edited= forward= kind= links= media! reply_to= text="},
		{"the page lacks",
			`{"author":"A","id":5,"kind":"message","links":["a.invalid","b.invalid"],"posted":"2026-01-01T00:00:00.000Z","reply_to":4,"text":"a"}`,
			`{"id":5,"kind":"message","links":["http://a.invalid"],"text":"a"}`,
			"author? date? edited= forward= kind= links? media= reply_to? text="},
		{"a link too many", `{"id":5,"kind":"message"}`, `{"id":5,"kind":"message","links":["http://a.invalid"]}`, "author= date= edited= forward= kind= links! media= reply_to= text="},
		{"the page does not show it", `{"forward":{"id":7},"id":5,"kind":"message","media":[{"kind":"story"}],"text":"a"}`, `{"id":5,"kind":"message","not_shown":true}`,
			"author= date= edited= forward? kind= links= media? reply_to= text?"},
		{"a reaction is no edit", `{"edit_hidden":true,"edited":"2026-01-02T03:04:05.000Z","id":5,"kind":"message"}`, `{"id":5,"kind":"message"}`,
			"author= date= edited= forward= kind= links= media= reply_to= text="},
		{"edited since", `{"id":5,"kind":"message"}`, `{"edited_mark":true,"id":5,"kind":"message"}`, "author= date= edited! forward= kind= links= media= reply_to= text="},
		{"not edited there", `{"edited":"2026-01-02T03:04:05.000Z","id":5,"kind":"message"}`, `{"id":5,"kind":"message"}`, "author= date= edited! forward= kind= links= media= reply_to= text="},
		{"forwarded, says one", `{"forward":{"channel":"9","id":77},"id":5,"kind":"message"}`, `{"id":5,"kind":"message"}`, "author= date= edited= forward! kind= links= media= reply_to= text="},
		{"a person's forward", `{"forward":{"name":"A. B."},"id":5,"kind":"message"}`, `{"forward":{"name":"A. B."},"id":5,"kind":"message"}`, "author= date= edited= forward= kind= links= media= reply_to= text="},
		{"another person's", `{"forward":{"name":"A. B."},"id":5,"kind":"message"}`, `{"forward":{"name":"C. D."},"id":5,"kind":"message"}`, "author= date= edited= forward! kind= links= media= reply_to= text="},
		{"an account behind it", `{"forward":{"date":"x"},"id":5,"kind":"message"}`, `{"forward":{"name":"C. D."},"id":5,"kind":"message"}`, "author= date= edited= forward? kind= links= media= reply_to= text="},
		{"an album", `{"album":"1","id":5,"kind":"message","media":[{"kind":"photo"}]}`, `{"grouped":true,"id":5,"kind":"message","media":[{"kind":"photo","post":5},{"kind":"video","post":6}]}`,
			"author= date= edited= forward= kind= links= media= reply_to= text="},
		{"an album that does not say which", `{"album":"1","id":5,"kind":"message","media":[{"kind":"photo"}]}`, `{"grouped":true,"id":5,"kind":"message","media":[{"kind":"photo"},{"kind":"video"}]}`,
			"author= date= edited= forward= kind= links= media? reply_to= text="},
		{"kinds that the page does not tell apart", `{"id":5,"kind":"message","media":[{"kind":"animation"},{"kind":"venue"}]}`, `{"id":5,"kind":"message","media":[{"kind":"location"},{"kind":"video"}]}`,
			"author= date= edited= forward= kind= links= media= reply_to= text="},
	} {
		all, err := Compare([]byte(c.record), []byte(c.page))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, f := range all {
			got = append(got, f.Name+map[string]string{Equal: "=", Differs: "!", NotShown: "?"}[f.Result])
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, s, c.want)
		}
		if worst := Worst(all); (worst == Differs) != strings.Contains(c.want, "!") {
			t.Errorf("%s: in all %s", c.name, worst)
		}
	}
	for _, c := range [][2]string{{`{"id":5}`, `{"id":6}`}, {`{}`, `{}`}, {`[]`, `{"id":5}`}, {`{"id":5}`, `x`}} {
		if f, err := Compare([]byte(c[0]), []byte(c[1])); err == nil {
			t.Errorf("%v: %v", c, f)
		}
	}
}
