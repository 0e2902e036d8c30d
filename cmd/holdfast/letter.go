package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"holdfast"
	"holdfast/cmd/internal/verifycmd"
	"holdfast/hashing"
	"holdfast/messages"
)

// letter prints what a letter of the office tells those who verify: on paper,
// by another way than the bundles. Digests stand on lines of their own, so that
// in a language from right to left nothing reorders them.
func (c *cli) letter(n *node, p *holdfast.Policy, lang string) error {
	say, err := messages.Choose(lang, os.Getenv)
	if err != nil {
		return usageError("--lang: %w", err)
	}
	text := func(key string, args messages.Args) { fmt.Fprintln(c.out, say.Text("letter."+key, args)) }
	office := n.set.Agent.Office
	if office == "" {
		office = n.set.Name
	}
	text("title", messages.Args{"office": office})
	text("date", messages.Args{"time": time.Now().UTC()})
	if p.Training {
		text("training", nil)
	}
	for _, k := range n.keys.All() {
		if k.Compromised {
			text("compromised", messages.Args{"time": k.Until.Time})
		}
	}
	for i := range p.Nodes {
		if err := c.letterNode(&p.Nodes[i], text); err != nil {
			return err
		}
	}
	fmt.Fprintln(c.out)
	text("quorum", messages.Args{"quorum": fmt.Sprint(p.Quorum)})
	for _, a := range p.Authorities {
		if a.Until == nil {
			fmt.Fprintf(c.out, "  %s\n    %s\n", messages.Visible(a.Operator), a.Root)
		}
	}
	fmt.Fprintln(c.out)
	text("use", nil)
	return c.letterUse(p, text)
}

func (c *cli) letterNode(e *holdfast.PolicyNode, text func(string, messages.Args)) error {
	b, err := e.Encode()
	if err != nil {
		return err
	}
	fmt.Fprintln(c.out)
	text("node", messages.Args{"node": messages.Code(e.Name)})
	fmt.Fprint(c.out, grouped(hashing.Of(b).Hex()))
	text("log", nil)
	fmt.Fprintf(c.out, "  %s\n", e.Log.Key)
	return nil
}

// letterUse shows the command, with the operators that no verifier knows
// without being told.
func (c *cli) letterUse(p *holdfast.Policy, text func(string, messages.Args)) error {
	known := map[hashing.Digest]bool{}
	public, err := verifycmd.Builtin()
	if err != nil {
		return err
	}
	for _, a := range public.Authorities {
		known[a.Root] = true
	}
	fmt.Fprint(c.out, "  holdfast-verify --node FINGERPRINT")
	for _, a := range p.Authorities {
		if !known[a.Root] && a.Until == nil {
			known[a.Root] = true
			fmt.Fprintf(c.out, " \\\n    --authority '%s=%s'", strings.ReplaceAll(messages.Visible(a.Operator), "'", `'\''`), a.Root)
		}
	}
	fmt.Fprint(c.out, " FILE\n\n")
	text("change", nil)
	return nil
}

// grouped writes hex digits in groups of four, eight groups a line, as a person
// compares and types them.
func grouped(hex string) string {
	var b strings.Builder
	for i := 0; i < len(hex); i += 4 {
		switch {
		case i%32 == 0:
			b.WriteString("  ")
		default:
			b.WriteByte(' ')
		}
		b.WriteString(hex[i:min(i+4, len(hex))])
		if i%32 == 28 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}
