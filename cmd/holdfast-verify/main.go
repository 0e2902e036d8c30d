// Command holdfast-verify is the verifier alone: one static program that a
// court can be handed. It needs no network, no home directory and no other
// file than the Bundle and, if there is one, the Policy.
//
//	holdfast-verify [--policy FILE] [--node FINGERPRINT] [--json] [--all] BUNDLE.zip
//
// Exit status: 0 proven · 1 contradicted · 2 usage, missing file, not a ZIP, or
// a newer format · 3 not sealed under the policy · 4 sealed by a maker that no
// policy names.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"holdfast/cmd/internal/verifycmd"
)

const usage = `usage: holdfast-verify [--policy FILE] [--node FINGERPRINT] [--json] [--all] BUNDLE.zip

Checks a holdfast bundle, offline. Example:
  holdfast-verify --policy office.policy.json 2026-017.zip

exit status: 0 proven  1 contradicted  2 usage, missing, not a ZIP, newer format
             3 not sealed under the policy  4 sealed by a maker that no policy names
`

func main() {
	verifycmd.LimitMemory()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o verifycmd.Options
	fs := flag.NewFlagSet("holdfast-verify", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.Usage = func() { fmt.Fprint(errs, usage) }
	fs.StringVar(&o.Policy, "policy", "", "")
	fs.StringVar(&o.Node, "node", "", "")
	fs.BoolVar(&o.JSON, "json", false, "")
	fs.BoolVar(&o.All, "all", false, "")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return verifycmd.ExitProven
	case err != nil:
		return verifycmd.ExitUsage
	case fs.NArg() != 1:
		fmt.Fprintf(errs, "holdfast-verify: %d bundles: give one, after the flags\n", fs.NArg())
		fs.Usage()
		return verifycmd.ExitUsage
	}
	o.File = fs.Arg(0)
	return verifycmd.Run(ctx, o, out, errs)
}
