package webbench_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/cmd/internal/webbench"
)

// TestRun guards what the figures say: everything that the site was asked for is in the
// archives, and an exchange that is not there is told as lost.
func TestRun(t *testing.T) {
	browser := os.Getenv("HOLDFAST_BROWSER")
	if browser == "" {
		t.Skip("HOLDFAST_BROWSER is not set: ./test sets it")
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "page.html"), []byte("<title>A page</title><link rel=icon href=data:,><p>Text<img src=a.svg>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "a.svg"), []byte(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, behind := range map[string]float64{"": 0, "somebody else asks": 4} {
		t.Run(name, func(t *testing.T) {
			site, err := webbench.NewSite(folder)
			if err != nil {
				t.Fatal(err)
			}
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if behind > 0 && strings.HasSuffix(r.URL.Path, "page.html") { // and is not recorded
					for range 2 {
						site.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/files/a.svg", nil))
					}
				}
				site.ServeHTTP(w, r)
			}))
			defer s.Close()
			lost, seen := map[string]float64{}, map[string]bool{}
			err = webbench.Run(t.Context(), webbench.Options{Browser: browser, Dir: t.TempDir(), Site: s.URL, Articles: 2, Tabs: 2, Pages: []string{"page.html"},
				Say: func(f webbench.Figure) {
					seen[f.Name] = true
					if strings.HasSuffix(f.Unit, "exchanges lost") {
						lost[f.Name] = f.Value
					}
				}})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"first", "articles", "pages"} {
				if !seen[name] {
					t.Errorf("nothing is said of %s", name)
				}
			}
			if len(lost) != 2 || lost["articles"] != 0 || lost["pages"] != behind {
				t.Errorf("lost %v, want %v of the pages", lost, behind)
			}
		})
	}
}
