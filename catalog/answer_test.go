package catalog_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/catalog/catalogtest"
	"holdfast/hashing"
)

const (
	headLine = `{"absent":[3],"channel":"77","count":1,"deleted":[9],"kind":"posts","method":"channels.getMessages","names":["abcd"],"received":"2026-11-26T02:00:00.000Z","title":"T","version":1}` + "\n"
	postLine = `{"content":"sha256:0101010101010101010101010101010101010101010101010101010101010101","edited":"2026-11-26T01:00:00.000Z","forwards":2,"id":5,"kind":"message","posted":"2026-11-26T00:00:00.000Z","reactions":3,"replies":4,"text":"ü","views":1}` + "\n"
)

func TestParseAnswer(t *testing.T) {
	a, err := catalog.ParseAnswer([]byte(headLine + postLine))
	if err != nil {
		t.Fatal(err)
	}
	p := a.Posts[0]
	if a.Channel != "77" || a.How != catalog.HowSweep || a.Title != "T" || a.Names[0] != "abcd" || a.Received.String() != "2026-11-26T02:00:00.000Z" || a.Absent[0] != 3 || a.Deleted[0] != 9 {
		t.Errorf("head %+v", a)
	}
	if p.ID != 5 || p.Text != hashing.Of([]byte("ü")) || p.Counters != (catalog.Counters{Views: 1, Forwards: 2, Reactions: 3, Replies: 4}) || p.Posted.String() != "2026-11-26T00:00:00.000Z" || p.Edited.String() != "2026-11-26T01:00:00.000Z" {
		t.Errorf("post %+v", p)
	}
	reacted := strings.Replace(postLine, `"edited"`, `"edit_hidden":true,"edited"`, 1)
	if a, err := catalog.ParseAnswer([]byte(headLine + reacted)); err != nil || !a.Posts[0].Edited.IsZero() {
		t.Errorf("a reaction is an edit: %+v, %v", a, err)
	}
	bytesText := strings.Replace(postLine, `"ü"`, `{"base64":"/w=="}`, 1)
	if a, err := catalog.ParseAnswer([]byte(headLine + bytesText)); err != nil || a.Posts[0].Text != hashing.Of([]byte{0xff}) {
		t.Errorf("text that is not UTF-8: %+v, %v", a, err)
	}
}

