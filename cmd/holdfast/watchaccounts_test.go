package main

import (
	"fmt"
	"testing"
	"time"

	"holdfast"
)

// TestAccountFor guards who asks about a channel: it stays with its account for as
// long as that can ask; then it goes to the one of the others that has least, is well,
// has not failed to read it, and has not to wait for long; and to nobody where none can.
func TestAccountFor(t *testing.T) {
	now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		now, blind, held, ill string // of accounts: one letter each
		want                  string
	}{
		"nobody has it":                  {"", "", "", "", "b"},
		"somebody has it":                {"a", "", "", "", "a"},
		"its account is ill":             {"a", "", "", "a", "b"},
		"and so is the least busy":       {"a", "", "", "ab", "c"},
		"and another cannot read it":     {"a", "b", "", "a", "c"},
		"and another has to wait":        {"a", "", "b", "a", "c"},
		"its own cannot read it":         {"a", "a", "", "", "b"},
		"its own has to wait":            {"a", "", "a", "", "b"},
		"all have to wait":               {"a", "", "abc", "", "a"},
		"none can read it":               {"a", "abc", "", "", "a"},
		"the others cannot, it is ill":   {"a", "bc", "", "a", "b"},
		"all are ill":                    {"a", "", "", "abc", "a"},
		"nobody has it, and all are ill": {"", "", "", "abc", ""},
		"its account is gone":            {"x", "", "", "", "b"},
	} {
		k := &watched{watch: watch{ID: holdfast.NewID(), Account: c.now}, held: map[string]time.Time{}}
		crew := crew{names: []string{"a", "b", "c"}, why: map[string]string{}}
		for _, r := range c.blind {
			k.Blind = append(k.Blind, string(r))
		}
		for _, r := range c.held {
			k.held[string(r)] = now.Add(time.Hour)
		}
		for _, r := range c.ill {
			crew.why[string(r)] = fmt.Sprintf("account %c is ill", r)
		}
		to, why := (&watchRun{}).accountFor(k, crew, map[string]int{"a": 3, "b": 1, "c": 2}, now)
		if to != c.want || (why != "") != (c.now != "" && to != c.now) {
			t.Errorf("%s: %s (%s), want %s", name, to, why, c.want)
		}
	}
}
