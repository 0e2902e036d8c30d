package web

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"holdfast/collectors"
	"holdfast/warc"
)

// knownBytes are 2,999 that are on a list: with a remainder in base64.
func knownBytes(t *testing.T) ([]byte, []*collectors.KnownList) {
	b := bytes.Repeat([]byte("\x00\xff>?never keep this "), 150)[:2999]
	return b, []*collectors.KnownList{readList(t, fmt.Sprintf("%x", sha256.Sum256(b)))}
}

// What a text carries in a data: URL is compared, however its pieces arrive.
func TestInlined(t *testing.T) {
	b, lists := knownBytes(t)
	url := "data:image/png;base64," + base64.StdEncoding.EncodeToString(b)
	var lines strings.Builder
	for i, c := range url {
		if lines.WriteRune(c); i%76 == 75 {
			lines.WriteString("\r\n\t")
		}
	}
	for name, v := range map[string]struct {
		text string
		want bool
	}{
		"html":     {`<p><img src="` + url + `">more`, true},
		"css":      {"a{background:url(" + url + ")}", true},
		"end":      {url, true},
		"bare":     {strings.TrimRight(url, "="), true},
		"set":      {`<img srcset="data:,;base64,AAAA 1x, ` + url + ` 2x">`, true},
		"case":     {strings.Replace(url, "base64", "Base64", 1), true},
		"lines":    {lines.String() + "'", true},
		"json":     {`{"i":"` + strings.ReplaceAll(url, "/", `\/`) + `"}`, true},
		"escaped":  {strings.NewReplacer("+", "%2b", "/", "%2F", "=", "%3D").Replace(url) + "&x", true},
		"nearly":   {";;base6;base64;base64,@" + url, true},
		"other":    {strings.Replace(url, ";base64,", ";base64,AAAA", 1), false},
		"no URL":   {strings.Replace(url, ";base64,", "", 1), false},
		"shorter":  {url[:len(url)-8], false},
		"bad hex":  {";base64,AAAA%zz", false},
		"unending": {";base64,AAAA%4", false},
	} {
		for _, n := range []int{1, 7, 1 << 20} {
			s := &inlined{lists: lists}
			for p := []byte(v.text); len(p) > 0; p = p[min(n, len(p)):] {
				if _, err := s.Write(p[:min(n, len(p))]); err != nil {
					t.Fatal(err)
				}
			}
			if s.end(); (s.digest != "") != v.want {
				t.Errorf("%s by %d: %q", name, n, s.digest)
			}
		}
	}
	for n, want := range map[int]error{maxInlined: nil, maxInlined + 1: errInlined} {
		s := &inlined{lists: lists}
		io.Copy(s, strings.NewReader(strings.Repeat(";base64,!", n)))
		if s.end(); s.err != want {
			t.Errorf("%d of them: %v", n, s.err)
		}
	}
}

// wsFrame is one of a WebSocket.
func wsFrame(first byte, mask bool, b []byte) []byte {
	out := []byte{first}
	bit := byte(0)
	if mask {
		bit = 0x80
	}
	switch n := len(b); {
	case n < 126:
		out = append(out, bit|byte(n))
	case n < 1<<16:
		out = binary.BigEndian.AppendUint16(append(out, bit|126), uint16(n))
	default:
		out = binary.BigEndian.AppendUint64(append(out, bit|127), uint64(n))
	}
	if !mask {
		return append(out, b...)
	}
	key := []byte{1, 2, 0xfe, 4}
	out = append(out, key...)
	for i, c := range b {
		out = append(out, c^key[i%4])
	}
	return out
}

// packed are messages as permessage-deflate writes them, each refers to those before.
func packed(t *testing.T, messages ...[]byte) (out [][]byte) {
	t.Helper()
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, 9)
	for _, m := range messages {
		b.Reset()
		z.Write(m)
		z.Flush()
		out = append(out, bytes.TrimSuffix(bytes.Clone(b.Bytes()), []byte("\x00\x00\xff\xff")))
	}
	return out
}

