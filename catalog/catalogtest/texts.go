package catalogtest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/catalog"
	"holdfast/hashing"
	"holdfast/search"
)

// saying is one text in one place, in the words of the test.
type saying struct {
	channel     string
	post        int64
	capture     holdfast.ID // in which it was seen
	hidden      bool        // of a Manifest that is not shown
	title, text string
	frames      string // of a page
	at          holdfast.Time
	source      string // of a page
	addresses   []string
}

// sentence is what is said in the World: in many scripts, now and then the same.
func (w *World) sentence(n int64) string {
	all := []string{
		"Fire at the harbour, says @Harbour_News", "L'école d'été à Łódź est fermée", "Пожар в порту, говорит очевидец", "Київ: є жертви, пожежа",
		"حريق في المِيناء، يقول شاهد عيان", "آتش‌سوزی در بندر", "港口发生火灾，目击者称", "שריפה בנמל", "ไฟไหม้ที่ท่าเรือ", "हिन्दी में आग",
		"\u202eharbour\u202c 🔥 ١٢٣", "see t.me/Port_Watch and https://host/x", "",
	}
	if w.pick(3) == 0 {
		return "Join @Harbour_News"
	}
	s := all[w.pick(len(all))]
	return fmt.Sprintf("post %d ü: %s", n, s)
}

// pick draws without a draw of the World's own, whose life stays what it was.
func (w *World) pick(n int) int {
	w.spoken++
	return rand.New(rand.NewPCG(w.spoken, 5)).IntN(n)
}

func (p *post) says(rev int) string { return fmt.Sprintf("%s, revision %d", p.text, rev) }

func (p *post) links(rev int) []string {
	return []string{"https://host/", fmt.Sprintf("https://example.org/%d/%s", rev, []string{"pier", "п%D0%BE%D1%80%D1%82"}[rev%2])}
}

// read gives a capture of a page its text and its Page.
func (w *World) read(m *holdfast.Manifest) [][]byte {
	text := w.sentence(0) + "\n" + w.sentence(1)
	title := []string{"", "Evening News", "Вечерние новости"}[w.pick(3)]
	link := fmt.Sprintf("https://link%d.example/", w.pick(3))
	s := saying{capture: m.ID, title: title, text: text, at: m.Started, source: string(m.Source), addresses: []string{string(m.Source), link}}
	if w.spoken%3 == 0 { // a frame, which may be of another site
		s.frames = "# https://frame.example/\n\nFerry timetable, " + title
	}
	s.hidden = slices.ContainsFunc(w.Messages, func(k Message) bool { return k.ID == m.ID })
	w.said = append(w.said, s)
	page := must(canon.Marshal(map[string]any{"canonical": "", "kind": "page", "language": "en", "links": []string{link}, "title": title, "version": 1}))
	if s.frames != "" {
		return [][]byte{[]byte(text), page, []byte(s.frames)}
	}
	return [][]byte{[]byte(text), page}
}

// unread are some of the facts again, as they are where nobody could read the texts.
func unread(rnd *rand.Rand, in []catalog.Accepted) (out []catalog.Accepted) {
	for _, a := range in {
		if rnd.IntN(3) == 0 {
			a.Answers, a.Page = nil, nil
			out = append(out, a)
		}
	}
	return out
}

func (s saying) digest() hashing.Digest {
	return s.page().Digest()
}

func (s saying) page() catalog.Page {
	return catalog.Page{Title: s.title, Text: s.text, Frames: s.frames}
}

// expect is what a question must be answered with: by looking at every saying.
func (w *World) expect(q catalog.TextQuery, members map[holdfast.ID]bool) (out []catalog.Hit) {
	hits := map[hashing.Digest]*catalog.Hit{}
	for _, s := range w.said {
		d := s.digest()
		h := hits[d]
		if h == nil {
			h = &catalog.Hit{TextCursor: catalog.TextCursor{Text: d}}
			hits[d] = h
		}
		if s.at.After(h.At.Time) {
			h.At = s.at
		}
		place := catalog.Place{At: s.at, Channel: s.channel, Post: s.post}
		if s.channel == "" {
			place.Capture = s.capture
		}
		if w.applies(s, q, members) && !slices.Contains(h.Seen, place) {
			h.Seen = append(h.Seen, place)
		}
	}
	for _, h := range hits {
		if len(h.Seen) > 0 {
			slices.SortFunc(h.Seen, func(a, b catalog.Place) int {
				return cmp.Or(b.At.Compare(a.At.Time), cmp.Compare(number(a.Channel), number(b.Channel)), cmp.Compare(a.Post, b.Post), cmp.Compare(a.Capture, b.Capture))
			})
			out = append(out, *h)
		}
	}
	slices.SortFunc(out, func(a, b catalog.Hit) int { return cmp.Or(b.At.Compare(a.At.Time), b.Text.Compare(a.Text)) })
	return out
}

