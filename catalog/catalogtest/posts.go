package catalogtest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
)

// testPosts compares what is said of every post with what follows when the
// World's own notes are read from the oldest to the newest, for any order of
// facts, asked at once and one by one.
func testPosts(t *testing.T, open Open) {
	w := New(41, 700, 64)
	met := map[string]int{}
	for seed := range uint64(3) {
		c := open(t, t.TempDir())
		give(t, c, w.Facts(t, seed))
		for _, ch := range w.channels {
			id := strconv.FormatInt(ch.id, 10)
			all := Collect(t, c.Posts(t.Context(), catalog.PostQuery{Channel: id}))
			var want []string
			for n := range ch.last + 4 {
				if s, ok := replay(ch.known(n)); ok {
					want = append(want, fmt.Sprintf("%d %s", n, s))
				}
			}
			var got []string
			for _, p := range all {
				got = append(got, fmt.Sprintf("%d %s", p.ID, told(p)))
				met[p.State]++
				one := Collect(t, c.Posts(t.Context(), catalog.PostQuery{Channel: id, Post: p.ID}))
				if len(one) != 1 || postText(one[0]) != postText(p) {
					t.Errorf("asked for post %d: %v", p.ID, one)
				}
			}
			if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
				t.Fatalf("order %d, channel %s: %s", seed, id, Diff(w, g))
			}
			for _, p := range all {
				checkAbsences(t, p, ch.known(p.ID))
			}
			checkUnseen(t, c, ch)
			if got, want := heardText(Collect(t, c.Answers(t.Context(), id))), heardText(ch.heard); got != want {
				t.Fatalf("order %d, answers about channel %s: %s", seed, id, Diff(want, got))
			}
			half := len(all) / 2
			if rest := Collect(t, c.Posts(t.Context(), catalog.PostQuery{Channel: id, After: all[half].ID})); len(rest) != len(all)-half-1 {
				t.Errorf("%d of %d posts behind the middle one", len(rest), len(all))
			}
		}
		w.checkNames(t, c)
	}
	for _, s := range []string{catalog.Present, catalog.Edited, catalog.Absent, catalog.Unknown} {
		if met[s] < 3 {
			t.Errorf("only %d posts are %s: %v", met[s], s, met)
		}
	}
}

// replay reads notes of one post from the oldest to the newest.
func replay(notes []seen) (string, bool) {
	type version struct{ first, last seen }
	state, told := "unknown", false
	var versions []string
	at := map[string]*version{}
	var last, gone seen
	for _, s := range notes {
		k := s.content.Hex()
		switch s.what {
		case "seen":
			if at[k] == nil {
				versions, at[k] = append(versions, k), &version{first: s}
			}
			at[k].last = s
			last, gone, told, state = s, seen{}, false, "present"
			if len(versions) > 1 {
				state = "edited"
			}
		case "empty":
			if gone.what == "" {
				gone, state = s, "unknown"
			}
		case "empty beside another":
			if state != "absent" {
				gone, state = s, "absent"
			}
		case "deleted":
			if state != "absent" || len(versions) == 0 && !told {
				gone, state, told = s, "absent", true
			}
		}
	}
	out := fmt.Sprintf("%s, seen %s, gone %s %s %s %t", state, last.at, gone.at, gone.how, gone.capture, told)
	for _, k := range versions {
		v := at[k]
		out += fmt.Sprintf("; %s %s %s %s, %s %s %s", k, v.first.at, v.first.how, v.first.capture, v.last.at, v.last.how, v.last.capture)
	}
	return out, told || len(versions) > 0
}

// told says of a Post what replay says.
func told(p catalog.Post) string {
	var gone catalog.Sight
	if p.Gone != nil {
		gone = *p.Gone
	}
	out := fmt.Sprintf("%s, seen %s, gone %s %s %s %t", p.State, p.LastSeen, gone.At, gone.How, gone.Capture, p.Told)
	for _, v := range p.Versions {
		out += fmt.Sprintf("; %s %s %s %s, %s %s %s", v.Content.Hex(), v.First.At, v.First.How, v.First.Capture, v.Last.At, v.Last.How, v.Last.Capture)
	}
	return out
}

