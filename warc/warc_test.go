package warc

import (
	"bufio"
	"bytes"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nlnwa/gowarc"
)

var when = time.Date(2026, 11, 25, 7, 30, 0, 123e6, time.UTC)

const (
	httpHead = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\n\r\n"
	httpBody = "hello"
)

// sample writes one record of each type and returns the file and its spans.
func sample(t testing.TB) ([]byte, []Span) {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	var spans []Span
	keep := func(s Span, err error) {
		if err != nil {
			t.Fatal(err)
		}
		spans = append(spans, s)
	}
	keep(w.WriteBytes(Record{Type: Warcinfo, Date: when, Filename: "data.warc.gz", ContentType: "application/warc-fields"},
		[]byte("software: test\r\nformat: WARC File Format 1.1\r\n")))
	req := NewID()
	block := httpHead + httpBody
	keep(w.Write(Record{Type: Response, Date: when, TargetURI: "http://example.com/", ContentType: "application/http;msgtype=response",
		BlockDigest: Digest([]byte(block)), PayloadDigest: Digest([]byte(httpBody)), ConcurrentTo: []string{req}, IP: "192.0.2.7",
		Protocols: []string{"http/1.1", "tls/1.3"}, Cipher: "TLS_AES_128_GCM_SHA256",
		Block: strings.NewReader(block), Length: int64(len(block))}))
	keep(w.WriteBytes(Record{Type: Request, ID: req, Date: when, TargetURI: "http://example.com/", ContentType: "application/http;msgtype=request"},
		[]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")))
	keep(w.WriteBytes(Record{Type: Metadata, Date: when, TargetURI: "urn:holdfast:connection:1", ContentType: "application/json"}, []byte("{}")))
	keep(w.WriteBytes(Record{Type: Resource, Date: when, TargetURI: "urn:text:http://example.com/", ContentType: "text/plain", Truncated: TruncatedTime}, []byte("hel")))
	if w.Size() != int64(b.Len()) || w.Count() != 5 {
		t.Fatalf("size %d of %d, count %d", w.Size(), b.Len(), w.Count())
	}
	return b.Bytes(), spans
}

func readAll(b []byte) (types []string, err error) {
	r := NewReader(bytes.NewReader(b), Limits{})
	for {
		e, err := r.Next()
		if err == io.EOF {
			return types, nil
		}
		if err != nil {
			return types, err
		}
		types = append(types, e.Type)
	}
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	cmd := exec.Command("gzip", "-dc")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	b, spans := sample(t)
	for name, file := range map[string][]byte{"gzip": b, "plain": gunzip(t, b)} {
		types, err := readAll(file)
		if err != nil || strings.Join(types, " ") != "warcinfo response request metadata resource" {
			t.Errorf("%s: %v, %v", name, types, err)
		}
	}
	one := b[spans[1].Offset : spans[1].Offset+spans[1].Length]
	r := NewReader(bytes.NewReader(one), Limits{})
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	block, err := io.ReadAll(e.Block)
	if err != nil || string(block) != httpHead+httpBody {
		t.Fatalf("block %q, %v", block, err)
	}
}

func TestReaderOffsets(t *testing.T) {
	b, spans := sample(t)
	r := NewReader(bytes.NewReader(b), Limits{})
	for i := range spans {
		e, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		if e.Offset != spans[i].Offset {
			t.Errorf("record %d at %d, written at %d", i, e.Offset, spans[i].Offset)
		}
	}
}

// Whatever the others let through, this reader refuses.
func TestReaderRefuses(t *testing.T) {
	b, spans := sample(t)
	plain := gunzip(t, b)
	replace := func(old, new string) []byte {
		if !bytes.Contains(plain, []byte(old)) {
			t.Fatalf("the sample has no %q", old)
		}
		return bytes.Replace(plain, []byte(old), []byte(new), 1)
	}
	flip := bytes.Clone(b)
	flip[spans[1].Offset+spans[1].Length/2] ^= 1
	cases := map[string][]byte{
		"truncated gzip":        b[:len(b)-9],
		"truncated in a header": b[:spans[4].Offset+20],
		"truncated plain":       plain[:len(plain)-3],
		"one bit in gzip":       flip,
		"payload byte":          replace(httpBody, "hellp"),
		"length off":            replace("Content-Length: 37", "Content-Length: 30"),
		"version":               replace("WARC/1.1", "WARX/1.1"),
		"no record id":          replace("WARC-Record-ID", "WARC-Rekord-ID"),
		"trailing rubbish":      append(bytes.Clone(b), "rubbish"...),
		"negative length":       replace("Content-Length: 37", "Content-Length: -8"),
	}
	for name, file := range cases {
		if types, err := readAll(file); err == nil {
			t.Errorf("%s: passed with %d records", name, len(types))
		}
	}
	_, err := readAll(cases["payload byte"])
	if !errors.Is(err, ErrDigest) {
		t.Errorf("payload byte: %v is not ErrDigest", err)
	}
}

func TestOneMemberForAllIsRefused(t *testing.T) {
	b, _ := sample(t)
	cmd := exec.Command("gzip", "-c")
	cmd.Stdin = bytes.NewReader(gunzip(t, b))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(out); !errors.Is(err, ErrFormat) {
		t.Errorf("whole file as one member: %v", err)
	}
}

func TestWriterRefusesWrongLengthAndBrokenLines(t *testing.T) {
	for _, n := range []int64{2, 4} {
		_, err := NewWriter(io.Discard).Write(Record{Type: Resource, Date: when, Block: strings.NewReader("abc"), Length: n})
		if !errors.Is(err, ErrFormat) {
			t.Errorf("length %d for 3 bytes: %v", n, err)
		}
	}
	_, err := NewWriter(io.Discard).WriteBytes(Record{Type: Resource, Date: when, TargetURI: "http://a/\r\nWARC-Type: x"}, nil)
	if !errors.Is(err, ErrFormat) {
		t.Errorf("line break in a field: %v", err)
	}
}

func TestReadHeadBounds(t *testing.T) {
	long := "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 9000) + "\r\n\r\nbody"
	h, err := ReadHead(bufio.NewReaderSize(strings.NewReader(long), 16), 1<<16)
	if err != nil || len(h.Fields.Get("x")) != 9000 || len(h.Raw) != len(long)-4 {
		t.Errorf("long line: %v, %d", err, len(h.Raw))
	}
	if _, err := ReadHead(bufio.NewReader(strings.NewReader(long)), 1000); !errors.Is(err, ErrLimit) {
		t.Errorf("limit: %v", err)
	}
	if _, err := ReadHead(bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nX")), 1000); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut: %v", err)
	}
}

func TestSURT(t *testing.T) {
	for url, want := range map[string]string{ // made by Python's surt 0.3.1
		"http://127.0.0.1:8081/a/B?z=1&a=2":         "1,0,0,127:8081)/a/b?a=2&z=1",
		"https://www.Example.com/Path/":             "com,example)/path",
		"https://example.com:443/":                  "com,example)/",
		"http://example.com:8080/x?":                "com,example:8080)/x",
		"https://[::1]:8443/x":                      "::1:8443)/x",
		"http://example.com/a%20b/%C3%A9?q=%2F&A=b": "com,example)/a%20b/%c3%a9?a=b&q=/",
		"http://example.com/a/../b//c":              "com,example)/b/c",
		"http://example.com/a//":                    "com,example)/a",
		"http://www2.example.com/?":                 "com,example)/",
		"http://example.com":                        "com,example)/",
		"http://user:pw@example.com/x#frag":         "com,example)/x",
		"http://example.com/?b&a=1&a":               "com,example)/?a&a=1&b",
		"http://example.com/%7Efoo":                 "com,example)/~foo",
		"urn:x:y":                                   "urn:x:y",
		"http://xn--mnchen-3ya.de/":                 "de,xn--mnchen-3ya)/",
	} {
		if got := SURT(url); got != want {
			t.Errorf("SURT(%s) = %s, want %s", url, got, want)
		}
	}
}

func waczOf(t *testing.T) []byte {
	b, spans := sample(t)
	index, err := Index("data.warc.gz", []Capture{{URL: "http://example.com/", Date: when, Mime: "text/html", Status: 200,
		Digest: Digest([]byte(httpBody)), Span: spans[1]}})
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	off, err := WriteWACZ(&z, Archive{Warc: bytes.NewReader(b), WarcSize: int64(len(b)), WarcCRC: crc32.ChecksumIEEE(b), Index: index,
		Pages: []Page{{"http://example.com/", when, ""}}, Title: "t", Created: when, Software: "test",
		Extra: []Extra{{"holdfast/x.json", []byte("{}")}}})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(z.Bytes()[off:off+int64(len(b))], b) {
		t.Fatal("the WARC is not at the offset returned")
	}
	return z.Bytes()
}

func TestWACZ(t *testing.T) {
	z := waczOf(t)
	b, _ := sample(t)
	_, err := WriteWACZ(io.Discard, Archive{Warc: bytes.NewReader(b), WarcSize: int64(len(b)), WarcCRC: 1, Created: when})
	if !errors.Is(err, ErrFormat) {
		t.Errorf("wrong crc: %v", err)
	}
	for _, name := range []string{"x.json", "archive/x.json", "a/b/c.json", "A/x.json"} {
		_, err := WriteWACZ(io.Discard, Archive{Warc: strings.NewReader(""), Created: when, Extra: []Extra{{name, nil}}})
		if !errors.Is(err, ErrFormat) {
			t.Errorf("extra %s: %v", name, err)
		}
	}
	file := filepath.Join(t.TempDir(), "page.wacz")
	if err := os.WriteFile(file, z, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("unzip", "-tq", file).CombinedOutput(); err != nil {
		t.Errorf("unzip -t: %s", out)
	}
	wacz, err := exec.LookPath("wacz")
	if err != nil {
		t.Skip("JUDGE MISSING: wacz (pip install wacz==0.6.0) is not on PATH; WACZ not judged")
	}
	if out, err := exec.Command(wacz, "validate", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("wacz validate: %v\n%s", err, out)
	}
}

func TestJudgeWarcio(t *testing.T) {
	warcio, err := exec.LookPath("warcio")
	if err != nil {
		t.Skip("JUDGE MISSING: warcio (pip install warcio==1.8.1) is not on PATH; WARC not judged")
	}
	b, spans := sample(t)
	file := filepath.Join(t.TempDir(), "data.warc.gz")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(warcio, "check", "-v", file).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("not checked")) || bytes.Contains(out, []byte("no digest")) {
		t.Errorf("warcio check -v: %v\n%s", err, out)
	}
	if n := bytes.Count(out, []byte("digest pass")); n != len(spans) {
		t.Errorf("warcio saw %d of %d records\n%s", n, len(spans), out)
	}
}

func TestJudgeGowarc(t *testing.T) {
	b, spans := sample(t)
	file := filepath.Join(t.TempDir(), "data.warc.gz")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	rd, err := gowarc.NewWarcFileReader(file, 0, gowarc.WithStrictValidation(), gowarc.WithAddMissingDigest(false), gowarc.WithAddMissingRecordId(false), gowarc.WithAddMissingContentLength(false), gowarc.WithFixDigest(false), gowarc.WithFixContentLength(false), gowarc.WithFixSyntaxErrors(false), gowarc.WithFixWarcFieldsBlockErrors(false))
	if err != nil {
		t.Fatal(err)
	}
	defer rd.Close()
	n := 0
	for ; n <= len(spans); n++ { // bounded: a cut file makes this reader loop for ever
		rec, _, val, err := rd.Next()
		if err == io.EOF {
			break
		}
		if err != nil || !val.Valid() {
			t.Fatalf("record %d: %v %v", n, err, val)
		}
		if err := rec.ValidateDigest(val); err != nil || !val.Valid() {
			t.Fatalf("record %d: %v %v", n, err, val)
		}
		rec.Close()
	}
	if n != len(spans) {
		t.Errorf("gowarc saw %d of %d records", n, len(spans))
	}
}

func FuzzReader(f *testing.F) {
	b, _ := sample(f)
	f.Add(b)
	f.Add(b[:len(b)/2])
	f.Add([]byte("WARC/1.1\r\nWARC-Type: resource\r\nWARC-Record-ID: <x>\r\nWARC-Date: 2026-01-01T00:00:00Z\r\nContent-Length: 1\r\n\r\na\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in), Limits{Head: 4 << 10, Block: 1 << 20, Records: 100})
		var end int64 = -1
		for {
			e, err := r.Next()
			if err != nil {
				return
			}
			if e.Offset <= end {
				t.Fatalf("offset %d after %d", e.Offset, end)
			}
			end = e.Offset
			if n, err := io.Copy(io.Discard, e.Block); err == nil && n != e.Length {
				t.Fatalf("%d bytes of %d without an error", n, e.Length)
			}
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add([]byte(httpHead))
	f.Add([]byte("a: b\n c\n\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := ReadHead(bufio.NewReaderSize(bytes.NewReader(in), 16), 1000)
		if err == nil && !bytes.HasPrefix(in, h.Raw) {
			t.Fatal("raw bytes are not the input's")
		}
		h.Status()
		SURT(string(in))
	})
}
