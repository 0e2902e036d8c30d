package web

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"holdfast/collectors"
	"holdfast/warc"
)

// answerOf is a part [from,to) of b as a server sends it.
func answerOf(b []byte, from, to int, fields string) string {
	return fmt.Sprintf("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes %d-%d/%d\r\nContent-Length: %d\r\n%s\r\n%s", from, to-1, len(b), to-from, fields, b[from:to])
}

// cleanOf is the whole of b.
func cleanOf(b []byte, fields string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(b), fields, b)
}

// asks asks for /v of a site once for each answer, which it says in turn, and
// reads what is recorded.
func asks(t *testing.T, lists []*collectors.KnownList, answers []string) *taken {
	t.Helper()
	s := serveRaw(t, func(_ int, c net.Conn, r *bufio.Reader) {
		h, err := warc.ReadHead(r, maxHead)
		if n, nerr := strconv.Atoi(h.Fields.Get("Answer")); err == nil && nerr == nil {
			io.WriteString(c, answers[n])
		}
	})
	return through(t, &meter{}, lists, func(dial func() net.Conn) {
		for n := range answers {
			c := dial()
			io.WriteString(c, strings.Replace(get(s.addr, "/v"), "\r\n\r\n", fmt.Sprintf("\r\nAnswer: %d\r\n\r\n", n), 1))
			if a, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
				io.Copy(io.Discard, a.Body) //nolint:errcheck // what came is looked at in the record
				a.Body.Close()
			}
			c.Close()
		}
	})
}

// Parts of what is on a list are not kept where they make the whole together, or
// it came otherwise; where nobody can say, that is told.
func TestNeverKeepParts(t *testing.T) {
	video := bytes.Repeat([]byte("forbidden frames "), 40)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(bytes.Repeat(video[:50], 20))
	z.Close()
	gz, n, g := packed.Bytes(), len(video), packed.Len()
	other := bytes.ToUpper(video)
	var packedOther bytes.Buffer
	z = gzip.NewWriter(&packedOther)
	z.Write(other)
	z.Close()
	gzOther := packedOther.Bytes()
	lists := []*collectors.KnownList{readList(t, fmt.Sprintf("%x", sha256.Sum256(video)), fmt.Sprintf("%x", sha256.Sum256(bytes.Repeat(video[:50], 20))))}
	part := func(from, to int) string { return answerOf(video, from, to, "") }
	chunked := func(from, to int) string {
		return fmt.Sprintf("HTTP/1.1 206 P\r\nContent-Range: bytes %d-%d/%d\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", from, to-1, n, to-from, video[from:to])
	}
	whole := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", n, video)
	inline, text := []byte("<img src='data:video/x;base64,"+base64.StdEncoding.EncodeToString(video)+"'>"), "Content-Type: text/html\r\n"
	const coding = "Content-Encoding: gzip\r\n"
	for name, v := range map[string]struct {
		answers []string
		want    string // of each: taken, kept, or unchecked
	}{
		"two":            {[]string{part(0, 100), part(100, n)}, "taken taken"},
		"backwards":      {[]string{part(200, n), part(90, 200), part(0, 90)}, "taken taken taken"},
		"overlap":        {[]string{part(0, 300), part(50, 120), part(280, n)}, "taken taken taken"},
		"chunked":        {[]string{chunked(0, 300), chunked(280, n)}, "taken taken"},
		"tail":           {[]string{part(100, n)}, "unchecked"},
		"gap":            {[]string{part(0, 100), part(101, n)}, "unchecked unchecked"},
		"206 and tail":   {[]string{part(0, n), part(100, n)}, "taken taken"},
		"tail and 200":   {[]string{part(100, n), whole}, "taken taken"},
		"resumed":        {[]string{whole[:len(whole)-100], part(n-100, n)}, "taken taken"},
		"cut":            {[]string{whole[:len(whole)-100]}, "unchecked"},
		"validators":     {[]string{answerOf(video, 0, 100, "ETag: \"a\"\r\n"), answerOf(video, 100, n, "ETag: \"b\"\r\n")}, "unchecked unchecked"},
		"one validator":  {[]string{answerOf(video, 0, 100, "ETag: \"a\"\r\n"), answerOf(video, 100, n, "ETag: \"a\"\r\n")}, "taken taken"},
		"decoded":        {[]string{answerOf(gz, 0, 20, coding), answerOf(gz, 20, g, coding)}, "taken taken"},
		"not decodable":  {[]string{answerOf(other, 0, 20, coding), answerOf(other, 20, n, coding)}, "unchecked unchecked"},
		"inlined":        {[]string{answerOf(inline, 0, 100, text), answerOf(inline, 100, len(inline), text)}, "taken taken"},
		"other":          {[]string{answerOf(other, 0, 100, ""), answerOf(other, 100, n, "")}, "kept kept"},
		"clean whole":    {[]string{answerOf(other, 5, 100, ""), cleanOf(other, ""), answerOf(other, 300, n, "")}, "kept kept kept"},
		"other's whole":  {[]string{answerOf(video, 5, 100, ""), cleanOf(other, "")}, "unchecked kept"},
		"whole changed":  {[]string{answerOf(other, 5, 100, "ETag: \"a\"\r\n"), cleanOf(other, "ETag: \"b\"\r\n")}, "unchecked kept"},
		"packed whole":   {[]string{answerOf(gzOther, 5, 20, coding), cleanOf(gzOther, coding)}, "kept kept"},
		"unclean whole":  {[]string{answerOf(other, 5, 100, coding), cleanOf(other, coding)}, "unchecked unchecked"},
		"lies":           {[]string{strings.Replace(part(0, 100), "bytes 0-99", "bytes 0-9", 1), part(10, n)}, "unchecked unchecked"},
		"no size":        {[]string{strings.Replace(part(0, 100), fmt.Sprint("/", n), "/*", 1), part(100, n)}, "unchecked unchecked"},
		"several ranges": {[]string{"HTTP/1.1 206 P\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 5\r\n\r\n--x--"}, "unchecked"},
		"two ends":       {[]string{fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d, 9\r\n\r\n%s", n, other)}, "unchecked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tk := asks(t, lists, v.answers)
			got := make([]string, len(v.answers))
			for _, x := range tk.exchanges {
				switch {
				case x.withheld.from(warc.Response):
					got[x.number-1] = "taken"
				case x.unchecked != nil:
					got[x.number-1] = "unchecked"
				default:
					got[x.number-1] = "kept"
				}
			}
			if s := strings.Join(got, " "); s != v.want || tk.rec.unchecked != strings.Count(v.want, "unchecked") {
				t.Errorf("%s, want %s; %d unchecked", s, v.want, tk.rec.unchecked)
			}
			notes := 0
			for _, r := range tk.answers {
				if strings.HasPrefix(v.want, "taken") && bytes.Contains(r.block, video[:17]) {
					t.Errorf("%s is kept", r.kind)
				}
				if bytes.Contains(r.block, []byte(`"unchecked":"`)) {
					notes++
				}
			}
			if notes != tk.rec.unchecked {
				t.Errorf("%d of %d unchecked are named", notes, tk.rec.unchecked)
			}
		})
	}
}
