package web

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// sound is a WAV file of n samples that no compressor makes smaller.
func sound(n int) []byte {
	b := []byte("RIFF....WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	binary.LittleEndian.PutUint32(b[4:], uint32(36+n))
	b = binary.LittleEndian.AppendUint32(b, 8000)
	b = binary.LittleEndian.AppendUint32(b, 8000)
	b = append(b, "\x01\x00\x08\x00data"...)
	b = binary.LittleEndian.AppendUint32(b, uint32(n))
	r := rand.New(rand.NewSource(1))
	for range n {
		b = append(b, byte(r.Intn(256)))
	}
	return b
}

func wholeNotes(t *testing.T, answers []record) (out []wholeNote) {
	t.Helper()
	for _, r := range answers {
		if strings.HasPrefix(r.url, "urn:holdfast:whole:") {
			var n wholeNote
			if err := json.Unmarshal(r.block, &n); err != nil {
				t.Fatal(err)
			}
			out = append(out, n)
		}
	}
	return out
}

// Of a sound that the browser asks for in parts the parts are kept as they were sent, and
// the whole is asked for once, by a request that differs from the page's own in the range
// alone; a replay finds it, and the account of the page does not have it.
func TestWhole(t *testing.T) {
	file := sound(6 << 20)
	type ask struct {
		path string
		head http.Header
	}
	for _, over := range []string{"http/1.1", "h2"} {
		t.Run(over, func(t *testing.T) {
			asked := make(chan ask, 1000)
			h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- ask{r.URL.Path, r.Header.Clone()}
				switch r.URL.Path {
				case "/":
					http.SetCookie(w, &http.Cookie{Name: "visit", Value: "1", Path: "/"})
					w.Header().Set("Content-Type", "text/html")
					io.WriteString(w, `<!doctype html><title>sound</title><audio preload=auto src=/sound.wav></audio><script>
const a=document.querySelector('audio'); a.onloadedmetadata=()=>{a.currentTime=a.duration-5};
fetch('/both').then(()=>fetch('/both',{headers:{Range:'bytes=0-3'}}));
fetch('/unknown',{headers:{Range:'bytes=0-3'}});
</script>`)
				case "/sound.wav":
					w.Header().Set("Content-Type", "audio/wav")
					http.ServeContent(w, r, "", time.Unix(1e9, 0), bytes.NewReader(file))
				case "/both":
					http.ServeContent(w, r, "both.bin", time.Unix(1e9, 0), strings.NewReader("all of it"))
				case "/unknown":
					w.Header().Set("Content-Range", "bytes 0-3/*")
					w.WriteHeader(http.StatusPartialContent)
					io.WriteString(w, "part")
				default:
					http.NotFound(w, r)
				}
			})
			ca := newCA(t)
			cert := ca.issue(t, "site.test", time.Now().Add(time.Hour))
			url := ""
			if over == "h2" {
				url = "https://site.test:" + serve2(t, h, cert).port() + "/"
			} else {
				url = "http://site.test:" + serve(t, h, nil).port() + "/"
			}
			c := newCollector(t, Options{Resolver: names{"*": loopback}, Roots: ca.pool()})
			got, k := collect(t, c, collectors.Request{Source: url, AllowPrivate: true})
			close(asked)
			var all, sounds []ask
			for a := range asked {
				if all = append(all, a); a.path == "/sound.wav" {
					sounds = append(sounds, a)
				}
			}
			if len(sounds) < 2 {
				t.Fatalf("the browser asked for %d parts", len(sounds)-1)
			}
			last := all[len(all)-1]
			first := sounds[0].head.Clone()
			if first.Get("Range") == "" || first.Get("Cookie") == "" {
				t.Fatalf("the first is %v", first)
			}
			first.Del("Range")
			if last.path != "/sound.wav" || fmt.Sprint(last.head) != fmt.Sprint(first) {
				t.Errorf("the last request, for %s, has %v\nthe page's was, but for the range, %v", last.path, last.head, first)
			}
			if n := len(slices.DeleteFunc(slices.Clone(sounds), func(a ask) bool { return a.head.Get("Range") != "" })); n != 1 {
				t.Errorf("%d times without a range", n)
			}
			if got.Completeness.Requests != len(all)-1 || got.Outcome != collectors.Complete {
				t.Errorf("%s, %d requests of the page, the site counts %d and the recorder's own; %v", got.Outcome, got.Completeness.Requests, len(all)-1, got.Completeness.Missing)
			}
			answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
			notes := wholeNotes(t, answers)
			if len(notes) != 1 || notes[0].Why != "" || len(notes[0].Of) != len(sounds)-1 || notes[0].Size != int64(len(file)) {
				t.Fatalf("notes %+v", notes)
			}
			parts := 0
			for _, r := range answers {
				switch id := r.Get("WARC-Record-ID"); {
				case id == notes[0].Answer:
					if !bytes.Equal(r.body, file) || r.Get("WARC-Payload-Digest") != warc.Digest(file) || r.Get("WARC-Truncated") != "" {
						t.Errorf("the whole has %d bytes of %d: %v", len(r.body), len(file), r.Fields)
					}
				case slices.Contains(notes[0].Of, id):
					parts++
					var from, to, size int
					fmt.Sscanf(r.head.Fields.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &size)
					if size != len(file) || !bytes.HasPrefix(file[from:to+1], r.body) || len(r.body) == 0 {
						t.Errorf("the part %s has %d other bytes", r.head.Fields.Get("Content-Range"), len(r.body))
					}
				}
			}
			if parts != len(notes[0].Of) {
				t.Errorf("%d of %d parts are kept", parts, len(notes[0].Of))
			}
			index := string(waczMember(t, object(t, got, k, "page.wacz"), "indexes/index.cdx"))
			found := slices.DeleteFunc(strings.Split(index, "\n"), func(l string) bool { return !strings.Contains(l, "/sound.wav") || !strings.Contains(l, `"status":200`) })
			if len(found) != 1 || !strings.Contains(found[0], warc.Digest(file)) {
				t.Errorf("the index has it whole %d times:\n%s", len(found), index)
			}
			if !slices.ContainsFunc(got.Collection.Notes, func(n string) bool { return strings.Contains(n, "parts only") && strings.Contains(n, "1 came") }) {
				t.Errorf("notes %q", got.Collection.Notes)
			}
			t.Run("judges", func(t *testing.T) {
				judge(t, got, k, len(answers), len(readWarc(t, object(t, got, k, "requests.warc.gz"))))
			})
		})
	}
}

