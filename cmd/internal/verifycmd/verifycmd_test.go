package verifycmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"holdfast"
)

const good = "../../../testdata/bundles/good/"

// TestFingerprint: as a letter has it and as people type it.
func TestFingerprint(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for _, s := range []string{hex, "sha256:" + hex, strings.ToUpper(hex), groups(hex), "SHA256:" + groups(hex), " " + groups(hex) + "\r\n", strings.ReplaceAll(groups(hex), " ", "\u00a0")} {
		if f, err := Fingerprint(s); err != nil || f != hex {
			t.Errorf("%q: %q, %v", s, f, err)
		}
	}
	for _, s := range []string{hex[1:], hex + "0", "g" + hex[1:], "sha256:", "md5:" + hex, "１" + hex[1:]} {
		if f, err := Fingerprint(s); err == nil && f != "" {
			t.Errorf("%q is taken for %s", s, f)
		}
	}
}

// checked is a check with a report of the test's own making.
func checked(t *testing.T, lang string, r *holdfast.Report) *check {
	t.Helper()
	o := Options{File: "evil\u202egnp.zip", Lang: lang, Env: func(string) string { return "" }}
	texts, err := o.open()
	if err != nil {
		t.Fatal(err)
	}
	tr, err := trusted(o)
	if err != nil {
		t.Fatal(err)
	}
	return &check{Options: o, Catalogue: texts, trust: tr, report: r}
}

// TestPageIsBounded: a hundred thousand Findings and exhibits with long and
// hostile texts give a page that is short, harmless, and says how many more.
func TestPageIsBounded(t *testing.T) {
	r := &holdfast.Report{Verdict: holdfast.VerdictContradicted}
	evil := "<script>alert(1)</script>\u202e\x1b[31m\"'" + strings.Repeat("long ", 10_000)
	for i := range 100_000 {
		r.Findings = append(r.Findings, holdfast.Finding{Finding: "object-digest", Outcome: holdfast.Contradicted, Basis: holdfast.Proven, Subject: fmt.Sprint("exhibit ", i), Detail: evil})
		r.Exhibits = append(r.Exhibits, holdfast.ExhibitReport{Number: fmt.Sprint(i), Verdict: holdfast.VerdictContradicted, Source: holdfast.Source(evil), Node: evil, Seal: evil})
	}
	for _, lang := range []string{"en", "ar"} {
		c := checked(t, lang, r)
		page, err := c.page(bytes.NewReader(nil))
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > 2<<20 {
			t.Errorf("%s: the page has %d bytes", lang, len(page))
		}
		for _, bad := range []string{"<script", "\u202e", "\x1b", "⟦", "ZgotmplZ", "%!"} {
			if strings.Contains(string(page), bad) {
				t.Errorf("%s: the page holds %q", lang, bad)
			}
		}
		if regexp.MustCompile(`(?i)(src|href|action|srcset|data)=|url\(|@import`).Match(page) {
			t.Errorf("%s: the page asks for something", lang)
		}
		if !strings.Contains(string(page), "default-src &#39;none&#39;") || lang == "en" && !strings.Contains(string(page), "99900 more") {
			t.Errorf("%s: the page lacks its policy or how many more there are", lang)
		}
	}
	bad := len(r.Exhibits) - 3
	for i := range r.Exhibits {
		if r.Exhibits[i].Verdict = holdfast.VerdictProven; i == bad {
			r.Exhibits[i].Verdict = holdfast.VerdictUnsealed
		}
	}
	var text bytes.Buffer
	checked(t, "en", r).printText(&text)
	if n := strings.Count(text.String(), "\n"); n > 400 || !strings.Contains(text.String(), "99980 more") || !strings.Contains(text.String(), "99950 more") {
		t.Errorf("the text has %d lines", n)
	}
	if !strings.Contains(text.String(), fmt.Sprintf("Exhibit %d: ", bad)) {
		t.Error("the one exhibit that is not proven is left out, and good ones are shown")
	}
	all := checked(t, "en", &holdfast.Report{Verdict: r.Verdict, Exhibits: r.Exhibits[:1000]})
	all.All = true
	text.Reset()
	if all.printText(&text); strings.Count(text.String(), "\nExhibit ") != 1000 {
		t.Error("--all does not list all exhibits")
	}
}

