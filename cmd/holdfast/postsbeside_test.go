package main

import (
	"fmt"
	"testing"
	"time"

	"holdfast"
	"holdfast/catalog"
)

// TestBesideStates: a state lasts until another was seen, what only counts makes none,
// and one that comes back is a further one; things with a number are told apart.
func TestBesideStates(t *testing.T) {
	m := stateMaker{of: *postsOptions{channel: true}.besideOf()}
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	see := func(minute int, line string) {
		s := catalog.Sight{At: holdfast.At(at.Add(time.Duration(minute) * time.Minute)), Capture: holdfast.ID(fmt.Sprint(minute))}
		if err := m.line(s, []byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	see(1, `{"members":5,"received":"a","title":"A"}`)
	see(2, `{"members":9,"pts":3,"received":"b","title":"A"}`)
	see(3, `{"scam":true,"title":"B"}`)
	see(4, `{"title":"A"}`)
	see(5, `{"id":7,"title":"A"}`)
	got := ""
	for _, s := range m.states {
		got += fmt.Sprintf("%d %s-%s %v; ", s.id, s.first.Capture, s.last.Capture, s.changed)
	}
	if want := "0 1-2 []; 0 3-3 [scam title]; 0 4-4 [scam title]; 7 5-5 []; "; got != want {
		t.Errorf("states %s, want %s", got, want)
	}
	if err := m.line(catalog.Sight{}, []byte(`[1]`)); err == nil {
		t.Error("what is no object is taken in")
	}
}