// asksWhole lets one page ask for parts of /v and then asks for the whole, as a capture does.
func asksWhole(t *testing.T, m *meter, lists []*collectors.KnownList, part, whole string, limit time.Duration) (*taken, []string) {
	t.Helper()
	asked := make(chan string, 10)
	s := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			h, err := warc.ReadHead(r, maxHead)
			if err != nil {
				return
			}
			asked <- string(h.Raw)
			say, stay := strings.CutSuffix(whole, "<stay>")
			if h.Fields.Get("Range") != "" {
				say = part
			}
			io.WriteString(c, say)
			if !stay || h.Fields.Get("Range") != "" {
				return
			}
		}
	})
	tk := throughThen(t, m, lists, func(dial func() net.Conn) {
		c := dial()
		io.WriteString(c, strings.Replace(get(s.addr, "/v"), "\r\n\r\n", "\r\nRANGE: bytes=0-3,\r\n\t8-9\r\nCookie: a=b\r\nIf-Range: x\r\n\r\n", 1))
		io.Copy(io.Discard, c)
	}, func(p *proxy) {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		p.whole(ctx)
	})
	close(asked)
	var all []string
	for a := range asked {
		all = append(all, strings.ReplaceAll(a, s.addr, "SITE"))
	}
	return tk, all
}

