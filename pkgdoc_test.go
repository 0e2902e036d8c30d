package holdfast_test

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryPackageSaysWhatItIs: a newcomer understands a room from its comment.
func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		found := ""
		for _, f := range p.GoFiles {
			a, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if a.Doc != nil && len(a.Doc.Text()) > len(found) {
				found = a.Doc.Text()
			}
		}
		if len(p.GoFiles) > 0 && !strings.HasPrefix(found, "Package ") && !strings.HasPrefix(found, "Command ") {
			t.Errorf("%s has no package comment that begins with Package or Command", p.ImportPath)
		}
	}
}
