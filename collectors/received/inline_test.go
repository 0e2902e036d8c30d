package received_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/collectors"
	"holdfast/collectors/received"
)

// TestManyFiles: what one handing-over carries inline stays within what an
// Acquired may, however many files received.json tells of; it is in the store
// then, whole.
func TestManyFiles(t *testing.T) {
	dir, s := t.TempDir(), store(t)
	var files []string
	for i := range 1500 {
		files = append(files, filepath.Join(dir, fmt.Sprintf("%04d%s", i, strings.Repeat("x", 200))))
		if err := os.WriteFile(files[i], []byte(strings.Repeat("y", 150)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := received.Take(t.Context(), received.Options{Files: files, Giver: strings.Repeat("\x01", 4096)}, s)
	if err != nil {
		t.Fatal(err)
	}
	inline := 0
	for _, o := range a.Objects {
		inline += len(o.Inline)
		if o.Kept != (o.Inline == nil) {
			t.Errorf("object %s: kept %t, %d bytes inline", o.Name, o.Kept, len(o.Inline))
		}
		if there, err := s.Has(t.Context(), o.Digest); o.Kept && (!there || err != nil) {
			t.Errorf("object %s is not in the store: %v", o.Name, err)
		}
	}
	if inline > collectors.MaxInline {
		t.Errorf("%d bytes inline, at most %d", inline, collectors.MaxInline)
	}
}