// checkAbsences reads the notes once more: each run of "gone" between two times
// that it was seen is one absence, and what is said of now is the last.
func checkAbsences(t *testing.T, p catalog.Post, notes []seen) {
	t.Helper()
	var want []string
	after, open, say := holdfast.Time{}, false, ""
	for _, s := range notes {
		switch {
		case s.what == "seen":
			if open {
				want, open = append(want, say+" back "+s.at.String()), false
			}
			after = s.at
		case !open:
			open, say = true, "after "+after.String()
		}
	}
	if open {
		want = append(want, say+" back "+holdfast.Time{}.String())
	}
	var got []string
	for _, a := range p.Absences {
		got = append(got, "after "+a.After.String()+" back "+a.Back.String())
		if a.First.Capture == "" || a.Last.At.Before(a.First.At.Time) || a.State != catalog.Absent && a.State != catalog.Unknown || a.Told && a.State != catalog.Absent {
			t.Errorf("post %d: absence %+v", p.ID, a)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("post %d was absent %v, want %v", p.ID, got, want)
	}
	if n := len(p.Absences); p.Gone != nil && (n == 0 || p.Absences[n-1].First != *p.Gone || p.Absences[n-1].State != p.State || p.Absences[n-1].Told != p.Told || !p.Absences[n-1].Back.IsZero()) {
		t.Errorf("post %d: gone %+v, %+v", p.ID, *p.Gone, p.Absences)
	}
}

// checkUnseen: with Unseen every number that anything was said of is yielded.
func checkUnseen(t *testing.T, c catalog.Catalog, ch *channel) {
	t.Helper()
	var got, want []int64
	unseen := 0
	for _, p := range Collect(t, c.Posts(t.Context(), catalog.PostQuery{Channel: strconv.FormatInt(ch.id, 10), Unseen: true})) {
		if got = append(got, p.ID); len(p.Versions) == 0 && !p.Told {
			if unseen++; p.Gone == nil {
				t.Errorf("post %d was neither seen nor missed", p.ID)
			}
		}
	}
	for _, s := range ch.seen {
		if !s.name && !slices.Contains(want, s.id) {
			want = append(want, s.id)
		}
	}
	slices.Sort(want)
	if fmt.Sprint(got) != fmt.Sprint(want) || unseen == 0 {
		t.Errorf("channel %d: anything is known of %v, want %v; %d unseen", ch.id, got, want, unseen)
	}
}

// heardText leaves out the state, which the notes have not.
func heardText(all []catalog.Heard) string {
	var b strings.Builder
	for _, h := range all {
		h.State = ""
		fmt.Fprintf(&b, "%+v\n", h)
	}
	return b.String()
}

// postText is all of a Post.
func postText(p catalog.Post) string {
	gone := p.Gone
	p.Gone = nil
	if gone == nil {
		gone = new(catalog.Sight)
	}
	return fmt.Sprintf("%+v gone %+v", p, *gone)
}

// checkNames asks for every name that was ever stated.
func (w *World) checkNames(t *testing.T, c catalog.Catalog) {
	t.Helper()
	moved := false
	for i := range w.channels {
		name := fmt.Sprintf("name%d", i)
		var want []catalog.Channel
		for _, ch := range w.channels {
			k := catalog.Channel{ID: strconv.FormatInt(ch.id, 10), Name: name, Title: "Title ü"}
			for _, s := range ch.seen {
				if s.name && s.what == name {
					if k.First.IsZero() {
						k.First = s.at
					}
					k.Last = s.at
				}
			}
			if !k.First.IsZero() {
				want = append(want, k)
			}
		}
		slices.SortFunc(want, func(a, b catalog.Channel) int { return a.First.Compare(b.First.Time) })
		if got := Collect(t, c.Channels(t.Context(), name)); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is of %v, want %v", name, got, want)
		}
		moved = moved || len(want) > 1
	}
	if !moved {
		t.Error("no name has moved")
	}
	if got := Collect(t, c.Channels(t.Context(), "name")); len(got) != 0 {
		t.Errorf("a name that nobody stated is of %v", got)
	}
}

