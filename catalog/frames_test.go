package catalog_test

import (
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/hashing"
)

// TestFramesAreRead: the text of frames is searched behind that of the page, whether or
// not there is a Page; one that is larger than what is searched of a page keeps none of
// the page from it.
func TestFramesAreRead(t *testing.T) {
	text, page, frames := []byte("The bridge"), []byte(`{"canonical":"","kind":"page","language":"en","links":[],"title":"Harbour","version":1}`), []byte("# https://a.example/\n\nThe ferry")
	object := func(name, role string, b []byte) holdfast.Object {
		return holdfast.Object{Digest: hashing.Of(b), Name: name, Role: role, Size: int64(len(b)), Type: "text/plain"}
	}
	own, normal, framed := object("text.txt", "text", text), object("page.json", "page", page), object("frames.txt", "frames", frames)
	large := framed
	large.Size = catalog.MaxPageText + 1
	for name, c := range map[string]struct {
		objects []holdfast.Object
		bodies  [][]byte
		want    string
	}{
		"all":       {[]holdfast.Object{framed, normal, own}, [][]byte{text, page, frames}, "Harbour|The bridge\n\n# https://a.example/\n\nThe ferry"},
		"no Page":   {[]holdfast.Object{framed, own}, [][]byte{text, frames}, "|The bridge\n\n# https://a.example/\n\nThe ferry"},
		"no frames": {[]holdfast.Object{normal, own}, [][]byte{text, page}, "Harbour|The bridge"},
		"too large": {[]holdfast.Object{large, normal, own}, [][]byte{text, page}, "Harbour|The bridge"},
	} {
		m := &holdfast.Manifest{Case: holdfast.NewID(), ID: holdfast.NewID(), Kind: holdfast.KindCapture, Nonce: holdfast.NewNonce(), Source: "https://host/", Objects: c.objects,
			Collection: holdfast.Collection{Node: "test.0123456789abcdef"}, Completeness: holdfast.Completeness{Outcome: "complete"}, Custody: holdfast.Head{Chain: holdfast.NewID(), Length: 1}}
		raw, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		a, err := catalog.Read(0, raw)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.PageObjects()) != len(c.bodies) {
			t.Errorf("%s: %d objects are wanted", name, len(a.PageObjects()))
			continue
		}
		if err := a.ReadPage(c.bodies); err != nil || a.Page.Title+"|"+a.Page.Body() != c.want {
			t.Errorf("%s: %v, %q", name, err, a.Page.Body())
		}
	}
}
