package web

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/warc"
)

// framings are answers on the edge of what HTTP is. shown is what the browser
// is given of the answer; "" is nothing at all.
func framings() map[string]struct{ sent, shown, fault string } {
	const ok = "HTTP/1.1 200 OK\r\n"
	whole := func(s string) struct{ sent, shown, fault string } {
		return struct{ sent, shown, fault string }{s, s, "whole"}
	}
	bad := func(s string) struct{ sent, shown, fault string } {
		return struct{ sent, shown, fault string }{s, "", "bad-answer"}
	}
	return map[string]struct{ sent, shown, fault string }{
		"/two-lengths":        bad(ok + "Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello<wait>HTTP/1.1 200 OK\r\n\r\n<close>"),
		"/listed-lengths":     bad(ok + "Content-Length: 5, 6\r\n\r\nhello!<close>"),
		"/same-lengths":       whole(ok + "Content-Length: 5\r\nContent-Length: 5, 5\r\n\r\nhello"),
		"/listed-words":       bad(ok + "Content-Length: aaaah, nah\r\n\r\nhello!<close>"),
		"/signed-length":      whole(ok + "Content-Length: +2\r\n\r\nhello<close>"),
		"/minus-length":       whole(ok + "Content-Length: -1\r\n\r\nhello<close>"),
		"/word-length":        whole(ok + "Content-Length: aaaah\r\n\r\nhello<close>"),
		"/word-lengths":       whole(ok + "Content-Length: aaaah\r\nContent-Length: aaaah\r\n\r\nhello<close>"),
		"/unit-length":        whole(ok + "Content-Length: 2s\r\n\r\nhello<close>"),
		"/hex-length":         whole(ok + "Content-Length: 0x2\r\n\r\nhello<close>"),
		"/quoted-length":      whole(ok + "Content-Length: \"2\"\r\n\r\nhello<close>"),
		"/long-length":        whole(ok + "Content-Length: 99999999999999999999\r\n\r\nhello<close>"),
		"/folded-length":      whole(ok + "Content-Length: 2\r\n 0\r\n\r\nhello<close>"),
		"/fold-after-no-line": whole(ok + "Content-Length: 5\r\nno field\r\n 0\r\n\r\nhello"),
		"/chunked-1.0":        whole("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nmore<close>"),
		"/chunked-1.0-length": bad("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nmore<close>"),
		"/chunked-and-length": whole(ok + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
		"/chunked-not-last":   bad(ok + "Transfer-Encoding: chunked, gzip\r\n\r\n5\r\nhello\r\n0\r\n\r\n<close>"),
		"/chunked-twice":      bad(ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n<close>"),
		"/identity":           whole(ok + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"),
		"/other-coding":       whole(ok + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\nmore<close>"),
		"/long-s":             whole(ok + "Tran\u017ffer-Encoding: chunked\r\nContent-Length: 8\r\n\r\n0\r\n\r\nabc"),
		"/vt-coding":          bad(ok + "Transfer-Encoding: \vchunked\r\nContent-Length: 8\r\n\r\n0\r\n\r\nabc<close>"),
		"/lone-cr":            bad(ok + "X: y\rTransfer-Encoding: chunked\r\nContent-Length: 8\r\n\r\n0\r\n\r\nabc<close>"),
		"/crcrlf":             bad(ok + "Content-Length: 0\r\n\r\r\nX: y\r\n\r\n<close>"),
		"/nul":                bad(ok + "X: \x00\r\nContent-Length: 5\r\n\r\nhello<close>"),
		"/bare-lf":            whole("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
		"/version":            bad("HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello<close>"),
		"/minus-zero":         {ok + "Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\nmore<close>", ok + "Transfer-Encoding: chunked\r\n\r\n", "bad-answer"},
		"/chunk-cr":           {ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\r\n\r\n<close>", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n", "bad-answer"},
		"/trailers":           whole(ok + "Transfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n1;a=b\r\nx\r\n0\r\nDigest: y\r\n\r\n"),
		"/unasked-101":        bad(ws101 + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil<close>"),
	}
}

// TestFraming: the record has every byte that came, however odd, and the
// browser gets nothing that it could take for another answer.
func TestFraming(t *testing.T) {
	says := map[string]string{}
	for path, f := range framings() {
		says[path] = f.sent
	}
	s := serveRaw(t, scripted(says))
	for path, f := range framings() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			var got string
			tk := through(t, &meter{}, nil, func(dial func() net.Conn) {
				c := dial()
				io.WriteString(c, get(s.addr, path))
				c.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
				b, _ := io.ReadAll(c)
				got = string(b)
			})
			sent := strings.NewReplacer("<wait>", "", "<close>", "").Replace(f.sent)
			r := tk.find(tk.answers, warc.Response, path)
			if r == nil || string(r.block) != sent && f.fault != "bad-answer" || !strings.HasPrefix(sent, string(r.block)) || f.shown == "" && string(r.block) != sent {
				t.Fatalf("recorded %v\n sent %q", r, sent)
			}
			shown := strings.NewReplacer("<wait>", "", "<close>", "").Replace(f.shown)
			if !strings.HasPrefix(got, shown) || f.shown == "" && got != "" || !strings.HasPrefix(string(r.block), got) {
				t.Errorf("the browser got %q", got)
			}
			if tk.fault(path) != f.fault {
				t.Errorf("%v, want %s", tk.exchanges[0].fault, f.fault)
			}
		})
	}
}

// TestSurplus: what comes behind the end of an answer is recorded, is not taken
// for the answer to what is asked next, and costs the next one nothing.
func TestSurplus(t *testing.T) {
	const ok, evil = "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	s := serveRaw(t, scripted(map[string]string{
		"/length":  ok + "Content-Length: 5\r\n\r\nhello" + evil,
		"/none":    "HTTP/1.1 204 No\r\n\r\n" + evil,
		"/reset":   "HTTP/1.1 205 Reset\r\nContent-Length: 42\r\n\r\n" + evil,
		"/same":    "HTTP/1.1 304 Same\r\nContent-Length: 42\r\n\r\n" + evil,
		"/late":    ok + "Content-Length: 5\r\n\r\nhello<wait>" + evil,
		"/chunked": ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil,
		"/next":    ok + "Content-Length: 4\r\n\r\ngood",
	}))
	for path, kind := range map[string]string{"/length": asideSurplus, "/none": asideSurplus, "/reset": asideSurplus, "/same": asideSurplus, "/chunked": asideSurplus, "/late": asideUnasked} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			tk := through(t, &meter{}, nil, func(dial func() net.Conn) {
				c := dial()
				io.WriteString(c, get(s.addr, path))
				hear(c, "\r\n\r\n")
				time.Sleep(60 * time.Millisecond)
				io.WriteString(c, get(s.addr, "/next"))
				if got := hear(c, "\r\n\r\ngood"); strings.Contains(got, "evil") {
					t.Errorf("the browser got %q", got)
				}
			})
			if tk.fault(path) != "whole" || tk.fault("/next") != "whole" {
				t.Fatalf("%s, then %s", tk.fault(path), tk.fault("/next"))
			}
			if next := tk.find(tk.answers, warc.Response, "/next"); string(next.body) != "good" {
				t.Errorf("the next answer is %q", next.body)
			}
			if r := tk.find(tk.answers, warc.Metadata, "urn:holdfast:"+kind); r == nil || string(r.block) != evil || r.Get("WARC-IP-Address") != "127.0.0.1" {
				t.Errorf("aside %v", r)
			}
		})
	}
}

