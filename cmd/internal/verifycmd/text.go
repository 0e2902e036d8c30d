package verifycmd

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"unicode"

	"holdfast"
)

// printText prints the verdict, what was found, each exhibit, and the verdict
// again: whoever sees only the first or the last line sees it.
func (c *check) printText(out io.Writer) {
	c.printVerdict(out)
	fmt.Fprintf(out, "\n%s: %s\n", c.Say("report.file"), c.isolate(filepath.Base(c.File)))
	for _, line := range c.basis(c.Say) {
		fmt.Fprintf(out, "%s: %s\n", c.Say("report.policy"), line)
	}
	for _, row := range c.given() {
		fmt.Fprintf(out, "%s: %s\n", row[0], c.isolate(row[1]))
	}
	fmt.Fprintf(out, "\n%s\n", c.Say("report.findings"))
	rows := maxLines
	if c.All {
		rows = len(c.report.Findings)
	}
	gs := c.groups(rows, c.All)
	for _, g := range gs {
		c.printGroup(out, g)
	}
	if n := c.passed(); len(gs) == 0 {
		fmt.Fprintf(out, "  %s\n", c.Say("report.nofindings"))
	} else if !c.All {
		fmt.Fprintf(out, "  %s. %s\n", c.Say("report.passed", "n", n), c.Say("report.all"))
	}
	exhibits := maxExhibits
	if c.All {
		exhibits = len(c.report.Exhibits)
	}
	for _, e := range c.exhibits(exhibits) {
		c.printExhibit(out, e)
	}
	if more := len(c.report.Exhibits) - exhibits; more > 0 {
		fmt.Fprintf(out, "\n… %s. %s\n", c.Say("report.more", "n", more), c.Say("report.more.all"))
	}
	fmt.Fprintln(out)
	if c.report.Training {
		fmt.Fprintln(out, c.Say("report.training"))
	}
	if a := c.advice(); a != "" {
		fmt.Fprintf(out, "%s\n\n", c.Say(a))
	}
	if c.Tag() != "en" && c.Reviewer() == "" { // that English is reviewed by nobody is said in the report
		fmt.Fprintf(out, "%s\n\n", c.Say("page.unreviewed"))
	}
	c.printVerdict(out)
}

func (c *check) printVerdict(out io.Writer) {
	fmt.Fprintf(out, "%s: %s\n", upper(c.Tag(), c.word(c.report.Verdict)), c.sentence(c.report.Verdict))
}

// upper writes a word in capitals, as its language has them.
func upper(tag, s string) string {
	if tag == "tr" || tag == "az" {
		return strings.ToUpperSpecial(unicode.TurkishCase, s)
	}
	return strings.ToUpper(s)
}

func (c *check) printGroup(out io.Writer, g *group) {
	fmt.Fprintf(out, "  %s · %s · %s\n", c.Text("outcome."+string(g.Outcome), nil), c.Text("basis."+string(g.Basis), nil), c.isolate(g.Finding.Finding))
	if g.Meaning != "" {
		fmt.Fprintf(out, "    %s\n    %s: %s\n", g.Meaning, c.Say("report.causes"), g.Causes)
	}
	for _, f := range g.Rows {
		fmt.Fprintf(out, "    - %s: %s\n", c.isolate(f.Subject), c.isolate(f.Detail))
	}
	if g.More > 0 {
		fmt.Fprintf(out, "    - … %s\n", c.Say("report.more", "n", g.More))
	}
}

func (c *check) printExhibit(out io.Writer, e holdfast.ExhibitReport) {
	fmt.Fprintf(out, "\n%s: %s\n  %s\n  %s\n", c.Say("report.exhibit", "number", e.Number), c.word(e.Verdict), c.isolate(string(e.Source)), c.proven(c.Say, e))
	if s := c.stated(c.Say, e); s != "" {
		fmt.Fprintf(out, "  %s\n", s)
	}
}
