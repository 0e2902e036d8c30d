package export_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"holdfast"
	"holdfast/canon"
	"holdfast/export"
)

const hostile = "https://example.org/?q=<script>alert(1)</script>&\"'\u202e\u2066"

// pageWorld has a sealed, a signed and a pending exhibit, with text from outside
// that tries to break out.
func pageWorld(t *testing.T) (*world, export.Options) {
	w := newWorld(t)
	a, b := w.page("https://example.org/quay/news/2026/11/fire-at-the-harbour"), w.page(hostile)
	w.seal(3, a)
	w.seal(1, b)
	c := w.capture("https://example.org/only-text", func(m *holdfast.Manifest) {
		m.Found.How, m.Found.Why = "</dd></dl><img src=x onerror=alert(1)>", "line\nbreak\x1b[31m"
		m.Completeness = holdfast.Completeness{Asked: 1, Outcome: "partial", Reasons: []string{"login wall \u202e"}, Failed: []holdfast.Missing{{Reason: "timeout", URL: "https://x/"}}}
		m.Web = &holdfast.Web{Asked: "https://a/\xff", Final: "https://b/", Redirects: []holdfast.Redirect{{Status: 301, URL: canon.Text("https://a/")}}}
	}, object{name: "odd.bin", role: "<b>odd</b>", kind: "application/octet-stream", body: []byte("x")})
	return w, w.options(a, b, c)
}

func TestPage(t *testing.T) {
	_, o := pageWorld(t)
	path, _ := write(t, o)
	page := entries(t, path)[holdfast.ReadMe]
	if dir := os.Getenv("HOLDFAST_KEEP"); dir != "" { // to look at it
		os.WriteFile(filepath.Join(dir, "page.html"), page, 0o644)
		b, _ := os.ReadFile(path)
		os.WriteFile(filepath.Join(dir, "page.zip"), b, 0o644)
	}
	text := string(page)
	for _, bad := range []string{"⟦", "<script", "onerror=alert(1)>", "\u202e", "\u2066", "\x1b", "http-equiv=\"refresh", "ZgotmplZ", "<no value>", "%!", "PROVEN:"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	for _, want := range []string{"⟨U&#43;202E⟩", "TRAINING", "Harbour fire &lt;2026&gt;", "data:image/png;base64,", "default-src &#39;none&#39;", "3 of the 3 captures", "not sealed yet", "lang=\"en\" dir=\"ltr\""} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if m := regexp.MustCompile(`(?i)(?:src|href|action|srcset|poster|data)="([^"]*)"`).FindAllStringSubmatch(text, -1); true {
		for _, a := range m {
			if !strings.HasPrefix(a[1], "#") && !strings.HasPrefix(a[1], "data:image/") && !strings.HasPrefix(a[1], "data/exhibits/") {
				t.Errorf("the page asks for %.80q", a[1])
			}
		}
	}
	if _, err := html.Parse(bytes.NewReader(page)); err != nil {
		t.Error(err)
	}
}

// The picture is shown byte for byte or not at all.
func TestLargePictureIsLinked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	big := append(picture(1), make([]byte, 5<<20)...)
	id := w.capture("https://example.org/", nil, object{name: "screenshot.png", role: "screenshot", kind: "image/png", body: big})
	path, _ := write(t, w.options(id))
	page := string(entries(t, path)[holdfast.ReadMe])
	if strings.Contains(page, "data:image") || !strings.Contains(page, `href="data/exhibits/1/screenshot.png"`) {
		t.Error("a picture of 5 MiB is inside the page, or not linked")
	}
}

// Every sentence that the pages of a Bundle and of a post ask for exists, and every
// one of theirs is asked for: a dead one would be translated for nothing.
func TestPageSentences(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, "page.html", "post.html") {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"((?:page|post)\.[a-z0-9.-]*[a-z0-9])"`).FindAllStringSubmatch(string(b), -1) {
			used[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`\b(?:add|word)\("([a-z.]+)"`).FindAllStringSubmatch(string(b), -1) {
			if !used[m[1]] {
				used["page."+m[1]] = true
			}
		}
	}
	c := english(t)
	for k := range used {
		if !c.Has(k) && !slices.Contains([]string{".css", ".html", ".json"}, filepath.Ext(k)) {
			t.Errorf("no sentence %s", k)
		}
	}
	for _, k := range c.Keys() {
		if (strings.HasPrefix(k, "page.") || strings.HasPrefix(k, "post.")) && !strings.HasPrefix(k, "post.how.") && !strings.HasPrefix(k, "post.state.") && !strings.HasPrefix(k, "page.role.") && !strings.HasPrefix(k, "page.case.") && k != "page.egress.unknown" && k != "page.identity.none" && !used[k] {
			t.Errorf("nothing says %s", k)
		}
	}
	if len(used) < 40 {
		t.Errorf("found only %d keys", len(used))
	}
}

// Each reason that the collector of pages writes has a sentence.
func TestReasonSentences(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../collectors/web/web.go")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(b), "// # Reasons")
	list, _, _ = strings.Cut(list, "// # ")
	codes := regexp.MustCompile(`\b[a-z]+(?:-[a-z]+)+\b|\b(?:unfinished|abandoned|incomplete)\b`).FindAllString(list, -1)
	if len(codes) < 25 {
		t.Fatalf("found only %d reasons", len(codes))
	}
	for _, c := range codes {
		if !english(t).Has("reason." + c) {
			t.Errorf("no sentence for the reason %s", c)
		}
	}
}
