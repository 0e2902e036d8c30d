package verifycmd_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/cmd/internal/verifycmd"
	"holdfast/messages"
)

// Who reads a translation that no lawyer answers for is told so, in the text and
// in the report.
func TestUnreviewedIsSaid(t *testing.T) {
	bundles, err := filepath.Glob("../../../testdata/bundles/*/*.zip")
	if err != nil || len(bundles) == 0 {
		t.Fatal("no bundles")
	}
	langs, err := messages.Languages()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range langs {
		c, err := messages.Open(lang)
		if err != nil {
			t.Fatal(err)
		}
		report := filepath.Join(t.TempDir(), "report.html")
		var out, errs bytes.Buffer
		verifycmd.Run(t.Context(), verifycmd.Options{File: bundles[0], Lang: lang, Report: report, Env: os.Getenv}, &out, &errs)
		page, err := os.ReadFile(report)
		if err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		want := c.Text("page.unreviewed", nil)
		if c.Reviewer() == "" && !strings.Contains(string(page), want) {
			t.Errorf("%s: the report does not say %q", lang, want)
		}
		if said := strings.Contains(out.String(), want); said != (c.Reviewer() == "" && lang != "en") {
			t.Errorf("%s: the text says %q: %t", lang, want, said)
		}
	}
}
