package web

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// sealedPiece encrypts as RFC 8216 says.
func sealedPiece(key []byte, number byte, plain []byte) []byte {
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	out := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	c, _ := aes.NewCipher(key)
	iv := make([]byte, 16)
	iv[15] = number
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(out, out)
	return out
}

func TestDecrypt(t *testing.T) {
	key := []byte("0123456789abcdef")
	for _, n := range []int{0, 1, 15, 16, 17, 64<<10 - 1, 64 << 10, 64<<10 + 1, 200_000} {
		plain := bytes.Repeat([]byte("x7"), n)[:n]
		iv := make([]byte, 16)
		iv[15] = 9
		var out bytes.Buffer
		got, err := decrypt(&out, bytes.NewReader(sealedPiece(key, 9, plain)), key, iv)
		if err != nil || got != int64(n) || !bytes.Equal(out.Bytes(), plain) {
			t.Errorf("%d bytes: %d, %v", n, got, err)
		}
	}
	if _, err := decrypt(io.Discard, strings.NewReader("not a block"), key, make([]byte, 16)); err == nil {
		t.Error("half a block passes")
	}
	if _, err := decrypt(io.Discard, bytes.NewReader(sealedPiece(key, 1, []byte("abc"))), []byte("another key 0123"), make([]byte, 16)); err == nil {
		t.Error("another key passes")
	}
}

// filmSite has films whose player asks for their beginning only.
func filmSite() (http.Handler, map[string][]byte) {
	key := []byte("0123456789abcdef")
	plain := map[string][]byte{"ts": nil, "mp4": bytes.Repeat([]byte("one file of a film. "), 2000), "sound": []byte("soundmore sound")}
	files := map[string][]byte{"/key": key, "/all.mp4": plain["mp4"], "/en-0.aac": []byte("sound"), "/en-1.aac": []byte("more sound")}
	media := "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-KEY:METHOD=AES-128,URI=\"/key\"\n"
	for i := range 5 {
		p := bytes.Repeat([]byte{byte('a' + i)}, 1000+i)
		plain["ts"] = append(plain["ts"], p...)
		name := fmt.Sprintf("/high-%d.ts", i)
		files[name] = sealedPiece(key, byte(i), p)
		media += "#EXTINF:2,\n" + name + "\n"
	}
	files["/high.m3u8"] = []byte(media + "#EXT-X-ENDLIST\n")
	files["/en.m3u8"] = []byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/en-0.aac\n#EXTINF:2,\n/en-1.aac\n#EXT-X-ENDLIST\n")
	files["/main.m3u8"] = []byte("#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English\",LANGUAGE=\"en\",DEFAULT=YES,URI=\"en.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=100,RESOLUTION=1x1,AUDIO=\"a\"\nlow.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=900,RESOLUTION=2x2,AUDIO=\"a\"\nhigh.m3u8\n")
	files["/ranges.m3u8"] = []byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"all.mp4\",BYTERANGE=\"100@0\"\n#EXTINF:2,\n#EXT-X-BYTERANGE:20000@100\nall.mp4\n#EXTINF:2,\n#EXT-X-BYTERANGE:19900\nall.mp4\n#EXT-X-ENDLIST\n")
	files["/gap.m3u8"] = []byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/high-0.ts\n#EXTINF:2,\n/none.ts\n#EXT-X-ENDLIST\n")
	files["/live.m3u8"] = []byte("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n/high-0.ts\n#EXTINF:2,\n/high-1.ts\n")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if script, ok := map[string]string{"/hls": "fetch('/main.m3u8');fetch('/high.m3u8');fetch('/high-0.ts')", "/ranges": "fetch('/ranges.m3u8');fetch('/all.mp4',{headers:{Range:'bytes=0-99'}})",
			"/ranged": "fetch('/ranges.m3u8')", "/gap": "fetch('/gap.m3u8')", "/live": "fetch('/live.m3u8')"}[r.URL.Path]; ok {
			http.SetCookie(w, &http.Cookie{Name: "visit", Value: "1", Path: "/"})
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, "<title>film</title><script>%s</script>", script)
			return
		}
		b, ok := files[r.URL.Path]
		if c, err := r.Cookie("visit"); !ok || err != nil || c.Value != "1" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(b))
	}), plain
}

