package web

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
)

// TestStamped: of a page that is higher than one picture can be, the pictures stay as
// they are, and one more has all of them below a band; each says what it was made from.
// The PDF has its pages.
func TestStamped(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><title>tall</title><style>body{margin:0}p{margin:0;height:200px}</style>")
		for i := range 170 { // 34,000 pixels
			fmt.Fprintf(w, "<p style='background:rgb(%d,%d,90)'>Part %d", i, 255-i, i)
		}
	}), nil)
	a, k := collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	if a.Outcome != collectors.Complete {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	names := []string{"screenshot.png", "screenshot-2.png", "screenshot-3.png"}
	var tiles []image.Image
	height := 0
	for _, n := range names {
		m, err := png.Decode(bytes.NewReader(object(t, a, k, n)))
		if err != nil {
			t.Fatal(err)
		}
		tiles = append(tiles, m)
		height += m.Bounds().Dy()
	}
	stamped, err := png.Decode(bytes.NewReader(object(t, a, k, "stamped.png")))
	if err != nil {
		t.Fatal(err)
	}
	top := stamped.Bounds().Dy() - height
	if height != 34_000 || top < 100 || top > 400 {
		t.Errorf("the pictures have %d rows, the band %d", height, top)
	}
	for i, m := range tiles {
		got := image.NewNRGBA(m.Bounds())
		draw.Draw(got, got.Rect, stamped, image.Pt(0, top), draw.Src)
		want := image.NewNRGBA(m.Bounds())
		draw.Draw(want, want.Rect, m, image.Point{}, draw.Src)
		if !bytes.Equal(got.Pix, want.Pix) {
			t.Errorf("tile %d is not as it was", i+1)
		}
		top += m.Bounds().Dy()
	}
	i := slices.IndexFunc(a.Transformations, func(x collectors.Transformation) bool { return x.Output == "stamped.png" })
	if i < 0 || !slices.Equal(a.Transformations[i].Inputs, names) || a.Transformations[i].Tool != software {
		t.Errorf("transformations %+v", a.Transformations)
	}
	pdf := object(t, a, k, "page.pdf")
	if !bytes.HasPrefix(pdf, []byte("%PDF-")) || bytes.Count(pdf, []byte("/Type /Page\n")) < 30 {
		t.Errorf("%d bytes, %d pages: %.20q", len(pdf), bytes.Count(pdf, []byte("/Type /Page\n")), pdf)
	}
	if bytes.Contains(pdf, []byte("/StructTreeRoot")) {
		t.Error("the PDF of a tall page has tags")
	}
	list, _ := readCommands(t, object(t, a, k, commandsName))
	for _, c := range list {
		if c.Method == "Page.printToPDF" || c.Method == "Page.captureScreenshot" {
			t.Logf("%s %s – %s", c.Method, c.Sent, c.Answered)
		}
	}
}

// TestPrintedWithTags: the PDF of an ordinary page can be read out by a screen reader.
func TestPrintedWithTags(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!doctype html><html lang=en><title>t</title><h1>Head</h1><p>words")
	}), nil)
	a, k := collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	if pdf := object(t, a, k, "page.pdf"); !bytes.Contains(pdf, []byte("/StructTreeRoot")) {
		t.Errorf("no tags: %.300q", pdf)
	}
}

// The band says where the page was, in letters that it has, and what was asked for where
// that is another place.
func TestBand(t *testing.T) {
	x := &capture{address: "https://host.test/from", tab: &tab{document: "https://приклад.укр/до"}, view: &view{pictured: time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.FixedZone("", 3600))}}
	want := []string{"https://xn--80aikifvh.xn--j1amh/%D0%B4%D0%BE", "asked for https://host.test/from", "pictured 2026-03-01 11:00:00.005 UTC by the clock of the node"}
	if got := x.band(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	x.tab.document = x.address + "#here"
	if got := x.band(); len(got) != 2 || got[0] != x.address+"#here" {
		t.Errorf("%q", got)
	}
}

// A picture that cannot be stamped is a reason; a disk that cannot be written an error.
func TestStampFails(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "screenshot.png")
	os.WriteFile(bad, []byte("no picture at all, but long enough to be looked at"), 0o600)
	x := &capture{dir: dir, view: &view{files: []file{{name: "screenshot.png", role: "screenshot", path: bad}}}}
	if err := x.stamp(); err != nil || len(x.view.files) != 1 || len(x.view.reasons) != 1 || x.view.reasons[0].Code != "stamped-failed" {
		t.Errorf("%v, %v, %v", err, x.view.files, x.view.reasons)
	}
	x.view.reasons, x.dir = nil, filepath.Join(dir, "gone")
	if err := x.stamp(); err == nil || !strings.Contains(err.Error(), "stamped.png") {
		t.Errorf("%v, %v", err, x.view.reasons)
	}
}
