package main

import (
	"github.com/spf13/cobra"

	"holdfast/cmd/internal/verifycmd"
)

func (c *cli) verifyCmd() *cobra.Command {
	var o verifycmd.Options
	cmd := command("verify FILE [--policy FILE] [--node FINGERPRINT]", "Check a bundle, offline, under a policy",
		"holdfast verify 2026-017.zip --policy office.policy.json", cobra.ExactArgs(1), func(cmd *cobra.Command, args []string) error {
			o.File, o.JSON, o.Program, o.Version = args[0], c.json, "holdfast", version
			bar := c.progress("checking")
			o.Progress = bar.bytes
			code := verifycmd.Run(cmd.Context(), o, c.out, c.errs)
			bar.done()
			if code != 0 {
				return &exitError{code: code}
			}
			return nil
		})
	cmd.Long = `Checks a bundle with nothing but the file and a policy: no network, no node.
Without --policy the built-in one is used: public authorities, no node.

exit status: 0 proven  1 contradicted  2 usage, missing, not a ZIP, newer format
             3 not sealed under the policy  4 sealed by a maker that no policy names`
	cmd.Flags().StringVar(&o.Policy, "policy", "", "whom to trust: the file that `policy export` of an office wrote")
	cmd.Flags().StringVar(&o.Node, "node", "", "trust this node of the bundle: its fingerprint, got by another way")
	cmd.Flags().StringArrayVar(&o.Authorities, "authority", nil, "trust this timestamp authority too: OPERATOR=ROOT, by the SHA-256 of its root's key (repeatable)")
	cmd.Flags().StringVar(&o.Report, "report", "", "write the result as a page for people to this file")
	cmd.Flags().BoolVar(&o.Replace, "replace", false, "the report may take the place of a file")
	cmd.Flags().StringVar(&o.Lang, "lang", "", "language of the result, such as fr; else that of the system")
	cmd.Flags().BoolVar(&o.All, "all", false, "list the passed checks too")
	return cmd
}
