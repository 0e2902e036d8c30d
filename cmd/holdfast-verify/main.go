// Command holdfast-verify is the verifier alone: one static program that a
// court can be handed. It needs no network, no home directory and no other
// file than the Bundle and, if there is one, the Policy.
//
//	holdfast-verify [--policy FILE] [--node FINGERPRINT] [--report FILE] BUNDLE.zip
//
// When a Bundle is dropped on it on a desktop, it also writes the report beside
// the Bundle.
//
// Exit status: 0 proven · 1 contradicted · 2 usage, missing file, not a ZIP, a
// newer format, or a result that could not be written · 3 not sealed under the
// policy · 4 sealed by a maker that no policy names.
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

// version is set by the linker from `git describe`.
var version = "dev"

const usage = `usage: holdfast-verify [flags] BUNDLE.zip

Checks a holdfast bundle, offline. Examples:
  holdfast-verify --policy office.policy.json 2026-017.zip
  holdfast-verify --node '1A2B 3C4D …' --report report.html 2026-017.zip

  --policy FILE         whom to trust: the file of an office
  --node FINGERPRINT    trust this node of the bundle: its fingerprint, as the letter
                        of the office has it; groups and capitals are fine
  --authority OPERATOR=ROOT
                        trust this timestamp authority too, by the SHA-256 of its
                        root's key; may be given several times
  --report FILE         write the result as a page; --replace if FILE may exist
  --lang TAG            language, such as fr or ar; else that of the system
  --all                 list the checks that passed too
  --json                one JSON object per finding, and a last one
  --drop                as when files are dropped: FILE… may be a bundle and a policy,
                        the report goes beside the bundle
  --version             print the version

exit status: 0 proven  1 contradicted  2 usage, missing, not a ZIP, newer format
             3 not sealed under the policy  4 sealed by a maker that no policy names
`

func main() {
	verifycmd.LimitMemory()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

func run(args []string, in *os.File, out, errs io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	o := verifycmd.Options{Program: "holdfast-verify", Version: version}
	var drop, tell bool
	fs := flags(&o, &drop, &tell, errs)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return verifycmd.ExitProven
	case err != nil:
		return verifycmd.ExitUsage
	case tell:
		if _, err := fmt.Fprintln(out, o.Program, o.Version); err != nil {
			fmt.Fprintf(errs, "holdfast-verify: %v\n", err)
			return verifycmd.ExitUsage
		}
		return verifycmd.ExitProven
	case drop && (o.JSON || o.Report != ""): // its report has a place of its own, and is told of in words
		fmt.Fprintln(errs, "holdfast-verify: --drop goes with neither --json nor --report")
		return verifycmd.ExitUsage
	case drop || verifycmd.Launched(args, os.Getenv):
		return verifycmd.Drop(ctx, fs.Args(), o, in, out, errs)
	case fs.NArg() != 1:
		fmt.Fprintf(errs, "holdfast-verify: %d bundles: give one, after the flags\n", fs.NArg())
		fs.Usage()
		return verifycmd.ExitUsage
	}
	o.File = fs.Arg(0)
	return verifycmd.Run(ctx, o, out, errs)
}

func flags(o *verifycmd.Options, drop, tell *bool, errs io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("holdfast-verify", flag.ContinueOnError)
	fs.SetOutput(errs)
	fs.Usage = func() { fmt.Fprint(errs, usage) }
	fs.StringVar(&o.Policy, "policy", "", "")
	fs.StringVar(&o.Node, "node", "", "")
	fs.Func("authority", "", func(s string) error { o.Authorities = append(o.Authorities, s); return nil })
	fs.StringVar(&o.Report, "report", "", "")
	fs.BoolVar(&o.Replace, "replace", false, "")
	fs.StringVar(&o.Lang, "lang", "", "")
	fs.BoolVar(&o.JSON, "json", false, "")
	fs.BoolVar(&o.All, "all", false, "")
	fs.BoolVar(drop, "drop", false, "")
	fs.BoolVar(tell, "version", false, "")
	return fs
}