// TestVerdictThatNobodyReads: on a full disk there is no verdict, and it is said.
// A contradiction stays one, in the exit code at least.
func TestVerdictThatNobodyReads(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for file, want := range map[string]int{"good/page.zip": ExitUsage, "good/pending.zip": ExitUsage, "bad/zip--cut-short.mended.zip": ExitContradicted} {
		for _, o := range []Options{{}, {JSON: true}, {All: true}} {
			var errs bytes.Buffer
			o.File, o.Policy, o.Lang = "../../../testdata/bundles/"+file, good+"page.policy.json", "en"
			if code := Run(t.Context(), o, full, &errs); code != want || !strings.Contains(errs.String(), "write the result") {
				t.Errorf("%s %+v: exit %d, want %d\n%s", file, o, code, want, errs.String())
			}
		}
	}
}

// TestIsolate: text of any script that is written from right to left is kept
// apart from what stands around it, and so are digits that turn round.
func TestIsolate(t *testing.T) {
	c := checked(t, "en", &holdfast.Report{})
	for s, apart := range map[string]bool{"plain 12": false, "\u05d0": true, "\u0661\u0662": true, "\U00010900": true, "\U0001e800": true} {
		if got := string(c.isolate(s)); strings.HasPrefix(got, "\u2068") != apart {
			t.Errorf("%q is shown as %q", s, got)
		}
	}
}

// TestSorted: what was dropped is told apart by content; a Policy that is not
// among it is not looked for.
func TestSorted(t *testing.T) {
	zip, policy := good+"page.zip", good+"page.policy.json"
	for _, files := range [][]string{{zip, policy}, {policy, zip}} {
		if b, p, err := sorted(files); b != zip || p != policy || err != nil {
			t.Errorf("%v: %s, %s, %v", files, b, p, err)
		}
	}
	if b, p, err := sorted([]string{zip}); b != zip || p != "" || err != nil {
		t.Errorf("alone: %s, %s, %v", b, p, err)
	}
	for _, files := range [][]string{nil, {zip, zip}, {policy, policy, zip}} {
		if _, _, err := sorted(files); !errors.Is(err, errDropped) {
			t.Errorf("%v: %v", files, err)
		}
	}
}

// TestReportElsewhere: a folder that cannot be written to, and names in use.
func TestReportElsewhere(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	for i, want := range []string{"b.report.html", "b.report-2.html"} {
		path, key, err := saveBeside(filepath.Join(tmp, "none", "b.zip"), []byte("x"))
		if err != nil || key != "drop.elsewhere" || path != filepath.Join(tmp, want) {
			t.Errorf("%d: %s, %s, %v", i, path, key, err)
		}
	}
}

// TestReportHidesNoContradiction: exit 1 stays 1 when the page cannot be written.
func TestReportHidesNoContradiction(t *testing.T) {
	for file, want := range map[string]int{"good/page.zip": ExitUsage, "bad/zip--cut-short.mended.zip": ExitContradicted} {
		var out, errs bytes.Buffer
		o := Options{File: "../../../testdata/bundles/" + file, Policy: good + "page.policy.json", Report: filepath.Join(t.TempDir(), "none", "r.html"), Lang: "en"}
		if code := Run(context.Background(), o, &out, &errs); code != want || errs.Len() == 0 {
			t.Errorf("%s: exit %d, want %d\n%s", file, code, want, errs.String())
		}
	}
}

// TestReplace: an old report is replaced at once, and only when told to.
func TestReplace(t *testing.T) {
	name := filepath.Join(t.TempDir(), "r.html")
	for i, c := range []struct {
		replace, works bool
	}{{false, true}, {false, false}, {true, true}} {
		if err := writeFile(name, []byte{byte(i)}, c.replace); (err == nil) != c.works {
			t.Errorf("%d: %v", i, err)
		}
	}
	if b, _ := os.ReadFile(name); !bytes.Equal(b, []byte{2}) {
		t.Errorf("the file holds %v", b)
	}
}
