package web

import (
	"strings"
	"testing"

	"holdfast/collectors/web/stream"
	"holdfast/warc"
)

// TestPieceOrder: a piece is asked for in the words of the page's request for its list; what
// is for one host only goes to no other.
func TestPieceOrder(t *testing.T) {
	const raw = "GET /list.m3u8?t=1 HTTP/1.1\r\nHost: film.test\r\nUser-Agent: browser\r\nRange: bytes=0-9\r\nIf-None-Match: x\r\nAuthorization: secret\r\nCookie: a=b\r\nReferer: https://page.test/\r\n\r\n"
	head, err := warc.ReadHead(bufioReader(raw), maxHead)
	if err != nil {
		t.Fatal(err)
	}
	o := order{method: "GET", scheme: "https", site: "film.test:443", url: "https://film.test/list.m3u8?t=1", raw: head.Raw, fields: head.Fields}
	for address, want := range map[string]string{
		"https://film.test/a.ts?x=1": "GET /a.ts?x=1 HTTP/1.1\r\nHost: film.test\r\nUser-Agent: browser\r\nAuthorization: secret\r\nCookie: a=b\r\nReferer: https://page.test/\r\n\r\n",
		"https://cdn.test:8443/a.ts": "GET /a.ts HTTP/1.1\r\nHost: cdn.test:8443\r\nUser-Agent: browser\r\nReferer: https://page.test/\r\n\r\n",
		"http://film.test/a.ts":      "GET /a.ts HTTP/1.1\r\nHost: film.test\r\nUser-Agent: browser\r\nReferer: https://page.test/\r\n\r\n",
	} {
		got, err := o.to(stream.Piece{URL: address, Length: -1})
		if err != nil || string(got.raw) != want || got.url != address {
			t.Errorf("%s: %v\n%q\nwant\n%q", address, err, got.raw, want)
		}
		part, err := o.to(stream.Piece{URL: address, From: 10, Length: 5})
		if err != nil || string(part.raw) != strings.TrimSuffix(want, "\r\n")+"Range: bytes=10-14\r\n\r\n" || part.fields.Get("Range") != "bytes=10-14" {
			t.Errorf("%s: %v %q", address, err, part.raw)
		}
	}
	if _, err := o.to(stream.Piece{URL: "https://cdn.test/a b\r\nX: y", Length: -1}); err == nil {
		t.Error("an address with a line end is asked for")
	}
}
