package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/klog/v2"

	"holdfast/cmd/internal/engineset"
	"holdfast/messages"
	"holdfast/vault"
)

// cli is one run of the program: its streams and the flags of every command.
type cli struct {
	in      io.Reader
	out     io.Writer
	errs    io.Writer
	data    string
	json    bool
	verbose bool

	metrics, role string // of --metrics, and what the process is called there

	asked engineset.URLs // by --queue, --store and --catalog, or the environment

	restoring bool         // this run is the restore that has not finished the node
	keys      *vault.Vault // of data, once it is needed
}

// defaultData is HOLDFAST_DATA, or a folder where this user's programs keep
// their data.
func defaultData() string {
	if d := os.Getenv("HOLDFAST_DATA"); d != "" {
		return d
	}
	if d := os.Getenv("XDG_DATA_HOME"); d != "" {
		return filepath.Join(d, "holdfast")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "holdfast-data"
	}
	return filepath.Join(home, ".local", "share", "holdfast")
}

// complain tells a person what went wrong: no capital, no full stop, the hint
// that the error carries, control characters from outside made visible.
func (c *cli) complain(err error) {
	fmt.Fprintf(c.errs, "holdfast: %s\n", messages.Visible(err.Error()))
}

// log writes warnings to stderr, and everything with --verbose.
func (c *cli) log() *slog.Logger {
	level := slog.LevelWarn
	if c.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(c.errs, &slog.HandlerOptions{Level: level}))
	klog.SetSlogLogger(log) // Tessera's logger is a global of its own
	return log
}

// say prints a line for people, or with --json the object.
func (c *cli) say(object any, format string, a ...any) {
	if c.json {
		if object != nil {
			json.NewEncoder(c.out).Encode(object)
		}
		return
	}
	fmt.Fprintf(c.out, format+"\n", a...)
}

// onTerminal reports whether progress would be seen: stderr is a terminal.
func (c *cli) onTerminal() bool {
	f, ok := c.errs.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// command fills in what every command has. Wrong arguments are usage errors.
func command(use, short, example string, args cobra.PositionalArgs, do func(cmd *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Example: "  " + example, RunE: do, DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, a []string) error {
			if err := args(cmd, a); err != nil {
				return usageError("%w; `%s --help` shows how", err, cmd.CommandPath())
			}
			return nil
		}}
}

// group is a command that only holds others.
func group(use, short, example string, sub ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Example: "  " + example, RunE: func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usageError("no command %.40q; `%s --help` lists them", args[0], cmd.CommandPath())
		}
		cmd.Help()
		return &exitError{code: exitUsage}
	}}
	g.AddCommand(sub...)
	return g
}
