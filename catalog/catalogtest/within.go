package catalogtest

import (
	"fmt"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// Say indexes so many answers of 20 posts each, one a second, of which some speak of a
// harbour, some of a fire, few of both.
func Say(t *testing.T, c catalog.Catalog, answers int) {
	t.Helper()
	batch, _ := Load(0, answers)
	for i := range batch {
		at := holdfast.At(time.UnixMilli(1.7e12 + int64(i)*1000))
		x := catalog.Answer{Channel: "7", Received: at, How: "messages.getHistory"}
		for k := range 20 {
			n := int64(1 + i*20 + k)
			text := fmt.Sprintf("post %d", n)
			for _, w := range []struct {
				every int
				word  string
			}{{2, "harbour"}, {3, "fire"}} {
				if (i+k)%w.every == 0 {
					text += " " + w.word
				}
			}
			d := hashing.Of([]byte(text))
			x.Posts = append(x.Posts, catalog.Observed{ID: n, Kind: "message", Posted: at, Content: d, Text: d})
			x.Said = append(x.Said, catalog.Said{Text: text})
		}
		batch[i].Answers = []catalog.Answer{x}
	}
	if err := c.Accepted(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// testWithin: a question whose time is over says so, and how far down it has looked; and
// what it has found until then is what a longer one finds.
func testWithin(t *testing.T, open Open) {
	c := open(t, t.TempDir())
	Say(t, c, 20)
	q := catalog.TextQuery{Words: ask(t, "harbour"), Limit: 500}
	want, err := c.Search(t.Context(), q)
	if err != nil || len(want.Hits) != 200 {
		t.Fatal(err, len(want.Hits))
	}
	q.Within = time.Nanosecond
	f, err := c.Search(t.Context(), q)
	if err != nil || !f.Stopped || f.More {
		t.Fatalf("stopped %t, more %t, %v", f.Stopped, f.More, err)
	}
	got := f.Hits
	if q.Within = time.Minute; f.Down != (catalog.TextCursor{}) {
		q.After = &f.Down
	}
	if f, err = c.Search(t.Context(), q); err != nil || f.Stopped {
		t.Fatal(err, f.Stopped)
	}
	sameHits(t, "in two parts", append(got, f.Hits...), want.Hits)
}