// dumpPosts writes down all that is known of posts.
func dumpPosts(t *testing.T, c catalog.Catalog, w *World, out *strings.Builder) {
	t.Helper()
	for i, ch := range w.channels {
		for _, k := range Collect(t, c.Channels(t.Context(), fmt.Sprintf("name%d", i))) {
			fmt.Fprintf(out, "channel %+v\n", k)
		}
		for _, p := range Collect(t, c.Posts(t.Context(), catalog.PostQuery{Channel: strconv.FormatInt(ch.id, 10)})) {
			fmt.Fprintf(out, "post %s\n", postText(p))
		}
		for _, h := range Collect(t, c.Answers(t.Context(), strconv.FormatInt(ch.id, 10))) {
			fmt.Fprintf(out, "answer %+v\n", h)
		}
		for _, th := range ch.threads() {
			for _, b := range Collect(t, c.Below(t.Context(), th)) {
				fmt.Fprintf(out, "below %+v %v\n", th, b)
			}
		}
	}
}

// testSecondManifest: of a capture with two Manifests the answers of the one that
// is shown count, also when it becomes known later that another one is.
func testSecondManifest(t *testing.T, open Open) {
	w := New(42, 1, 100)
	var first, second []Message
	for range 12 {
		id := w.id()
		first, second = append(first, w.answer(0, id, true)), append(second, w.answer(0, id, false))
	}
	for _, order := range [][]Message{append(slices.Clone(first), second...), append(slices.Clone(second), first...)} {
		c := open(t, t.TempDir())
		for _, m := range order {
			if err := c.Accepted(t.Context(), []catalog.Accepted{must(m.Accepted())}); err != nil {
				t.Fatal(err)
			}
		}
		for _, ch := range w.channels {
			for n := range ch.last + 4 {
				want, ok := replay(ch.known(n))
				got := Collect(t, c.Posts(t.Context(), catalog.PostQuery{Channel: strconv.FormatInt(ch.id, 10), Post: max(n, 1)}))
				if n > 0 && (ok != (len(got) == 1) || ok && told(got[0]) != want) {
					t.Errorf("post %d: %+v, want %s", n, got, want)
				}
			}
		}
	}
}

// testLatePosts: an Object that could not be read when its capture was indexed
// counts as soon as it can be.
func testLatePosts(t *testing.T, open Open) {
	w := New(43, 1, 100)
	var ms []Message
	for range 20 {
		ms = append(ms, w.answer(0, w.id(), true))
	}
	whole, late := open(t, t.TempDir()), open(t, t.TempDir())
	for _, m := range ms {
		a, b := must(m.Accepted()), must(catalog.Read(m.Position, m.Manifest))
		for c, facts := range map[catalog.Catalog][]catalog.Accepted{whole: {a}, late: {b}} {
			if err := c.Accepted(t.Context(), facts); err != nil {
				t.Fatal(err)
			}
		}
	}
	var empty, want, got strings.Builder
	dumpPosts(t, late, w, &empty)
	for _, m := range ms {
		if err := late.Accepted(t.Context(), []catalog.Accepted{must(m.Accepted())}); err != nil {
			t.Fatal(err)
		}
	}
	dumpPosts(t, whole, w, &want)
	dumpPosts(t, late, w, &got)
	if empty.Len() > 0 || want.Len() == 0 || got.String() != want.String() {
		t.Errorf("%d bytes before; then %s", empty.Len(), Diff(want.String(), got.String()))
	}
}
