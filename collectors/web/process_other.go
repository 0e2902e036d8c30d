//go:build !unix

package web

import (
	"os"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

func kill(c *exec.Cmd) { _ = c.Process.Kill() } // gone already is fine

func isRoot() bool { return false }

// tryLock never gets a lock but its owner's: nothing is swept on these systems.
func tryLock(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Size() == 0 && f.Truncate(1) == nil
}
