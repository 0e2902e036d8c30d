// Package verifycmd is `holdfast verify` and the whole of `holdfast-verify`: it
// reads a Bundle and a Policy, prints the Findings in the reader's language and
// maps the verdict to an exit code.
//
// It opens the two files that it is given. If a report is asked for, it also
// reads the program that it is, to name its SHA-256, and writes the report.
// Nothing else: no home directory, no settings, no network.
package verifycmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"holdfast"
	"holdfast/messages"
)

// Exit codes of verify, a contract.
const (
	ExitProven       = 0
	ExitContradicted = 1
	ExitUsage        = 2 // usage, missing file, not a ZIP, a newer format, or the result or report could not be written
	ExitUnsealed     = 3
	ExitUnattributed = 4
)

// Options are the command's arguments.
type Options struct {
	File        string
	Policy      string   // file; "" uses [Builtin]
	Node        string   // fingerprint of a node entry in the Bundle; see [Fingerprint]
	Authorities []string // OPERATOR=ROOT, each joins the Policy
	JSON        bool
	All         bool   // print the passed checks, and every line of the others
	Lang        string // BCP 47 tag or locale; "" is the system's
	Report      string // file to write a page for people to; "" is none
	Replace     bool   // Report may exist
	beside      bool   // the report goes beside the Bundle; see [Drop]

	// Program and Version are named in the report.
	Program, Version string
	// Env reads the environment; nil is [os.Getenv].
	Env func(string) string
	// Progress is told the bytes hashed; nil when nobody watches.
	Progress func(done, total int64)
}

// check is one check that was made: what was asked, and what came out.
type check struct {
	Options
	*messages.Catalogue
	trust  *trust
	at     time.Time
	size   int64
	report *holdfast.Report
}

// Run verifies and prints, findings on out and errors on errs.
func Run(ctx context.Context, o Options, out, errs io.Writer) int {
	if o.Env == nil {
		o.Env = os.Getenv
	}
	c, err := o.check(ctx, out)
	if err != nil {
		complain(errs, c, err)
	}
	return c.code(err)
}

// check verifies, writes the report and prints. The check that it returns with
// an error has its language at best.
func (o Options) check(ctx context.Context, out io.Writer) (*check, error) {
	c := &check{Options: o, at: time.Now()}
	var err error
	if c.Catalogue, err = o.open(); err != nil {
		return c, err
	}
	if c.trust, err = trusted(o); err != nil {
		return c, err
	}
	f, err := os.Open(o.File)
	if err != nil {
		return c, fmt.Errorf("open bundle: %w", err)
	}
	defer f.Close()
	if err := c.verify(ctx, f); err != nil {
		return c, err
	}
	w := bufio.NewWriter(out) // keeps the first error: a verdict on a full disk is none
	if o.JSON {
		c.printJSON(w)
	} else {
		c.printText(w)
	}
	err = c.writeReport(f, w)
	if full := w.Flush(); full != nil {
		err = errors.Join(err, fmt.Errorf("write the result: %w", full))
	}
	return c, err
}

func (c *check) verify(ctx context.Context, f *os.File) error {
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: give the .zip itself", c.File)
	}
	if err != nil {
		return fmt.Errorf("open bundle: %w", err)
	}
	if err := c.mayWriteReport(st); err != nil {
		return err
	}
	c.size = st.Size()
	limit(verifyLimit)
	report, err := holdfast.Verify(ctx, f, c.size, c.trust.policy, holdfast.VerifyOptions{Node: c.trust.node, Progress: c.Progress})
	if now, e := f.Stat(); e != nil || now.Size() != st.Size() || !now.ModTime().Equal(st.ModTime()) {
		return fmt.Errorf("verify %s: the file was changed while it was read, so nothing is said of it: wait until it is whole, and verify it again", c.File)
	}
	if err != nil {
		return fmt.Errorf("verify %s: %w%s", c.File, err, hint(err))
	}
	c.report = report
	return nil
}

// code is the exit code. A result or report that could not be written hides no
// contradiction.
func (c *check) code(err error) int {
	if c.report == nil || err != nil && c.report.Verdict != holdfast.VerdictContradicted {
		return ExitUsage
	}
	return Exit(c.report.Verdict)
}

// complain says why there is no verdict, or that it or the report is not written.
func complain(errs io.Writer, c *check, err error) {
	if c != nil && c.Catalogue != nil {
		for cause, key := range map[error]string{holdfast.ErrNotBundle: "verify.notbundle", holdfast.ErrNewer: "verify.newer"} {
			if errors.Is(err, cause) && c.Tag() != "en" {
				fmt.Fprintln(errs, c.Text(key, nil))
			}
		}
	}
	fmt.Fprintf(errs, "holdfast: %s\n", messages.Visible(err.Error()))
}

func hint(err error) string {
	if errors.Is(err, holdfast.ErrNotBundle) {
		return "; a bundle is the .zip that `holdfast export` writes, not one of the files in it"
	}
	return ""
}

// Exit maps a verdict to its exit code.
func Exit(v holdfast.Verdict) int {
	switch v {
	case holdfast.VerdictProven:
		return ExitProven
	case holdfast.VerdictUnsealed:
		return ExitUnsealed
	case holdfast.VerdictUnattributed:
		return ExitUnattributed
	}
	return ExitContradicted
}
