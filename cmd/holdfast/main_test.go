package main

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// TestMain lets the test binary be the program: scripts run it as `holdfast`,
// and the kill test runs its feeder, each in a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": main, "feeder": feeder, "accepter": accepter, "gatherer": gatherer})
}

// TestHelp guards the contract that every command has --help with an example,
// and that a command that was not given enough, or an unknown flag, exits 2.
func TestHelp(t *testing.T) {
	t.Setenv("HOLDFAST_DATA", t.TempDir()+"/none")
	seen := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.Fields(cmd.CommandPath())[1:]
		out, errs, code := call(append(path, "--help")...)
		if code != 0 || !strings.Contains(out, "Examples:\n  holdfast ") || errs != "" {
			t.Errorf("%v --help: exit %d, stderr %q, and its text has no example:\n%s", path, code, errs, out)
		}
		if _, errs, code := call(append(path, "--no-such-flag")...); code != exitUsage || !strings.Contains(errs, "--help") {
			t.Errorf("%v --no-such-flag: exit %d, %q; want 2 and a hint", path, code, errs)
		}
		seen++
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk((&cli{}).root())
	if seen < 20 {
		t.Errorf("only %d commands were seen", seen)
	}
}

// call runs the program in this process.
func call(args ...string) (out, errs string, code int) {
	var o, e strings.Builder
	code = run(context.Background(), args, strings.NewReader(""), &o, &e)
	return o.String(), e.String(), code
}

// TestResultThatCannotBeWritten guards against a list that is cut short by a
// full disk and exits 0 all the same.
func TestResultThatCannotBeWritten(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	var errs strings.Builder
	code := run(context.Background(), []string{"init", "--data", t.TempDir() + "/node"}, strings.NewReader(""), full, &errs)
	if code != exitCould || !strings.Contains(errs.String(), "no space left") {
		t.Errorf("exit %d, %q; want 1 and the reason", code, errs.String())
	}
}
