package content

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func read(t testing.TB, page string) *Document {
	t.Helper()
	d, err := Read(context.Background(), strings.NewReader(page), "https://example.org/a/page")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func print(t testing.TB, page string) string {
	t.Helper()
	sum, ok := read(t, page).Fingerprint()
	if !ok {
		return ""
	}
	return sum.String()
}

const article = `<html lang="en"><head><title>%s</title></head><body class="has-sidebar no-ads">
<header><a href="/">Home</a> %s</header><nav><a href="/x%s">Other</a></nav>
<main><article><h1>The bridge</h1><p>By Ann · <time datetime="2026-03-01T08:00:00Z">%s</time></p>
<p>Police counted %s boats under the bridge on Monday, and the film of it had 1,204 views.</p>
<div class="post-meta"><span class="like-count">%s</span> <span>%s</span></div>
<div>%s</div><p>%s</p><img src="https://cdn%s.example.org/x/bridge.jpg?sig=%s" alt="A bridge">
<div class="ad-slot">Buy %s</div><button>Like %s</button><div hidden>%s</div></article></main>
<aside><h2>Most read</h2><p>%s</p></aside><script>var nonce=%q</script></body></html>`

// TestSame: what changes by itself changes no fingerprint.
func TestSame(t *testing.T) {
	page := func(n int) string {
		return fmt.Sprintf(article, []string{"The bridge", "(3) The bridge"}[n], []string{"12 online", "login"}[n], []string{"", "?t=5"}[n], []string{"3 hours ago", "1 March"}[n], "14",
			[]string{"1.2K", "13"}[n], []string{"1,204 views", "9 views"}[n], []string{"5 minutes ago · 12 comments", "yesterday · 13 comments"}[n], []string{"Views: 1.204", "Views: 88"}[n],
			[]string{"1", "2"}[n], []string{"aa", "bb"}[n], []string{"shoes", "hats"}[n], []string{"7", "8"}[n], []string{"token1", "token2"}[n], []string{"Boats", "Cars"}[n], []string{"x", "y"}[n])
	}
	if a, b := print(t, page(0)), print(t, page(1)); a != b || a == "" {
		t.Errorf("%s and %s:\n%q\n%q", a, b, read(t, page(0)).lines(false), read(t, page(1)).lines(false))
	}
	for _, c := range [][2]string{
		{`<p>Просмотров 12</p><p>x</p>`, `<p>Просмотров 13</p><p>x</p>`},
		{`<p>x</p><div>12 просмотров</div>`, `<p>x</p><div>13 просмотров</div>`},
		{`<p>x</p><div>١٢ مشاهدة</div>`, `<p>x</p><div>٩٩ مشاهدة</div>`},
		{`<p>x</p><span>12次观看</span>`, `<p>x</p><span>1234次观看</span>`},
		{`<p>x</p><p>vor 3 Stunden</p>`, `<p>x</p><p>vor 2 Tagen</p>`},
		{`<p>x</p><div id="cookieConsent">We use cookies</div>`, `<p>x</p>`},
		{`<p>x</p><img src=/a.png width=1 height=1>`, `<p>x</p><img src=/b.png width=1 height=1>`},
		{`<p>x   y</p>`, "<p>x\n y</p>"},
		{`<p>a <a href="/b?s=1">c</a></p>`, `<p>a <a href="/b?s=2#k">c</a></p>`},
	} {
		if a, b := print(t, c[0]), print(t, c[1]); a != b {
			t.Errorf("%q and %q differ: %q %q", c[0], c[1], read(t, c[0]).lines(false), read(t, c[1]).lines(false))
		}
	}
}

// TestOther: what a page says changes the fingerprint, numbers in sentences, cells and
// headings among it, and whatever a counter's word stands in a sentence.
func TestOther(t *testing.T) {
	for _, c := range [][2]string{
		{`<p>Police counted 14 boats.</p>`, `<p>Police counted 15 boats.</p>`},
		{`<p>The film had 1,204 views when it was deleted.</p>`, `<p>The film had 1,205 views when it was deleted.</p>`},
		{`<div>The film had <b>1,204 views</b> when it was deleted.</div>`, `<div>The film had <b>9 views</b> when it was deleted.</div>`},
		{`<div>It was posted <i>3 hours ago</i> by the ministry.</div>`, `<div>It was posted <i>4 hours ago</i> by the ministry.</div>`},
		{`<p>Police counted <span class="count">14</span> boats there.</p>`, `<p>Police counted <span class="count">15</span> boats there.</p>`},
		{`<table><tr><td>Dead</td><td>12</td></tr></table>`, `<table><tr><td>Dead</td><td>13</td></tr></table>`},
		{`<h2>12</h2>`, `<h2>13</h2>`},
		{`<h2>A</h2>`, `<h3>A</h3>`},
		{`<p>a</p><p>b</p>`, `<p>b</p><p>a</p>`},
		{`<p>a b</p>`, `<p>a</p><p>b</p>`},
		{`<p>Ab</p>`, `<p>ab</p>`},
		{`<p>a</p><img src=/a.jpg>`, `<p>a</p><img src=/b.jpg>`},
		{`<p>a</p><img src=/a.jpg alt=x>`, `<p>a</p><img src=/a.jpg alt=y>`},
		{`<p>a <a href="/b">c</a></p>`, `<p>a <a href="/d">c</a></p>`},
		{`<p>a <a href="https://x.org/b">c</a></p>`, `<p>a <a href="https://y.org/b">c</a></p>`},
		{`<time datetime="2026-01-01">x</time>`, `<time datetime="2026-01-02">x</time>`},
		{`<title>a</title><p>x</p>`, `<title>b</title><p>x</p>`},
		{`<nav>only 1</nav>`, `<nav>only 2</nav>`},
		{`<body class="menu ads"><p>a</p>`, `<body class="menu ads"><p>b</p>`},
		{`<div class="with-sidebar"><p>a</p></div><p>z</p>`, `<div class="with-sidebar"><p>b</p></div><p>z</p>`},
		{`<div class="menu"><main><p>a</p></main></div><p>z</p>`, `<div class="menu"><main><p>b</p></main></div><p>z</p>`},
		{`<p>a</p>`, ``},
	} {
		if a, b := print(t, c[0]), print(t, c[1]); a == b {
			t.Errorf("%q and %q have one fingerprint: %q", c[0], c[1], read(t, c[0]).lines(false))
		}
	}
}

// TestSentence: whatever stands in a sentence of three other words or more, another
// word there is another fingerprint.
func TestSentence(t *testing.T) {
	words := strings.Fields("12 1,204 views likes ago comments 3 hours boats minister said harbour просмотров مشاهدة 次观看 5K members online yesterday")
	rnd := rand.New(rand.NewPCG(7, 7))
	pick := func() string { return words[rnd.IntN(len(words))] }
	for range 500 {
		var s []string
		for range 2 + rnd.IntN(8) {
			s = append(s, pick())
		}
		s = append([]string{"The ministry told reporters that"}, s...)
		at := 1 + rnd.IntN(len(s)-1)
		other := append([]string{}, s...)
		for other[at] == s[at] {
			other[at] = pick()
		}
		tag := []string{"p", "div", "li", "td"}[rnd.IntN(4)]
		a, b := fmt.Sprintf("<%s>%s</%s>", tag, strings.Join(s, " "), tag), fmt.Sprintf("<%s>%s</%s>", tag, strings.Join(other, " "), tag)
		if print(t, a) == print(t, b) {
			t.Fatalf("%q and %q have one fingerprint", a, b)
		}
	}
}

// TestBounds: what is without end is cut, and said to be.
func TestBounds(t *testing.T) {
	d := read(t, strings.Repeat("<div>", 10_000)+"<p>x</p>")
	if !d.Cut {
		t.Error("a depth without end is not said")
	}
	d = read(t, strings.Repeat("<p>x</p>", maxBlocks+10))
	if len(d.Blocks) != maxBlocks || !d.Cut {
		t.Errorf("%d blocks, cut: %t", len(d.Blocks), d.Cut)
	}
}

// TestHostileBlock: a document that is one block of very many parts takes a time that
// grows with its length, and not with the square of it.
func TestHostileBlock(t *testing.T) {
	for _, part := range []string{"<b>1</b> ", "a<a href=/x>b</a>", "<b class=like-count>1</b>x<i hidden>y</i>", "<span>"} {
		begun := time.Now()
		d := read(t, strings.Repeat(part, 350_000))
		d.Fingerprint()
		if took := time.Since(begun); took > 30*time.Second {
			t.Errorf("%s took %s", part, took)
		}
	}
}

// BenchmarkRead is an article of 200 paragraphs, 1 MB of markup beside it.
func BenchmarkRead(b *testing.B) {
	page := "<main>" + strings.Repeat("<p>Police counted 14 boats under the bridge on <b>Monday</b>, it said.</p>", 200) + strings.Repeat("<div class='x-y z'><span></span></div>", 27_000) + "</main>"
	b.SetBytes(int64(len(page)))
	for b.Loop() {
		d, err := Read(b.Context(), strings.NewReader(page), "https://example.org/")
		if err != nil {
			b.Fatal(err)
		}
		d.Fingerprint()
	}
}

func FuzzRead(f *testing.F) {
	f.Add("<p>1,204 views</p>")
	f.Add(article)
	f.Add("<div class='like-count'>\xff1<svg><title>x</svg></title><time datetime=1>")
	f.Fuzz(func(t *testing.T, page string) {
		d := read(t, page)
		a, ok := d.Fingerprint()
		b, _ := read(t, page).Fingerprint()
		if a != b {
			t.Fatal("one document has two fingerprints")
		}
		for _, k := range d.Blocks {
			if len(k.Parts) == 0 {
				t.Fatal("a block says nothing")
			}
			for _, p := range k.Parts {
				if p.Ignored == doubt || p.Words == "" || strings.ToValidUTF8(p.Words, "") != p.Words {
					t.Fatalf("part %+v", p)
				}
			}
		}
		if ok && len(page) == 0 {
			t.Fatal("nothing has a fingerprint")
		}
	})
}
