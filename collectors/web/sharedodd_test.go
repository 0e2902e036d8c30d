package web

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"holdfast/warc"
)

// tunnelled is a browser's side of a TLS connection through the proxy.
func tunnelled(t *testing.T, dial func() net.Conn, site string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c := dial()
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", site, site)
	if h, err := warc.ReadHead(bufio.NewReaderSize(one{c}, 16), maxHead); err != nil || !strings.Contains(h.Start, " 200 ") {
		t.Fatalf("%q, %v", h.Start, err)
	}
	tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "site.test"})
	return tc, bufio.NewReader(tc)
}

// one reads a byte at a time, so that nothing of what follows is taken.
type one struct{ io.Reader }

func (o one) Read(p []byte) (int, error) { return o.Reader.Read(p[:1]) }

// h2Site speaks HTTP/2 by hand: does is run for each stream, with the number of its
// connection.
func h2Site(t *testing.T, config *tls.Config, does func(n int, fr *http2.Framer, stream uint32, head func(fields ...string), c net.Conn)) string {
	t.Helper()
	config.NextProtos = []string{"h2"}
	return serveRaw(t, func(n int, c net.Conn, _ *bufio.Reader) {
		tc := tls.Server(c, config)
		if tc.Handshake() != nil {
			return
		}
		io.ReadFull(tc, make([]byte, len(http2.ClientPreface)))
		fr := http2.NewFramer(tc, tc)
		fr.WriteSettings()
		for {
			f, err := fr.ReadFrame()
			if err != nil {
				return
			}
			if f.Header().Type != http2.FrameHeaders {
				continue
			}
			id := f.Header().StreamID
			does(n, fr, id, func(fields ...string) {
				var b strings.Builder
				enc := hpack.NewEncoder(&b)
				enc.SetMaxDynamicTableSize(0)
				for i := 0; i < len(fields); i += 2 {
					enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
				}
				fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: []byte(b.String()), EndHeaders: true})
			}, tc)
		}
	}).addr
}

// What a site over HTTP/2 does wrong is told, what came of its answer is kept, and a
// browser cannot take it for whole.
func TestOddH2(t *testing.T) {
	cert := newCA(t).issue(t, "site.test", time.Now().Add(time.Hour))
	for name, c := range map[string]struct {
		does  func(n int, fr *http2.Framer, id uint32, head func(...string), c net.Conn)
		code  string // of the exchange
		whole bool   // as the browser sees it
		body  string // that is recorded
	}{
		"whole": {func(_ int, fr *http2.Framer, id uint32, head func(...string), _ net.Conn) {
			head(":status", "103", "link", "</x>")
			head(":status", "200", "content-type", "text/plain")
			fr.WriteData(id, false, []byte("all "))
			fr.WriteDataPadded(id, true, []byte("of it"), make([]byte, 100))
		}, "whole", true, "all of it"},
		"of a length": {func(_ int, fr *http2.Framer, id uint32, head func(...string), _ net.Conn) {
			head(":status", "200", "content-length", "4")
			fr.WriteData(id, true, []byte("four"))
		}, "whole", true, "four"},
		"without a body": {func(_ int, fr *http2.Framer, id uint32, head func(...string), _ net.Conn) {
			head(":status", "204")
			fr.WriteData(id, true, nil)
		}, "whole", true, ""},
		"shorter than it says": {func(_ int, fr *http2.Framer, id uint32, head func(...string), _ net.Conn) {
			head(":status", "200", "content-length", "9")
			fr.WriteData(id, true, []byte("four"))
		}, "bad-answer", false, "four"},
		"longer than it says": {func(_ int, fr *http2.Framer, id uint32, head func(...string), _ net.Conn) {
			head(":status", "200", "content-length", "2")
			fr.WriteData(id, true, []byte("four"))
		}, "bad-answer", false, "four"},
		"two framings": {func(_ int, fr *http2.Framer, id uint32, head func(...string), _ net.Conn) {
			head(":status", "200", "transfer-encoding", "chunked")
			fr.WriteData(id, true, []byte("0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nsmuggled"))
		}, "bad-answer", false, ""},
		"reset in the middle": {func(_ int, fr *http2.Framer, id uint32, head func(...string), _ net.Conn) {
			head(":status", "200")
			fr.WriteData(id, false, []byte("half"))
			time.Sleep(50 * time.Millisecond)
			fr.WriteRSTStream(id, http2.ErrCodeInternal)
		}, "stream-reset", false, "half"},
		"gone in the middle": {func(_ int, fr *http2.Framer, id uint32, head func(...string), c net.Conn) {
			head(":status", "200")
			fr.WriteData(id, false, []byte("half"))
			time.Sleep(50 * time.Millisecond)
			c.Close()
		}, "connection-closed", false, "half"},
		"refused, then taken": {func(n int, fr *http2.Framer, id uint32, head func(...string), _ net.Conn) {
			if n == 0 {
				fr.WriteGoAway(0, http2.ErrCodeNo, nil)
				return
			}
			head(":status", "200")
			fr.WriteData(id, true, []byte("now"))
		}, "whole", true, "now"},
		"refused for ever": {func(_ int, fr *http2.Framer, id uint32, _ func(...string), _ net.Conn) {
			fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		}, "stream-reset", false, ""},
		"a push": {func(_ int, fr *http2.Framer, id uint32, _ func(...string), _ net.Conn) {
			fr.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, BlockFragment: []byte{0x82}, EndHeaders: true})
		}, "bad-answer", false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := h2Site(t, &tls.Config{Certificates: []tls.Certificate{*cert}}, c.does)
			tk := through(t, &meter{}, nil, func(dial func() net.Conn) {
				conn, br := tunnelled(t, dial, addr)
				defer conn.Close()
				fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: site.test\r\nCookie: a=1\r\n\r\n")
				var res *http.Response
				var err error
				for res == nil || res.StatusCode/100 == 1 && err == nil {
					if res, err = http.ReadResponse(br, nil); err != nil {
						break
					}
				}
				var body []byte
				if err == nil {
					body, err = io.ReadAll(res.Body)
				}
				if longer := name == "longer than it says"; (err == nil) != c.whole && !longer {
					t.Errorf("the browser has %q, %v", body, err)
				}
			})
			if code := tk.fault("/x"); code != c.code {
				t.Errorf("fault %q, want %q: %v", code, c.code, tk.exchanges[0].fault)
			}
			a := tk.find(tk.answers, warc.Response, "/x")
			switch {
			case a == nil && c.body != "":
				t.Error("no answer is recorded")
			case a != nil && (string(a.body) != c.body || a.Get("WARC-Protocol") != "h2" || (a.Get("WARC-Truncated") == "") != c.whole):
				t.Errorf("recorded: %q, %v", a.body, a.Fields)
			}
			if tk.find(tk.answers, warc.Metadata, "urn:holdfast:h2:1:received") == nil || tk.find(tk.requests, warc.Metadata, "urn:holdfast:h2:1:sent") == nil {
				var all []string
				for _, r := range tk.answers {
					all = append(all, r.kind+" "+r.url)
				}
				t.Fatalf("the frames are not recorded: %q", all)
			}
			if r := tk.find(tk.answers, warc.Metadata, "urn:holdfast:h2:1:received"); strings.Contains(string(r.block), "HEADERS") != (name != "refused for ever" && name != "a push" && name != "refused, then taken") {
				t.Errorf("frames: %s", r.block)
			}
		})
	}
}

