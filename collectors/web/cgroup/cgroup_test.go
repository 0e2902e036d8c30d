package cgroup

import (
	"errors"
	"testing"
)

// TestFind: there is a place, or it is said why there is none.
func TestFind(t *testing.T) {
	if p, err := Find(); err != nil && !errors.Is(err, ErrNone) || (p == nil) != (err != nil) {
		t.Errorf("%v, %v", p, err)
	}
}
