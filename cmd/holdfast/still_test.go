package main

import (
	"testing"
	"time"

	"holdfast/pipeline"
)

// TestStills: a stage stands still from when it was first seen where it is with something
// to do, whatever comes behind that; it does not where it moves, or has nothing to do.
func TestStills(t *testing.T) {
	var s stills
	at := time.Unix(1_700_000_000, 0)
	for i, c := range []struct {
		position, end int64
		want          time.Duration // since then; -1: it does not stand
	}{{3, 3, -1}, {3, 5, 1}, {3, 5, 1}, {3, 9, 1}, {4, 9, 4}, {4, 9, 4}, {9, 9, -1}, {9, 10, 7}} {
		since := s.look(pipeline.StagePreserve, 1, c.position, c.end, at.Add(time.Duration(i)*time.Second))
		if c.want < 0 != since.IsZero() || c.want >= 0 && !since.Equal(at.Add(c.want*time.Second)) {
			t.Errorf("%d: since %v", i, since)
		}
		if other := s.look(pipeline.StagePreserve, 2, 0, 0, at); !other.IsZero() {
			t.Errorf("%d: another partition since %v", i, other)
		}
	}
}
