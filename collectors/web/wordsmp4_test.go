package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"

	"holdfast/collectors"
)

// wordsIn makes a track of words in MP4 with a library of others: its head, and a piece of
// two seconds for each of these.
func wordsIn(t *testing.T, form string, said ...string) (head []byte, pieces [][]byte) {
	t.Helper()
	s := mp4.CreateEmptyInit()
	s.AddEmptyTrack(1000, form, "en")
	set := func() error { return s.Moov.Trak.SetWvttDescriptor("") }
	if form == "stpp" {
		set = func() error { return s.Moov.Trak.SetStppDescriptor("", "", "") }
	}
	var b bytes.Buffer
	if err := errors.Join(set(), s.Encode(&b)); err != nil {
		t.Fatal(err)
	}
	for i, text := range said {
		f, err := mp4.CreateFragment(uint32(i+1), 1)
		if err != nil {
			t.Fatal(err)
		}
		var data bytes.Buffer
		if form == "stpp" {
			data.WriteString(text)
		} else {
			var c mp4.VttcBox
			c.AddChild(&mp4.PaylBox{CueText: text})
			err = c.Encode(&data)
		}
		f.AddFullSample(mp4.FullSample{Sample: mp4.Sample{Flags: mp4.SyncSampleFlags, Dur: 2000, Size: uint32(data.Len())}, DecodeTime: uint64(i * 2000), Data: data.Bytes()})
		seg := mp4.NewMediaSegment()
		seg.AddFragment(f)
		var piece bytes.Buffer
		if err := errors.Join(err, seg.Encode(&piece)); err != nil {
			t.Fatal(err)
		}
		pieces = append(pieces, piece.Bytes())
	}
	return b.Bytes(), pieces
}

// TestWordsFromMP4: words that came in pieces of MP4 are one file of WebVTT, or of TTML;
// what cannot be read is told, and its pieces are in the record.
func TestWordsFromMP4(t *testing.T) {
	files := map[string][]byte{}
	put := func(name, form string, said ...string) {
		head, pieces := wordsIn(t, form, said...)
		files["/"+name+"/head.mp4"] = head
		for i, p := range pieces {
			files[fmt.Sprintf("/%s/%d.m4s", name, i+1)] = p
		}
	}
	const doc = `<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="2s">words</p></div></body></tt>`
	put("vtt", "wvtt", "first", "goes on", "goes on", "last")
	put("ttml", "stpp", doc, doc, doc, doc)
	put("many", "stpp", doc, doc+"<!-- 2 -->", doc, doc)
	put("cut", "wvtt", "first", "second", "third", "fourth")
	files["/cut/3.m4s"] = files["/cut/3.m4s"][:50]
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, what, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		switch b := files[r.URL.Path]; {
		case b != nil:
			w.Header().Set("Content-Type", "application/mp4")
			w.Write(b)
		case what == "film.mpd":
			w.Header().Set("Content-Type", "application/dash+xml")
			fmt.Fprintf(w, `<MPD type="static" mediaPresentationDuration="PT8S"><Period><AdaptationSet contentType="text" mimeType="application/mp4" codecs="wvtt" lang="en"><Representation id="t" bandwidth="100"><SegmentTemplate initialization="head.mp4" media="$Number$.m4s" duration="2"/></Representation></AdaptationSet></Period></MPD>`)
		case what == "page":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, "<title>film</title><script>fetch('/%s/film.mpd')</script>", name)
		default:
			io.WriteString(w, "")
		}
	}), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	for name, v := range map[string]struct{ file, want, told string }{
		"vtt":  {"text-1.vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nfirst\n\n00:00:02.000 --> 00:00:06.000\ngoes on\n\n00:00:06.000 --> 00:00:08.000\nlast\n", "written as text/vtt, 1 parts of cues"},
		"ttml": {"text-1.ttml", doc, "written as application/ttml+xml"},
		"many": {"", "", "several documents of TTML"},
		"cut":  {"", "", "no one file was made of it: its words in MP4 cannot be read: a box of"},
	} {
		a, k := collect(t, c, collectors.Request{Source: "http://film.test:" + s.port() + "/" + name + "/page", AllowPrivate: true})
		notes := strings.Join(a.Collection.Notes, "\n")
		if v.file == "" {
			if hasObject(a, "text-1.vtt") || hasObject(a, "text-1.ttml") || !strings.Contains(notes, v.told) {
				t.Errorf("%s: %s %v %s", name, a.Outcome, a.Reasons, notes)
			}
			continue
		}
		if !hasObject(a, v.file) {
			t.Fatalf("%s: %s %v %s", name, a.Outcome, a.Reasons, notes)
		}
		if got := string(object(t, a, k, v.file)); got != v.want {
			t.Errorf("%s: %q", name, got)
		}
		if tr := transformation(a, v.file); tr == nil || !strings.Contains(tr.Detail, v.told) || !strings.Contains(notes, v.file+" is all of them") {
			t.Errorf("%s: %+v %s", name, tr, notes)
		}
	}
}