// A message of a WebSocket on a list takes its direction with it, whichever it
// is and however it is framed; what is no message is told of.
func TestNeverKeepMessages(t *testing.T) {
	b, lists := knownBytes(t)
	z := packed(t, b[:1000], b)
	for name, v := range map[string]struct {
		frames [][]byte
		want   string
	}{
		"one":       {[][]byte{wsFrame(0x81, false, []byte("hello")), wsFrame(0x82, false, b)}, "taken"},
		"pieces":    {[][]byte{wsFrame(0x02, true, b[:100]), wsFrame(0x89, true, []byte("ping")), wsFrame(0x00, true, nil), wsFrame(0x80, true, b[100:])}, "taken"},
		"packed":    {[][]byte{wsFrame(0xc2, false, z[0]), wsFrame(0x8a, false, nil), wsFrame(0x42, false, z[1][:9]), wsFrame(0x80, false, z[1][9:])}, "taken"},
		"inlined":   {[][]byte{wsFrame(0x81, true, []byte(`{"i":"data:x/y;base64,`+base64.StdEncoding.EncodeToString(b)+`"}`))}, "taken"},
		"other":     {[][]byte{wsFrame(0x82, false, b[1:]), wsFrame(0x82, false, bytes.Repeat(b, 40)), wsFrame(0x88, false, nil)}, "kept"},
		"cut":       {[][]byte{wsFrame(0x82, false, b)[:500]}, "unchecked"},
		"unended":   {[][]byte{wsFrame(0x02, false, b[:500])}, "unchecked"},
		"no frames": {[][]byte{[]byte("hello, no frames")}, "unchecked"},
		"not zip":   {[][]byte{wsFrame(0xc2, false, b[:100])}, "unchecked"},
	} {
		for _, of := range []string{"answer", "request"} {
			x := unvisited(t, "http://host.test/")
			e := x.madeUp(t, 1, "http://host.test/ws", strings.TrimSuffix(ws101, "\r\n\r\n"), "")
			e.upgraded = true
			s := map[string]*spool{"answer": e.response, "request": e.request}[of]
			var err error
			if *s, err = reopened(x.dir, s); err != nil {
				t.Fatal(err)
			}
			for _, f := range v.frames {
				s.content(f)
			}
			if err := s.close(); err != nil {
				t.Fatal(err)
			}
			if _, err := (&proxy{dir: x.dir, lists: lists}).withhold(e); err != nil {
				t.Fatal(err)
			}
			got := "kept"
			if e.unchecked != nil {
				got = "unchecked"
			}
			if e.withheld != nil {
				got = "taken"
				if e.withheld.Of != of || e.withheld.As != "message" || s.body != 0 {
					t.Errorf("%s: %+v, %d bytes left", name, e.withheld, s.body)
				}
			}
			if got != v.want {
				t.Errorf("%s of the %s: %s %v", name, of, got, e.unchecked)
			}
		}
	}
}

// reopened is a spool with the same head to which more can be written.
func reopened(dir string, s *spool) (spool, error) {
	f, err := s.open()
	if err != nil {
		return spool{}, err
	}
	defer f.Close()
	head, err := io.ReadAll(f)
	if err != nil {
		return spool{}, err
	}
	n, err := newSpool(dir, nil)
	if err != nil {
		return spool{}, err
	}
	n.begin(head)
	return *n, nil
}

// On the wire: a page, an upload and what is no answer carry what is on a list.
func TestNeverKeepInside(t *testing.T) {
	b, lists := knownBytes(t)
	url := "data:image/png;base64," + base64.StdEncoding.EncodeToString(b)
	says := func(kind, body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", kind, len(body), body)
	}
	list := map[string]string{
		"/page":    says("text/html; charset=utf-8", "<img src='"+url+"'>"),
		"/json":    says("application/json", `["`+url+`"]`),
		"/svg":     says("image/svg+xml", `<image href="`+url+`"/>`),
		"/behind":  "HTTP/1.1 odd\r\nX: y\r\n\r\n" + string(b) + "<close>",
		"/surplus": "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\n\r\n" + string(b) + "<close>",
		"/up":      says("text/plain", "thanks"),
		"/plain":   says("text/html", "<img src='data:image/png;base64,AAAA'>"),
	}
	s := serveRaw(t, scripted(list))
	for path := range list {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			tk := through(t, &meter{}, lists, func(dial func() net.Conn) {
				c := dial()
				ask := get(s.addr, path)
				if path == "/up" {
					ask = strings.Replace(ask, "GET", "POST", 1)
					ask = strings.Replace(ask, "\r\n\r\n", fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n%s", len(url), url), 1)
				}
				io.WriteString(c, ask)
				hear(c, map[string]string{"/up": "thanks", "/page": "'>", "/json": `"]`, "/svg": "/>", "/plain": "'>", "/behind": "\x00", "/surplus": "\r\n\r\n"}[path])
			})
			if taken := tk.exchanges[0].withheld != nil; taken != (path != "/plain") || tk.rec.unchecked != 0 {
				t.Errorf("taken %v, unchecked %v", taken, tk.exchanges[0].unchecked)
			}
			for _, r := range append(tk.answers, tk.requests...) {
				if bytes.Contains(r.block, b[:60]) || bytes.Contains(r.block, []byte(url[22:90])) {
					t.Errorf("%s of %s has it", r.kind, r.url)
				}
			}
			if path == "/plain" && tk.find(tk.answers, warc.Response, path) == nil {
				t.Error("what is on no list is not kept")
			}
		})
	}
}
