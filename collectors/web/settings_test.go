package web

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
)

// TestSettings: a page sees the settings that the Manifest states.
func TestSettings(t *testing.T) {
	var language string
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			language = r.Header.Get("Accept-Language")
		}
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<p id=p><script>onload=()=>requestAnimationFrame(()=>{p.textContent=[innerWidth+'x'+innerHeight,devicePixelRatio,navigator.language,Intl.DateTimeFormat().resolvedOptions().timeZone,new Date(0).getTimezoneOffset(),screen.width+'x'+screen.height,outerWidth+'x'+outerHeight,visualViewport.width+'x'+visualViewport.height,document.visibilityState].join(' ')})</script>")
	}), nil)
	a, k := collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	view := a.Collection.Viewport
	want := fmt.Sprintf("%s %d %s %s 0 %s %s %s visible", view, viewScale, a.Collection.Locale, a.Collection.Timezone, view, view, view)
	if got := string(object(t, a, k, "text.txt")); got != want || !strings.HasPrefix(language, a.Collection.Locale) {
		t.Errorf("the page saw %q, the Manifest says %q; Accept-Language %q", got, want, language)
	}
	if notes := strings.Join(a.Collection.Notes, "\n"); !strings.Contains(notes, "1366 x 768 CSS pixels at a device scale of 1; language en-US, time zone UTC") {
		t.Errorf("notes %s", notes)
	}
}

// TestFramesText: the text of frames is kept too, of this site and of others.
func TestFramesText(t *testing.T) {
	var s, other *site
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/":
			fmt.Fprintf(w, "<p>outside<iframe src=/inner></iframe><iframe src=http://other.test:%s/far></iframe>", other.port())
		case "/inner":
			io.WriteString(w, "<p>inside<iframe srcdoc='<p>deeper'></iframe>")
		default:
			fmt.Fprint(w, "<p>at "+r.URL.Path)
		}
	})
	s, other = serve(t, page, nil), serve(t, page, nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	a, k := collect(t, c, collectors.Request{Source: "http://page.test:" + s.port() + "/", AllowPrivate: true})
	frames := string(object(t, a, k, "frames.txt"))
	for _, must := range []string{"# http://page.test:" + s.port() + "/inner\ninside", "# about:srcdoc\ndeeper", "# http://other.test:" + other.port() + "/far\nat /far"} {
		if !strings.Contains(frames, must) {
			t.Errorf("%q is not in %q", must, frames)
		}
	}
	if text := string(object(t, a, k, "text.txt")); text != "outside" {
		t.Errorf("text %q", text)
	}
	if a, _ = collect(t, c, collectors.Request{Source: "http://page.test:" + s.port() + "/none", AllowPrivate: true}); hasObject(a, "frames.txt") {
		t.Error("frames of a page without any")
	}
}

// TestMediaAddress: an address of a film, a sound, a picture or a document is kept as bytes,
// whole, though the browser asks for parts of it.
func TestMediaAddress(t *testing.T) {
	film := bytes.Repeat([]byte("\x1aE\xdf\xa3 a film. "), 400_000)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kinds := map[string]string{"/film.mp4": "video/mp4", "/film.webm": "video/webm", "/sound.mp3": "audio/mpeg", "/paper.pdf": "application/pdf"}
		if kinds[r.URL.Path] == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", kinds[r.URL.Path])
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(film))
	}), nil)
	c := newCollector(t, Options{})
	for path, name := range map[string]string{"/film.mp4": "source.mp4", "/film.webm": "source.bin", "/sound.mp3": "source.bin", "/paper.pdf": "source.pdf"} {
		a, k := collect(t, c, collectors.Request{Source: "http://" + s.addr + path, AllowPrivate: true})
		if !hasObject(a, name) {
			var got []string
			for _, o := range a.Objects {
				got = append(got, o.Name)
			}
			t.Errorf("%s: %s %v: %q", path, a.Outcome, a.Reasons, got)
		} else if got := object(t, a, k, name); !bytes.Equal(got, film) {
			t.Errorf("%s: %d of %d bytes; %s %v; asked %q", path, len(got), len(film), a.Outcome, a.Reasons, s.asked())
		}
	}
}