// TestBroken: what comes in place of an answer is recorded as it came.
func TestBroken(t *testing.T) {
	long := "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxHead+100_000) + "\r\n\r\n"
	says := map[string]string{"/ssh": "SSH-2.0-x\r\n\r\n<wait>more<close>", "/cut": "HTTP/1.1 200 OK\r\nX: y<close>", "/long": long + "<close>", "/early": "HTTP/1.1 103 E\rX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n<close>"}
	s := serveRaw(t, scripted(says))
	seen := readList(t, fmt.Sprintf("sha256:%s", strings.TrimPrefix(warc.Digest([]byte("known bytes")), "sha256:")))
	says["/known"] = "known bytes<close>"
	for path, fault := range map[string]string{"/ssh": "bad-answer", "/cut": "connection-closed", "/long": "bad-answer", "/early": "bad-answer", "/known": codeNeverKeep} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			tk := through(t, &meter{}, []*collectors.KnownList{seen}, func(dial func() net.Conn) {
				c := dial()
				io.WriteString(c, get(s.addr, path))
				if got, _ := io.ReadAll(c); len(got) > 0 {
					t.Errorf("the browser got %.100q", got)
				}
			})
			r := tk.find(tk.answers, warc.Metadata, "urn:holdfast:broken")
			if tk.fault(path) != fault || (r == nil) != (path == "/known") {
				t.Fatalf("%v: %.200v", tk.exchanges[0].fault, r)
			}
			if sent := strings.NewReplacer("<wait>", "", "<close>", "").Replace(says[path]); r != nil && string(r.block) != sent {
				t.Errorf("%d bytes recorded, %d sent", len(r.block), len(sent))
			}
			if i := slices.IndexFunc(tk.answers, func(r record) bool { return strings.HasPrefix(r.url, "urn:holdfast:exchange:") }); i < 0 ||
				r != nil && !bytes.Contains(tk.answers[i].block, []byte(r.Get("WARC-Record-ID"))) {
				t.Error("the exchange does not name it")
			}
		})
	}
}

