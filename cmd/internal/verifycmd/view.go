package verifycmd

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/bidi"

	"holdfast"
	"holdfast/messages"
)

// Bounds of what people are shown. A hostile Bundle can have a hundred thousand
// Findings and texts of a megabyte; how many more there are is always said.
const (
	maxLines     = 20  // of one kind of Finding, in text without --all
	maxExhibits  = 50  // likewise
	maxRows      = 100 // of one kind of Finding, on a page
	maxCards     = 200 // exhibits, likewise
	maxTextRunes = 600 // of one text from outside
)

// isolated is text from outside that may be put into a sentence as it is:
// visible, bounded, and unable to reorder what stands around it.
type isolated string

// isolate makes text isolated. The marks of isolation are left out where nothing
// could be reordered, so that plain text stays plain.
func (c *check) isolate(s string) isolated {
	s = messages.Visible(clip(s))
	if c.Dir() != "rtl" && !strings.ContainsFunc(s, rightToLeft) {
		return isolated(s)
	}
	return isolated("\u2068" + s + "\u2069")
}

// rightToLeft goes by the direction that Unicode gives a letter, not by a list of
// scripts: those that were added last reorder text as well.
func rightToLeft(r rune) bool {
	p, _ := bidi.LookupRune(r)
	c := p.Class()
	return c == bidi.R || c == bidi.AL || c == bidi.AN
}

func clip(s string) string {
	n := 0
	for i := range s {
		if n++; n > maxTextRunes {
			return s[:i] + "…"
		}
	}
	return s
}

// args are the values of a sentence's places, by name; long text is cut.
func args(pairs []any) messages.Args {
	a := messages.Args{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v := pairs[i+1]
		switch s := v.(type) {
		case string:
			v = clip(s)
		case messages.Code:
			v = messages.Code(clip(string(s)))
		}
		a[fmt.Sprint(pairs[i])] = v
	}
	return a
}

// say gives a sentence with its places filled: [check.Say] as text, or
// [check.Mark] as HTML.
type say func(key string, pairs ...any) string

// Say returns a sentence as plain text; pairs are the names and values of its places.
func (c *check) Say(key string, pairs ...any) string { return c.Text(key, args(pairs)) }

// Mark returns it as HTML.
func (c *check) Mark(key string, pairs ...any) string { return c.HTML(key, args(pairs)) }

// group is all Findings of one name, outcome and basis: they mean the same.
type group struct {
	holdfast.Finding
	Meaning, Causes string
	Rows            []holdfast.Finding // at most as many as were asked for
	More            int                // that are not in Rows
}

// groups sorts the Findings by weight and keeps at most rows of each kind. Those
// that passed are in only if all is true.
func (c *check) groups(rows int, all bool) (gs []*group) {
	type kind struct {
		finding string
		outcome holdfast.Outcome
		basis   holdfast.Basis
	}
	byKind := make(map[kind]*group)
	for _, f := range c.report.Findings {
		if f.Outcome == holdfast.OK && !all {
			continue
		}
		k := kind{f.Finding, f.Outcome, f.Basis}
		g := byKind[k]
		if g == nil {
			g = &group{Finding: f}
			if f.Outcome != holdfast.OK {
				g.Meaning, g.Causes, _ = c.Catalogue.Finding(f.Finding)
			}
			byKind[k] = g
			gs = append(gs, g)
		}
		if len(g.Rows) < rows {
			g.Rows = append(g.Rows, f)
		} else {
			g.More++
		}
	}
	weight := []holdfast.Outcome{holdfast.Contradicted, holdfast.Absent, holdfast.Note, holdfast.OK}
	slices.SortStableFunc(gs, func(a, b *group) int {
		return slices.Index(weight, a.Outcome) - slices.Index(weight, b.Outcome)
	})
	return gs
}

// exhibits are at most n of them, in their order. What is left out where there
// are more is never worse than what is shown.
func (c *check) exhibits(n int) []holdfast.ExhibitReport {
	all := c.report.Exhibits
	if len(all) <= n {
		return all
	}
	weight := []holdfast.Verdict{holdfast.VerdictContradicted, holdfast.VerdictUnsealed, holdfast.VerdictUnattributed, holdfast.VerdictProven}
	places := make([]int, len(all))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int {
		return slices.Index(weight, all[a].Verdict) - slices.Index(weight, all[b].Verdict)
	})
	places = places[:n]
	slices.Sort(places)
	shown := make([]holdfast.ExhibitReport, n)
	for i, k := range places {
		shown[i] = all[k]
	}
	return shown
}

func (c *check) passed() (n int) {
	for _, f := range c.report.Findings {
		if f.Outcome == holdfast.OK {
			n++
		}
	}
	return n
}

// word and sentence say a verdict: its name, and what it is and is not.
func (c *check) word(v holdfast.Verdict) string     { return c.Text("verdict."+string(v)+".name", nil) }
func (c *check) sentence(v holdfast.Verdict) string { return c.Text("verdict."+string(v), nil) }

// proven and stated say the times of an exhibit; "" if there is nothing to say.
func (c *check) proven(say say, e holdfast.ExhibitReport) string {
	switch {
	case e.T.IsZero():
		return say("report.notime")
	case e.After.IsZero():
		return say("report.proven.time", "time", e.T.Time)
	}
	return say("report.proven.between", "after", e.After.Time, "time", e.T.Time)
}

func (c *check) stated(say say, e holdfast.ExhibitReport) string {
	if e.Ended.IsZero() {
		return ""
	}
	var outcome any = e.Result
	if key := "outcome." + e.Result; c.Has(key) {
		outcome = messages.Said(c.Text(key, nil))
	}
	return say("report.stated.time", "from", e.Started.Time, "to", e.Ended.Time, "node", messages.Code(e.Clock), "outcome", outcome)
}

// basis says whom the check trusted, line by line.
func (c *check) basis(say say) (lines []string) {
	t := c.trust
	if t.file == "" {
		lines = append(lines, say("report.policy.builtin", "n", t.policy.Quorum))
	} else {
		lines = append(lines, say("report.policy.file", "path", filepath.Base(t.file), "digest", messages.Code(t.fileDigest.Hex())))
	}
	return lines
}

// given is what was typed in: what it is, and the value.
func (c *check) given() (rows [][2]string) {
	for _, a := range c.trust.given {
		rows = append(rows, [2]string{c.Text("report.authority.given", nil), clip(a.Operator) + " = " + groups(a.Root.Hex())})
	}
	if c.trust.node != "" {
		rows = append(rows, [2]string{c.Text("report.node.given", nil), groups(c.trust.node)})
	}
	return rows
}

// advice is the key of what the person who checks can do to know more; "" is nothing.
func (c *check) advice() string {
	switch {
	case c.trust.unmatched(c.report):
		return "report.node.unmatched"
	case c.report.Verdict == holdfast.VerdictUnattributed:
		return "report.better"
	}
	return ""
}
