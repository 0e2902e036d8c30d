package main

import (
	"strings"
	"testing"
)

// comments is a list of URLs that never ends and never names one.
type comments struct{}

func (comments) Read(p []byte) (int, error) {
	return copy(p, strings.Repeat("#"+strings.Repeat(" ", 4000)+"\n", 1+len(p)/4002)), nil
}

// TestStdinIsBounded: what is beyond the bound is refused, never left out.
func TestStdinIsBounded(t *testing.T) {
	if lines, err := readLines(comments{}); err == nil {
		t.Errorf("%d lines of a list without end", len(lines))
	}
	if lines, err := readLines(strings.NewReader("https://a/\n# no\n\nhttps://b/")); err != nil || len(lines) != 2 {
		t.Errorf("%q, %v", lines, err)
	}
}