// TestEndOfTLS: an answer that ends with its connection is whole only if TLS
// says that it ended.
func TestEndOfTLS(t *testing.T) {
	cert := newCA(t).issue(t, "site.test", time.Now().Add(time.Hour))
	s := serveRaw(t, func(n int, c net.Conn, _ *bufio.Reader) {
		tc := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}})
		h, _ := warc.ReadHead(bufio.NewReader(tc), maxHead)
		io.WriteString(tc, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwithout a length")
		if strings.Contains(h.Start, "/closed") {
			tc.Close()
		}
	})
	_, port, _ := net.SplitHostPort(s.addr)
	tk := through(t, &meter{}, nil, func(dial func() net.Conn) {
		for _, path := range []string{"/closed", "/stopped"} {
			c := dial()
			io.WriteString(c, "CONNECT site.test:"+port+" HTTP/1.1\r\n\r\n")
			hear(c, "\r\n\r\n")
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			io.WriteString(tc, "GET "+path+" HTTP/1.1\r\nHost: site.test\r\n\r\n")
			io.Copy(io.Discard, tc)
		}
	})
	if tk.fault("/closed") != "whole" || tk.fault("/stopped") != "connection-closed" || tk.find(tk.answers, warc.Response, "/stopped").Get("WARC-Truncated") != "disconnect" {
		t.Errorf("%s, %s", tk.fault("/closed"), tk.fault("/stopped"))
	}
}

// TestAmbiguousPage: a page that the browser was not given did not come,
// though its bytes did and are kept.
func TestAmbiguousPage(t *testing.T) {
	const sent = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\nContent-Length: 30\r\n\r\n<p>no end"
	s := serveRaw(t, scripted(map[string]string{"/": sent + "<close>"}))
	a, k := collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true, Budget: collectors.Budget{Time: 20 * time.Second}})
	if a.Outcome != collectors.Failed || !hasReason(a, "bad-answer") {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
	rs := readWarc(t, waczMember(t, object(t, a, k, "page.wacz"), warc.ArchiveName))
	if !slices.ContainsFunc(rs, func(r record) bool { return r.kind == warc.Response && string(r.block) == sent }) {
		t.Error("the answer is not recorded as it came")
	}
}

// TestOddLength: a page whose length is no number, which people see in their browsers, is
// not hidden from a capture; nor is what it asks for, one with a length that lies among it.
func TestOddLength(t *testing.T) {
	const html = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
	s := serveRaw(t, scripted(map[string]string{
		"/":            html + "Content-Length: aaaah\r\n\r\n<!doctype html><title>odd</title><p>Words that people see.<p id=a>none<script src=/short.js></script><wait><p>And the last ones.<close>",
		"/short.js":    "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: 2s\r\n\r\na.textContent='the script ran'<close>",
		"/favicon.ico": "HTTP/1.1 204 No\r\n\r\n",
	}))
	a, k := collect(t, newCollector(t, Options{}), collectors.Request{Source: "http://" + s.addr + "/", AllowPrivate: true})
	text := string(object(t, a, k, "text.txt"))
	for _, want := range []string{"Words that people see.", "the script ran", "And the last ones."} {
		if !strings.Contains(text, want) {
			t.Errorf("text %q", text)
		}
	}
	if a.Outcome != collectors.Complete {
		t.Errorf("%s %v", a.Outcome, a.Reasons)
	}
}