func number(s string) (n int64) {
	fmt.Sscan(s, &n)
	return n
}

func (w *World) applies(s saying, q catalog.TextQuery, members map[holdfast.ID]bool) bool {
	switch {
	case s.hidden, q.Member != "" && !members[s.capture], !q.Since.IsZero() && s.at.Before(q.Since.Time), !q.Until.IsZero() && s.at.After(q.Until.Time):
		return false
	case len(q.Channels) > 0 && (!slices.Contains(q.Channels, s.channel) || q.Post != 0 && q.Post != s.post):
		return false
	case len(q.Sources) > 0 && s.source != q.Sources[0] && !strings.HasPrefix(s.source, q.Sources[0]+"?"):
		return false
	}
	return q.Words.Match(search.Doc{Title: s.title, Text: s.page().Body(), Addresses: s.addresses})
}

func ask(t *testing.T, s string) search.Query {
	t.Helper()
	q, err := search.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func questions() []string {
	return []string{"harbour", "HARBOUR fire", `"fire at the"`, `"at fire"`, "fire -revision", "post -harbour", "harb*", "evening", `"news post"`, "evening -fire",
		"ecole", "LODZ", "пожар", "пожеж*", "новости пожар", "говорит", "الميناء", "حريق", "آتش*", "火灾", "灾火", "目击者", "שריפה", "ท่าเรือ", "หม", "हिन्दी", "123", "🔥",
		"@harbour", "@bour_ne", "@watch -fire", "-@harbour join", "@harbour join", "url:host", "url:host/3", "url:example.org/1", "url:порт", "url:link1", "url:link1 -post", "join url:pier",
		"join -url:pier", "nothing", "post revision", "ü", "ferry", `"ferry timetable"`, "timetable evening", "harbour -ferry"}
}

// testSearch compares with a look at everything that was ever said, in any order of
// facts, with each filter, and page by page.
func testSearch(t *testing.T, open Open) {
	w := New(61, 260, 24)
	w.sayAgain()
	for seed := range uint64(2) {
		c := open(t, t.TempDir())
		give(t, c, w.Facts(t, seed))
		members := map[holdfast.ID]bool{}
		for _, k := range Collect(t, c.Captures(t.Context(), catalog.Query{Member: w.Cases[1]})) {
			members[k.ID] = true
		}
		hits := 0
		for k, s := range questions() {
			q := catalog.TextQuery{Words: ask(t, s)}
			mid := w.said[len(w.said)/2].at
			for i, f := range []func(*catalog.TextQuery){func(*catalog.TextQuery) {}, func(q *catalog.TextQuery) { q.Member = w.Cases[1] }, func(q *catalog.TextQuery) { q.Since = mid },
				func(q *catalog.TextQuery) { q.Until = mid }, func(q *catalog.TextQuery) { q.Channels = []string{"1000000001", "7"} }, func(q *catalog.TextQuery) { q.Sources = []string{"https://host/3", "x"} },
				func(q *catalog.TextQuery) { q.Channels, q.Post = []string{"1000000001"}, 3 }, func(q *catalog.TextQuery) { q.Channels, q.Sources = []string{"1"}, []string{"https://host/3"} }} {
				if i != 0 && i%3 != k%3 { // each filter with a third of the questions
					continue
				}
				q := q
				f(&q)
				want := w.expect(q, members)
				hits += len(want)
				sameHits(t, fmt.Sprintf("%s, filter %d", s, i), whole(t, c, q), want)
				if i == 0 && len(want) > 3 {
					q.Limit = len(want) / 3
					sameHits(t, s+", page by page", whole(t, c, q), want)
				}
			}
		}
		if hits < 1000 {
			t.Errorf("the questions hit %d texts only", hits)
		}
	}
}

// sayAgain repeats a text in many places.
func (w *World) sayAgain() {
	for _, c := range w.channels {
		for n := range c.last + 1 {
			if p := c.posts[n]; p != nil && !p.gone && n%2 == 0 {
				p.text = "Join @Harbour_News"
			}
		}
	}
	for range 20 {
		w.answer(0, w.id(), true)
	}
	w.Batches = nil
	w.seal(24)
}

func whole(t *testing.T, c catalog.Catalog, q catalog.TextQuery) (out []catalog.Hit) {
	t.Helper()
	for {
		f, err := c.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Objects) > 0 || f.More && len(f.Hits) != q.Limit {
			t.Fatalf("%d objects, %d hits of %d, and more: %t", len(f.Objects), len(f.Hits), q.Limit, f.More)
		}
		out = append(out, f.Hits...)
		if !f.More {
			return out
		}
		q.After = &f.Hits[len(f.Hits)-1].TextCursor
	}
}

