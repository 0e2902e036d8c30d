package main

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"mime/quotedprintable"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// exportCommands adds what scripts of export need.
func exportCommands(to map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	to["within"], to["anywhere"], to["rows"], to["topics"] = cmdWithin, cmdAnywhere, cmdRows, cmdTopics
	return to
}

// cmdWithin is `within FILE TEXT [REGEXP]`: a Bundle holds the text, however it is packed
// or written there, in a file whose name is like REGEXP. `! within FILE TEXT`: nowhere.
func cmdWithin(ts *testscript.TestScript, neg bool, args []string) {
	b := []byte(ts.ReadFile(args[0]))
	found := placesOf(args[0], b, args[1])
	switch {
	case neg && len(found) > 0:
		ts.Fatalf("%q is in %q", args[1], found)
	case !neg && len(found) == 0:
		ts.Fatalf("%q is nowhere in it", args[1])
	case !neg && len(args) > 2 && !slices.ContainsFunc(found, regexp.MustCompile(args[2]).MatchString):
		ts.Fatalf("%q is in %q", args[1], found)
	}
}

// placesOf looks for a text in a file and in all that is packed in it: ZIP, gzip,
// base64, quoted-printable, and as JSON, HTML, addresses and UTF-16 write it.
func placesOf(name string, b []byte, text string) (found []string) {
	see := func(how string, b []byte) {
		if bytes.Contains(b, []byte(text)) {
			found = append(found, name+how)
		}
	}
	if z, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err == nil {
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				panic(err)
			}
			in, err := io.ReadAll(r)
			if err != nil {
				panic(err)
			}
			found = append(found, placesOf(name+" > "+f.Name, in, text)...)
		}
	}
	see("", b)
	for i := 0; ; { // gzip, one member after the other
		k := bytes.Index(b[i:], []byte{0x1f, 0x8b, 8})
		if k < 0 {
			break
		}
		i += k + 1
		r, err := gzip.NewReader(bytes.NewReader(b[i-1:]))
		if err != nil {
			continue
		}
		r.Multistream(false)
		if in, _ := io.ReadAll(r); len(in) > 0 { // of one that is cut what came
			found = append(found, placesOf(fmt.Sprintf("%s > gzip at %d", name, i-1), in, text)...)
		}
	}
	for _, run := range regexp.MustCompile(`[A-Za-z0-9+/\r\n]{16,}={0,2}`).FindAll(b, -1) {
		run = []byte(strings.NewReplacer("\r", "", "\n", "").Replace(string(run)))
		run = bytes.TrimRight(run, "=")
		for from := range min(4, len(run)) { // what stands before it may look like a part of it
			in := make([]byte, base64.RawStdEncoding.DecodedLen(len(run)))
			n, _ := base64.RawStdEncoding.Decode(in, run[from:])
			see(", base64", in[:n])
		}
	}
	in, _ := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(b)))
	see(", quoted-printable", in)
	for _, q := range regexp.MustCompile(`"(?:[^"\\]|\\.)*\\u(?:[^"\\]|\\.)*"`).FindAll(b, -1) {
		var s string
		if json.Unmarshal(q, &s) == nil {
			see(", JSON", []byte(s))
		}
	}
	see(", HTML", []byte(html.UnescapeString(string(b))))
	if s, err := url.PathUnescape(string(b)); err == nil {
		see(", address", []byte(s))
	}
	var wide []byte
	for _, c := range []byte(text) {
		wide = append(wide, c, 0)
	}
	if bytes.Contains(b, wide) {
		found = append(found, name+", UTF-16")
	}
	return found
}

// TestPlacesOf: what is looked for is found, however it is packed: a search that finds
// nothing would show nothing.
func TestPlacesOf(t *testing.T) {
	const text = "neighbour-word"
	pack := func(b []byte) []byte {
		var out bytes.Buffer
		z := zip.NewWriter(&out)
		w, err := z.Create("data/warc.gz")
		if err != nil {
			t.Fatal(err)
		}
		w.Write(b)
		z.Close()
		return out.Bytes()
	}
	zipped := func(b string) []byte {
		var out bytes.Buffer
		g := gzip.NewWriter(&out)
		io.WriteString(g, b)
		g.Close()
		return out.Bytes()
	}
	for name, b := range map[string][]byte{
		"raw": []byte("x" + text), "zip": pack([]byte(text)), "gzip in zip": pack(slices.Concat(zipped("a"), zipped(text))), "zip in zip": pack(pack([]byte(text))),
		"base64": []byte(`{"b":"` + base64.StdEncoding.EncodeToString([]byte("abcde "+text)) + `"}`), "JSON": []byte(`{"a":"neighbour\u002dword"}`), "HTML": []byte("neighbour&#45;word"),
		"quoted-printable": []byte("neigh=\r\nbour=2Dword"), "UTF-16": []byte(strings.Join(strings.Split(text, ""), "\x00") + "\x00"), "address": []byte("a=neighbour%2Dword"),
	} {
		if len(placesOf(name, b, text)) == 0 {
			t.Errorf("%s: it is not found", name)
		}
	}
	if got := placesOf("none", pack([]byte("neighbour word")), text); len(got) > 0 {
		t.Errorf("found where it is not: %v", got)
	}
}
