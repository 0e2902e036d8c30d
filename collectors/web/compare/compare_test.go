package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/collectors/web/content"
)

func doc(t testing.TB, page string) *content.Document {
	t.Helper()
	d, err := content.Read(context.Background(), strings.NewReader(page), "https://example.org/")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func said(runs []Run, op Op, ignored bool) string {
	var out []string
	for _, r := range runs {
		if r.Op == op && (r.Ignored != "") == ignored {
			out = append(out, strings.TrimSpace(r.Text))
		}
	}
	return strings.Join(out, "|")
}

const before = `<html lang=en><head><title>Harbour</title><meta name=description content=old></head><body><main><h1>The bridge</h1><p>Police counted 14 boats under the bridge.</p>
<p>Nothing else.</p><a href="/one">more</a><img src="/a.jpg"><div class="views">1,204 views</div></main></body></html>`

// TestDocuments: text by word, structure, and what does not count said to be so.
func TestDocuments(t *testing.T) {
	after := strings.NewReplacer("14 boats", "15 big boats", "1,204", "1,377", "/one", "/two", "a.jpg", "b.jpg", "old", "new").Replace(before)
	r, err := Documents(doc(t, before), doc(t, after))
	if err != nil || r.Same || r.Added != 3 || r.Removed != 2 || r.IgnoredWords != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if got := said(r.Runs, Removed, false) + " " + said(r.Runs, Added, false) + " " + said(r.Runs, Added, true); got != "14|a.jpg 15 big|b.jpg 1,377" {
		t.Errorf("%q", got)
	}
	var changes []string
	for _, c := range r.Changes {
		changes = append(changes, fmt.Sprintf("%s %s %s", c.Part, c.Op, c.Value))
	}
	want := []string{"link removed https://example.org/one", "link added https://example.org/two", "media removed a.jpg", "media added b.jpg", "head removed meta description: old", "head added meta description: new"}
	if !slices.Equal(changes, want) {
		t.Errorf("%q", changes)
	}
	r, err = Documents(doc(t, before), doc(t, strings.Replace(before, "1,204", "9", 1)))
	if err != nil || !r.Same || r.Added+r.Removed != 0 || r.IgnoredWords != 2 {
		t.Errorf("another counter: %+v, %v", r, err)
	}
	if _, err := Documents(doc(t, before), doc(t, "")); !errors.Is(err, ErrNothing) {
		t.Error(err)
	}
}

// TestAlign: whatever the two are, the result leads from one to the other, and what is
// the same is found; a text of another order takes no time without end.
func TestAlign(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	make := func(n, of int) (out []rune) {
		for range n {
			out = append(out, rune(rnd.IntN(of)))
		}
		return out
	}
	for range 2000 {
		a, b := make(rnd.IntN(40), 1+rnd.IntN(30)), make(rnd.IntN(40), 1+rnd.IntN(30))
		checkAlign(t, a, b)
	}
	big := make(200_000, 1<<30)
	other := slices.Clone(big)
	other[1000], other[150_000] = -1, -2
	if got := checkAlign(t, big, other); len(got) != 2 {
		t.Errorf("two words differ: %v", got)
	}
	for i := range 300 { // far more than Myers' algorithm looks for by itself
		other[100+500*i] = rune(-10 - i)
	}
	other[1000], other[150_000] = big[1000], big[150_000]
	if got := checkAlign(t, big, other); len(got) != 300 {
		t.Errorf("300 words differ: %d are found", len(got))
	}
	begun := time.Now()
	checkAlign(t, make(200_000, 3), make(200_000, 3))
	if d := time.Since(begun); d > time.Minute {
		t.Errorf("two texts of three words took %s", d)
	}
}

func checkAlign(t *testing.T, a, b []rune) []replaced {
	t.Helper()
	var out []rune
	at, bt := 0, 0
	all := align(a, b)
	for _, d := range all {
		if d.a0-at != d.b0-bt || d.a0 < at || !slices.Equal(a[at:d.a0], b[bt:d.b0]) {
			t.Fatalf("%v and %v: %v", a, b, all)
		}
		out = append(append(out, a[at:d.a0]...), b[d.b0:d.b1]...)
		at, bt = d.a1, d.b1
	}
	if out = append(out, a[at:]...); !slices.Equal(out, b) {
		t.Fatalf("%v and %v: %v gives %v", a, b, all, out)
	}
	return all
}

// picture of lines of text, each of its own colours.
func picture(w int, lines []int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, w, 20*len(lines)))
	for i, l := range lines {
		for y := range 20 {
			for x := range w {
				m.Set(x, 20*i+y, color.RGBA{uint8(l * 7), uint8(x * l), uint8(y * l), 255})
			}
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, m)
	return b.Bytes()
}