func sameHits(t *testing.T, what string, got, want []catalog.Hit) {
	t.Helper()
	for i := range got {
		got[i].Language = ""
	}
	if fmt.Sprint(got) == fmt.Sprint(want) {
		return
	}
	for i := range min(len(got), len(want)) {
		if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
			t.Fatalf("%s: hit %d of %d (want %d) is\n%v, want\n%v", what, i, len(got), len(want), got[i], want[i])
		}
	}
	t.Fatalf("%s: %d hits, want %d", what, len(got), len(want))
}

// testScripts: what a person types finds what another one wrote.
func testScripts(t *testing.T, open Open) {
	w, c := New(62, 0, 8), open(t, t.TempDir())
	for text, found := range map[string][]string{
		"港口发生火灾，目击者称":                             {"火灾", "港口", "港", `"发生 火灾"`, "港口发生火灾"},
		"أَلحَرِيق في المؤسسة إلى ١٢٣":            {"الحريق", "المؤسسه", "الي", "123", "ٱلحريق"},
		"Пожар. Ещё йод, Сергей":                  {"ПОЖАР", "еще", "ещё", "йод", "серге*"},
		"L'été à Łódź, Straße, Žižkov":            {"ete", "ÉTÉ", "lodz", "strasse", "zizkov", `"l ete a"`},
		"\u202bשלום\u202c עוֹלָם":                 {"שלום", "עולם"},
		"@Harbour_News https://t.me/PortWatch/12": {"@harbour", "@news", "@arbour_n", "@watch", "harbour", "@portwatch"},
		"Ｆｕｌｌ ｗｉｄｔｈ ﬁre":                          {"full width", "fire"},
		"ไฟไหม้ที่ท่าเรือ":                        {"ท่าเรือ"},
		"soft\u00adhyphen zero\u200bwidth":        {"softhyphen", "zerowidth"},
	} {
		d := c
		for _, a := range w.web(text) {
			if err := d.Accepted(t.Context(), []catalog.Accepted{a}); err != nil {
				t.Fatal(err)
			}
		}
		for _, s := range found {
			f, err := d.Search(t.Context(), catalog.TextQuery{Words: ask(t, s)})
			if err != nil || len(f.Hits) != 1 || f.Hits[0].Text != hashing.Of([]byte(text)) {
				t.Errorf("%q asked for %q: %v, %v", text, s, f.Hits, err)
			}
		}
	}
	f, err := c.Search(t.Context(), catalog.TextQuery{Words: ask(t, "йод"), Language: "ru"})
	if err != nil || len(f.Hits) != 1 || f.Hits[0].Language != "ru" {
		t.Errorf("by language: %v, %v", f, err)
	}
	if f, err := c.Search(t.Context(), catalog.TextQuery{Words: ask(t, "йод"), Language: "uk"}); err != nil || len(f.Hits) != 0 {
		t.Errorf("by another language: %v, %v", f, err)
	}
}

// web is a capture of a page with that text, and no Page.
func (w *World) web(text string) []catalog.Accepted {
	m := w.manifest(0, w.id(), holdfast.KindCapture, "https://host/")
	m.Objects = []holdfast.Object{object("text.txt", []byte(text))}
	return []catalog.Accepted{must(w.message(m, Message{Page: [][]byte{[]byte(text)}}).Accepted())}
}