// What does not come whole is told, is no fault of the page and is not what a replay gets.
func TestOddWhole(t *testing.T) {
	part := "HTTP/1.1 206 P\r\nContent-Range: bytes 0-3/10\r\nContent-Length: 4\r\nConnection: close\r\n\r\n0123"
	whole := "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789"
	listed := func(s string) []*collectors.KnownList {
		return []*collectors.KnownList{readList(t, fmt.Sprintf("%x", sha256.Sum256([]byte(s))))}
	}
	for name, v := range map[string]struct {
		whole string
		m     *meter
		size  string
		lists []*collectors.KnownList
		limit time.Duration
		asked int
		why   string
		index string // statuses
	}{
		"whole":            {whole: whole, asked: 2, index: "206 200"},
		"refused":          {whole: "HTTP/1.1 403 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", asked: 2, why: "status is 403", index: "206"},
		"a part again":     {whole: part, asked: 2, why: "status is 206", index: "206"},
		"cut":              {whole: whole[:len(whole)-3], asked: 2, why: "connection-closed", index: "206"},
		"two ends":         {whole: strings.Replace(whole, "Content-Length: 10", "Content-Length: 10, 9", 1), asked: 2, why: "bad-answer", index: "206"},
		"no HTTP":          {whole: "what?\r\n\r\n", asked: 2, why: "bad-answer", index: "206"},
		"without an end":   {whole: "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: x\n\n<stay>", asked: 2, limit: 300 * time.Millisecond, why: "unfinished", index: "206"},
		"no time":          {whole: whole, limit: -1, asked: 1, why: "no time was left", index: "206"},
		"too large":        {whole: whole, size: "5000000000", asked: 1, why: "were left of the budget", index: "206"},
		"too many":         {whole: whole, m: &meter{maxReqs: 1}, asked: 1, why: "request budget used up", index: "206"},
		"on a list":        {whole: whole, lists: listed("0123456789"), asked: 2, why: "never-keep", index: "206"},
		"a part on a list": {whole: whole, lists: listed("0123"), asked: 1, why: "on a list", index: "206"},
	} {
		t.Run(name, func(t *testing.T) {
			if v.limit == 0 {
				v.limit = 5 * time.Second
			}
			if v.m == nil {
				v.m = &meter{}
			}
			if v.size == "" {
				v.size = "10"
			}
			tk, asked := asksWhole(t, v.m, v.lists, strings.Replace(part, "/10", "/"+v.size, 1), v.whole, v.limit)
			if len(asked) != v.asked {
				t.Fatalf("asked %q", asked)
			}
			if want := "GET /v HTTP/1.1\r\nHost: SITE\r\nCookie: a=b\r\n\r\n"; v.asked == 2 && asked[1] != want {
				t.Errorf("asked %q", asked[1])
			}
			notes := wholeNotes(t, tk.answers)
			if len(notes) != 1 || len(notes[0].Of) != 1 || fmt.Sprint(notes[0].Size) != v.size || !strings.Contains(notes[0].Why, v.why) || (v.why == "") != (notes[0].Why == "") {
				t.Errorf("%+v", notes)
			}
			var statuses []string
			for _, c := range tk.rec.index {
				statuses = append(statuses, fmt.Sprint(c.Status))
			}
			if strings.Join(statuses, " ") != v.index {
				t.Errorf("the index has %s", statuses)
			}
			count := tk.rec.count
			if listed := v.lists != nil; count.Requests != 1 || count.Failed+count.Truncated > 0 || len(count.Missing) > 0 != listed || tk.rec.refused != nil {
				t.Errorf("%+v, %v", count, tk.rec.refused)
			}
			for _, r := range slices.Concat(tk.answers, tk.requests) {
				if v.lists != nil && bytes.Contains(r.body, []byte("0123")) {
					t.Errorf("%s %s keeps it", r.kind, r.url)
				}
			}
		})
	}
}

// With the whole there parts can be compared with lists after all: those that are of it.
func TestWholeClearsParts(t *testing.T) {
	lists := []*collectors.KnownList{readList(t, fmt.Sprintf("%x", sha256.Sum256([]byte("something else"))))}
	part := "HTTP/1.1 206 P\r\nContent-Range: bytes 2-5/10\r\nContent-Length: 4\r\nConnection: close\r\n\r\n%s"
	whole := "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789"
	for body, unchecked := range map[string]int{"2345": 0, "2346": 1} {
		tk, asked := asksWhole(t, &meter{}, lists, fmt.Sprintf(part, body), whole, 5*time.Second)
		if len(asked) != 2 || tk.rec.unchecked != unchecked {
			t.Errorf("%s: %d unchecked, asked %d times", body, tk.rec.unchecked, len(asked))
		}
	}
}

// What the page had whole itself, before or after, is asked for by nobody else.
func TestWholeThatCame(t *testing.T) {
	part := &exchange{method: "GET", url: "http://x/", status: 206, response: &spool{body: 1}, fields: warc.Fields{{Name: "Content-Range", Value: "bytes 0-0/9"}}}
	whole := &exchange{method: "GET", url: "http://x/", status: 200, response: &spool{body: 9}}
	cut := &exchange{method: "GET", url: "http://x/", status: 200, response: &spool{body: 5}, fault: &fault{}}
	posted := &exchange{method: "POST", url: "http://x/", status: 206, response: part.response, fields: part.fields}
	for name, c := range map[string]struct {
		saw  []*exchange
		want int
	}{
		"part": {[]*exchange{part}, 1}, "before": {[]*exchange{whole, part}, 0}, "after": {[]*exchange{part, whole}, 0},
		"cut": {[]*exchange{cut, part, cut}, 1}, "posted": {[]*exchange{posted}, 0},
	} {
		var w wholes
		for _, x := range c.saw {
			w.saw(x, order{url: x.url})
		}
		if n := len(w.list()); n != c.want {
			t.Errorf("%s: %d to be asked for", name, n)
		}
	}
}

// A page that ranges over everything does not make the recorder ask for all of it.
func TestWholesAreBounded(t *testing.T) {
	var w wholes
	for i := range maxWholes + 3 {
		for range maxPartsOf / 100 {
			x := &exchange{method: "GET", url: fmt.Sprint("http://x/", i), status: 206, response: &spool{body: 1},
				fields: warc.Fields{{Name: "Content-Range", Value: "bytes 0-0/9"}}}
			w.saw(x, order{url: x.url})
		}
	}
	if n := len(w.list()); n != maxWholes || len(w.skipped) != 3 {
		t.Errorf("%d, %d skipped", n, len(w.skipped))
	}
}
