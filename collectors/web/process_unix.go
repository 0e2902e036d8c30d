//go:build unix

package web

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts the browser and its helpers in a process group of their own,
// so that Ctrl-C reaches us first and kill reaches them all.
func ownGroup(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func kill(c *exec.Cmd) { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) } // gone already is fine

func isRoot() bool { return os.Geteuid() == 0 }
