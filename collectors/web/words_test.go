package web

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/collectors"
)

// TestWordsPlay: the words of a film that come in pieces, with times of the pieces, are one
// file, which a Chromium shows at the times of the film.
func TestWordsPlay(t *testing.T) {
	const piece = "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:%d\n\n"
	files := map[string]string{
		"/main.m3u8":  "#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"en.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=900,RESOLUTION=2x2,SUBTITLES=\"s\"\nhigh.m3u8\n",
		"/high.m3u8":  "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n/a.ts\n#EXT-X-ENDLIST\n",
		"/a.ts":       "pictures",
		"/en.m3u8":    "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n/en-0.vtt\n#EXTINF:4,\n/en-1.vtt\n#EXTINF:4,\n/en-2.vtt\n#EXT-X-ENDLIST\n",
		"/en-0.vtt":   fmt.Sprintf(piece, 900000) + "00:01.000 --> 00:02.000\nfirst words\n\n00:03.000 --> 00:05.000\nover the edge\n",
		"/en-1.vtt":   fmt.Sprintf(piece, 900000+4*90000) + "00:00.500 --> 00:01.500 line:0\nsecond words\n",
		"/en-2.vtt":   fmt.Sprintf(piece, 900000+8*90000) + "00:00.250 --> 00:01.000\nlast <b>words</b>\n",
		"/bad.m3u8":   "#EXTM3U\n#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"worse.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=900,RESOLUTION=2x2,SUBTITLES=\"s\"\nhigh.m3u8\n",
		"/worse.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n/en-0.vtt\n#EXTINF:4,\n/a.vtt\n#EXT-X-ENDLIST\n",
		"/a.vtt":      "<p>these are no words",
	}
	var mu sync.Mutex
	shown, joined := make(chan string, 1), ""
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/film", "/odd":
			list := map[string]string{"/film": "/main.m3u8", "/odd": "/bad.m3u8"}[r.URL.Path]
			fmt.Fprintf(w, "<title>film</title><script>fetch('%s');fetch('/high.m3u8');fetch('/a.ts')</script>", list)
		case "/show":
			io.WriteString(w, `<video><track src=/joined.vtt default></video><img src=/wait><script>const k=document.querySelector('track');k.track.mode='hidden';
k.onload=()=>fetch('/shown',{method:'POST',body:[...k.track.cues].map(c=>c.startTime+'-'+c.endTime+' '+c.text).join('|')});k.onerror=()=>fetch('/shown',{method:'POST',body:'error'})</script>`)
		case "/joined.vtt":
			w.Header().Set("Content-Type", "text/vtt")
			mu.Lock()
			defer mu.Unlock()
			io.WriteString(w, joined)
		case "/wait":
			for end := time.Now().Add(20 * time.Second); time.Now().Before(end) && len(shown) == 0; {
				time.Sleep(20 * time.Millisecond)
			}
		case "/shown":
			b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<16))
			shown <- string(b)
		default:
			if files[r.URL.Path] == "" {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			io.WriteString(w, files[r.URL.Path])
		}
	}), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	at := func(path string) collectors.Request {
		return collectors.Request{Source: "http://film.test:" + s.port() + path, AllowPrivate: true}
	}
	a, k := collect(t, c, at("/film"))
	got := string(object(t, a, k, "text-1.vtt"))
	if a.Outcome != collectors.Complete || !strings.HasPrefix(got, "WEBVTT\n") {
		t.Errorf("%s %v %q: %s", a.Outcome, a.Reasons, a.Collection.Notes, got)
	}
	if i := transformation(a, "text-1.vtt"); i == nil || !strings.Contains(i.Detail, "3 pieces of WebVTT") || !strings.Contains(i.Detail, "times of 2 cues moved") {
		t.Errorf("transformations %+v", a.Transformations)
	}
	mu.Lock()
	joined = got
	mu.Unlock()
	collect(t, c, at("/show"))
	select {
	case cues := <-shown:
		if want := "1-2 first words|3-5 over the edge|4.5-5.5 second words|8.25-9 last <b>words</b>"; cues != want {
			t.Errorf("shown %q, want %q", cues, want)
		}
	default:
		t.Error("nothing was shown")
	}
	if a, _ := collect(t, c, at("/odd")); hasObject(a, "text-1.vtt") || !strings.Contains(strings.Join(a.Collection.Notes, "\n"), "no one file was made of it: a piece is no WebVTT") {
		t.Errorf("pieces that are no words: %s %v %q", a.Outcome, a.Reasons, a.Collection.Notes)
	}
}

func transformation(a *collectors.Acquired, output string) *collectors.Transformation {
	for i := range a.Transformations {
		if a.Transformations[i].Output == output {
			return &a.Transformations[i]
		}
	}
	return nil
}
