package web

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// rawSite is a site that says exactly what it is told to: script is run for
// each connection, with the number of it.
type rawSite struct{ addr string }

func serveRaw(t *testing.T, script func(n int, c net.Conn, r *bufio.Reader)) *rawSite {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				script(n, c, bufio.NewReader(c))
			}()
		}
	}()
	return &rawSite{addr: l.Addr().String()}
}

// scripted reads one request a time and says what is told for its path, then
// holds the connection open until the other side leaves.
func scripted(says map[string]string) func(int, net.Conn, *bufio.Reader) {
	return func(_ int, c net.Conn, r *bufio.Reader) {
		for {
			h, err := warc.ReadHead(r, maxHead)
			if err != nil {
				return
			}
			_, path, _ := strings.Cut(h.Start, " ")
			path, _, _ = strings.Cut(path, " ")
			say, end := strings.CutSuffix(says[path], "<close>")
			for piece := range strings.SplitSeq(say, "<wait>") {
				io.WriteString(c, piece)
				time.Sleep(20 * time.Millisecond)
			}
			if end {
				return
			}
		}
	}
}

// taken is what a proxy recorded.
type taken struct {
	rec               *recorder
	exchanges         []*exchange
	answers, requests []record
}

// through runs client against a proxy of its own and reads the record back.
func through(t *testing.T, m *meter, lists []*collectors.KnownList, client func(dial func() net.Conn)) *taken {
	t.Helper()
	return throughThen(t, m, lists, client, func(*proxy) {})
}

// throughThen does something with the proxy before it ends.
func throughThen(t *testing.T, m *meter, lists []*collectors.KnownList, client func(dial func() net.Conn), then func(*proxy)) *taken {
	t.Helper()
	if m.maxReqs == 0 {
		m.maxReqs = 100
	}
	if m.maxBytes == 0 {
		m.maxBytes = 100 << 20
	}
	d := dialer{resolver: names{"*": loopback}, allowPrivate: true, now: time.Now, answers: newAnswers()}
	cas, err := newInterception()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p, err := newProxy(d, cas, m, dir, lists, nil)
	if err != nil {
		t.Fatal(err)
	}
	tk := &taken{}
	if tk.rec, err = newRecorder(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	passed := make(chan *exchange, 100)
	go func() {
		defer close(passed)
		for x := range p.done {
			tk.exchanges = append(tk.exchanges, x)
			passed <- x
		}
	}()
	go tk.rec.run(passed)
	client(func() net.Conn {
		c, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	})
	for range 200 { // until what is under way has ended by itself
		if _, busy := m.idle(); busy == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	then(p)
	begin := time.Now()
	p.close()
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("the proxy took %s to end", d)
	}
	if err := tk.rec.finish(time.Now(), p.shared, &p.wholes); err != nil {
		t.Fatal(err)
	}
	read := func(f warcFile) []record {
		b, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		return readWarc(t, b)
	}
	tk.answers, tk.requests = read(tk.rec.answers), read(tk.rec.requests)
	if _, busy := m.idle(); busy != 0 {
		t.Errorf("%d exchanges still count as active", busy)
	}
	return tk
}

func (tk *taken) find(list []record, kind, part string) *record {
	i := slices.IndexFunc(list, func(r record) bool { return r.kind == kind && strings.Contains(r.url, part) })
	if i < 0 {
		return nil
	}
	return &list[i]
}

// fault is the code of the exchange that was asked for by this path.
func (tk *taken) fault(path string) string {
	for _, x := range tk.exchanges {
		if strings.HasSuffix(x.url, path) {
			if x.fault == nil {
				return "whole"
			}
			return x.fault.code
		}
	}
	return "never asked"
}

func get(site, path string) string {
	return "GET http://" + site + path + " HTTP/1.1\r\nHost: " + site + "\r\n\r\n"
}

// hear reads from the proxy until it has want, or nothing more comes.
func hear(c net.Conn, want string) string {
	var b bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(b.String(), want) {
		n, err := c.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			break
		}
	}
	return b.String()
}

const ws101 = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

