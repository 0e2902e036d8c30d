// Command holdfast records what was public online, seals it, and exports a
// Bundle that a stranger can check. This room alone knows the concrete store,
// queue, catalog and collectors, and joins them; the other rooms do the work.
//
// Every command has --data DIR (or HOLDFAST_DATA), --json (one JSON object per
// line on stdout, logs on stderr) and --help with an example. Exit status is
// part of the contract: see docs/DESIGN.md and each command's help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"holdfast/cmd/internal/engineset"
	"holdfast/cmd/internal/verifycmd"
)

// version is set by the linker from `git describe`.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	verifycmd.LimitMemory()
	noCore()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once, which is safe too
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// noCore keeps this process and the browser that it starts from leaving their
// memory on the disk when they crash: keys, and bodies that are never kept.
func noCore() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }

// Exit codes shared by all commands; verify and capture have more.
const (
	exitDone  = 0
	exitCould = 1 // could not
	exitUsage = 2
)

// exitError carries an exit code; a nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, a ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, a...)}
}

// run is main without the process: tests call it.
func run(ctx context.Context, args []string, in io.Reader, out, errs io.Writer) int {
	w := &resultWriter{w: out}
	c := &cli{in: in, out: w, errs: errs}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(w)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil && w.err != nil {
		err = fmt.Errorf("write the result: %w", w.err)
	}
	if err == nil {
		return exitDone
	}
	code := exitCould
	if e := (*exitError)(nil); errors.As(err, &e) {
		code, err = e.code, e.err
	} else if e := (*engineset.UsageError)(nil); errors.As(err, &e) {
		code, err = exitUsage, e
	}
	if err != nil {
		c.complain(err)
	}
	return code
}

// resultWriter remembers the first error, so that a list cut short by a full
// disk is not taken for the whole one.
type resultWriter struct {
	w   io.Writer
	err error
}

func (w *resultWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "holdfast",
		Short:         "Record what was public online, seal it, and let a court check it",
		Example:       "  holdfast capture https://host/page --case 2026-017 --export 2026-017.zip",
		Version:       version,
		SilenceErrors: true, SilenceUsage: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("no command %.40q; `holdfast --help` lists them", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Help()
			return &exitError{code: exitUsage}
		},
	}
	root.PersistentFlags().StringVar(&c.data, "data", defaultData(), "the node's directory (or HOLDFAST_DATA)")
	root.PersistentFlags().BoolVar(&c.json, "json", false, "one JSON object per line on stdout")
	root.PersistentFlags().BoolVarP(&c.verbose, "verbose", "v", false, "say on stderr what is being done")
	for _, f := range c.asked.Flags() {
		root.PersistentFlags().StringVar(f.URL, f.Name, "", f.Help)
	}
	root.PersistentPreRunE = func(*cobra.Command, []string) (err error) {
		c.asked.FromEnvironment()
		c.asked, err = c.asked.Checked()
		return err
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w; `%s --help` shows how", err, cmd.CommandPath())
	})
	root.AddCommand(c.initCmd(), c.demoCmd(), c.doctorCmd(), c.rebuildCmd(), c.captureCmd(), c.addCmd(), c.listCmd(), c.showCmd(), c.sealCmd(),
		c.authorityCmd(), c.policyCmd(), c.exportCmd(), c.verifyCmd(), c.benchCmd())
	root.AddCommand(c.mirrorCmd(), c.restoreCmd(), c.egressCmd())
	root.AddCommand(c.keyCmd(), c.telegramCmd(), c.sessionCmd())
	root.AddCommand(c.postsCmd(), c.coverageCmd(), c.watchCmd(), c.diffCmd())
	root.AddCommand(c.searchCmd(), c.alertCmd())
	root.AddCommand(c.caseCmd(), c.noteCmd(), c.custodyCmd(), c.taskCmd())
	root.AddCommand(c.holdCmd(), c.auditCmd(), c.eraseCmd(), c.moveCmd(), c.locksCmd())
	root.AddCommand(c.nodeCmd(), c.tokenCmd())
	return root
}