// testHashes: an Object, a Manifest and a text are found by their Digests.
func testHashes(t *testing.T, open Open) {
	w, c := New(63, 60, 24), open(t, t.TempDir())
	give(t, c, w.Facts(t, 1))
	shared := hashing.Of([]byte("a small Object that many captures share"))
	want := map[holdfast.ID]bool{}
	for _, m := range w.Messages {
		if k, err := c.Capture(t.Context(), m.ID); err == nil && k.Manifest == hashing.Of(m.Manifest) && slices.ContainsFunc(m.Small, func(b []byte) bool { return hashing.Of(b) == shared }) {
			want[m.ID] = true
		}
	}
	for _, digits := range []string{shared.Hex(), shared.Hex()[:9]} {
		f, err := c.Search(t.Context(), catalog.TextQuery{Words: ask(t, "hash:"+digits)})
		if err != nil || len(f.Objects) != len(want) || len(want) < 3 || len(f.Hits) != 0 {
			t.Fatalf("hash:%s: %d objects, want %d, %v", digits, len(f.Objects), len(want), err)
		}
		for _, o := range f.Objects {
			if o.Digest != shared || !want[o.Capture.ID] {
				t.Errorf("hash:%s: %v", digits, o)
			}
		}
	}
	m := w.Messages[len(w.Messages)-1]
	if f, err := c.Search(t.Context(), catalog.TextQuery{Words: ask(t, "hash:"+hashing.Of(m.Manifest).Hex())}); err != nil || len(f.Objects) != 1 || f.Objects[0].Capture.ID != m.ID {
		t.Errorf("a manifest: %v, %v", f.Objects, err)
	}
	s := w.said[0]
	if f, err := c.Search(t.Context(), catalog.TextQuery{Words: ask(t, "hash:"+s.digest().Hex())}); err != nil || len(f.Hits) != 1 || f.Hits[0].Text != s.digest() {
		t.Errorf("a text: %v, %v", f, err)
	}
	both := "hash:" + shared.Hex() + " revision"
	f, err := c.Search(t.Context(), catalog.TextQuery{Words: ask(t, both)})
	if err != nil || len(f.Hits) != 0 || len(f.Objects) != 0 {
		t.Errorf("%s: %v, %v", both, f, err) // posts have it not, and pages say no revision
	}
}

// testUnread: a text that nobody could read is counted until somebody has, whichever
// fact comes first.
func testUnread(t *testing.T, open Open) {
	w := New(64, 2, 24)
	all := w.accepted(t)
	read := append(all, w.web("Fire")...)
	none := w.manifest(0, w.id(), holdfast.KindCapture, "https://host/")
	read = append(read, must(w.message(none, Message{}).Accepted()))
	blind := slices.Clone(read)
	for i := range blind {
		blind[i].Answers, blind[i].Page = nil, nil
	}
	for _, order := range [][][]catalog.Accepted{{blind}, {blind, read}, {read, blind}, {blind, read, blind}} {
		c := open(t, t.TempDir())
		for _, part := range order {
			if err := c.Accepted(t.Context(), part); err != nil {
				t.Fatal(err)
			}
		}
		want := catalog.Unsearched{Captures: 4, Unread: 3, Textless: 1}
		if len(order) > 1 {
			want.Unread = 0
		}
		got, err := c.Unsearched(t.Context())
		if len(order) > 1 && got.Texts > 1 {
			want.Texts = got.Texts
		}
		if err != nil || got != want {
			t.Errorf("%d calls: %+v, want %+v, %v", len(order), got, want, err)
		}
	}
}

// testHostile: no question makes the database do what it was not asked for, and one
// that takes long ends with its context.
func testHostile(t *testing.T, open Open) {
	w, c := New(65, 40, 24), open(t, t.TempDir())
	give(t, c, w.Straight(t))
	for _, words := range []string{`x" OR body : "revision`, `x") OR (body : "revision`, `NEAR(a b, 9)`, `body:x`, `^a`, `a AND b OR NOT c`, `{handle} : x`, `';DROP TABLE text;--`, `""""`, strings.Repeat("(", 300) + "a", `a + b`, `*a`} {
		q := catalog.TextQuery{Words: search.Query{Terms: []search.Term{{Words: []string{words}}, {Words: []string{words}, Not: true}, {Kind: search.URL, Words: []string{words}}}}}
		if f, err := c.Search(t.Context(), q); err != nil || len(f.Hits) != 0 {
			t.Errorf("%q: %v, %v", words, f, err)
		}
	}
	for _, q := range []catalog.TextQuery{{}, {Words: search.Query{Terms: []search.Term{{Words: []string{"x"}, Not: true}}}}, {Words: ask(t, "x"), Member: "y"},
		{Words: search.Query{Terms: []search.Term{{Kind: search.Hash, Words: []string{"zz"}}}}}, {Words: search.Query{Terms: []search.Term{{}}}}} {
		if _, err := c.Search(t.Context(), q); err == nil {
			t.Errorf("%+v is answered", q)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := c.Search(ctx, catalog.TextQuery{Words: ask(t, "revision")}); err == nil {
		t.Error("a question goes on behind its end")
	}
}

func dumpTexts(t *testing.T, c catalog.Catalog, w *World, out *strings.Builder) {
	t.Helper()
	for _, s := range []string{"revision", "ü", "火灾", "@harbour", "url:порт", "evening -fire"} {
		f, err := c.Search(t.Context(), catalog.TextQuery{Words: ask(t, s)})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range f.Hits {
			fmt.Fprintf(out, "found by %s: %v\n", s, h)
		}
	}
	u, err := c.Unsearched(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(out, "unsearched %+v\n", u)
}
