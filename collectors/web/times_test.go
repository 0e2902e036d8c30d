package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// timesOf reads the timeline of a record.
func timesOf(t *testing.T, in []record, of string) (out []timeLine) {
	t.Helper()
	for _, r := range in {
		if !strings.HasPrefix(r.url, "urn:holdfast:times:") || r.Get("WARC-Concurrent-To") != of {
			continue
		}
		for sc := bufio.NewScanner(bytes.NewReader(r.block)); sc.Scan(); {
			var l timeLine
			if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			out = append(out, l)
		}
		if out[0].Kind != "stream" || out[0].Record != of || out[len(out)-1].Kind != "end" {
			t.Errorf("the timeline is from %+v to %+v", out[0], out[len(out)-1])
		}
		return out
	}
	return nil
}

func kinds(lines []timeLine, kind string) (out []timeLine) {
	for _, l := range lines {
		if l.Kind == kind {
			out = append(out, l)
		}
	}
	return out
}

// clocked is a site's own account of when something happened.
type clocked struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (c *clocked) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.at[what]; !ok {
		c.at[what] = time.Now()
	}
}

// between holds what a record says against what must have been before and after: the site
// wrote, then it passed, then the site heard of it.
func (c *clocked) between(t *testing.T, what, at, before, after string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	when, err := time.Parse(warc.TimeFormat, at)
	from, to := c.at[before], c.at[after]
	if err != nil || from.IsZero() || to.IsZero() || when.Before(from.Truncate(time.Millisecond)) || when.After(to) {
		t.Errorf("%s passed at %q: not between %s and %s (%s, %s), %v", what, at, from, to, before, after, err)
	}
}

const streams = 8