// TestSocketOverBudget: a WebSocket that the budget ends says so, whichever
// side spoke too much.
func TestSocketOverBudget(t *testing.T) {
	big := strings.Repeat("x", 300_000)
	for _, side := range []string{"site", "page"} {
		t.Run(side, func(t *testing.T) {
			got := make(chan int64, 1)
			s := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
				warc.ReadHead(r, maxHead)
				io.WriteString(c, ws101)
				if side == "site" {
					io.WriteString(c, big)
				}
				n, _ := io.Copy(io.Discard, r)
				got <- n
			})
			tk := through(t, &meter{maxBytes: 100_000}, nil, func(dial func() net.Conn) {
				c := dial()
				io.WriteString(c, strings.Replace(get(s.addr, "/ws"), "\r\n\r\n", "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 1))
				hear(c, "\r\n\r\n")
				if side == "page" {
					io.WriteString(c, big)
				}
				io.Copy(io.Discard, c)
			})
			answer, ask := tk.find(tk.answers, warc.Response, "/ws"), tk.find(tk.requests, warc.Request, "/ws")
			if tk.fault("/ws") != "byte-budget" || tk.rec.count.Truncated != 1 || answer.Get("WARC-Truncated") != "length" || ask.Get("WARC-Truncated") != "length" {
				t.Errorf("%s, %d truncated, answer %q, request %q", tk.fault("/ws"), tk.rec.count.Truncated, answer.Get("WARC-Truncated"), ask.Get("WARC-Truncated"))
			}
			if n := <-got; n != int64(len(ask.body)) {
				t.Errorf("%d bytes of the page are recorded as sent, the site got %d", len(ask.body), n)
			}
		})
	}
}

// TestHeadOverBudget: an answer whose head used the budget up is whole if it
// has no body, and cut if it has one; in the record and in the account.
func TestHeadOverBudget(t *testing.T) {
	pad := "X: " + strings.Repeat("x", 500) + "\r\n"
	// The budget refuses new requests, so those that are under way matter: ask
	// them slowly, and use the budget up in between.
	slow := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		h, _ := warc.ReadHead(r, maxHead)
		if strings.Contains(h.Start, "/first") {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+pad+pad+pad+"\r\n")
			return
		}
		time.Sleep(300 * time.Millisecond)
		switch {
		case strings.Contains(h.Start, "/none"):
			io.WriteString(c, "HTTP/1.1 204 No\r\nConnection: close\r\n"+pad+"\r\n")
		case strings.Contains(h.Start, "/empty"):
			io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n"+pad+"\r\n")
		default:
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"+pad+"\r\nhello")
		}
	})
	tk := through(t, &meter{maxBytes: 1000}, nil, func(dial func() net.Conn) {
		var under []net.Conn
		for _, path := range []string{"/none", "/empty", "/body"} {
			c := dial()
			io.WriteString(c, get(slow.addr, path))
			under = append(under, c)
		}
		time.Sleep(50 * time.Millisecond)
		c := dial()
		io.WriteString(c, get(slow.addr, "/first"))
		hear(c, "\r\n\r\n")
		for _, c := range under {
			io.Copy(io.Discard, c)
		}
	})
	for path, want := range map[string][2]string{"/first": {"whole", ""}, "/none": {"whole", ""}, "/empty": {"whole", ""}, "/body": {"byte-budget", "length"}} {
		if r := tk.find(tk.answers, warc.Response, path); r == nil || tk.fault(path) != want[0] || r.Get("WARC-Truncated") != want[1] {
			t.Errorf("%s: %s, want %v: %v", path, tk.fault(path), want, r)
		}
	}
	if tk.rec.count.Truncated != 1 {
		t.Errorf("%d truncated", tk.rec.count.Truncated)
	}
}

// TestInterim: heads of 1xx are counted and recorded as they came, and a site
// that never comes to the answer is not listened to for ever.
func TestInterim(t *testing.T) {
	hint := "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload; pad=" + strings.Repeat("x", 300) + "\r\n\r\n"
	s := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		h, _ := warc.ReadHead(r, maxHead)
		n := 100
		if strings.Contains(h.Start, "/endless") {
			n = 1 << 30
		}
		for range n {
			if _, err := io.WriteString(c, hint); err != nil {
				return
			}
		}
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	m := &meter{}
	tk := through(t, m, nil, func(dial func() net.Conn) {
		c := dial()
		io.WriteString(c, get(s.addr, "/hundred"))
		if got := hear(c, "\r\n\r\nok"); got != strings.Repeat(hint, 100)+"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" {
			t.Errorf("the browser got %d bytes", len(got))
		}
		d := dial()
		io.WriteString(d, get(s.addr, "/endless"))
		io.Copy(io.Discard, d)
	})
	if tk.fault("/hundred") != "whole" || tk.fault("/endless") != "bad-answer" || m.received() < int64(100*len(hint)+maxHead) {
		t.Errorf("%s, %s, %d bytes counted", tk.fault("/hundred"), tk.fault("/endless"), m.received())
	}
	var sizes []int
	for _, r := range tk.answers {
		if strings.HasPrefix(r.url, "urn:holdfast:interim:") {
			sizes = append(sizes, len(r.block))
			if rest := bytes.ReplaceAll(r.block, []byte(hint), nil); len(rest) > 0 || r.Get("WARC-Type") != "metadata" {
				t.Errorf("interim %.100q", rest)
			}
		}
	}
	if slices.Sort(sizes); len(sizes) != 2 || sizes[0] != 100*len(hint) || sizes[1] <= maxHead || sizes[1] > maxHead+len(hint) {
		t.Errorf("interim heads of %v bytes", sizes)
	}
}