// TestParseAnswerRefuses: one change to a good answer, each refused.
func TestParseAnswerRefuses(t *testing.T) {
	for _, d := range []struct{ old, new string }{
		{`"count":1`, `"count":2`}, {`"count":1`, `"count":0`}, {`"count":1`, `"count":-1`}, {`"count":1`, `"count":99999999`}, {`"count":1`, `"count":1.5`}, {`"count":1`, `"Count":1`},
		{`"channel":"77"`, `"channel":"077"`}, {`"channel":"77"`, `"channel":"-7"`}, {`"channel":"77"`, `"channel":77`}, {`"channel":"77"`, `"channel":"99999999999999999999"`}, {`"channel":"77"`, `"channel":"0"`},
		{`"kind":"posts"`, `"kind":"post"`}, {`"kind":"posts"`, `"kind":null`}, {`channels.getMessages`, `auth.signIn`}, {`"abcd"`, `"ABCD"`}, {`"abcd"`, `""`}, {`"abcd"`, `"a/b"`},
		{`"absent":[3]`, `"absent":[0]`}, {`"absent":[3]`, `"absent":[null]`}, {`"deleted":[9]`, `"deleted":["9"]`}, {`"deleted":[9]`, `"deleted":[-9]`},
		{`"received":"2026-11-26T02:00:00.000Z"`, `"received":"2026-11-26T02:00:00Z"`}, {`"received":"2026-11-26T02:00:00.000Z",`, ``},
		{`"version":1`, `"version":0`}, {`"version":1`, `"version": 1`}, {`"title":"T",`, `"title":"T","title":"T",`}, {`"title":"T"`, `"title":"` + strings.Repeat("x", 2000) + `"`},
		{`"id":5`, `"id":0`}, {`"id":5`, `"ID":5`}, {`"id":5`, `"id":5,"id":6`}, {`"kind":"message"`, `"kind":"story"`}, {`"views":1`, `"views":-1`}, {`"views":1`, `"views":"1"`}, {`"views":1`, `"views":null`}, {`"edited"`, `"edit_hidden":1,"edited"`},
		{`"content":"sha256:01`, `"content":"sha256:0g`}, {`"content":"sha256:0101010101010101010101010101010101010101010101010101010101010101",`, ``},
		{`"text":"ü"`, `"text":"ü","text_digest":"sha256:0101010101010101010101010101010101010101010101010101010101010101"`}, {`"text":"ü"`, `"text":"\u00fc"`},
		{`"posted"`, `"poll":{"voters":-1},"posted"`}, {`"posted"`, `"poll":{"votes":[-1]},"posted"`}, {`"posted"`, `"poll":null,"posted"`}, {`"posted"`, `"poll":{"votes":[1` + strings.Repeat(",1", 300) + `]},"posted"`},
		{`"title"`, `"thread":{"channel":"77","post":0},"title"`}, {`"title"`, `"thread":{"channel":"x","post":1},"title"`}, {`"title"`, `"thread":7,"title"`},
		{"}\n{", "}\n\n{"}, {"}\n{", "}{"}, {"\"views\":1}\n", "\"views\":1}"}, {"\"views\":1}\n", "\"views\":1}\n\n"}, {headLine, ""}, {postLine, "[]\n"}, {postLine, "null\n"}, {headLine, "null\n"},
	} {
		b := strings.Replace(headLine+postLine, d.old, d.new, 1)
		if b == headLine+postLine {
			t.Fatalf("%q is not in it", d.old)
		}
		if a, err := catalog.ParseAnswer([]byte(b)); !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%.80q instead of %.80q: %+v, %v", d.new, d.old, a, err)
		}
	}
	newer := strings.Replace(headLine, `"version":1`, `"version":2`, 1)
	if _, err := catalog.ParseAnswer([]byte(newer)); !errors.Is(err, holdfast.ErrNewer) {
		t.Errorf("version 2: %v", err)
	}
	for name, b := range map[string][]byte{"too large": bytes.Repeat([]byte(" "), catalog.MaxAnswerBytes+1), "a long line": []byte(headLine + `{"content":"` + strings.Repeat("x", 1<<20) + "\"}\n"),
		"many ids": []byte(strings.Replace(headLine, "[3]", "[3"+strings.Repeat(",3", catalog.MaxPosts)+"]", 1)), "empty": nil} {
		if _, err := catalog.ParseAnswer(b); !errors.Is(err, holdfast.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzAnswer: whatever is read is within the limits, is read the same again, and
// was canonical line by line.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(headLine + postLine))
	for _, m := range catalogtest.New(60, 60, 100).Messages {
		for _, b := range m.Posts {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := catalog.ParseAnswer(bytes.Clone(b))
		if err != nil {
			if !errors.Is(err, holdfast.ErrForm) && !errors.Is(err, holdfast.ErrNewer) {
				t.Errorf("neither malformed nor newer: %v", err)
			}
			return
		}
		if again, err := catalog.ParseAnswer(b); err != nil || !reflect.DeepEqual(a, again) {
			t.Errorf("read again: %+v, %v; before %+v", again, err, a)
		}
		texts, err := catalog.Texts(b)
		for _, p := range a.Posts {
			if _, ok := texts[catalog.PostText{Post: p.ID, Content: p.Content}]; !ok || err != nil {
				t.Errorf("no text of post %d: %v", p.ID, err)
			}
		}
		lines := bytes.SplitAfter(b, []byte("\n"))
		if n := len(lines) - 2; n != len(a.Posts) || len(lines[n+1]) != 0 {
			t.Errorf("%d posts in %d lines", len(a.Posts), len(lines))
		}
		for _, l := range lines[:len(lines)-1] {
			if err := canon.Check(bytes.TrimSuffix(l, []byte("\n"))); err != nil {
				t.Error(err)
			}
		}
		n := 0
		a.Facts(func(id int64, k catalog.FactKind, o catalog.Observed) {
			if n++; id < 1 || (k == catalog.Seen) != (o.ID == id) || k == catalog.Seen && o.Content.IsZero() {
				t.Errorf("fact of post %d: %d %+v", id, k, o)
			}
		})
		if n != a.Count() || n > 3*catalog.MaxPosts || a.Received.IsZero() || a.How == "" || !strings.ContainsAny(a.Channel, "123456789") {
			t.Errorf("%d facts of %+v", n, a)
		}
	})
}

// TestFoldPostTies: facts of one millisecond, in every order, give one answer:
// gone rather than seen.
func TestFoldPostTies(t *testing.T) {
	at := holdfast.Time{}
	if err := at.UnmarshalText([]byte("2026-11-26T02:00:00.000Z")); err != nil {
		t.Fatal(err)
	}
	var facts []catalog.Fact
	for i, k := range []catalog.FactKind{catalog.Seen, catalog.Seen, catalog.Seen, catalog.Empty, catalog.EmptyNext, catalog.Told, catalog.Told} {
		f := catalog.Fact{Kind: k, Sight: catalog.Sight{At: at, How: catalog.HowSweep, Capture: holdfast.ID(fmt.Sprintf("%032x", i/2))}}
		if k == catalog.Seen {
			f.Observed = catalog.Observed{ID: 1, Kind: "message", Content: hashing.Of([]byte{byte(i % 2)}), Counters: catalog.Counters{Views: int64(i)}}
		}
		facts = append(facts, f)
	}
	want := ""
	for seed := range uint64(50) {
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(facts), func(i, j int) { facts[i], facts[j] = facts[j], facts[i] })
		p, ok := catalog.FoldPost("7", 1, facts)
		if !ok || p.State != catalog.Absent || len(p.Versions) != 2 || p.Gone == nil || p.Told || len(p.Series) != 3 {
			t.Fatalf("%+v, %t", p, ok)
		}
		gone := *p.Gone
		p.Gone = nil
		if got := fmt.Sprintf("%+v %+v", p, gone); want == "" {
			want = got
		} else if got != want {
			t.Fatalf("order %d\n got %s\nwant %s", seed, got, want)
		}
	}
}

