package catalogtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// threads are those of a channel, in order.
func (c *channel) threads() []catalog.Thread {
	return slices.SortedFunc(maps.Keys(c.below), func(a, b catalog.Thread) int { return cmp.Compare(a.Post, b.Post) })
}

// testBeside: what polls were answered with is a series, what stands below a post is
// found by it, and documents by their Source, for any order of facts.
func testBeside(t *testing.T, open Open) {
	w := New(44, 500, 64)
	for seed := range uint64(2) {
		c := open(t, t.TempDir())
		give(t, c, w.Facts(t, seed))
		polls := 0
		for _, ch := range w.channels {
			id := strconv.FormatInt(ch.id, 10)
			for _, p := range Collect(t, c.Posts(t.Context(), catalog.PostQuery{Channel: id})) {
				for _, n := range p.Series {
					want := ""
					if asks(p.ID) {
						closed := ""
						if voters(n.At)%2 == 0 {
							closed = `"closed":true,`
						}
						want = fmt.Sprintf(`{%s"voters":%d,"votes":[%d,0]}`, closed, voters(n.At), voters(n.At))
						polls++
					}
					if n.Poll != want {
						t.Fatalf("order %d, post %d at %s: poll %s, want %s", seed, p.ID, n.At, n.Poll, want)
					}
				}
			}
			for th, ids := range ch.below {
				var got []int64
				for _, b := range Collect(t, c.Below(t.Context(), th)) {
					if b.Channel != id {
						t.Errorf("below %v stands %v, which is none of channel %s", th, b, id)
					}
					got = append(got, b.Post)
				}
				if want := slices.Sorted(maps.Keys(ids)); !slices.Equal(got, want) {
					t.Errorf("order %d: below %v stand %v, want %v", seed, th, got, want)
				}
			}
		}
		checkDocuments(t, c, w)
		if none := Collect(t, c.Below(t.Context(), catalog.Thread{Channel: "1", Post: 1})); polls < 100 || len(w.channels[0].below)+len(w.channels[1].below)+len(w.channels[2].below) == 0 || len(none) > 0 {
			t.Errorf("%d polls; below a post that nobody knows stand %v", polls, none)
		}
	}
}

// dumpDocuments writes down all documents that are known.
func dumpDocuments(t *testing.T, c catalog.Catalog, w *World, out *strings.Builder) {
	t.Helper()
	for i := range w.channels {
		for _, d := range Collect(t, c.Documents(t.Context(), holdfast.Source(fmt.Sprintf("https://t.me/name%d", i)), catalog.RoleChannel)) {
			fmt.Fprintf(out, "document %+v\n", d)
		}
	}
}

func checkDocuments(t *testing.T, c catalog.Catalog, w *World) {
	t.Helper()
	want := map[holdfast.Source][]string{}
	shown := map[holdfast.ID]hashing.Digest{}
	for _, k := range Collect(t, c.Captures(t.Context(), catalog.Query{})) {
		shown[k.ID] = k.Manifest
	}
	done := map[hashing.Digest]bool{}
	for _, m := range w.Messages {
		parsed := must(holdfast.ParseManifest(m.Manifest))
		o := parsed.Object("channel.json")
		if d := hashing.Of(m.Manifest); o == nil || done[d] || shown[m.ID] != d {
			continue
		} else {
			done[d] = true
		}
		want[parsed.Source] = append(want[parsed.Source], fmt.Sprint(parsed.Started, m.ID, o.Digest, o.Size))
	}
	for s, list := range want {
		var got []string
		for _, d := range Collect(t, c.Documents(t.Context(), s, catalog.RoleChannel)) {
			got = append(got, fmt.Sprint(d.At, d.Capture, d.Digest, d.Size))
		}
		slices.Sort(list)
		if !slices.Equal(got, list) {
			t.Errorf("documents of %s: %v, want %v", s, got, list)
		}
		if other := Collect(t, c.Documents(t.Context(), s, catalog.RoleStories)); len(other) > 0 {
			t.Errorf("documents of another role: %v", other)
		}
	}
	if len(want) < 2 {
		t.Errorf("documents of %d Sources only", len(want))
	}
}
