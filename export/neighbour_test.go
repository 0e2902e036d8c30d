package export_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"image/png"
	"io"
	"os"
	"regexp"
	"testing"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
)

// holds reports whether b has the text, also inside ZIPs, gzip and base64 (the
// page's pictures, signed payloads), at any depth that a Bundle has.
func holds(b, text []byte, depth int) bool {
	if bytes.Contains(b, text) {
		return true
	}
	if depth == 0 {
		return false
	}
	if z, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err == nil {
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				continue
			}
			if in, _ := io.ReadAll(r); holds(in, text, depth-1) {
				return true
			}
		}
		return false
	}
	for i := range b {
		if bytes.HasPrefix(b[i:], []byte("\x1f\x8b\x08")) {
			if r, err := gzip.NewReader(bytes.NewReader(b[i:])); err == nil {
				if in, _ := io.ReadAll(r); holds(in, text, depth-1) {
					return true
				}
			}
		}
	}
	for _, run := range regexp.MustCompile(`[A-Za-z0-9+/]{24,}={0,2}`).FindAll(b, -1) {
		if in, err := base64.StdEncoding.DecodeString(string(run)); err == nil && holds(in, text, depth-1) {
			return true
		}
	}
	return false
}

// neighbours accepts a Capture whose every Object holds what another slice says.
func (w *world) neighbours() holdfast.ID {
	neighbour := []byte("first message")
	var warc, wacz bytes.Buffer
	g := gzip.NewWriter(&warc)
	g.Write(append([]byte("WARC/1.1\r\n"), neighbour...))
	g.Close()
	z := zip.NewWriter(&wacz)
	f, _ := z.Create("archive/data.warc.gz")
	f.Write(warc.Bytes())
	z.Close()
	shot := append(picture(0), neighbour...)
	if _, err := png.DecodeConfig(bytes.NewReader(shot)); err != nil {
		w.t.Fatal(err)
	}
	id := w.page("https://example.org/quay")
	c := w.captures[id]
	m := *c.m
	m.Objects = nil
	for _, o := range []object{
		{name: "dom.html", role: "dom", kind: "text/html", body: neighbour},
		{name: "page.json", role: "page", kind: "application/json", body: append([]byte(`{"text":"`), neighbour...)},
		{name: "page.mhtml", role: "mhtml", kind: "multipart/related", body: []byte(base64.StdEncoding.EncodeToString(append(neighbour, " and what comes after it"...)))},
		{name: "page.wacz", role: "wacz", kind: "application/wacz+zip", body: wacz.Bytes()},
		{name: "requests.warc.gz", role: "requests", kind: "application/warc", body: warc.Bytes(), restricted: true},
		{name: "screenshot.png", role: "screenshot", kind: "image/png", body: shot},
	} {
		c.objects[o.name] = o.body
		m.Objects = append(m.Objects, holdfast.Object{Name: o.name, Role: o.role, Type: o.kind, Restricted: o.restricted, Size: int64(len(o.body)), Digest: hashing.Of(o.body)})
	}
	for _, o := range c.m.Objects {
		if o.Role == "source" || o.Role == "slice-secret" || o.Role == "text" {
			m.Objects = append(m.Objects, o)
		}
	}
	b, err := m.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	c.m, c.manifest = &m, b
	return id
}

// TestNoByteOfANeighbour: what slices leave out is nowhere in the Bundle.
func TestNoByteOfANeighbour(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.neighbours()
	w.seal(2, id)
	o := w.options(id)
	o.Restricted = true
	whole, _ := write(t, o)
	for name, b := range entries(t, whole) { // the search finds each of them
		if f, ok := bytes.CutPrefix([]byte(name), []byte("data/exhibits/1/")); ok && string(f) != "manifest.json" && !bytes.HasSuffix(f, []byte(".secret")) && !holds(b, []byte("first message"), 4) {
			t.Errorf("%s does not hold the text: the search is of no use", name)
		}
	}
	o.Slices = []export.SliceRef{{Capture: id, Object: "source.html", Slice: "message-2"}}
	path, sum := write(t, o)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if holds(b, []byte("first message"), 6) {
		for name, b := range entries(t, path) {
			if holds(b, []byte("first message"), 5) {
				t.Errorf("%s holds what was not to be shown", name)
			}
		}
	}
	if !holds(b, []byte("second message"), 2) || sum.Withheld != len(w.captures[id].m.Objects) {
		t.Errorf("%d withheld", sum.Withheld)
	}
	wantVerdict(t, verify(t, path, w.policy), holdfast.VerdictProven)
}
