package tme

import (
	"bytes"
	"testing"

	"holdfast/canon"
)

// check holds the lines to their form; cmd/holdfast gives them to the catalog.
func check(t *testing.T, lines []byte) {
	for line := range bytes.Lines(lines) {
		if err := canon.Check(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
	}
}