// TestFilms: every piece of a film is asked for, each once; the films are one file each, and
// what did not come is told.
func TestFilms(t *testing.T) {
	site, plain := filmSite()
	s := serve(t, site, nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	get := func(path string, b collectors.Budget) (*collectors.Acquired, func(string) []byte, []string, string) {
		before := len(s.asked())
		a, k := collect(t, c, collectors.Request{Source: "http://film.test:" + s.port() + path, AllowPrivate: true, Budget: b})
		notes := strings.Join(a.Collection.Notes, "\n")
		return a, func(name string) []byte { return object(t, a, k, name) }, s.asked()[before:], notes
	}
	a, file, asked, notes := get("/hls", collectors.Budget{})
	if a.Outcome != collectors.Complete || !bytes.Equal(file("video-1.ts"), plain["ts"]) || !bytes.Equal(file("audio-1.aac"), plain["sound"]) {
		t.Errorf("%s %v: %q", a.Outcome, a.Reasons, notes)
	}
	for _, once := range []string{"/main.m3u8", "/high.m3u8", "/en.m3u8", "/key", "/high-0.ts", "/high-1.ts", "/high-4.ts", "/en-0.aac", "/en-1.aac"} {
		if n := len(slices.DeleteFunc(slices.Clone(asked), func(h string) bool { return h != "GET "+once })); n != 1 {
			t.Errorf("%s was asked for %d times", once, n)
		}
	}
	records := readWarc(t, waczMember(t, file("page.wacz"), warc.ArchiveName))
	for _, must := range []string{"/high-4.ts", "/key", "urn:holdfast:film:1"} {
		if !slices.ContainsFunc(records, func(r record) bool { return strings.HasSuffix(r.url, must) }) {
			t.Errorf("%s is not in the record", must)
		}
	}
	if !strings.Contains(notes, "5 pieces; the recorder asked 5 times for what the page had not; video-1.ts is all of them") || strings.Count(notes, "pieces;") != 2 { // four pieces, and the key
		t.Errorf("notes %s", notes)
	}
	if i := slices.IndexFunc(a.Transformations, func(tr collectors.Transformation) bool { return tr.Output == "video-1.ts" }); i < 0 || a.Transformations[i].Action != "join-stream" || !strings.Contains(a.Transformations[i].Detail, "decrypted") {
		t.Errorf("transformations %+v", a.Transformations)
	}
	for _, path := range []string{"/ranges", "/ranged"} { // one with the whole file that was asked for, one by its ranges
		if a, file, asked, notes = get(path, collectors.Budget{}); a.Outcome != collectors.Complete || !bytes.Equal(file("video-1.mp4"), plain["mp4"]) {
			t.Errorf("%s: %s %v %q %s", path, a.Outcome, a.Reasons, asked, notes)
		}
	}
	if a, _, _, _ = get("/gap", collectors.Budget{}); a.Outcome != collectors.Partial || !hasReason(a, "stream-incomplete") || hasObject(a, "video-1.ts") {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	if a, _, asked, notes = get("/live", collectors.Budget{}); a.Outcome != collectors.Complete || slices.Contains(asked, "GET /high-1.ts") || !strings.Contains(notes, "it is a live stream") {
		t.Errorf("%s %v %q %s", a.Outcome, a.Reasons, asked, notes)
	}
	sum := sha256.Sum256(plain["ts"])
	list, err := collectors.ReadKnownList(strings.NewReader(hex.EncodeToString(sum[:]) + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if a, _ := collect(t, c, collectors.Request{Source: "http://film.test:" + s.port() + "/hls", AllowPrivate: true, NeverKeep: []*collectors.KnownList{list}}); hasObject(a, "video-1.ts") || !hasObject(a, "audio-1.aac") || !hasReason(a, "never-keep-unchecked") {
		t.Errorf("a film on a list: %s %v", a.Outcome, a.Reasons)
	}
	if a, _, asked, _ = get("/hls", collectors.Budget{Requests: 8}); len(asked) > 8 || !hasReason(a, "stream-incomplete") {
		t.Errorf("%d requests of 8; %s %v", len(asked), a.Outcome, a.Reasons)
	}
}

// TestFilmPlays: a film that a Chromium made, sent in the pieces that it made it in (DASH), is
// joined to one that a Chromium plays to its end.
func TestFilmPlays(t *testing.T) {
	var mu sync.Mutex
	var chunks [][]byte
	var film []byte
	ended, played := make(chan struct{}), make(chan string, 1)
	wait := func(c chan struct{}) {
		select {
		case <-c:
		case <-time.After(20 * time.Second):
		}
	}
	shown := make(chan struct{})
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Content-Type", "text/html")
		switch r.URL.Path {
		case "/studio":
			io.WriteString(w, `<canvas id=c width=64 height=48></canvas><script>
const c=document.getElementById('c'),g=c.getContext('2d');let n=0,k=0,chain=Promise.resolve();
const iv=setInterval(()=>{g.fillStyle=['red','green','blue'][n++%3];g.fillRect(0,0,64,48)},50);
const r=new MediaRecorder(c.captureStream(20),{mimeType:'video/webm;codecs=vp8'});
r.ondataavailable=e=>{const i=k++;chain=chain.then(()=>fetch('/chunk?'+i,{method:'POST',body:e.data}))};
r.onstop=()=>chain.then(()=>fetch('/end'));r.start(200);setTimeout(()=>{r.stop();clearInterval(iv)},1500)</script><script src=/wait-studio></script>`)
		case "/chunk":
			b, _ := io.ReadAll(r.Body)
			chunks = append(chunks, b)
		case "/end":
			close(ended)
		case "/wait-studio":
			mu.Unlock()
			wait(ended)
			mu.Lock()
		case "/player":
			io.WriteString(w, "<script>fetch('/film.mpd');fetch('/piece-0.webm')</script>")
		case "/film.mpd":
			w.Header().Set("Content-Type", "application/dash+xml")
			io.WriteString(w, `<MPD type="static" mediaPresentationDuration="PT1.5S"><Period><AdaptationSet mimeType="video/webm"><Representation id="v" bandwidth="1000"><SegmentList duration="1">`)
			for i := range chunks {
				fmt.Fprintf(w, `<SegmentURL media="piece-%d.webm"/>`, i)
			}
			io.WriteString(w, `</SegmentList></Representation></AdaptationSet></Period></MPD>`)
		case "/show":
			io.WriteString(w, `<video muted autoplay src=/joined.webm></video><script>const v=document.querySelector('video');v.onended=()=>fetch('/played?'+v.videoWidth+'x'+v.videoHeight);v.onerror=()=>fetch('/played?'+v.error.message)</script><script src=/wait-show></script>`)
		case "/joined.webm":
			w.Header().Set("Content-Type", "video/webm")
			http.ServeContent(w, r, "", time.Unix(1, 0), bytes.NewReader(film))
		case "/wait-show":
			mu.Unlock()
			wait(shown)
			mu.Lock()
		case "/played":
			played <- r.URL.RawQuery
			close(shown)
		default:
			var i int
			if n, _ := fmt.Sscanf(r.URL.Path, "/piece-%d.webm", &i); n != 1 || i >= len(chunks) {
				http.NotFound(w, r)
				return
			}
			w.Header().Set("Content-Type", "video/webm")
			w.Write(chunks[i])
		}
	}), nil)
	c := newCollector(t, Options{Resolver: names{"*": loopback}})
	at := func(path string) collectors.Request {
		return collectors.Request{Source: "http://localhost:" + s.port() + path, AllowPrivate: true}
	}
	collect(t, c, at("/studio"))
	mu.Lock()
	whole, n := bytes.Join(chunks, nil), len(chunks)
	mu.Unlock()
	if n < 3 || len(whole) < 1000 {
		t.Fatalf("the browser made %d pieces, %d bytes: the test proves nothing", n, len(whole))
	}
	a, k := collect(t, c, at("/player"))
	got := object(t, a, k, "video-1.webm")
	if !bytes.Equal(got, whole) {
		t.Fatalf("%d of %d bytes; %q", len(got), len(whole), a.Collection.Notes)
	}
	mu.Lock()
	film = got
	mu.Unlock()
	collect(t, c, at("/show"))
	select {
	case size := <-played:
		if size != "64x48" {
			t.Errorf("played: %s", size)
		}
	default:
		t.Error("it was not played to its end")
	}
}
