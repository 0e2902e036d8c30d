// Package engines starts the real servers that an office of more than one machine runs
// (Apache Kafka, MinIO, versitygw, PostgreSQL), and a private Tor network, for tests, and ends them.
//
// deploy/engines/install puts their programs into a folder; the environment's
// HOLDFAST_ENGINES names it. Without it each function here skips the test that asks. Every
// server gets a folder and ports of its own, on 127.0.0.1, so that packages that are
// tested side by side do not meet. It is killed when its test ends, and by the kernel when
// the test's process dies. Starting one takes from half a second (PostgreSQL, MinIO) to
// two (a broker) and seven (three brokers) on an idle machine: a test that asks for one
// runs what it has to say as subtests, each with a bucket, a database or topics of its own.
//
// The methods may be called by several goroutines; those that end or start one server at a
// time, not.
package engines

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// folder is where the engines are installed, with what one of them must have in it.
func folder(t testing.TB, needs string) string {
	t.Helper()
	dir := os.Getenv("HOLDFAST_ENGINES")
	if dir == "" {
		t.Skip("HOLDFAST_ENGINES names no folder (deploy/engines/install makes it, and --where prints it)")
	}
	if _, err := os.Stat(filepath.Join(dir, needs)); err != nil {
		t.Fatalf("HOLDFAST_ENGINES=%s has no %s: run deploy/engines/install", dir, needs)
	}
	return dir
}

// scratch is a folder that goes when the test does; another user may own it.
func scratch(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "engines-"+name+"-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// port is one that nothing listens on, below those that the kernel gives to connections
// that go out: between this and the server's own start only another test may take it.
func port(t testing.TB) int {
	t.Helper()
	for range 200 {
		p := 10240 + rand.IntN(20000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p)); err == nil {
			_ = l.Close()
			return p
		}
	}
	t.Fatal("find a free port: none of 200")
	return 0
}

// server is one process that can be ended and started again with the same arguments.
type server struct {
	name string
	args []string
	env  []string
	dir  string
	user *syscall.Credential // nil: as this process
	stop syscall.Signal      // what the kernel sends it when this process dies

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

func (s *server) log() string { return filepath.Join(s.dir, s.name+".log") }

// start begins the process and does not wait until it answers.
func (s *server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		return fmt.Errorf("start %s: it runs already", s.name)
	}
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	defer log.Close()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = append(os.Environ(), s.env...), s.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: s.stop, Credential: s.user}
	begun, done := make(chan error), make(chan struct{})
	// The kernel tells a child of the death of the thread that began it, so that thread
	// is kept as long as the child is there.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(done)
		err := cmd.Start()
		begun <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-begun; err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	s.cmd, s.done = cmd, done
	return nil
}

func (s *server) running() bool {
	if s.cmd == nil {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// end sends the signal and waits until the process is gone.
func (s *server) end(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		_ = s.cmd.Process.Signal(sig)
		<-s.done
	}
}

// signal sends one and waits for nothing.
func (s *server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running() {
		_ = s.cmd.Process.Signal(sig)
	}
}

// pause stops the server, and returns when each of its threads stands: until then one
// may still answer.
func (s *server) pause() {
	s.signal(syscall.SIGSTOP)
	for begun := time.Now(); !s.stands() && time.Since(begun) < 5*time.Second; {
		time.Sleep(time.Millisecond)
	}
}

func (s *server) stands() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.cmd.Process.Pid))
	for _, name := range threads {
		b, err := os.ReadFile(name)
		_, state, ok := strings.Cut(string(b), ") ") // behind the program's name
		if err == nil && ok && !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// await asks until the server answers, it ends, or two minutes are over.
func (s *server) await(ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := ask(one)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return fmt.Errorf("%s ended: %s", s.name, s.said())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w; it says: %s", s.name, err, s.said())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// said is the end of what the server wrote.
func (s *server) said() string {
	data, err := os.ReadFile(s.log())
	if err != nil {
		return err.Error()
	}
	return "\n" + strings.TrimSpace(string(data[max(0, len(data)-4096):]))
}

// must starts the server, has it ended with the test, and waits until it answers.
func (s *server) must(t testing.TB, ask func(context.Context) error) {
	t.Helper()
	t.Cleanup(func() {
		s.end(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("%s says at the end: %s", s.name, s.said())
		}
	})
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := s.await(ask); err != nil {
		t.Fatal(err)
	}
}
