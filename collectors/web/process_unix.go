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

// tryLock takes f for this process and says whether it got it. The lock ends
// with the process, however it ends.
func tryLock(f *os.File) bool {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}