// TestFoldPostWeb: the web's view of a post has contents of another kind, so it is
// a version of its own and no edit, and it may be an old one: it moves nothing that
// the service has said.
func TestFoldPostWeb(t *testing.T) {
	fact := func(ms int, how, content string) catalog.Fact {
		at := holdfast.Time{}
		if err := at.UnmarshalText(fmt.Appendf(nil, "2026-11-26T02:00:00.%03dZ", ms)); err != nil {
			t.Fatal(err)
		}
		return catalog.Fact{Sight: catalog.Sight{At: at, How: how}, Observed: catalog.Observed{ID: 1, Content: hashing.Of([]byte(content))}}
	}
	gone := func(ms int, k catalog.FactKind) catalog.Fact {
		f := fact(ms, catalog.HowSweep, "")
		f.Kind, f.Observed = k, catalog.Observed{}
		return f
	}
	const page, own = catalog.HowWeb, catalog.HowHistory
	for name, c := range map[string]struct {
		state    string
		versions int
		current  int
		seen     int // ms
		facts    []catalog.Fact
	}{
		"page behind":              {catalog.Present, 2, 0, 1, []catalog.Fact{fact(1, own, "a"), fact(2, page, "b")}},
		"edited page":              {catalog.Edited, 3, 0, 1, []catalog.Fact{fact(1, own, "a"), fact(2, page, "b"), fact(3, page, "c")}},
		"page behind an edit":      {catalog.Edited, 3, 1, 2, []catalog.Fact{fact(1, own, "a"), fact(2, own, "b"), fact(3, page, "c")}},
		"page alone":               {catalog.Present, 1, 0, 2, []catalog.Fact{fact(1, page, "b"), fact(2, page, "b")}},
		"page first":               {catalog.Present, 2, 1, 2, []catalog.Fact{fact(1, page, "b"), fact(2, own, "a")}},
		"page behind a deletion":   {catalog.Absent, 2, 0, 1, []catalog.Fact{fact(1, own, "a"), gone(2, catalog.Told), fact(3, page, "b")}},
		"only its deletion":        {catalog.Absent, 1, 0, 0, []catalog.Fact{gone(2, catalog.Told), fact(3, page, "b")}},
		"page behind an absence":   {catalog.Absent, 2, 0, 1, []catalog.Fact{fact(1, own, "a"), gone(2, catalog.EmptyNext), fact(3, page, "b")}},
		"page behind no answer":    {catalog.Present, 2, 0, 3, []catalog.Fact{fact(1, own, "a"), gone(2, catalog.Empty), fact(3, page, "b")}},
		"there again, by its door": {catalog.Present, 2, 0, 4, []catalog.Fact{fact(1, own, "a"), gone(2, catalog.Told), fact(3, page, "b"), fact(4, own, "a")}},
	} {
		p, ok := catalog.FoldPost("7", 1, c.facts)
		if seen := p.LastSeen.UnixMilli() % 1000; !ok || p.State != c.state || len(p.Versions) != c.versions || p.Current != c.current || c.seen > 0 && seen != int64(c.seen) {
			t.Errorf("%s: %s, %d versions, current %d, seen at %d: %+v", name, p.State, len(p.Versions), p.Current, seen, p)
		}
	}
	if p, ok := catalog.FoldPost("7", 1, nil); ok {
		t.Errorf("a post of no facts: %+v", p)
	}
}
