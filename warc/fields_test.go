package warc_test

import (
	"testing"

	"holdfast/warc"
)

// TestFieldsList: a coding on a second line is one that the browser undoes too.
func TestFieldsList(t *testing.T) {
	f := warc.Fields{{Name: "Content-Encoding", Value: "identity"}, {Name: "X", Value: "y"}, {Name: "content-encoding", Value: "gzip"}}
	if got := f.List("Content-Encoding"); got != "identity, gzip" {
		t.Errorf("%q", got)
	}
	if got := f.List("none"); got != "" {
		t.Errorf("%q", got)
	}
}
