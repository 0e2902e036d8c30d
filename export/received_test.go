package export_test

import (
	"strings"
	"testing"

	"golang.org/x/net/html"

	"holdfast"
	"holdfast/collectors"
	"holdfast/export"
	"holdfast/hashing"
)

// A Capture of files that a person handed over says on the page that nothing of
// their origin is proven, how they came and what they were called, and not who
// gave them.
func TestPageOfReceived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doc, err := collectors.Handover{How: "by <b>hand", Received: "2026-11-24", Device: "phone \u202e", Training: true,
		Files: []collectors.Handed{{Name: "Bild \u202egpj.<i>exe\xff", Object: "1-bild.exe", Size: 1, Type: "text/plain"}}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	giver := []byte(`{"name":"giver","salt":"` + strings.Repeat("0", 64) + `","value":"Maria"}`)
	id := w.capture("received:000102030405060708090a0b0c0d0e0f", func(m *holdfast.Manifest) {
		m.Found.How = "by <b>hand"
		m.Web, m.Commitments = nil, []holdfast.Commitment{{Digest: hashing.Of(giver), Name: "giver"}}
	}, object{name: "1-bild.exe", role: "received", kind: "text/plain", body: []byte("x")},
		object{name: "giver.json", role: "disclosure", kind: "application/json", body: giver, restricted: true},
		object{name: "received.json", role: "handover", kind: "application/json", body: doc})
	w.seal(1, id)
	o := w.options(id)
	page := visible(t, o)
	for _, want := range []string{"Not proven. These files were handed over by a person", "a person (name withheld)", "by <b>hand", "2026-11-24", "phone ⟨U+202E⟩", "Bild ⟨U+202E⟩gpj.<i>exe", "file as given to the office"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(page, "Maria") || strings.Contains(page, "⟦") {
		t.Error("the page names the giver, or lacks a sentence")
	}
	o.Restricted = true
	if page = visible(t, o); !strings.Contains(page, "named in giver.json") || strings.Contains(page, "name withheld") {
		t.Error("with restricted objects the page says that the giver is withheld")
	}
}

// visible is the text of the page as a reader sees it.
func visible(t *testing.T, o export.Options) string {
	path, _ := write(t, o)
	root, err := html.Parse(strings.NewReader(string(entries(t, path)[holdfast.ReadMe])))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	var walk func(*html.Node)
	walk = func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			walk(c)
		}
	}
	walk(root)
	return b.String()
}