// TestUnreadableRequest: what is not passed on leaves a trace: its bytes, where
// it would have gone, and that it was refused.
func TestUnreadableRequest(t *testing.T) {
	long := strings.Repeat("x", maxHead)
	s := serveRaw(t, scripted(nil))
	tk := through(t, &meter{}, nil, func(dial func() net.Conn) {
		for _, head := range []string{
			"GET http://" + s.addr + "/cookies HTTP/1.1\r\nHost: a\r\nCookie: " + long + "\r\n\r\n",
			"GET http://" + s.addr + "/" + long + " HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET http://" + s.addr + "/twice HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
			"GET http://" + s.addr + "/cr HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
			"GET ftp://" + s.addr + "/ftp HTTP/1.1\r\nHost: a\r\n\r\n",
			"GET \x00\r\n\r\n",
		} {
			c := dial()
			go io.WriteString(c, head)
			if got, _ := io.ReadAll(c); len(got) > 0 {
				t.Errorf("the browser got %q", got)
			}
		}
		c := dial()
		io.WriteString(c, "CONNECT "+s.addr+" HTTP/1.1\r\n\r\n")
		hear(c, "\r\n\r\n")
		io.WriteString(c, "GET @elsewhere.test/ HTTP/1.1\r\nHost: a\r\n\r\n")
		io.Copy(io.Discard, c)
		c = dial()
		io.WriteString(c, "GET http://"+s.addr+"/given-up HTTP/1.1\r\nHost") // nothing was asked
		c.Close()
	})
	if n := tk.rec.count; n.Requests != 7 || n.Blocked != 7 || len(tk.requests)-1 != 7 {
		t.Errorf("%d requests, %d blocked, %d recorded", n.Requests, n.Blocked, len(tk.requests)-1)
	}
	for path, cut := range map[string]string{"/cookies": "length", "/xxx": "length", "/twice": "", "/cr": "", "/ftp": "", "unreadable": ""} {
		if r := tk.find(tk.requests, warc.Request, path); r == nil || r.Get("WARC-Truncated") != cut || len(r.url) > 5000 || cut != "" && len(r.block) < maxHead {
			t.Errorf("%s: %.300v", path, r)
		}
	}
	if slices.ContainsFunc(tk.exchanges, func(x *exchange) bool {
		return x.fault == nil || x.fault.code != "bad-request" || !strings.Contains(x.url, "://"+s.addr+"/") && x.url != "urn:holdfast:unreadable-request"
	}) {
		t.Error("a request is recorded as another one")
	}
}

// TestAbandonedUpload: that the browser stopped is not the site's doing.
func TestAbandonedUpload(t *testing.T) {
	s := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	tk := through(t, &meter{}, nil, func(dial func() net.Conn) {
		c := dial()
		io.WriteString(c, "POST http://"+s.addr+"/up HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
		time.Sleep(100 * time.Millisecond)
		c.Close()
		time.Sleep(100 * time.Millisecond)
	})
	r := tk.find(tk.requests, warc.Request, "/up")
	if tk.fault("/up") != "abandoned" || r == nil || r.Get("WARC-Truncated") != "disconnect" || string(r.body) != "half" {
		t.Errorf("%s: %v", tk.exchanges[0].fault, r)
	}
}

// TestStreamLeft: a stream without an end that the page closes is not missing.
func TestStreamLeft(t *testing.T) {
	s := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		warc.ReadHead(r, maxHead)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		for {
			if _, err := io.WriteString(c, "data: tick\n\n"); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	tk := through(t, &meter{}, nil, func(dial func() net.Conn) {
		c := dial()
		io.WriteString(c, get(s.addr, "/events"))
		hear(c, "tick")
		c.Close()
		time.Sleep(300 * time.Millisecond)
	})
	if n := tk.rec.count; tk.fault("/events") != "abandoned" || n.Truncated+n.Failed > 0 || tk.find(tk.answers, warc.Response, "/events").Get("WARC-Truncated") != "disconnect" {
		t.Errorf("%s, %+v", tk.fault("/events"), n)
	}
}