// A site sees a Chromium's ClientHello: drawn values (GREASE), HTTP/2 before HTTP/1.1, the
// share of a key that is safe from quantum computers; one that takes no TLS of this
// century is asked once more in older words, and the record says which it was.
func TestHello(t *testing.T) {
	cert := newCA(t).issue(t, "site.test", time.Now().Add(time.Hour))
	ask := func(t *testing.T, config *tls.Config) string {
		config.Certificates = []tls.Certificate{*cert}
		addr := serveRaw(t, func(_ int, c net.Conn, _ *bufio.Reader) {
			tc := tls.Server(c, config)
			if tc.Handshake() != nil {
				return
			}
			if _, err := warc.ReadHead(bufio.NewReader(tc), maxHead); err == nil {
				io.WriteString(tc, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				io.Copy(io.Discard, tc)
			}
		}).addr
		tk := through(t, &meter{}, nil, func(dial func() net.Conn) {
			conn, br := tunnelled(t, dial, addr)
			defer conn.Close()
			fmt.Fprintf(conn, "GET /x HTTP/1.1\r\nHost: site.test\r\n\r\n")
			if res, err := http.ReadResponse(br, nil); err != nil || res.StatusCode != 200 {
				t.Errorf("%v, %v", res, err)
			}
		})
		if a := tk.find(tk.answers, warc.Response, "/x"); a == nil || a.Get("WARC-Protocol") != "http/1.1" {
			t.Fatalf("answer %v", a)
		}
		return string(tk.find(tk.answers, warc.Metadata, "urn:holdfast:connection:1").block)
	}
	t.Run("chromium", func(t *testing.T) {
		var seen atomic.Pointer[tls.ClientHelloInfo]
		note := ask(t, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { seen.Store(h); return nil, nil }})
		h := seen.Load()
		grease := func(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }
		if strings.Join(h.SupportedProtos, ",") != "h2,http/1.1" || h.ServerName != "site.test" && h.ServerName != "" ||
			!grease(h.CipherSuites[0]) || !grease(uint16(h.SupportedCurves[0])) || h.SupportedCurves[1] != tls.X25519MLKEM768 {
			t.Errorf("%v %q %x %v", h.SupportedProtos, h.ServerName, h.CipherSuites, h.SupportedCurves)
		}
		if !strings.Contains(note, `"hello":"chromium"`) {
			t.Error(note)
		}
	})
	t.Run("old", func(t *testing.T) {
		note := ask(t, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}) //nolint:gosec // the point of it
		if !strings.Contains(note, `"hello":"go-tls1.0"`) || !strings.Contains(note, `"version":"TLS 1.1"`) {
			t.Error(note)
		}
	})
}
