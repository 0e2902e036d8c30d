package h2_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"

	"holdfast/collectors/web/h2"
)

// tap remembers what a connection carried, as its server saw it.
type tap struct {
	net.Conn
	mu      sync.Mutex
	in, out bytes.Buffer
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in.Write(p[:n])
	return n, err
}

func (t *tap) Write(p []byte) (int, error) {
	n, err := t.Conn.Write(p)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.out.Write(p[:n])
	return n, err
}

// frames is a log, and the bytes of DATA beside it.
type frames struct {
	mu  sync.Mutex
	all []h2.Frame
}

func (f *frames) log(x h2.Frame) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	x.Payload = slices.Clone(x.Payload)
	f.all = append(f.all, x)
	return nil
}

// bytes puts one direction together again; content has each stream's.
func (f *frames) bytes(t *testing.T, sent bool, content map[uint32][]byte) []byte {
	t.Helper()
	var out []byte
	for _, x := range f.all {
		if x.Sent != sent {
			continue
		}
		out = append(out, byte(x.Length>>16), byte(x.Length>>8), byte(x.Length), byte(x.Type), byte(x.Flags), byte(x.Stream>>24), byte(x.Stream>>16), byte(x.Stream>>8), byte(x.Stream))
		if x.Type != http2.FrameData {
			out = append(out, x.Payload...)
			continue
		}
		n := int(x.Length) - len(x.Payload)
		if len(content[x.Stream]) < n {
			t.Fatalf("stream %d: %d bytes of content are left for a frame of %d", x.Stream, len(content[x.Stream]), n)
		}
		if len(x.Payload) > 0 {
			out = append(out, x.Payload[0])
		}
		out = append(out, content[x.Stream][:n]...)
		if len(x.Payload) > 0 {
			out = append(out, x.Payload[1:]...)
		}
		content[x.Stream] = content[x.Stream][n:]
	}
	return out
}

// serve is a real server at the other end of a loopback connection.
func serve(t *testing.T, h http.Handler, log h2.Log) (*h2.Conn, *tap) {
	t.Helper()
	near, far := pipe(t)
	server := &tap{Conn: far}
	var wg sync.WaitGroup
	wg.Go(func() { (&http2.Server{}).ServeConn(server, &http2.ServeConnOpts{Handler: h}) })
	c, err := h2.New(near, h2.Options{MaxHead: 256 << 10, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); far.Close(); wg.Wait() })
	return c, server
}

func pipe(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err == nil {
		far, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

func request(method, path string, more ...string) []h2.Field {
	f := []h2.Field{{":method", method}, {":authority", "site.test"}, {":scheme", "https"}, {":path", path}}
	for i := 0; i < len(more); i += 2 {
		f = append(f, h2.Field{more[i], more[i+1]})
	}
	return f
}

// answer reads all of an answer.
func answer(s *h2.Stream) (heads []h2.Head, body []byte, err error) {
	for {
		h, err := s.Head()
		if err != nil {
			return heads, nil, err
		}
		if heads = append(heads, h); h.Status/100 != 1 {
			break
		}
	}
	body, err = io.ReadAll(s)
	return heads, body, err
}

// Many exchanges at once, large ones both ways, heads of 1xx and trailers: each is whole,
// and the log with the contents gives the bytes of both directions back exactly.
func TestExchanges(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<19) // 8 MiB: more than a stream's window
	f := &frames{}
	c, server := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		switch r.URL.Path {
		case "/echo":
			b, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%x", sha256.Sum256(b))
		case "/big":
			w.Write(big)
		case "/early":
			w.Header().Set("Link", "</x.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Trailer", "X-Sum")
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "tea")
			w.Header().Set("X-Sum", "42")
		default:
			io.WriteString(w, strings.Repeat(r.URL.Path, 1000))
		}
	}), f.log)
	var mu sync.Mutex
	sent, got := map[uint32][]byte{}, map[uint32][]byte{}
	do := func(method, path string, body []byte, fields ...string) ([]h2.Head, []byte, []h2.Field) {
		s, err := c.Ask(t.Context(), request(method, path, fields...), body == nil)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return nil, nil, nil
		}
		defer s.Close()
		if body != nil {
			if _, err := s.Write(body); err != nil {
				t.Error(err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Error(err)
			}
		}
		heads, b, err := answer(s)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		mu.Lock()
		defer mu.Unlock()
		sent[s.ID()], got[s.ID()] = body, b
		return heads, b, s.Trailers()
	}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			path := fmt.Sprintf("/page/%d", i)
			if heads, b, _ := do("GET", path, nil); len(heads) != 1 || heads[0].Status != 200 || string(b) != strings.Repeat(path, 1000) {
				t.Errorf("%s: %v, %d bytes", path, heads, len(b))
			}
		})
	}
	wg.Go(func() {
		if _, b, _ := do("POST", "/echo", big); string(b) != fmt.Sprintf("%x", sha256.Sum256(big)) {
			t.Errorf("echo says %s", b)
		}
	})
	wg.Go(func() {
		if _, b, _ := do("GET", "/big", nil); !bytes.Equal(b, big) {
			t.Errorf("%d bytes of %d", len(b), len(big))
		}
	})
	wg.Go(func() {
		heads, b, trailers := do("GET", "/early", nil, "accept", "text/html", "cookie", strings.Repeat("c", 40_000))
		if len(heads) != 2 || heads[0].Status != 103 || heads[1].Status != 418 || string(b) != "tea" || !slices.Contains(trailers, h2.Field{"x-sum", "42"}) {
			t.Errorf("%+v, %q, %v", heads, b, trailers)
		}
	})
	wg.Wait()
	c.Close()
	server.mu.Lock()
	defer server.mu.Unlock()
	if b := append([]byte(http2.ClientPreface), f.bytes(t, true, sent)...); !bytes.HasPrefix(b, server.in.Bytes()) { // the last frames may be under way
		t.Errorf("the log has not the %d bytes that the server read", server.in.Len())
	}
	if b := f.bytes(t, false, got); !bytes.HasPrefix(server.out.Bytes(), b) || len(b) < 8<<20 {
		t.Errorf("the log has not the %d bytes that the server wrote", server.out.Len())
	}
}

