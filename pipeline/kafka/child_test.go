package kafka_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"holdfast"
	"holdfast/deploy/engines"
	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
)

// role is the environment variable that makes TestChild another process of the
// queue: "<what> <partitions> <directory>".
const role = "HOLDFAST_TEST_KAFKA_ROLE"

func TestChild(t *testing.T) {
	part := strings.SplitN(os.Getenv(role), " ", 3)
	if len(part) != 3 {
		t.Skip("it is another test's process")
	}
	p := place{part[2]}
	var partitions int
	fmt.Sscan(part[1], &partitions)
	q := p.queue(t, partitions)
	switch part[0] {
	case "work":
		must(t, p.work(t.Context(), t, q))
	case "paused":
		paused(t, q)
	}
}

// process is a child; what it prints comes line by line.
type process struct {
	*exec.Cmd
	t     *testing.T
	in    *os.File
	lines chan string
}

func (p place) start(t *testing.T, what string, partitions int) *process {
	t.Helper()
	c := &process{Cmd: exec.Command(os.Args[0], "-test.run=^TestChild$", "-test.timeout=10m"), t: t, lines: make(chan string, 100)}
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", role, what, partitions, p.dir))
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	must(t, err)
	r, w, err := os.Pipe()
	must(t, err)
	c.Stdin, c.in = r, w
	must(t, c.Start())
	r.Close()
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			if testing.Verbose() {
				fmt.Fprintf(os.Stderr, "child %d: %s\n", c.Process.Pid, s.Text())
			}
			select {
			case c.lines <- s.Text():
			default:
			}
		}
	}()
	t.Cleanup(c.kill)
	return c
}

func (c *process) kill() {
	c.Process.Signal(syscall.SIGCONT)
	c.Process.Kill()
	c.Wait()
	c.in.Close()
}

func (c *process) line(within time.Duration) string {
	c.t.Helper()
	select {
	case l := <-c.lines:
		return l
	case <-time.After(within):
		c.t.Fatalf("the child says nothing in %s", within)
		return ""
	}
}

// paused takes partition 0 of preserve, says so, waits for a line, and then moves the
// stage, whatever has become of its ownership.
func paused(t *testing.T, q *kafka.Queue) {
	ended := errors.New("ended")
	err := q.Share(t.Context(), pipeline.StagePreserve, func(ctx context.Context, partition int) error {
		from, err := q.Position(ctx, pipeline.StagePreserve, partition)
		must(t, err)
		fmt.Printf("at %d\n", from)
		bufio.NewReader(os.Stdin).ReadString('\n')
		err = q.Advance(context.WithoutCancel(ctx), pipeline.Ack{Stage: pipeline.StagePreserve, Partition: partition, From: from, To: from + 3},
			pipeline.Message{Body: []byte("of the stale owner")})
		fmt.Printf("stale %v: %v\n", errors.Is(err, pipeline.ErrStale), err)
		return ended
	})
	t.Log(err)
}

// TestStaleOwner: a process that was paused for longer than its session, and does not
// know that another has its partition, cannot move the stage. The other has not moved
// it either, so nothing but the broker can tell.
func TestStaleOwner(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	_, err := q.Publish(t.Context(), nil, captures(t, 10, 100)...)
	must(t, err)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 10}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, To: 2}))
	c := p.start(t, "paused", 1)
	if l := c.line(30 * time.Second); l != "at 2" {
		t.Fatalf("child says %q", l)
	}
	if err := q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, From: 2, To: 4}); !errors.Is(err, pipeline.ErrStale) {
		t.Errorf("moved by who does not own it: %v", err)
	}
	must(t, c.Process.Signal(syscall.SIGSTOP))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	mine, over := make(chan struct{}), make(chan error, 1)
	go func() {
		over <- q.Share(ctx, pipeline.StagePreserve, func(ctx context.Context, _ int) error {
			close(mine)
			<-ctx.Done()
			return nil
		})
	}()
	select {
	case <-mine:
	case <-time.After(30 * time.Second):
		t.Fatal("the partition of a process that shows no sign of life was not given to another")
	}
	must(t, c.Process.Signal(syscall.SIGCONT))
	fmt.Fprintln(c.in)
	if l := c.line(30 * time.Second); !strings.HasPrefix(l, "stale true") {
		t.Errorf("the stale owner moved the stage: %q", l)
	} else {
		t.Log(l)
	}
	at, err := q.Position(t.Context(), pipeline.StagePreserve, 0)
	must(t, err)
	if at != 2 {
		t.Errorf("preserve is at %d, and nobody who owns it moved it", at)
	}
	c.kill()
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, From: 2, To: 5})) // the owner can
	stop()
	if err := <-over; !errors.Is(err, context.Canceled) {
		t.Errorf("share ended with %v", err)
	}
}

// TestTwoProcesses: captures are published while processes come, are killed, are
// paused for longer than a session and wake up: partitions change hands in the middle
// of batches.
func TestTwoProcesses(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 3)
	accepted := publishing(t, q, 4, 10, 20*time.Millisecond)
	a := p.start(t, "work", 3)
	further(t, q, 200)
	b := p.start(t, "work", 3) // a rebalance while a works
	time.Sleep(3 * time.Second)
	further(t, q, 200)
	a.Process.Signal(syscall.SIGSTOP) // for longer than the session
	time.Sleep(5 * time.Second)
	further(t, q, 200)
	a.Process.Signal(syscall.SIGCONT) // it goes on in the middle of what it did
	further(t, q, 200)
	b.kill()
	further(t, q, 200)
	p.start(t, "work", 3)
	further(t, q, 200)
	a.kill()
	further(t, q, 200)
	all := accepted()
	settled(t, q, time.Minute)
	if p.once(t, all); len(all) < 500 {
		t.Errorf("only %d captures: the test shows little", len(all))
	}
}

// further waits until preserve has done n more.
func further(t *testing.T, q *kafka.Queue, n int64) {
	t.Helper()
	count := func() (sum int64) {
		all, err := q.Lag(t.Context())
		if err != nil {
			return 0
		}
		for _, l := range all {
			if l.Stage == pipeline.StagePreserve {
				sum += l.Done
			}
		}
		return sum
	}
	from := count()
	for end := time.Now().Add(time.Minute); count() < from+n; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("preserve is at %d, and was at %d a minute ago", count(), from)
		}
	}
}

// publishing publishes n captures at a time from some goroutines until the returned
// func is called, which returns what was accepted. Who gets no answer asks again.
func publishing(t *testing.T, q pipeline.Publisher, publishers, n int, pause time.Duration) func() map[holdfast.ID]bool {
	ctx, stop := context.WithCancel(t.Context())
	var mu sync.Mutex
	accepted := map[holdfast.ID]bool{}
	var wg sync.WaitGroup
	for range publishers {
		wg.Go(func() {
			for ctx.Err() == nil {
				m := captures(t, n, 1000)
				_, err := q.Publish(t.Context(), nil, m...)
				for ; errors.Is(err, pipeline.ErrUnavailable); _, err = q.Publish(t.Context(), nil, m...) {
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, k := range m {
					accepted[k.ID] = true
				}
				mu.Unlock()
				time.Sleep(pause)
			}
		})
	}
	return func() map[holdfast.ID]bool {
		stop()
		wg.Wait()
		return accepted
	}
}
