package rules_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/alert/rules"
)

// TestCheck: what can never work is refused before it is written down, and says what to do.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		rule rules.Rule
		says string // "": it is good
	}{
		"a text":                 {rules.Rule{Name: "a", Match: "fire -exercise"}, ""},
		"a silence":              {rules.Rule{Name: "a", Silent: "6h", Source: "telegram:@alpha"}, ""},
		"a page's silence":       {rules.Rule{Name: "a", Silent: "1m", Source: "https://a.example/"}, ""},
		"edits of all":           {rules.Rule{Name: "a", Edited: true}, ""},
		"no name":                {rules.Rule{Match: "fire"}, "its name is"},
		"about nothing":          {rules.Rule{Name: "a"}, "give one of"},
		"about two things":       {rules.Rule{Name: "a", Match: "fire", Deleted: true}, "give one of"},
		"a query that is none":   {rules.Rule{Name: "a", Match: `"fire`}, "--match"},
		"a silence too short":    {rules.Rule{Name: "a", Silent: "59s", Source: "telegram:@alpha"}, "1m0s or more"},
		"a silence of whom":      {rules.Rule{Name: "a", Silent: "6h"}, "whose silence"},
		"deletions of a page":    {rules.Rule{Name: "a", Deleted: true, Source: "https://a.example/"}, "is about posts"},
		"a silence that is none": {rules.Rule{Name: "a", Silent: "long", Source: "telegram:@alpha"}, "--silent"},
	} {
		err := c.rule.Check()
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
	program := filepath.Join(t.TempDir(), "p")
	if err := os.WriteFile(program, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for says, r := range map[string]rules.Rule{
		"where it goes":              {},
		"needs --secret-file":        {To: []string{"https://a.example/"}},
		"no program that can be run": {To: []string{"exec:" + program}},
		"none is given with --to":    {To: []string{"/x.atom"}, Via: "out"},
		"--to":                       {To: []string{"ftp://a.example/"}},
	} {
		if err := r.CheckTargets(); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", r, err, says)
		}
	}
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := (&rules.Rule{To: []string{"exec:" + program, filepath.Join(t.TempDir(), "x.atom")}}).CheckTargets(); err != nil {
		t.Error(err)
	}
}

// TestRead: what was written is read in the order of names, a file that is not there holds
// no rule, and one that somebody has changed into a rule about nothing, or to nobody, is an
// error: nobody would miss what is not told.
func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), rules.FileName)
	if all, err := rules.Read(file); err != nil || all != nil {
		t.Errorf("%v, %v", all, err)
	}
	b, err := rules.Encode([]*rules.Rule{{Name: "b", Edited: true, To: []string{"/x.atom"}}, {Name: "a", Match: "fire", To: []string{"/x.atom"}}})
	if err != nil {
		t.Fatal(err)
	}
	read := func(text string) ([]*rules.Rule, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return rules.Read(file)
	}
	if all, err := read(string(b)); err != nil || len(all) != 2 || all[0].Name != "a" || all[1].Kind() != "edited" {
		t.Errorf("%v, %v", all, err)
	}
	for _, bad := range []string{"{", strings.Replace(string(b), `"edited": true`, `"edited": false`, 1), `{"alerts":[{"name":"a","added":"2026-03-01T00:00:00.000Z","edited":true,"to":[]}],"version":1}`, strings.Replace(string(b), `"version": 1`, `"version": 2`, 1), `{"alerts":[null],"version":1}`} {
		if all, err := read(bad); err == nil {
			t.Errorf("%s is %v", bad, all)
		}
	}
}
