package verifycmd

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"holdfast"
	"holdfast/messages"
)

// Bounds of what people are shown. A hostile Bundle can have a hundred thousand
// Findings and texts of a megabyte; how many more there are is always said.
const (
	maxLines       = 20  // of one kind of Finding, in text without --all
	maxRows        = 100 // of one kind of Finding, on a page
	maxCards       = 200 // exhibits, likewise
	maxTextRunes   = 600 // of one text from outside
	maxUnsignedRow = 20  // names of files under no signature
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

func rightToLeft(r rune) bool {
	return unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko, unicode.Samaritan, unicode.Mandaic, unicode.Adlam, unicode.Hanifi_Rohingya)
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

// Say returns a sentence; pairs are the names and values of its places, and
// every string in it is isolated.
func (c *check) Say(key string, pairs ...any) string {
	args := messages.Args{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v := pairs[i+1]
		if s, ok := v.(string); ok {
			v = c.isolate(s)
		}
		args[fmt.Sprint(pairs[i])] = v
	}
	return c.Text(key, args)
}

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
func (c *check) proven(e holdfast.ExhibitReport) string {
	switch {
	case e.T.IsZero():
		return c.Say("report.notime")
	case e.After.IsZero():
		return c.Say("report.proven.time", "time", e.T.String())
	}
	return c.Say("report.proven.between", "after", e.After.String(), "time", e.T.String())
}

func (c *check) stated(e holdfast.ExhibitReport) string {
	if e.Ended.IsZero() {
		return ""
	}
	outcome := e.Result
	if key := "outcome." + e.Result; c.Has(key) {
		outcome = c.Text(key, nil)
	}
	return c.Say("report.stated.time", "from", e.Started.String(), "to", e.Ended.String(), "node", e.Node, "outcome", outcome)
}

// basis says whom the check trusted, line by line.
func (c *check) basis() (lines []string) {
	t := c.trust
	if t.file == "" {
		lines = append(lines, c.Say("report.policy.builtin", "n", t.policy.Quorum))
	} else {
		lines = append(lines, c.Say("report.policy.file", "path", filepath.Base(t.file), "digest", t.fileDigest.Hex()))
	}
	for _, a := range t.given {
		lines = append(lines, c.Say("report.authority.given")+": "+string(c.isolate(a.Operator+" = "+groups(a.Root.Hex()))))
	}
	if t.node != "" {
		lines = append(lines, c.Say("report.node.given")+": "+string(c.isolate(groups(t.node))))
	}
	return lines
}

// advice is what the person who checks can do to know more; "" is nothing.
func (c *check) advice() string {
	switch {
	case c.trust.unmatched(c.report):
		return c.Text("report.node.unmatched", nil)
	case c.report.Verdict == holdfast.VerdictUnattributed:
		return c.Text("report.better", nil)
	}
	return ""
}