// TestPNG: what was put between two lines is a region of the second alone, and what
// follows it is equal; a change inside a line is as wide as it is.
func TestPNG(t *testing.T) {
	one := picture(100, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	p, err := PNG(bytes.NewReader(one), bytes.NewReader(one))
	if err != nil || !p.Same() {
		t.Fatalf("%+v, %v", p, err)
	}
	more := picture(100, []int{1, 2, 3, 30, 4, 5, 6, 7, 8, 9, 10})
	if p, err = PNG(bytes.NewReader(one), bytes.NewReader(more)); err != nil || len(p.A) != 0 || len(p.B) != 1 || p.B[0] != (Region{0, 60, 100, 20}) {
		t.Errorf("%+v, %v", p, err)
	}
	img, _ := png.Decode(bytes.NewReader(one))
	m := img.(*image.RGBA)
	for x := 30; x < 40; x++ {
		m.Set(x, 105, color.RGBA{1, 2, 3, 255})
	}
	var b bytes.Buffer
	_ = png.Encode(&b, m)
	if p, err = PNG(bytes.NewReader(one), &b); err != nil || len(p.A) != 1 || p.A[0] != (Region{30, 105, 10, 1}) || p.B[0] != p.A[0] {
		t.Errorf("%+v, %v", p, err)
	}
	head := slices.Clone(one)
	copy(head[16:24], []byte{0, 0xff, 0xff, 0xff, 0, 0xff, 0xff, 0xff})
	var large bytes.Buffer
	_ = png.Encode(&large, image.NewPaletted(image.Rect(0, 0, 6000, 6000), color.Palette{color.Black}))
	for _, bad := range [][]byte{nil, []byte("GIF89a"), one[:100], head, large.Bytes()} {
		if _, err := PNG(bytes.NewReader(one), bytes.NewReader(bad)); !errors.Is(err, ErrPicture) {
			t.Errorf("%.20q is compared: %v", bad, err)
		}
	}
	if n := len(joined(slices.Repeat([]replaced{{0, 1, 0, 1}, {100, 101, 100, 101}}, 300))); n > maxRegions {
		t.Errorf("%d regions", n)
	}
}

// TestLongText: 300,000 words in one block, all in one run, take no time without end.
func TestLongText(t *testing.T) {
	begun := time.Now()
	r, err := Documents(doc(t, "<p>"+strings.Repeat("word ", maxWords+10)+"</p>"), doc(t, "<p>"+strings.Repeat("other ", maxWords+10)+"</p>"))
	if err != nil || r.Same || !r.Cut || r.Added < maxWords-1 || len(r.Runs) > 3 {
		t.Fatalf("%d runs, %d added, %v", len(r.Runs), r.Added, err)
	}
	if d := time.Since(begun); d > 30*time.Second {
		t.Errorf("it took %s", d)
	}
}

// BenchmarkPNG is two pictures of the largest size that a capture has, one line of which
// differs.
func BenchmarkPNG(b *testing.B) {
	lines := make([]int, 800)
	for i := range lines {
		lines[i] = i
	}
	one := picture(1366, lines)
	lines[400] = 7000
	two := picture(1366, lines)
	for b.Loop() {
		if _, err := PNG(bytes.NewReader(one), bytes.NewReader(two)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
}

// TestPage: whatever a page says, nothing of it runs or leaves its place, and the page
// has no script and asks for nothing.
func TestPage(t *testing.T) {
	evil := `<main><h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1><p>"' onload=x ` + "‮" + `</p><img src="x.png" alt='"><script>'><a href="javascript:alert(1)">x</a><a href="https://x.org/&quot;><script>">y</a></main>`
	r, err := Documents(doc(t, before), doc(t, evil))
	if err != nil {
		t.Fatal(err)
	}
	one, two := picture(50, []int{1, 2, 3}), picture(50, []int{1, 9, 3})
	p, err := PNG(bytes.NewReader(one), bytes.NewReader(two))
	if err != nil {
		t.Fatal(err)
	}
	open := func(b []byte) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
	var out bytes.Buffer
	err = Page(&out, Side{ID: "a", Source: "https://x/<script>"}, Side{ID: "b"}, content.Algorithm, r, []Shown{{Name: "screenshot.png", Pictures: p, A: open(one), B: open(two)}, {Name: "s", Why: "<b>", A: open([]byte("<svg onload=x>"))}})
	if err != nil {
		t.Fatal(err)
	}
	s := out.String()
	for _, bad := range []string{"<script", "onload=x>", "<svg", "‮", "javascript:alert(1)\"", "href=", "<b>"} {
		if strings.Contains(s, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, good := range []string{"They differ", "default-src 'none'", "<del>", "class=\"grey\"", "top:33.333%", "data:image/png;base64,", "It is no PNG"} {
		if !strings.Contains(s, good) {
			t.Errorf("the page lacks %q", good)
		}
	}
}
