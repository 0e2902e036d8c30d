package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"strconv"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"

	"holdfast/collectors"
	"holdfast/hashing"
)

func opener(objects map[string]string) func(string) (io.ReadCloser, error) {
	return func(name string) (io.ReadCloser, error) {
		s, ok := objects[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return io.NopCloser(strings.NewReader(s)), nil
	}
}

func normalised(t testing.TB, objects map[string]string) (p Page, raw []byte) {
	t.Helper()
	raw, _, err := Normaliser{}.Normalise(context.Background(), "https://host.test/a/b?x=1", opener(objects))
	if err != nil {
		t.Fatal(err)
	}
	if want, err := jcs.Transform(raw); err != nil || !bytes.Equal(want, raw) {
		t.Fatalf("not RFC 8785: %v\n%s\n%s", err, raw, want)
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Fatal(err)
	}
	return p, raw
}

const document1 = `<!DOCTYPE html><html lang="uk"><head><title> Заголовок
 &amp; more</title><base href="/base/"><link rel="x canonical" href="c?d#e"><meta property="og:title" content="OG">
<meta property="article:published_time" content="2026-11-24T10:00:00Z"><meta name=date content="yesterday">
<script type="application/ld+json">[{"@graph":[{"datePublished":"2026-11-23"}]}]</script><script type="application/ld+json">{broken</script></head>
<body><script>var not="text"</script><time datetime="2026-11-22">d</time><a href="one#f">1</a><a href="one">again</a><a href="mailto:x@y">m</a><a href="//other.test/t">t</a><a href="javascript:1">j</a>
<p>Alpha beta</p><p>gamma delta</p><svg><title>second</title></svg></body></html>`

func TestNormalise(t *testing.T) {
	p, _ := normalised(t, map[string]string{"dom.html": document1, "text.txt": "Alpha beta\ngamma delta"})
	if p.Title != "Заголовок & more" || p.Language != "uk" || p.Canonical != "https://host.test/base/c?d" {
		t.Errorf("%+v", p)
	}
	if fmt.Sprint(p.Links) != "[https://host.test/base/one https://other.test/t]" {
		t.Errorf("links %v", p.Links)
	}
	if fmt.Sprint(p.Dates) != "[{meta article:published_time 2026-11-24T10:00:00Z} {meta date yesterday} {json-ld datePublished 2026-11-23} {time 2026-11-22}]" {
		t.Errorf("dates %v", p.Dates)
	}
	if fmt.Sprint(p.OpenGraph) != "[{og:title OG} {article:published_time 2026-11-24T10:00:00Z}]" {
		t.Errorf("opengraph %v", p.OpenGraph)
	}
	if p.TextDigest != hashing.Of([]byte("Alpha beta\ngamma delta")) || p.TextLength != 22 || len(p.Fingerprint) != 16 || p.Cut {
		t.Errorf("text %s %d %s", p.TextDigest, p.TextLength, p.Fingerprint)
	}
}

func TestNormaliseOddInput(t *testing.T) {
	p, raw := normalised(t, map[string]string{"dom.html": "<title>bad \xff bytes</title><a href='http://h/\xff'>x</a>"})
	if p.Title != "bad \xff bytes" || !bytes.Contains(raw, []byte(`"title":{"base64":`)) {
		t.Errorf("%q %s", p.Title, raw)
	}
	p, _ = normalised(t, map[string]string{"source.html": "<meta charset=windows-1251><title>\xcf\xf0\xe8\xe2\xb3\xf2</title>"})
	if p.Title != "Привіт" {
		t.Errorf("%q", p.Title)
	}
	var many strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&many, "<a href=/%d>x</a><time datetime=%d>", i, i)
	}
	p, _ = normalised(t, map[string]string{"dom.html": many.String()})
	if len(p.Links) != maxLinks || len(p.Dates) != maxDates || !p.Cut {
		t.Errorf("%d links, %d dates, cut %v", len(p.Links), len(p.Dates), p.Cut)
	}
	p, _ = normalised(t, map[string]string{"dom.html": "<title>t</title><p " + strings.Repeat("a", maxToken+10)})
	if p.Title != "t" || !p.Cut {
		t.Errorf("one large token: %+v", p)
	}
	raw, inputs, err := Normaliser{}.Normalise(context.Background(), "::", opener(nil))
	if raw != nil || inputs != nil || err != nil {
		t.Errorf("no document: %s %v %v", raw, inputs, err)
	}
}

