package web

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast/collectors"
)

// TestWindowUntold: a page is never told of another window than its own, with a banner that
// is pictured too, however tall it is, and is pictured wholly. In a browser that does not
// paint what is beyond the window a taller page is told of one: its text and document are
// taken before, the record says so, and the picture is the same.
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
			io.WriteString(w, "<!doctype html><title>tall</title>"+told+strings.Repeat("<p>words", 200)+banner)
		}
	}), nil)
	var pictures [][]byte
	for _, paints := range []bool{true, false} {
		c := newCollector(t, Options{Browser: browserThat(t, paints)})
		for _, path := range []string{"/short", "/tall"} { // what is asked for in the first is looked at
			a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + path, AllowPrivate: true})
			if a.Outcome != collectors.Complete {
				t.Errorf("%s: %s %v", path, a.Outcome, a.Reasons)
			}
			for _, name := range []string{"text.txt", "dom.html"} {
				if got := object(t, a, k, name); !strings.Contains(string(got), "untold") || strings.Contains(string(got), "told 1") {
					t.Errorf("%s: %s has %q", path, name, got)
				}
			}
			if !slices.ContainsFunc(a.Objects, func(o collectors.Object) bool { return o.Name == "before-consent.png" }) {
				t.Errorf("%s: no picture of the banner", path)
			}
			if path == "/tall" {
				pictures = append(pictures, object(t, a, k, "screenshot.png"))
			}
			tells := path == "/tall" && !paints
			if noted := slices.ContainsFunc(a.Collection.Notes, func(n string) bool { return strings.Contains(n, "1 × 1") }); noted != tells {
				t.Errorf("%s: notes %q", path, a.Collection.Notes)
			}
			if asked := s.asked(); !tells && slices.ContainsFunc(asked, func(h string) bool { return strings.Contains(h, "/resized") }) {
				t.Errorf("%s, in a browser that paints all: %t, was told of another window: %q", path, paints, asked)
			}
		}
	}
	one, other := decoded(t, pictures[0]), decoded(t, pictures[1])
	if one.Bounds() != other.Bounds() || one.Bounds().Dy() < 3*viewHeight {
		t.Fatalf("the pictures are of %v and %v", one.Bounds(), other.Bounds())
	}
	for y := 100; y < one.Bounds().Dy(); y++ { // what stands above says what it was told
		for x := range one.Bounds().Dx() {
			if one.At(x, y) != other.At(x, y) {
				t.Fatalf("the pictures differ at %d, %d", x, y)
			}
		}
	}
}

func decoded(t *testing.T, picture []byte) image.Image {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// browserThat gives the browser of the tests, or one that does not know the switch.
func browserThat(t *testing.T, paints bool) string {
	t.Helper()
	path := browserPath(t)
	if paints {
		return path
	}
	script := filepath.Join(t.TempDir(), "browser")
	text := fmt.Sprintf("#!/bin/sh\nfor a; do shift; case $a in --blink-settings=*) ;; *) set -- \"$@\" \"$a\";; esac; done\nexec %s \"$@\"\n", path)
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return script
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
	for _, name := range []string{"screenshot.png", "screenshot-2.png", "screenshot-3.png"} {
		m := decoded(t, object(t, a, k, name))
		w, h := m.Bounds().Dx(), m.Bounds().Dy()
		if w != 5000 || w*h > maxPicture {
			t.Errorf("%s: %d x %d", name, w, h)
		}
		for _, at := range []image.Point{{0, 0}, {w - 1, 0}, {0, h - 1}, {w - 1, h - 1}} {
			if r, g, b, _ := m.At(at.X, at.Y).RGBA(); r>>8 != 0x66 || g>>8 != 0xaa || b>>8 != 0x66 {
				t.Errorf("%s is white at %v", name, at)
			}
		}
		height += h
	}
	if height != 12_000 || a.Outcome != collectors.Complete {
		t.Errorf("%d rows; %s %v", height, a.Outcome, a.Reasons)
	}
}

// TestPictured: what was never composed while nobody looked (a large picture that takes
// long to decode, far down) is in the picture, each pixel of it, and so is the end.
func TestPictured(t *testing.T) {
	const width, height, above = 1300, 1800, 5000
	r := rand.New(rand.NewPCG(1, 2))
	want := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range want.Pix {
		want.Pix[i] = byte(r.Uint32()) | byte(i%4/3*255)
	}
	var file bytes.Buffer
	if err := png.Encode(&file, want); err != nil {
		t.Fatal(err)
	}
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/noise.png" {
			w.Header().Set("Content-Type", "image/png")
			w.Write(file.Bytes())
			return
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!doctype html><title>far</title><style>*{margin:0}img{display:block}</style><div style='height:%dpx'></div><img src=noise.png loading=lazy decoding=async><div style='height:10px;background:#6a6'>", above)
	}), nil)
	c := newCollector(t, Options{})
	a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	got := decoded(t, object(t, a, k, "screenshot.png"))
	if got.Bounds().Dy() != above+height+10 {
		t.Fatalf("%v", got.Bounds())
	}
	for y := range height {
		for x := range width {
			if g, w := color.NRGBAModel.Convert(got.At(x, above+y)), want.At(x, y); g != w {
				t.Fatalf("pixel %d, %d is %v, want %v", x, y, g, w)
			}
		}
	}
	if g := color.NRGBAModel.Convert(got.At(9, above+height+9)); g != (color.NRGBA{0x66, 0xaa, 0x66, 255}) {
		t.Errorf("the end is %v", g)
	}
	for _, pid := range group(c.browser.cmd.Process.Pid) { // nor is the browser's own window
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); bytes.Contains(line, []byte("--top-chrome")) {
			t.Errorf("a process of the browser's own window: %.200q", line)
		}
	}
}
