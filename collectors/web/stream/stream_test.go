package stream

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const at = "https://cdn.example/film/list"

func parse(t *testing.T, kind, doc string) *List {
	t.Helper()
	l, err := Parse(kind, at, []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const master = `#EXTM3U
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English",LANGUAGE="en",DEFAULT=YES,URI="en.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="English, described",LANGUAGE="en",URI="en2.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="b",NAME="Low",LANGUAGE="fr",URI="low.m3u8"
#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="Deutsch, mit Komma",LANGUAGE="de",URI="/subs/de.m3u8"
#EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID="cc",NAME="x",INSTREAM-ID="CC1"
#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360,CODECS="avc1.4d401e,mp4a.40.2",AUDIO="b"
low.m3u8?x=1
#EXT-X-STREAM-INF:BANDWIDTH=3000000,RESOLUTION=1280x720,CODECS="avc1.4d401f,mp4a.40.2",AUDIO="a",SUBTITLES="s"
//other.example/high.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=64000,CODECS="mp4a.40.2"
sound.m3u8
`

func TestMaster(t *testing.T) {
	l := parse(t, "hls", master)
	name := func(ts []Track) string {
		var out []string
		for _, x := range ts {
			out = append(out, x.Kind+" "+x.List)
		}
		return strings.Join(out, ", ")
	}
	if got, want := name(l.Best(0)), "video https://other.example/high.m3u8, audio https://cdn.example/film/en.m3u8, text https://cdn.example/subs/de.m3u8"; got != want {
		t.Errorf("best: %s", got)
	}
	if got := name(l.Best(1_000_000)); got != "video https://cdn.example/film/low.m3u8?x=1, audio https://cdn.example/film/low.m3u8" {
		t.Errorf("at most 1 Mbit/s: %s", got)
	}
	if got := name(l.Best(1)); !strings.HasPrefix(got, "video https://cdn.example/film/low.m3u8?x=1") {
		t.Errorf("the lowest if all are above: %s", got)
	}
	if n := len(l.Tracks); n != 7 {
		t.Errorf("%d tracks", n)
	}
}

func TestMedia(t *testing.T) {
	l := parse(t, "hls", "\ufeff#EXTM3U\r\n#EXT-X-VERSION:7\r\n#EXT-X-TARGETDURATION:4\r\n#EXT-X-MEDIA-SEQUENCE:7\r\n#EXT-X-MAP:URI=\"init.mp4\",BYTERANGE=\"600@0\"\r\n"+
		"#EXT-X-KEY:METHOD=AES-128,URI=\"key?a,b\"\r\n#EXTINF:4.0,\r\n#EXT-X-BYTERANGE:1000@600\r\nall.mp4\r\n#EXTINF:3.5,a title\r\n#EXT-X-BYTERANGE:500\r\nall.mp4\r\n"+
		"#EXT-X-KEY:METHOD=AES-128,URI=\"key2\",IV=0x000102030405060708090A0B0C0D0E0F\r\n#EXTINF:1,\r\nlast.mp4\r\n#EXT-X-KEY:METHOD=NONE\r\n#EXTINF:1,\r\nplain.mp4\r\n#EXT-X-ENDLIST\r\n")
	m := l.Tracks[0]
	if !m.Whole || m.Seconds != 9.5 || m.Protected || m.Maps != 1 || m.Init == nil || m.Init.Length != 600 || !m.Init.Part() || m.Init.URL != "https://cdn.example/film/init.mp4" {
		t.Errorf("%+v %+v", m, m.Init)
	}
	var got []string
	for _, p := range m.Pieces {
		s := fmt.Sprint(strings.TrimPrefix(p.URL, "https://cdn.example/film/"), " ", p.From, " ", p.Length)
		if p.Key != nil {
			s += fmt.Sprintf(" %s %x", strings.TrimPrefix(p.Key.URL, "https://cdn.example/film/"), p.Key.IV)
		}
		got = append(got, s)
	}
	want := []string{"all.mp4 600 1000 key?a,b 00000000000000000000000000000007", "all.mp4 1600 500 key?a,b 00000000000000000000000000000008",
		"last.mp4 0 -1 key2 000102030405060708090a0b0c0d0e0f", "plain.mp4 0 -1"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
	live := parse(t, "hls", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\na.ts\n")
	if live.Tracks[0].Whole {
		t.Error("a live stream passes for whole")
	}
	if p := parse(t, "hls", "#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple.streamingkeydelivery\"\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n"); !p.Tracks[0].Protected {
		t.Error("rights management is not seen")
	}
	if p := parse(t, "hls", "#EXTM3U\n#EXT-X-MAP:URI=\"a\"\n#EXTINF:4,\na.ts\n#EXT-X-MAP:URI=\"b\"\n#EXTINF:4,\nb.ts\n"); p.Tracks[0].Maps != 2 {
		t.Error("two maps are taken for one")
	}
}

const manifest = `<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT10.5S"><BaseURL>media/</BaseURL><Period>
<AdaptationSet contentType="video" mimeType="video/mp4"><SegmentTemplate timescale="1000" duration="4000" startNumber="3" initialization="$RepresentationID$/init.mp4" media="$RepresentationID$/$Number%05d$.m4s?b=$Bandwidth$&amp;d=$$"/>
<Representation id="low" bandwidth="100" width="320"/><Representation id="high" bandwidth="900" width="1280"/></AdaptationSet>
<AdaptationSet mimeType="audio/mp4" lang="en"><Representation id="a" bandwidth="50"><SegmentTemplate timescale="10" initialization="a-init.mp4" media="a-$Time$.m4s"><SegmentTimeline><S t="5" d="40" r="1"/><S d="20"/></SegmentTimeline></SegmentTemplate></Representation></AdaptationSet>
<AdaptationSet mimeType="audio/webm" lang="fr"><Representation id="l" bandwidth="50"><SegmentList timescale="1" duration="4"><Initialization sourceURL="l.webm" range="0-99"/><SegmentURL media="l.webm" mediaRange="100-199"/><SegmentURL media="m.webm"/></SegmentList></Representation></AdaptationSet>
<AdaptationSet mimeType="text/vtt" lang="de"><Representation id="t" bandwidth="1"><BaseURL>https://subs.example/de.vtt</BaseURL></Representation></AdaptationSet>
</Period></MPD>`

func TestDASH(t *testing.T) {
	l := parse(t, "dash", manifest)
	show := func(x Track) string {
		out := x.Kind + " " + x.ID
		if x.Init != nil {
			out += fmt.Sprint(" [", x.Init.URL, " ", x.Init.From, " ", x.Init.Length, "]")
		}
		for _, p := range x.Pieces {
			out += fmt.Sprint(" ", p.URL, " ", p.From, " ", p.Length)
		}
		return strings.ReplaceAll(out, "https://cdn.example/film/media/", "")
	}
	var got []string
	for _, x := range l.Best(0) {
		if !x.Whole || x.Protected {
			t.Errorf("%+v", x)
		}
		got = append(got, show(x))
	}
	want := []string{"video high [high/init.mp4 0 -1] high/00003.m4s?b=900&d=$ 0 -1 high/00004.m4s?b=900&d=$ 0 -1 high/00005.m4s?b=900&d=$ 0 -1", "audio a [a-init.mp4 0 -1] a-5.m4s 0 -1 a-45.m4s 0 -1 a-85.m4s 0 -1",
		"audio l [l.webm 0 100] l.webm 100 100 m.webm 0 -1", "text t https://subs.example/de.vtt 0 -1"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	live := parse(t, "dash", `<MPD type="dynamic"><Period><AdaptationSet mimeType="video/mp4"><SegmentTemplate media="$Number$" duration="4"/><Representation id="v" bandwidth="1"/></AdaptationSet></Period></MPD>`)
	if x := live.Tracks[0]; x.Whole || len(x.Pieces) != 0 {
		t.Errorf("live: %+v", x)
	}
	locked := parse(t, "dash", strings.Replace(manifest, `<AdaptationSet contentType="video" mimeType="video/mp4">`, `<AdaptationSet contentType="video" mimeType="video/mp4"><ContentProtection schemeIdUri="urn:x"/>`, 1))
	if !locked.Best(0)[0].Protected {
		t.Error("rights management is not seen")
	}
	two := parse(t, "dash", `<MPD><Period duration="PT2S"><AdaptationSet mimeType="video/mp4"><Representation id="v"><SegmentList><SegmentURL media="a"/></SegmentList></Representation></AdaptationSet></Period><Period duration="PT2S"><AdaptationSet mimeType="video/mp4"><Representation id="v"><SegmentList><SegmentURL media="b"/></SegmentList></Representation></AdaptationSet></Period></MPD>`)
	if len(two.Tracks) != 1 || len(two.Tracks[0].Pieces) != 2 {
		t.Errorf("two periods: %+v", two.Tracks)
	}
}

// What is too much, or leads out of the web, is refused: nothing of it is asked for.
func TestRefused(t *testing.T) {
	hls := func(s string) (string, string) { return "hls", "#EXTM3U\n" + s }
	dash := func(s string) (string, string) {
		return "dash", `<MPD mediaPresentationDuration="PT100000000S"><Period><AdaptationSet mimeType="video/mp4">` + s + `</AdaptationSet></Period></MPD>`
	}
	for name, list := range map[string]func() (string, string){
		"no list":              func() (string, string) { return "hls", "hello" },
		"empty":                func() (string, string) { return hls("") },
		"a file":               func() (string, string) { return hls("#EXTINF:1,\nfile:///etc/passwd\n") },
		"a login in it":        func() (string, string) { return hls("#EXTINF:1,\nhttps://a:b@host/x\n") },
		"both kinds":           func() (string, string) { return hls("#EXTINF:1,\na.ts\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n") },
		"too many segments":    func() (string, string) { return hls(strings.Repeat("#EXTINF:1,\na\n", maxPieces+1)) },
		"too many tracks":      func() (string, string) { return hls(strings.Repeat("#EXT-X-STREAM-INF:BANDWIDTH=1\na\n", maxTracks+1)) },
		"a bad range":          func() (string, string) { return hls("#EXTINF:1,\n#EXT-X-BYTERANGE:x@1\na\n") },
		"a range that is huge": func() (string, string) { return hls("#EXTINF:1,\n#EXT-X-BYTERANGE:1@99999999999999999999\na\n") },
		"a short IV":           func() (string, string) { return hls("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x01\n#EXTINF:1,\na\n") },
		"too large":            func() (string, string) { return hls(strings.Repeat("#x\n", MaxList)) },
		"no XML":               func() (string, string) { return "dash", "<MPD>" },
		"nothing":              func() (string, string) { return "dash", "<MPD></MPD>" },
		"endless timeline": func() (string, string) {
			return dash(`<SegmentTemplate media="$Time$"><SegmentTimeline><S d="1" r="-1"/></SegmentTimeline></SegmentTemplate><Representation id="v"/>`)
		},
		"a repeat of billions": func() (string, string) {
			return dash(`<SegmentTemplate media="$Time$"><SegmentTimeline><S d="1" r="9000000000000000000"/></SegmentTimeline></SegmentTemplate><Representation id="v"/>`)
		},
		"tiny segments": func() (string, string) {
			return dash(`<SegmentTemplate media="$Number$" duration="0.0000001"/><Representation id="v"/>`)
		},
		"no duration of a segment": func() (string, string) {
			return dash(`<SegmentTemplate media="$Time$"><SegmentTimeline><S d="0" r="9"/></SegmentTimeline></SegmentTemplate><Representation id="v"/>`)
		},
		"an unknown variable": func() (string, string) {
			return dash(`<SegmentTemplate media="$Secret$" duration="1000000"/><Representation id="v"/>`)
		},
		"another kind": func() (string, string) { return "smooth", "<x/>" },
	} {
		kind, doc := list()
		if _, err := Parse(kind, at, []byte(doc)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIs(t *testing.T) {
	for address, want := range map[string]string{"https://h/a.m3u8?x": "hls", "https://h/A.MPD": "dash", "https://h/a.mp4": "", "https://h/m3u8": ""} {
		if got := Is(address, "application/octet-stream"); got != want {
			t.Errorf("%s: %q", address, got)
		}
	}
	if Is("https://h/x", "application/vnd.apple.mpegurl") != "hls" || Is("https://h/x", "application/dash+xml") != "dash" || Is("https://h/a.m3u8", "text/html") != "" {
		t.Error("by media type")
	}
}

func fuzz(f *testing.F, kind string, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := Parse(kind, at, b)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		if len(l.Tracks) > maxTracks {
			t.Fatalf("%d tracks", len(l.Tracks))
		}
		for _, x := range append(l.Best(0), l.Best(1000)...) {
			if len(x.Pieces) > maxPieces {
				t.Fatalf("%d pieces", len(x.Pieces))
			}
			for _, p := range x.Pieces {
				if !strings.HasPrefix(p.URL, "http") || p.Part() && (p.From < 0 || p.Length == 0) || p.Key != nil && p.Key.IV != nil && len(p.Key.IV) != 16 {
					t.Fatalf("%+v", p)
				}
			}
		}
		if bytes.Contains(b, []byte("file:")) {
			for _, x := range l.Tracks {
				if strings.HasPrefix(x.List, "file:") {
					t.Fatal(x.List)
				}
			}
		}
	})
}

func FuzzHLS(f *testing.F) {
	fuzz(f, "hls", master, "#EXTM3U\n#EXT-X-MAP:URI=\"i\",BYTERANGE=\"1@2\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF:1,\n#EXT-X-BYTERANGE:3\na\n#EXT-X-ENDLIST\n")
}

func FuzzDASH(f *testing.F) { fuzz(f, "dash", manifest) }