// A server's misbehaviour, byte by byte.
func TestHostile(t *testing.T) {
	ok := func(fr *http2.Framer, id uint32) {
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte{0x88}, EndHeaders: true})
	}
	for name, c := range map[string]struct {
		do   func(*http2.Framer, net.Conn)
		want error
	}{
		"reset":            {func(fr *http2.Framer, _ net.Conn) { fr.WriteRSTStream(1, http2.ErrCodeInternal) }, h2.ErrReset},
		"refused":          {func(fr *http2.Framer, _ net.Conn) { fr.WriteRSTStream(1, http2.ErrCodeRefusedStream) }, h2.ErrUnasked},
		"goes away before": {func(fr *http2.Framer, _ net.Conn) { fr.WriteGoAway(0, http2.ErrCodeNo, nil) }, h2.ErrUnasked},
		"cut in a frame": {func(fr *http2.Framer, c net.Conn) {
			ok(fr, 1)
			c.Write([]byte{0, 0, 100, 0, 0, 0, 0, 0, 1, 'x'})
			c.Close()
		}, h2.ErrGone},
		"body before head": {func(fr *http2.Framer, _ net.Conn) { fr.WriteData(1, true, []byte("x")) }, h2.ErrReset},
		"head without status": {func(fr *http2.Framer, _ net.Conn) {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x84}, EndHeaders: true})
		}, h2.ErrReset},
		"no head": {func(fr *http2.Framer, _ net.Conn) {
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: nil, EndHeaders: true, EndStream: true})
		}, h2.ErrReset},
		"push": {func(fr *http2.Framer, _ net.Conn) {
			fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: []byte{0x82}, EndHeaders: true})
		}, h2.ErrFlood},
		"beyond the window": {func(fr *http2.Framer, _ net.Conn) {
			ok(fr, 1)
			for range 6<<20>>14 + 2 {
				fr.WriteData(1, false, make([]byte, 1<<14))
			}
		}, h2.ErrFlood},
		"pings without end": {func(fr *http2.Framer, _ net.Conn) {
			for fr.WritePing(false, [8]byte{}) == nil {
			}
		}, h2.ErrFlood},
		"heads of 1xx without end": {func(fr *http2.Framer, _ net.Conn) {
			for fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x08, 0x03, '1', '0', '3'}, EndHeaders: true}) == nil {
			}
		}, h2.ErrFlood},
		"a head of megabytes": {func(fr *http2.Framer, _ net.Conn) {
			block := []byte{0x88, 0x40, 1, 'a', 0x7f, 0xe1, 0x7e} // a: 16,320 bytes, indexed
			block = append(block, make([]byte, 16320)...)
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(block, bytes.Repeat([]byte{0xbe}, 20)...)[:1<<14], EndHeaders: true})
		}, nil},
		"windows that overflow": {func(fr *http2.Framer, _ net.Conn) {
			fr.WriteWindowUpdate(0, 1<<31-1)
			fr.WriteWindowUpdate(0, 1<<31-1)
		}, h2.ErrFlood},
		"a frame too large": {func(_ *http2.Framer, c net.Conn) { c.Write([]byte{0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1}) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := pipe(t)
			defer far.Close()
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() {
				io.ReadFull(far, make([]byte, len(http2.ClientPreface)))
				fr := http2.NewFramer(far, far)
				for {
					f, err := fr.ReadFrame()
					if err != nil {
						return
					}
					if f.Header().Type == http2.FrameHeaders {
						break
					}
				}
				fr.WriteSettings()
				c.do(fr, far)
				if !strings.Contains(name, "without end") {
					io.Copy(io.Discard, far)
				}
			})
			conn, err := h2.New(near, h2.Options{MaxHead: 32 << 10, Log: (&frames{}).log})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			s, err := conn.Ask(t.Context(), request("GET", "/"), true)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if name == "beyond the window" || name == "windows that overflow" || name == "a frame too large" { // the connection ends: nobody reads
				for conn.Usable() {
				}
			}
			_, _, err = answer(s)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// FuzzConn feeds a connection what a server might say. It must end, and hold no more than
// it has granted.
func FuzzConn(f *testing.F) {
	f.Add([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88, 0, 0, 1, 0, 1, 0, 0, 0, 1, 'x'})
	f.Add([]byte{0, 0, 3, 0, 9, 0, 0, 0, 1, 1, 'x', 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		near, far := net.Pipe()
		go io.Copy(io.Discard, far)
		conn, err := h2.New(near, h2.Options{MaxHead: 4 << 10, Log: (&frames{}).log})
		if err != nil {
			t.Fatal(err)
		}
		s, err := conn.Ask(t.Context(), request("GET", "/"), true)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			far.Write(b)
			far.Close()
		}()
		if _, body, _ := answer(s); len(body) > len(b) {
			t.Errorf("%d bytes of content in %d", len(body), len(b))
		}
		s.Close()
		conn.Close()
	})
}
