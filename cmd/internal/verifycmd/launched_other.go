//go:build !windows

package verifycmd

import (
	"io/fs"
	"os"

	"golang.org/x/term"
)

// launched: there is a desktop, no stream is a terminal, and nobody collects the
// output in a file or a pipe. A cron job has no desktop.
func launched(env func(string) string) bool {
	if env("DISPLAY") == "" && env("WAYLAND_DISPLAY") == "" {
		return false
	}
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		if term.IsTerminal(int(f.Fd())) {
			return false
		}
	}
	st, err := os.Stdout.Stat()
	return err == nil && !st.Mode().IsRegular() && st.Mode()&fs.ModeNamedPipe == 0
}
