package catalogtest

import (
	"fmt"
	"strings"
	"testing"

	"holdfast/catalog"
	"holdfast/hashing"
)

// testLong: a text is found by any of its words and phrases, however long it is, however
// many different words it has, and however often one comes; by none that it has not.
func testLong(t *testing.T, open Open) {
	w, c := New(66, 1, 24), open(t, t.TempDir())
	var many, same strings.Builder
	for i := range 180_000 {
		fmt.Fprintf(&many, "w%dx ", i)
	}
	for range 200_000 {
		same.WriteString("again ")
	}
	texts := []string{many.String() + "at the very end", same.String() + "comes something", "short at the end"}
	for _, text := range texts {
		for _, a := range w.web(text) {
			if err := c.Accepted(t.Context(), []catalog.Accepted{a}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for s, want := range map[string][]int{
		"w0x": {0}, "w179999x": {0}, `"w99999x w100000x"`: {0}, `"w100000x w99999x"`: {}, `"w179999x at the very"`: {0}, "w17999*": {0}, "w180000x": {}, "w0x w90000x -short": {0}, "w0x -w90000x": {}, `w0x -"at the very"`: {},
		"something": {1}, `"again comes"`: {1}, `"again comes something"`: {1}, `"comes again"`: {}, "again -something": {}, `again -"again something"`: {1},
		"end": {0, 2}, `"the end"`: {2}, `end -very`: {2}, `end -"w0x w1x"`: {2}, `end -"w1x w0x"`: {0, 2},
	} {
		f, err := c.Search(t.Context(), catalog.TextQuery{Words: ask(t, s)})
		if err != nil {
			t.Fatal(err)
		}
		found := map[hashing.Digest]bool{}
		for _, h := range f.Hits {
			found[h.Text] = true
		}
		for i, text := range texts {
			has := false
			for _, k := range want {
				has = has || k == i
			}
			if found[hashing.Of([]byte(text))] != has {
				t.Errorf("%s: text %d is found: %t", s, i, !has)
			}
		}
	}
}