func TestFingerprint(t *testing.T) {
	text := strings.Repeat("the ferry left the harbour at nine and did not return that night ", 3) +
		"witnesses on the northern pier counted eleven people aboard when the lines were cast off and the engine started"
	distance := func(a, b string) int {
		x, _ := normalised(t, map[string]string{"dom.html": "", "text.txt": a})
		y, _ := normalised(t, map[string]string{"dom.html": "", "text.txt": b})
		n, _ := strconv.ParseUint(x.Fingerprint, 16, 64)
		m, _ := strconv.ParseUint(y.Fingerprint, 16, 64)
		return bits.OnesCount64(n ^ m)
	}
	if d := distance(text, strings.ToUpper(text)+"!"); d != 0 {
		t.Errorf("case and punctuation: %d bits", d)
	}
	if d := distance(text, strings.Replace(text, "eleven", "twelve", 1)); d > 12 {
		t.Errorf("one word: %d bits", d)
	}
	if d := distance(text, "an entirely different account of the weather in the mountains during the second week of march"); d < 16 {
		t.Errorf("another text: %d bits", d)
	}
}

func FuzzNormalise(f *testing.F) {
	f.Add(document1, "text")
	f.Add("<title>\xff", "\xff")
	f.Fuzz(func(t *testing.T, dom, text string) {
		a, _ := rawOf(t, dom, text)
		b, _ := rawOf(t, dom, text)
		if !bytes.Equal(a, b) {
			t.Fatal("two answers for one document")
		}
	})
}

func rawOf(t *testing.T, dom, text string) ([]byte, Page) {
	p, raw := normalised(t, map[string]string{"dom.html": dom, "text.txt": text})
	return raw, p
}

func FuzzJSONString(f *testing.F) {
	f.Add("plain \" \\ \n \u2028 \U0001F600 é")
	for _, n := range []int{64<<10 - 30, 64<<10 - 20, 200_000} { // of the buffer's size
		f.Add(strings.Repeat("a", n) + "\" \\ \n \u2028 \U0001F600" + strings.Repeat("b\n", n))
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := json.Marshal(map[string]map[string]string{"result": {"data": s}})
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]map[string]string
		if json.Unmarshal(b, &want) != nil {
			t.Skip()
		}
		var out bytes.Buffer
		if err := jsonString(bytes.NewReader(b), "data", &out); err != nil || out.String() != want["result"]["data"] {
			t.Fatalf("%q, %v, want %q", out.String(), err, s)
		}
	})
}

// A Page never outgrows the message that it rides in, whatever stands in it.
func TestPageFits(t *testing.T) {
	many := func(n int, one func(int) string) (s string) {
		for i := range n {
			s += one(i)
		}
		return s
	}
	for name, c := range map[string]struct {
		doc   string
		links int
	}{
		"long links": {many(1000, func(i int) string { return fmt.Sprintf("<a href='/%d/%s'>x</a>", i, strings.Repeat("z", 1000)) }), 150},
		"controls": {many(100, func(i int) string {
			return fmt.Sprintf("<meta property='og:%d' content='%s'>", i, strings.Repeat("\x01", 2048))
		}), 0},
		"no UTF-8": {many(100, func(i int) string {
			return fmt.Sprintf("<meta property='og:%d' content='%s'>", i, strings.Repeat("\xff", 2048))
		}), 0},
	} {
		p, raw := normalised(t, map[string]string{"dom.html": "<title>kept</title>" + c.doc})
		if len(raw) > collectors.MaxInline || !p.Cut || p.Title != "kept" || len(p.Links) < c.links {
			t.Errorf("%s: %d bytes, cut %t, title %q, %d links", name, len(raw), p.Cut, p.Title, len(p.Links))
		}
	}
}