// streamSite says something every 60 ms on a WebSocket and on a stream of events, and the
// page tells it each time that it has it.
func streamSite(c *clocked) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!doctype html><title>streams</title><script>
const ws=new WebSocket(location.origin.replace('http','ws')+'/ws'); ws.onmessage=e=>ws.send('has '+e.data);
new EventSource('/sse').onmessage=e=>fetch('/heard?'+e.data);
const ms=n=>new Promise(f=>setTimeout(f,n));
(async()=>{for(let i=0;i<20;i++){await fetch('/wait?'+i);await ms(60)}})()
</script>`)
	})
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("/heard", func(w http.ResponseWriter, r *http.Request) {
		c.note("heard " + r.URL.RawQuery)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/sse", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range streams {
			c.note(fmt.Sprintf("told %d", i))
			fmt.Fprintf(w, "id: %d\ndata: %d\n\n", i, i)
			w.(http.Flusher).Flush()
			time.Sleep(60 * time.Millisecond)
		}
		<-r.Context().Done()
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, rw := upgrade(w, r)
		if conn == nil {
			return
		}
		defer conn.Close()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range streams {
				if _, err := io.ReadFull(rw, make([]byte, 6+len("has 0"))); err != nil {
					return
				}
				c.note(fmt.Sprintf("echo %d", i))
			}
			io.Copy(io.Discard, rw)
		}()
		for i := range streams {
			c.note(fmt.Sprintf("said %d", i))
			fmt.Fprintf(rw, "\x81\x01%d", i)
			rw.Flush()
			time.Sleep(60 * time.Millisecond)
		}
		<-done
	})
	return mux
}

// An expert can say of each message of a WebSocket and of each event when it came: not
// before the site sent it, and not after the page told the site that it has it.
func TestStreamTimes(t *testing.T) {
	cert := newCA(t).issue(t, "site.test", time.Now().Add(time.Hour))
	for name, serve := range map[string]func(h http.Handler) string{
		"HTTP/1.1": func(h http.Handler) string { return "http://site.test:" + serve(t, h, nil).port() + "/" },
		"HTTP/2":   func(h http.Handler) string { return "https://site.test:" + serve2(t, h, cert).port() + "/" },
	} {
		t.Run(name, func(t *testing.T) {
			log := &clocked{at: map[string]time.Time{}}
			c := newCollector(t, Options{Resolver: names{"*": loopback}})
			got, k := collect(t, c, collectors.Request{Source: serve(streamSite(log)), AllowPrivate: true})
			answers := readWarc(t, waczMember(t, object(t, got, k, "page.wacz"), warc.ArchiveName))
			requests := readWarc(t, object(t, got, k, "requests.warc.gz"))
			find := func(in []record, kind, path string) *record {
				r := (&taken{}).find(in, kind, path)
				if r == nil {
					t.Fatalf("no %s for %s", kind, path)
				}
				return r
			}
			check := func(what string, r *record, lines []timeLine, want func(i int) (content, before, after string)) {
				t.Helper()
				if len(lines) != streams {
					t.Fatalf("%d lines of %s: %+v", len(lines), what, lines)
				}
				for i, l := range lines {
					content, before, after := want(i)
					if b := string(r.block[l.Offset : l.Offset+l.Length]); content != "" && b != content {
						t.Errorf("%s %d is at %d: %q, not %q", what, i, l.Offset, b, content)
					}
					log.between(t, fmt.Sprintf("%s %d", what, i), l.At, before, after)
				}
			}
			ws := find(answers, warc.Response, "/ws")
			check("frame", ws, kinds(timesOf(t, answers, ws.Get("WARC-Record-ID")), "frame"), func(i int) (string, string, string) {
				return fmt.Sprintf("\x81\x01%d", i), fmt.Sprintf("said %d", i), fmt.Sprintf("echo %d", i)
			})
			asked := find(requests, warc.Request, "/ws")
			check("sent frame", asked, kinds(timesOf(t, requests, asked.Get("WARC-Record-ID")), "frame"), func(i int) (string, string, string) {
				return "", fmt.Sprintf("said %d", i), fmt.Sprintf("echo %d", i)
			})
			sse := find(answers, warc.Response, "/sse")
			lines := timesOf(t, answers, sse.Get("WARC-Record-ID"))
			content := &record{block: dechunked(t, sse)}
			check("event", content, kinds(lines, "event"), func(i int) (string, string, string) {
				return fmt.Sprintf("id: %d\ndata: %d\n\n", i, i), fmt.Sprintf("told %d", i), fmt.Sprintf("heard %d", i)
			})
			var pieces []byte
			for _, l := range kinds(lines, "piece") {
				pieces = append(pieces, sse.block[l.Offset:l.Offset+l.Length]...)
			}
			if !bytes.Equal(pieces, content.block) {
				t.Errorf("the pieces are %q, the content is %q", pieces, content.block)
			}
			for _, r := range answers {
				if strings.Contains(r.url, ":times:") && strings.Contains(r.url, ":sent") {
					t.Errorf("%s is not beside the requests", r.url)
				}
			}
			t.Run("judges", func(t *testing.T) { judge(t, got, k, len(answers), len(requests)) })
		})
	}
}

func dechunked(t *testing.T, r *record) []byte {
	t.Helper()
	if !strings.EqualFold(r.head.Fields.Get("Transfer-Encoding"), "chunked") {
		return r.body
	}
	out, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(r.body)))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // it ends anywhere
		t.Fatal(err)
	}
	return out
}

// What a site says on a WebSocket need be no frames, and as many as it likes: the record
// is whole, the timeline bounded and says why it ends.
func TestOddTimes(t *testing.T) {
	b, lists := knownBytes(t)
	for name, v := range map[string]struct {
		says   string
		frames int
		why    string
	}{
		"whole":        {"\x81\x01a\x01\x01b\x89\x00\x80\x01c", 4, ""},
		"nothing":      {"", 0, ""},
		"half a head":  {"\x81\x01a\x81", 1, "a frame's head is cut at byte"},
		"half a frame": {"\x81\x05abc", 1, "the frame at byte"},
		"endless":      {"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 0, "has no length that is one"},
		"long":         {"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xffabc", 1, "is cut"},
		"no frames":    {strings.Repeat("\xf7\xff", 500), 0, "has no length that is one"},
		"flood":        {strings.Repeat("\x89\x00", maxLines+10), maxLines, "more than"},
		"listed":       {string(wsFrame(0x82, false, b)), -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var said atomic.Bool
			s := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
				warc.ReadHead(r, maxHead)
				io.WriteString(c, ws101+v.says)
				said.Store(true)
			})
			tk := through(t, &meter{}, lists, func(dial func() net.Conn) {
				c := dial()
				io.WriteString(c, strings.Replace(get(s.addr, "/ws"), "\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 1))
				io.Copy(io.Discard, c)
			})
			r := tk.find(tk.answers, warc.Response, "/ws")
			lines := timesOf(t, tk.answers, r.Get("WARC-Record-ID"))
			if v.frames < 0 {
				if lines != nil || len(r.body) > 0 {
					t.Errorf("of what is on a list there is %+v and %d bytes", lines, len(r.body))
				}
				return
			}
			if string(r.body) != v.says || !said.Load() {
				t.Errorf("the record has %d bytes of %d", len(r.body), len(v.says))
			}
			if got := kinds(lines, "frame"); len(got) != v.frames {
				t.Errorf("%d frames", len(got))
			}
			if why := lines[len(lines)-1].Why; !strings.Contains(why, v.why) || (why == "") != (v.why == "") && v.why != "" {
				t.Errorf("it ends because %q", why)
			}
		})
	}
}

// A stream in pieces without an end: what comes after the bound has no time, and none is
// made up.
func TestTimesAreBounded(t *testing.T) {
	var all atomic.Int64
	ts := &times{all: &all}
	for i := range maxMarks + 5 {
		ts.note(int64(i+101), int64(i+1))
	}
	if _, ok := ts.of(maxMarks - 1); !ok || len(ts.marks) != maxMarks {
		t.Errorf("%d marks", len(ts.marks))
	}
	if m, ok := ts.of(maxMarks); ok {
		t.Errorf("a byte behind the last mark has the time %+v", m)
	}
	all.Store(maxMarksAll)
	other := &times{all: &all}
	if other.note(1, 1); len(other.marks) != 0 || !other.full {
		t.Errorf("a capture keeps more than %d", maxMarksAll)
	}
}

func lister(t testing.TB, in []byte) (*timeline, func() []timeLine) {
	s, err := newSpool(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var all atomic.Int64
	of := &times{all: &all}
	of.note(int64(len(in)), int64(len(in)))
	return &timeline{to: s, of: of}, func() (out []timeLine) {
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		f, err := s.open()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for sc := bufio.NewScanner(f); sc.Scan(); {
			var l timeLine
			if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			out = append(out, l)
		}
		return out
	}
}

func TestEvents(t *testing.T) {
	for in, want := range map[string]string{
		"data: a\n\ndata: b\n\n":            "event 0+9 event 9+9",
		"data\r\n\r\ndata:b\r\rdata:c\n\n":  "event 0+8 event 8+8 event 16+8",
		"data: a\r\r\ndata: b\n\n":          "event 0+10 event 10+9",
		": hello\n\nid: 1\n\ndatax: 1\n\n":  "comment 0+9 comment 9+7 comment 16+10",
		"\n\n\ndata: a\n\n\n":               "event 3+9",
		"data: unfinished\n":                "",
		"event: x\ndata: a\ndata: b\n\n: z": "event 0+26",
		"data: a\r\n\r\n":                   "event 0+11",
		"\r\n\r\n":                          "",
	} {
		tl, lines := lister(t, []byte(in))
		if err := tl.events(strings.NewReader(in)); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range lines() {
			got = append(got, fmt.Sprintf("%s %d+%d", l.Kind, l.Offset, l.Length))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, not %s", in, got, want)
		}
	}
}

// Whatever comes, the lines lie one behind the other inside of it.
func FuzzTimeline(f *testing.F) {
	f.Add([]byte("\x81\x01a\x01\x01b\x89\x00\x80\x01c"))
	f.Add([]byte("\x81\xfe\x00\x03mask???"))
	f.Add([]byte("data: a\r\n\r\n: b\r\r\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, list := range []func(*timeline, io.Reader) error{(*timeline).frames, (*timeline).events} {
			tl, lines := lister(t, in)
			list(tl, bytes.NewReader(in)) //nolint:errcheck // says why there is no more
			at := int64(0)
			for _, l := range lines() {
				if l.Offset < at || l.Length <= 0 || l.Offset+l.Length > int64(len(in)) || l.At == "" {
					t.Fatalf("%+v after %d of %d bytes", l, at, len(in))
				}
				at = l.Offset + l.Length
			}
		}
	})
}
