package stream

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/Eyevinn/mp4ff/mp4"
)

// The pieces are made by a library of others: what it writes is what is read here.

// head is what goes before the pieces of a track of words.
func head(t testing.TB, form, config string, scale uint32) string {
	t.Helper()
	s := mp4.CreateEmptyInit()
	s.AddEmptyTrack(48000, "audio", "en")
	s.AddEmptyTrack(scale, map[string]string{"wvtt": "wvtt", "stpp": "stpp"}[form], "en")
	var err error
	if form == "wvtt" {
		err = s.Moov.Traks[1].SetWvttDescriptor(config)
	} else {
		err = s.Moov.Traks[1].SetStppDescriptor("", "", "")
	}
	var b bytes.Buffer
	if err = errors.Join(err, s.Encode(&b)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// words is one sample: none is that nothing is shown.
type words struct {
	ticks uint32
	cues  []mp4.VttcBox
	raw   string // in the place of cues
}

// part is a piece with these samples.
func part(t testing.TB, number uint32, at uint64, list ...words) string {
	t.Helper()
	f, err := mp4.CreateFragment(number, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range list {
		var b bytes.Buffer
		b.WriteString(w.raw)
		for _, c := range w.cues {
			if err := c.Encode(&b); err != nil {
				t.Fatal(err)
			}
		}
		if b.Len() == 0 {
			if err := (&mp4.VtteBox{}).Encode(&b); err != nil {
				t.Fatal(err)
			}
		}
		f.AddFullSample(mp4.FullSample{Sample: mp4.Sample{Flags: mp4.SyncSampleFlags, Dur: w.ticks, Size: uint32(b.Len())}, DecodeTime: at, Data: b.Bytes()})
		at += uint64(w.ticks)
	}
	seg := mp4.NewMediaSegment()
	seg.AddFragment(f)
	var b bytes.Buffer
	if err := seg.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func said(text string, more ...mp4.Box) mp4.VttcBox {
	var c mp4.VttcBox
	for _, b := range more {
		c.AddChild(b)
	}
	c.AddChild(&mp4.PaylBox{CueText: text})
	return c
}

// TestWordsInMP4: cues come at their times, one that goes on through samples and pieces
// once, with name and settings, below the styles of the head.
func TestWordsInMP4(t *testing.T) {
	long := said("goes on", &mp4.IdenBox{CueID: "long"}, &mp4.SttgBox{Settings: "line:0  align:start"})
	got, w, err := joinWords(head(t, "wvtt", "WEBVTT\n\nSTYLE\n::cue{color:red}\n\nNOTE no style", 1000),
		part(t, 1, 0, words{ticks: 1000}, words{ticks: 1500, cues: []mp4.VttcBox{said("first <b>words</b>")}}, words{ticks: 500, cues: []mp4.VttcBox{long}}, words{ticks: 1000, cues: []mp4.VttcBox{long, said("beside\r\n\r\nit --> here")}}),
		part(t, 2, 4000, words{ticks: 2000, cues: []mp4.VttcBox{long}}, words{ticks: 1000}, words{ticks: 1000, cues: []mp4.VttcBox{long}}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `WEBVTT

STYLE
::cue{color:red}

00:00:01.000 --> 00:00:02.500
first <b>words</b>

long
00:00:02.500 --> 00:00:06.000 line:0 align:start
goes on

00:00:03.000 --> 00:00:04.000
beside
it --&gt; here

long
00:00:07.000 --> 00:00:08.000 line:0 align:start
goes on
`
	if got != want || w.Repeated != 2 {
		t.Errorf("%d parts of cues go on; got\n%s", w.Repeated, got)
	}
	if e, k := w.Form(); e != "vtt" || k != "text/vtt" {
		t.Errorf("%s %s", e, k)
	}
	// All in one file, with other ticks.
	if got, _, err := joinWords(head(t, "wvtt", "", 90000) + part(t, 1, 90000, words{ticks: 90001, cues: []mp4.VttcBox{said("one")}}) + part(t, 2, 270000, words{ticks: 45000, cues: []mp4.VttcBox{said("two")}})); err != nil || got != "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\none\n\n00:00:03.000 --> 00:00:03.500\ntwo\n" {
		t.Errorf("%v %q", err, got)
	}
}

func TestTTMLInMP4(t *testing.T) {
	const doc = `<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="2s">words</p></div></body></tt>`
	got, w, err := joinWords(head(t, "stpp", "", 1000), part(t, 1, 0, words{ticks: 4000, raw: doc}), part(t, 2, 4000, words{ticks: 4000, raw: doc}))
	if e, _ := w.Form(); err != nil || got != doc || e != "ttml" {
		t.Errorf("%v %q", err, got)
	}
	if _, _, err := joinWords(head(t, "stpp", "", 1000), part(t, 1, 0, words{ticks: 4000, raw: doc}), part(t, 2, 4000, words{ticks: 4000, raw: doc + "<!-- another -->"})); !errors.Is(err, errMP4) || !strings.Contains(err.Error(), "several documents") {
		t.Errorf("two documents: %v", err)
	}
}

// What cannot be read says why, and nothing is taken from outside of a piece.
func TestOddMP4(t *testing.T) {
	init, one := head(t, "wvtt", "", 1000), part(t, 1, 0, words{ticks: 1000, cues: []mp4.VttcBox{said("one")}})
	trun := strings.Index(one, "trun")
	with := func(at int, n uint32) string {
		b := []byte(one)
		binary.BigEndian.PutUint32(b[at:], n)
		return string(b)
	}
	flags, size := binary.BigEndian.Uint32([]byte(one[trun+4:])), trun+16 // where the size of its first sample is
	for _, f := range []uint32{4, 0x100} {
		if flags&f != 0 {
			size += 4
		}
	}
	if flags&1 == 0 || flags&0x200 == 0 {
		t.Fatalf("flags %x: the test changes another field", flags)
	}
	audio := mp4.CreateEmptyInit()
	audio.AddEmptyTrack(48000, "audio", "en")
	var sound bytes.Buffer
	if err := audio.Encode(&sound); err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct {
		pieces []string
		want   string
	}{
		"no document":    {[]string{head(t, "stpp", "", 1000), part(t, 1, 0, words{ticks: 4000, raw: " "})}, "nothing in it"},
		"no head":        {[]string{one}, "goes before its pieces is missing"},
		"no words":       {[]string{sound.String(), one}, "no track of words"},
		"two forms":      {[]string{init, one, head(t, "stpp", "", 1000)}, "changes its form"},
		"cut":            {[]string{init, one[:len(one)-1]}, "a box of"},
		"cut box":        {[]string{init, one + "\x00\x00\x00"}, "half a box"},
		"far":            {[]string{init, with(trun+12, 1<<30)}, "outside of its piece"},
		"large":          {[]string{init, with(size, 1<<20)}, "outside of its piece"},
		"largest":        {[]string{init, with(size, 1<<32-1)}, "outside of its piece"},
		"before":         {[]string{init, with(trun+12, 1<<31)}, "outside of its piece"},
		"many samples":   {[]string{init, with(trun+8, 1<<32-1)}, errTooMuch.Error()},
		"cut samples":    {[]string{init, with(trun+8, 2)}, "outside of its piece"},
		"late":           {[]string{init, part(t, 1, 1<<61, words{ticks: 1, cues: []mp4.VttcBox{said("late")}})}, "too late"},
		"text behind":    {[]string{init, "WEBVTT\n\n00:01.000 --> 00:02.000\none"}, "a box of"},
		"text before":    {[]string{"WEBVTT\n\n00:01.000 --> 00:02.000\none", one}, errVTT.Error()},
		"many boxes":     {[]string{init + strings.Repeat("\x00\x00\x00\x08free", maxBoxes+1)}, errTooMuch.Error()},
		"no boxes in it": {[]string{init, part(t, 1, 0, words{ticks: 1000, raw: "no boxes"})}, "a box of"},
	} {
		if got, _, err := joinWords(v.pieces...); err == nil || !strings.Contains(err.Error(), v.want) {
			t.Errorf("%s: %v, not %q; %q", name, err, v.want, got)
		}
	}
	var many words
	for range maxAtOnce + 1 {
		many.cues = append(many.cues, said("x"))
	}
	if _, _, err := joinWords(init, part(t, 1, 0, many)); !errors.Is(err, errTooMuch) {
		t.Errorf("many at once: %v", err)
	}
}

// Whatever a piece says, it is read within its bounds, and what is made of it is read as
// the same cues again.
func FuzzWordsInMP4(f *testing.F) {
	init := head(f, "wvtt", "WEBVTT\n\nSTYLE\nx", 1000)
	f.Add(init, part(f, 1, 0, words{ticks: 1000}, words{ticks: 1500, cues: []mp4.VttcBox{said("first\n\nwords --> ", &mp4.IdenBox{CueID: "a\nb"}, &mp4.SttgBox{Settings: "line:0\n"})}}))
	f.Add(init+part(f, 1, 0, words{ticks: 1000, cues: []mp4.VttcBox{said("one")}}), part(f, 2, 1000, words{ticks: 1000, cues: []mp4.VttcBox{said("one")}}))
	f.Add(head(f, "stpp", "", 1), part(f, 1, 0, words{ticks: 1, raw: "<tt/>"}))
	f.Fuzz(func(t *testing.T, a, b string) {
		if !isMP4([]byte(a)) {
			return
		}
		once, w, err := joinWords(a, b)
		if err != nil {
			return
		}
		if e, _ := w.Form(); e == "ttml" {
			return
		}
		again, v, err := joinWords(once)
		if err != nil || again != once || len(v.cues) != len(w.cues) {
			t.Fatalf("%v: %q, again %q", err, once, again)
		}
	})
}
