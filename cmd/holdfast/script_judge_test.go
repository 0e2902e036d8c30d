package main

import (
	"os/exec"

	"github.com/rogpeppe/go-internal/testscript"
)

// judgeCommands adds `verifier DIR`: DIR gets holdfast-verify and nothing else.
func judgeCommands(cmds map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	cmds["verifier"] = func(ts *testscript.TestScript, neg bool, args []string) {
		ts.Check(ts.Exec("mkdir", args[0]))
		cmd := exec.Command("go", "build", "-o", ts.MkAbs(args[0])+"/holdfast-verify", "../holdfast-verify")
		cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("build holdfast-verify: %v\n%s", err, b)
		}
	}
	return cmds
}
