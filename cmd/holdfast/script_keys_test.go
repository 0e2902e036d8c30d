package main

import (
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// keysCommands are those of the scripts about keys.
func keysCommands(in map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	in["now"] = cmdNow
	return in
}

// cmdNow is `now NAME`: $NAME becomes the time, cut to the second.
func cmdNow(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], time.Now().UTC().Format(time.RFC3339))
}
