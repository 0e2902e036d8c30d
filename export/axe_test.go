package export_test

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/canon"
	"holdfast/export"
	"holdfast/messages"
)

//go:embed testdata/order.js
var orderJS string

// readMes writes the page of a Bundle with a sealed, a partial, a failed and an
// exhibit from right to left, as evidence or as a rehearsal, in each language.
func readMes(t *testing.T, training bool) map[string]string {
	w, o := pageWorld(t)
	arab := w.capture("https://example.org/أخبار/حريق?q=1&r=2", func(m *holdfast.Manifest) {
		m.Found.How, m.Found.Why = "حريق في الميناء (2026-11-22)", "links: https://example.org/a"
		m.Completeness = holdfast.Completeness{Asked: 12, Outcome: "failed", Reasons: []string{"tls-unverified: x509: certificate has expired", "screenshot-failed", "odd reason"},
			Truncated: []holdfast.Missing{{Reason: "byte-budget", URL: canon.Text("https://example.org/a.css")}}}
		m.Collection.Server = &holdfast.Server{Addresses: []string{"192.0.2.1"}, Peer: "192.0.2.1:443", Protocol: "http/1.1", TLS: &holdfast.TLS{Version: "TLS 1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verdict: "x509: certificate has expired"}}
	}, object{name: "requests.warc.gz", role: "requests", kind: "application/warc", body: []byte("r"), restricted: true}, object{name: "source.html", role: "source", kind: "text/html", body: []byte("x")})
	o.Cases[0].Captures = append(o.Cases[0].Captures, arab)
	o.Training = training
	langs, err := messages.Languages()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, l := range langs {
		o.Languages = []string{l}
		path, _ := write(t, o)
		files[l] = filepath.Join(t.TempDir(), fmt.Sprintf("%s-%t.html", l, training))
		if err := os.WriteFile(files[l], entries(t, path)[holdfast.ReadMe], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// postPages writes the page of a post that has all there is, as evidence and as a
// rehearsal, in each language.
func postPages(t *testing.T, training bool) map[string]string {
	p := onePost(t)
	p.Training = training
	line, err := canon.Marshal(map[string]any{"text": "حريق في الميناء a_very_long_word_without_any_place_to_break_" + strings.Repeat("x", 200) + "\n港口发生火灾 🔥"})
	if err != nil {
		t.Fatal(err)
	}
	p.Title = "حريق في الميناء"
	p.Versions[2].Line = line
	langs, err := messages.Languages()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, l := range langs {
		b, err := export.PostPage(p, l)
		if err != nil {
			t.Fatal(err)
		}
		files["post "+l] = filepath.Join(t.TempDir(), fmt.Sprintf("post-%s-%t.html", l, training))
		if err := os.WriteFile(files["post "+l], b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// axe-core finds no fault in the pages in any language, light and dark, on a
// telephone and on a desk, and nothing has to be scrolled sideways.
func TestAxeFindsNoFault(t *testing.T) {
	dir := os.Getenv("HOLDFAST_JUDGES")
	if dir == "" {
		t.Skip("set HOLDFAST_JUDGES to the folder of deploy/judges/install")
	}
	axe, err := os.ReadFile(filepath.Join(dir, "bin", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	r, runs := newReader(t), 0
	for _, training := range []bool{true, false} {
		for lang, file := range readMes(t, training) {
			for _, scheme := range []string{"light", "dark"} {
				for _, width := range []int{375, 1280} {
					name := fmt.Sprintf("%s %s %d training=%t", lang, scheme, width, training)
					r.open(file, scheme, width)
					r.overflow(name, width)
					r.shoot(name)
					r.judge(name, string(axe))
					runs++
				}
			}
		}
	}
	t.Logf("axe-core: %d runs", runs)
}

// The same of the page of a post, and that nothing in it is reordered.
func TestAxeFindsNoFaultInPosts(t *testing.T) {
	dir := os.Getenv("HOLDFAST_JUDGES")
	if dir == "" {
		t.Skip("set HOLDFAST_JUDGES to the folder of deploy/judges/install")
	}
	axe, err := os.ReadFile(filepath.Join(dir, "bin", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	r := newReader(t)
	for lang, file := range postPages(t, true) {
		for _, scheme := range []string{"light", "dark"} {
			for _, width := range []int{375, 1280} {
				name := fmt.Sprintf("%s %s %d", lang, scheme, width)
				r.open(file, scheme, width)
				r.overflow(name, width)
				r.judge(name, string(axe))
				if scheme == "dark" {
					continue
				}
				var got struct {
					Checked int
					Kinds   map[string]int
					Faults  []string
				}
				r.eval(&got, orderJS)
				for _, f := range got.Faults {
					t.Errorf("%s: %s", name, f)
				}
				if got.Checked < 20 || got.Kinds["digest"] < 2 || got.Kinds["time"] < 4 {
					t.Errorf("%s: only %d were checked: %v", name, got.Checked, got.Kinds)
				}
			}
		}
	}
}

func (r *reader) overflow(name string, width int) {
	r.t.Helper()
	var got struct{ Width, Inner int }
	r.eval(&got, `() => ({Width: document.documentElement.scrollWidth, Inner: document.documentElement.clientWidth})`)
	if got.Width > got.Inner || got.Inner > width || got.Inner < width-20 {
		r.t.Errorf("%s: the page is %d pixels wide in %d", name, got.Width, got.Inner)
	}
}

func (r *reader) judge(name, axe string) {
	r.t.Helper()
	var got struct {
		Violations []struct {
			ID, Help string
			Nodes    []struct{ HTML string }
		}
		Passes int
		Dark   bool
	}
	r.run(axe + "\n;0")
	r.eval(&got, `async () => {
		const r = await axe.run(document, {
			runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]},
			rules: {"target-size": {enabled: true}},
		});
		return {Violations: r.violations.map(v => ({ID: v.id, Help: v.help, Nodes: v.nodes.map(n => ({HTML: n.html}))})), Passes: r.passes.length,
			Dark: getComputedStyle(document.body).backgroundColor === "rgb(20, 24, 27)"};
	}`)
	for _, v := range got.Violations {
		r.t.Errorf("%s: axe: %s: %s: %.300q", name, v.ID, v.Help, v.Nodes)
	}
	if got.Passes < 20 {
		r.t.Errorf("%s: axe ran %d rules", name, got.Passes)
	}
	if got.Dark != strings.Contains(name, " dark ") {
		r.t.Errorf("%s: dark is %t", name, got.Dark)
	}
}

// In a page from right to left every Digest, time, address, path and command is
// drawn from left to right, letter after letter, isolated from what is around it.
func TestNothingIsReordered(t *testing.T) {
	r := newReader(t)
	for lang, file := range readMes(t, true) {
		for _, width := range []int{375, 1280} {
			r.open(file, "light", width)
			var got struct {
				Checked int
				Kinds   map[string]int
				Faults  []string
			}
			r.eval(&got, orderJS)
			for _, f := range got.Faults {
				t.Errorf("%s %d: %s", lang, width, f)
			}
			if got.Checked < 60 || got.Kinds["digest"] < 20 || got.Kinds["time"] < 8 || got.Kinds["address"] < 4 || got.Kinds["path"] < 4 {
				t.Errorf("%s %d: only %d were checked: %v", lang, width, got.Checked, got.Kinds)
			}
			if lang == "ar" && width == 375 {
				t.Logf("ar: %v in order", got.Kinds)
			}
		}
	}
}
