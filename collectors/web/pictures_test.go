package web

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"holdfast/collectors"
)

// TestWindowUntold: a page that fits into the window is never told of another one, with a
// banner that is pictured too; of one that does not, the text and the document are taken
// before it is, and the record says so.
func TestWindowUntold(t *testing.T) {
	const told = `<p id=told>untold</p><script>addEventListener('resize',()=>{told.textContent='told '+innerWidth;fetch('/resized?'+innerWidth)})</script>`
	const banner = `<div id=onetrust-banner-sdk style="position:fixed;bottom:0;left:0;right:0;height:200px;background:#ddd">We use cookies
<button id=onetrust-reject-all-handler onclick="this.parentElement.remove()">Reject all</button></div>`
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/short":
			io.WriteString(w, "<!doctype html><title>short</title>"+told+banner)
		case "/tall":
			io.WriteString(w, "<!doctype html><title>tall</title>"+told+strings.Repeat("<p>words", 200))
		}
	}), nil)
	c := newCollector(t, Options{})
	for _, path := range []string{"/short", "/tall"} { // what is asked for in the first is looked at
		beyond := path == "/tall"
		a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + path, AllowPrivate: true})
		if a.Outcome != collectors.Complete {
			t.Errorf("%s: %s %v", path, a.Outcome, a.Reasons)
		}
		for _, name := range []string{"text.txt", "dom.html"} {
			if got := object(t, a, k, name); !strings.Contains(string(got), "untold") || strings.Contains(string(got), "told 1") {
				t.Errorf("%s: %s has %q", path, name, got)
			}
		}
		if noted := slices.ContainsFunc(a.Collection.Notes, func(n string) bool { return strings.Contains(n, "1 × 1") }); noted != beyond {
			t.Errorf("%s: notes %q", path, a.Collection.Notes)
		}
		if banner := slices.ContainsFunc(a.Objects, func(o collectors.Object) bool { return o.Name == "before-consent.png" }); banner == beyond {
			t.Errorf("%s: a picture of the banner: %t", path, banner)
		}
		if asked := s.asked(); !beyond && slices.ContainsFunc(asked, func(h string) bool { return strings.Contains(h, "/resized") }) {
			t.Errorf("%s was told of another window: %q", path, asked)
		}
	}
}

// TestWidePicture: a page that is very wide is pictured in lower tiles, each of no more
// pixels than another's, and wholly.
func TestWidePicture(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>wide</title><style>body{margin:0}</style><div style='width:5000px;height:12000px;background:#6a6'>")
	}), nil)
	a, k := collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	height := 0
	for _, name := range []string{"screenshot.png", "screenshot-2.png"} {
		c, err := png.DecodeConfig(bytes.NewReader(object(t, a, k, name)))
		if err != nil {
			t.Fatal(err)
		}
		if c.Width != 5000 || c.Width*c.Height > maxPicture {
			t.Errorf("%s: %d x %d", name, c.Width, c.Height)
		}
		height += c.Height
	}
	if height != 12_000 || a.Outcome != collectors.Complete {
		t.Errorf("%d rows; %s %v", height, a.Outcome, a.Reasons)
	}
}
