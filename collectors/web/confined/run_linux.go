package confined

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// start starts the program in a PID namespace, and without one where the system has none
// for us; done gets its end. The thread that starts it stays until then: with it the
// system would end the program, as it does when this process dies.
func (r *run) start(done chan<- error) error {
	started := make(chan error)
	go func() { // ends with the program
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var err error
		for _, alone := range []bool{true, false} {
			r.cmd = r.command()
			r.confine(alone && !r.p.plain)
			if err = r.cmd.Start(); err == nil {
				break
			}
		}
		if err == nil {
			r.limit()
		}
		started <- err
		if err == nil {
			done <- r.cmd.Wait()
		}
	}()
	return <-started
}

// confine is for what Into may have set, too. A user's namespace is needed for that of
// the PIDs by whoever is not root; its user is himself in it, and nobody else is.
func (r *run) confine(alone bool) {
	if r.cmd.SysProcAttr == nil {
		r.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	a := r.cmd.SysProcAttr
	a.Setpgid, a.Pdeathsig = true, syscall.SIGKILL
	if !alone {
		return
	}
	a.Cloneflags |= syscall.CLONE_NEWPID
	if uid, gid := os.Geteuid(), os.Getegid(); uid != 0 {
		a.Cloneflags |= syscall.CLONE_NEWUSER
		a.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		a.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	}
}

// limit has the system refuse what is beyond the size of a file, and memory's image on
// the disk. A program that is quick may have written by then: written sees that.
func (r *run) limit() {
	pid := r.cmd.Process.Pid
	most := uint64(max(r.p.Bytes, 1))
	_ = unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: most, Max: most}, nil) // written() sees it later
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
}

// kill is for while the program runs: its number is no other group's.
func (r *run) kill() {
	_ = syscall.Kill(-r.cmd.Process.Pid, syscall.SIGKILL)
	end(r.processes())
}

func end(pids []int) {
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is fine
	}
}

// signalled says why a signal ended it that we did not send; nil is that none did.
func signalled(exit *exec.ExitError) error {
	s, ok := exit.Sys().(syscall.WaitStatus)
	switch {
	case !ok || !s.Signaled():
		return nil
	case s.Signal() == syscall.SIGXFSZ:
		return fmt.Errorf("%w: one file", ErrBytes)
	}
	return fmt.Errorf("%w: %v", ErrSignal, s.Signal())
}

// sweep ends what outlived the program, until nothing is found.
func (r *run) sweep() {
	for range 50 {
		left := r.processes()
		if len(left) == 0 {
			return
		}
		r.left = max(r.left, len(left))
		end(left)
		time.Sleep(10 * time.Millisecond)
	}
}

// processes are those with the mark of the program. A zombie has none.
func (r *run) processes() (pids []int) {
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		env, err := os.ReadFile("/proc/" + d.Name() + "/environ")
		if errors.Is(err, os.ErrPermission) {
			continue // another user's
		}
		if slices.ContainsFunc(bytes.Split(env, []byte{0}), func(v []byte) bool { return string(v) == r.mark }) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// memory is that of all its processes, without what is a file's.
func (r *run) memory() (sum int64) {
	for _, pid := range r.processes() {
		sum += Memory(pid)
	}
	return sum
}
