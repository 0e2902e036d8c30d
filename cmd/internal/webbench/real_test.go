package webbench_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/cmd/internal/webbench"
)

// TestRealPages guards that of pages which nobody here wrote, Debian's packages of
// documentation, every exchange that the browser made is in the archive: text, an index of
// 1.7 MB, a tall page of pictures, a script's search, 130 pictures, a page of fonts and
// styles. Each is captured twice, two at a time. `./test long` installs the packages.
func TestRealPages(t *testing.T) {
	browser := os.Getenv("HOLDFAST_BROWSER")
	if os.Getenv("HOLDFAST_LONG") == "" || browser == "" {
		t.Skip("HOLDFAST_LONG and HOLDFAST_BROWSER have pages of Debian's documentation captured")
	}
	const root = "/usr/share"
	var pages []string
	for _, p := range []string{"doc/python3.*/html/library/asyncio-task.html", "doc/python3.*/html/genindex-all.html", "doc/python3.*/html/search.html",
		"doc/debian-handbook/html/en-US/sect.installation-steps.html", "doc/rust-doc/html/std/vec/struct.Vec.html", "doc/kicad/help/en/pcbnew.html"} {
		found, _ := filepath.Glob(filepath.Join(root, p))
		if len(found) == 0 {
			t.Logf("NOT TESTED: %s is not installed", p)
			continue
		}
		name := strings.TrimPrefix(found[0], root+"/")
		if strings.HasSuffix(name, "/search.html") {
			name += "?q=asyncio"
		}
		pages = append(pages, name)
	}
	if len(pages) == 0 {
		t.Skip("no package of documentation is installed: python3-doc, debian-handbook, rust-doc, kicad-doc-en")
	}
	site, err := webbench.NewSite(root)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(site)
	defer s.Close()
	err = webbench.Run(t.Context(), webbench.Options{Browser: browser, Dir: t.TempDir(), Site: s.URL, Articles: 2, Tabs: 2, Pages: pages, Say: func(f webbench.Figure) {
		t.Logf("%s: %.1f %s", f.Name, f.Value, f.Unit)
		if strings.HasSuffix(f.Unit, "exchanges lost") && f.Value != 0 {
			t.Errorf("of %s: %.0f %s", f.Name, f.Value, f.Unit)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
}
