package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast"
	"holdfast/export"
	"holdfast/hashing"
)

func (c *cli) policyCmd() *cobra.Command {
	return group("policy", "Whom this node trusts, for those who verify", "holdfast policy show", c.policyShowCmd(), c.policyExportCmd(), c.policyJoinCmd())
}

func (c *cli) policyShowCmd() *cobra.Command {
	var letter bool
	var lang string
	cmd := command("show [--letter]", "Show the policy and the fingerprints", "holdfast policy show --letter", cobra.NoArgs, func(cmd *cobra.Command, _ []string) error {
		n, err := c.open(cmd.Context())
		if err != nil {
			return err
		}
		defer n.Close()
		p, err := n.policy()
		if err != nil {
			return err
		}
		if letter && !c.json {
			return c.letter(n, p, lang)
		}
		return c.showPolicy(p)
	})
	cmd.Flags().BoolVar(&letter, "letter", false, "a page for a letter of the office to those who verify: the fingerprints in groups, and how they are used")
	cmd.Flags().StringVar(&lang, "lang", "", "language of the letter; default: that of LC_ALL, LC_MESSAGES or LANG")
	return cmd
}

func (c *cli) showPolicy(p *holdfast.Policy) error {
	b, err := p.Encode()
	if err != nil {
		return err
	}
	if c.json {
		c.say(map[string]any{"policy": json.RawMessage(b), "digest": hashing.Of(b)}, "")
		return nil
	}
	fmt.Fprintf(c.out, "policy   %s\nquorum   %d operators\n", hashing.Of(b), p.Quorum)
	for i := range p.Nodes {
		e, err := p.Nodes[i].Encode()
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "node     %s\n  fingerprint %s\n", p.Nodes[i].Name, hashing.Of(e).Hex())
		for _, k := range p.Nodes[i].Keys {
			fmt.Fprintf(c.out, "  key         %s from %s until %s\n", holdfast.KeyID(k.SPKI), k.From, until(k.Until))
		}
	}
	for _, a := range p.Authorities {
		fmt.Fprintf(c.out, "operator %s\n  root        %s from %s until %s\n", a.Operator, a.Root, a.From, until(a.Until))
		if a.Issuer != nil {
			fmt.Fprintf(c.out, "  issuing CA  %s\n", *a.Issuer)
		}
	}
	if len(p.Authorities) == 0 {
		fmt.Fprintln(c.out, "no authority yet: each enters with its first valid token")
	}
	return nil
}

func until(t *holdfast.Time) string {
	if t == nil {
		return "now on"
	}
	return t.String()
}

func (c *cli) policyExportCmd() *cobra.Command {
	var dir string
	var replace bool
	cmd := command("export FILE | export --dir DIR", "Write the policy for others: a file for verify, or PEM and text files for verify.sh",
		"holdfast policy export office.policy.json", cobra.MaximumNArgs(1), func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (dir != "") {
				return usageError("give FILE or --dir DIR, one of them")
			}
			n, err := c.open(cmd.Context())
			if err != nil {
				return err
			}
			defer n.Close()
			p, err := n.policy()
			if err != nil {
				return err
			}
			if dir != "" {
				if err := export.WritePolicyDir(dir, p, n.certificates()); err != nil {
					return err
				}
				c.say(map[string]any{"dir": dir}, "%s holds the policy as PEM and text files, for `bash verify.sh --trust %s`", dir, dir)
				return nil
			}
			b, err := p.Encode()
			if err != nil {
				return err
			}
			if err := giveFile(args[0], b, replace); err != nil {
				return fmt.Errorf("write policy: %w", err)
			}
			c.say(map[string]any{"file": args[0], "digest": hashing.Of(b)}, "%s  %s\nThose who verify compare this digest by another way than the file.", hashing.Of(b), args[0])
			return nil
		})
	cmd.Flags().StringVar(&dir, "dir", "", "write PEM and text files into this directory, for `bash verify.sh --trust DIR`")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace FILE if it exists")
	return cmd
}
