package coverage

import (
	"fmt"
	"testing"
)

// TestJoined: ranges that touch or overlap are one, others are not.
func TestJoined(t *testing.T) {
	got := joined([]PTS{{From: 9, To: 12}, {From: 1, To: 4}, {From: 4, To: 6}, {From: 2, To: 3}, {From: 7, To: 8}})
	if fmt.Sprint(got) != "[{<nil> 1 6} {<nil> 7 8} {<nil> 9 12}]" {
		t.Error(got)
	}
}
