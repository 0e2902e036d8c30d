package stream

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func joinWords(pieces ...string) (string, *Words, error) {
	w := &Words{}
	for _, p := range pieces {
		w.Write([]byte(p))
		if err := w.Next(); err != nil {
			return "", w, err
		}
	}
	var b bytes.Buffer
	_, err := w.WriteTo(&b)
	return b.String(), w, err
}

func TestWords(t *testing.T) {
	for name, c := range map[string]struct {
		pieces []string
		want   string
	}{
		"times of the film": {[]string{"WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:01.000 --> 00:02.000\none\n", "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n00:06.000 --> 00:07.000 line:0 align:start\ntwo\nlines\n"},
			"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\none\n\n00:00:06.000 --> 00:00:07.000 line:0 align:start\ntwo\nlines\n"},
		"times of the piece": {[]string{"WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n00:01.000 --> 00:02.000\none", "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:1440000\n\nid\n00:01.000 --> 00:02.000\nt<00:00:01.500>wo"},
			"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\none\n\nid\n00:00:07.000 --> 00:00:08.000\nt<00:00:07.500>wo\n"},
		"the clock comes round": {[]string{"WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:8589844592\n\n00:00.500 --> 00:02.000\none", "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:90000\n\n00:01.000 --> 00:02.000\ntwo"},
			"WEBVTT\n\n00:00:00.500 --> 00:00:02.000\none\n\n00:00:03.000 --> 00:00:04.000\ntwo\n"},
		"another local time": {[]string{"WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:10.000,MPEGTS:0\n\n00:10.000 --> 00:12.000\none", "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\n00:01.000 --> 00:02.000\ntwo"},
			"WEBVTT\n\n00:00:10.000 --> 00:00:12.000\none\n\n00:00:11.000 --> 00:00:12.000\ntwo\n"},
		"over the edge of a piece": {[]string{"\uFEFFWEBVTT some film\r\n\r\nSTYLE\r\n::cue{color:red}\r\n\r\nNOTE not kept\r\n\r\n00:04.000 --> 00:08.000\r\nlong\r\n", "WEBVTT\n\nSTYLE\n::cue{color:red}\n\n00:04.000 --> 00:08.000\nlong\n\n00:05.000 --> 00:06.000\nshort\n"},
			"WEBVTT\n\nSTYLE\n::cue{color:red}\n\n00:00:04.000 --> 00:00:08.000\nlong\n\n00:00:05.000 --> 00:00:06.000\nshort\n"},
		"no empty line": {[]string{"WEBVTT\n00:01.000 --> 00:02.000\none\n00:03.000 --> 00:04.000\ntwo\n", "WEBVTT\n"},
			"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\none\n\n00:00:03.000 --> 00:00:04.000\ntwo\n"},
		"before the film": {[]string{"WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\n", "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\n00:01.000 --> 00:02.000\ngone\n\n00:09.000 --> 00:12.000\ncut\n"},
			"WEBVTT\n\n00:00:00.000 --> 00:00:02.000\ncut\n"},
		"what nobody shows": {[]string{"WEBVTT\n\n00:01 --> 00:02.000\nx\n\n00:03.000 -->\ny\n\n99:99.000 --> 00:04.000\nz\n\n123:00:05.000 --> 123:00:06.000\nlate\n"},
			"WEBVTT\n\n123:00:05.000 --> 123:00:06.000\nlate\n"},
	} {
		if got, _, err := joinWords(c.pieces...); err != nil || got != c.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
	_, w, err := joinWords("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:90000\n\n00:01.000 --> 00:02.000\na", "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:180000\n\n00:00.000 --> 00:01.000\na\n\n00:01.000 --> 00:02.000\nb", "WEBVTT\n\n00:00.000 --> 00:01.000\nc")
	if err != nil || w.Repeated != 1 || w.Moved != 1 || w.Dropped != 1 {
		t.Errorf("%v, %+v", err, w)
	}
	for _, bad := range []string{"", "<html>", "WEBVTTX\n\n", "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:x,MPEGTS:1\n", "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:-1\n"} {
		if _, _, err := joinWords("WEBVTT\n", bad); !errors.Is(err, errVTT) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// What the words of a film may take is bounded, in bytes and in number.
func TestWordsAreBounded(t *testing.T) {
	w := &Words{}
	var err error
	for range 17 {
		if _, err = w.Write(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	if !errors.Is(err, errTooMuch) || len(w.piece) > MaxWords {
		t.Errorf("%d bytes: %v", len(w.piece), err)
	}
	var b strings.Builder
	b.WriteString("WEBVTT\n\n")
	for i := range maxCues + 1 {
		fmt.Fprintf(&b, "%s --> 99:00:00.000\n\n", clock(int64(i)))
	}
	if _, _, err := joinWords(b.String()); !errors.Is(err, errTooMuch) {
		t.Errorf("many cues: %v", err)
	}
}

// Whatever two pieces say, what is made of them is read as the same cues again.
func FuzzWords(f *testing.F) {
	f.Add("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000\n\nid\n00:01.000 --> 00:02.000 line:0\none<00:01.500>two", "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:01.000,MPEGTS:8589934591\n\nSTYLE\nx\n\n00:01.000 --> 00:02.000\none\n00:03.000 --> 00:04.000")
	f.Fuzz(func(t *testing.T, a, b string) {
		once, w, err := joinWords(a, b)
		if err != nil {
			return
		}
		again, v, err := joinWords(once)
		if err != nil || again != once || len(v.cues) != len(w.cues) {
			t.Fatalf("%v: %q, again %q", err, once, again)
		}
	})
}
