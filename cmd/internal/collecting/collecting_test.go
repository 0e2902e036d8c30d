package collecting

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"holdfast"
)

const (
	page  = holdfast.ID("00000000000000000000000000000001")
	other = holdfast.ID("00000000000000000000000000000002")
)

// TestOf: a reason is said where nobody who is there may do it, and never of what goes on.
func TestOf(t *testing.T) {
	well := Sign{Node: "well"}
	blind := Sign{Node: "blind", Web: "the browser does not start"}
	lacks := Sign{Node: "lacks", Tasks: []Why{{page, Node, "no session of that name"}}}
	later := Sign{Node: "later", Tasks: []Why{{page, Task, "asked again at noon"}}}
	gave := Sign{Node: "gave", Tasks: []Why{{page, Gone, "holdfast refuses it"}}}
	for name, k := range map[string]struct {
		signs    []Sign
		telegram bool
		is       State
		want     string
	}{
		"nobody is there":               {nil, false, Free, ""},
		"one that can":                  {[]Sign{well}, false, Free, ""},
		"one that cannot":               {[]Sign{blind}, false, Free, "blind: the browser does not start"},
		"one of two can":                {[]Sign{blind, well}, false, Free, ""},
		"none of two can":               {[]Sign{lacks, blind}, false, Free, "blind: the browser does not start; lacks: no session of that name"},
		"what the other kind cannot":    {[]Sign{blind}, true, Free, ""},
		"somebody has it":               {[]Sign{blind, later}, false, Held, ""},
		"it is due later":               {[]Sign{blind}, false, Due, ""},
		"the Task's own":                {[]Sign{well, later}, false, Due, "asked again at noon"},
		"the Task's own, whoever is up": {[]Sign{blind, later}, false, Free, "asked again at noon"},
		"done":                          {[]Sign{blind, later, lacks}, false, Over, ""},
		"given up":                      {[]Sign{well, gave}, false, Over, "holdfast refuses it"},
		"given up by its old ID":        {[]Sign{gave}, false, Free, ""},
	} {
		if got := Of(k.signs, page, k.telegram, k.is); got != k.want {
			t.Errorf("%s: %q, not %q", name, got, k.want)
		}
	}
	if got := Of([]Sign{lacks}, other, false, Free); got != "" {
		t.Errorf("another Task: %q", got)
	}
	var many []Sign
	for i := range 9 {
		many = append(many, Sign{Node: fmt.Sprint("n", i), Web: "no"})
	}
	if got := Of(many, page, false, Free); got != "n0: no; n1: no; n2: no; and 6 more nodes" {
		t.Errorf("%q", got)
	}
}

// TestEncode: however much there is to say, it is one line each and within the bounds.
func TestEncode(t *testing.T) {
	s := Sign{Node: "n", Web: "first\n\x00second " + strings.Repeat("ш", MaxWhy) + "\xff"}
	for i := range 10 * MaxTasks {
		s.Tasks = append(s.Tasks, Why{holdfast.ID(fmt.Sprintf("%032x", i)), Node, strings.Repeat("<\x01", MaxWhy)})
	}
	b, err := s.Encode()
	if err != nil || len(b) > MaxSign {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	got, err := Decode(b)
	if err != nil || len(got.Tasks) == 0 || len(got.Tasks) > MaxTasks || got.Tasks[0].Task != s.Tasks[0].Task {
		t.Fatalf("%d Tasks, %v", len(got.Tasks), err)
	}
	if len(got.Web) > MaxWhy || !utf8.ValidString(got.Web) || strings.ContainsAny(got.Web, "\n\r") || !strings.HasSuffix(got.Web, "…") {
		t.Errorf("%q", got.Web)
	}
	if _, err := Decode(make([]byte, MaxSign+1)); err == nil {
		t.Error("one without a bound was read")
	}
}
