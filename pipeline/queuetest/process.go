package queuetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
)

// role is the environment variable that makes a test binary a child process:
// "<what> <number> <directory>".
const role = "HOLDFAST_QUEUETEST"

// Main runs the role of a child process, if this is one, and then exits. Call it
// first in TestMain.
func Main(open Open) {
	part := strings.SplitN(os.Getenv(role), " ", 3)
	if len(part) != 3 {
		return
	}
	n, err := strconv.Atoi(part[1])
	if err == nil {
		err = child(open, part[0], n, part[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "queuetest child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(open Open, what string, n int, dir string) error {
	ctx := context.Background()
	q, err := open(ctx, dir, nil)
	if err != nil {
		return err
	}
	defer q.Close()
	switch what {
	case "consume":
		return consume(ctx, q, int64(n))
	case "work":
		return work(ctx, q)
	}
	done := make(chan error)
	for range 4 { // concurrent publishers in each process
		go func() { done <- publishAll(ctx, q, n/4) }()
	}
	for range 4 {
		if e := <-done; e != nil {
			err = e
		}
	}
	return err
}

// publishAll prints each message only after it was acknowledged, in one write.
func publishAll(ctx context.Context, q Queue, n int) error {
	for done := 0; done < n; {
		m := messages(1 + rand.IntN(3))
		at, err := q.Publish(ctx, nil, m...)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		for i := range m {
			fmt.Fprintf(&b, "%s %d\n", m[i].ID, at[i])
		}
		if _, err := os.Stdout.Write(b.Bytes()); err != nil {
			return err
		}
		done += len(m)
	}
	return nil
}

// consume moves normalise to the end n and prints what it saw before each move.
func consume(ctx context.Context, q Queue, n int64) error {
	for at := int64(0); at < n; {
		got, err := q.Receive(ctx, pipeline.StageNormalise, 0, at, pipeline.Bounds{Count: 50})
		if err != nil {
			return err
		}
		for _, m := range got {
			if at++; m.Position != at || m.Damaged || !bytes.Equal(m.Body, Body(m.ID)) {
				return fmt.Errorf("position %d: got %d", at, m.Position)
			}
		}
		if err := q.Advance(ctx, pipeline.Ack{Stage: pipeline.StageNormalise, From: at - int64(len(got)), To: at}); err != nil {
			return err
		}
	}
	return nil
}

type process struct {
	*exec.Cmd
	out    heard
	err    bytes.Buffer
	exited chan struct{} // closed when it has ended, with ended
	ended  error
}

// Wait may be called more than once.
func (p *process) Wait() error {
	<-p.exited
	return p.ended
}

// heard is what a child has printed; first is closed when there is something. The
// buffer is not embedded: its ReadFrom would be taken in place of Write.
type heard struct {
	b     bytes.Buffer
	first chan struct{}
}

func (h *heard) Write(b []byte) (int, error) {
	if h.b.Len() == 0 {
		close(h.first)
	}
	return h.b.Write(b)
}

// kill waits for a random instant after the child's first line, or for at most 20 s,
// since it may have nothing to say.
func (p *process) kill(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case <-p.out.first:
	case <-p.exited:
	case <-time.After(20 * time.Second):
	}
	time.Sleep(rand.N(within))
	if err := p.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
		must(t, err)
	}
	p.Wait()
	if p.err.Len() > 0 {
		t.Fatalf("child: %s", p.err.String())
	}
}

func start(t *testing.T, what string, n int, dir string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0]), out: heard{first: make(chan struct{})}, exited: make(chan struct{})}
	p.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", role, what, n, dir))
	p.Stdout, p.Stderr = &p.out, &p.err
	must(t, p.Start())
	go func() {
		defer close(p.exited)
		p.ended = p.Cmd.Wait()
	}()
	return p
}

// acked parses whole lines only: the last one of a killed process may be torn.
func (p *process) acked(t *testing.T, into map[holdfast.ID]int64) {
	t.Helper()
	whole := p.out.b.Bytes()[:bytes.LastIndexByte(p.out.b.Bytes(), '\n')+1]
	for sc := bufio.NewScanner(bytes.NewReader(whole)); sc.Scan(); {
		id, at, _ := strings.Cut(sc.Text(), " ")
		n, err := strconv.ParseInt(at, 10, 64)
		must(t, err)
		if into[holdfast.ID(id)] != 0 {
			t.Fatalf("%s was acknowledged twice", id)
		}
		into[holdfast.ID(id)] = n
	}
}

// there checks that each acknowledged message is there once, where it was said.
func there(t *testing.T, q Queue, acked map[holdfast.ID]int64) []pipeline.Message {
	t.Helper()
	got := all(t, q, pipeline.StageNormalise)
	seen := map[holdfast.ID]bool{}
	for _, m := range got {
		if seen[m.ID] {
			t.Fatalf("%s is there twice", m.ID)
		}
		seen[m.ID] = true
		if at := acked[m.ID]; at != 0 && at != m.Position {
			t.Fatalf("%s is at %d and was acknowledged at %d", m.ID, m.Position, at)
		}
		if !bytes.Equal(m.Body, Body(m.ID)) {
			t.Fatalf("%s has other bytes", m.ID)
		}
	}
	for id := range acked {
		if !seen[id] {
			t.Fatalf("%s was acknowledged and is lost", id)
		}
	}
	return got
}

// processes: two publish and one consumes at the same time.
func (s suite) processes(t *testing.T) {
	q, dir := s.fresh(t)
	const n = 200
	all := []*process{start(t, "publish", n, dir), start(t, "publish", n, dir), start(t, "consume", 2*n, dir)}
	acked := map[holdfast.ID]int64{}
	for _, p := range all {
		if err := p.Wait(); err != nil {
			t.Fatalf("child: %v\n%s", err, p.err.String())
		}
		p.acked(t, acked)
	}
	same(t, "messages", len(there(t, q, acked)), len(acked)) // nobody died: nothing is there that was not acknowledged
	at, err := q.Position(t.Context(), pipeline.StageNormalise, 0)
	must(t, err)
	if at < 2*n {
		t.Fatalf("consumer is at %d", at)
	}
}

// killed: publishers die by SIGKILL at random instants, two at a time.
func (s suite) killed(t *testing.T) {
	q, dir := s.fresh(t)
	rounds := 6
	if os.Getenv("HOLDFAST_LONG") == "1" {
		rounds = 100
	}
	acked := map[holdfast.ID]int64{}
	for range rounds {
		a, b := start(t, "publish", 1<<30, dir), start(t, "publish", 1<<30, dir)
		for _, p := range []*process{a, b} {
			p.kill(t, 90*time.Millisecond)
			p.acked(t, acked)
		}
		publish(t, q, messages(1)...) // whoever is left can go on at once
	}
	got := there(t, q, acked)
	t.Logf("%d messages, %d acknowledged to killed publishers", len(got), len(acked))
	if len(acked) == 0 {
		t.Fatal("nothing was acknowledged before the kills: the test shows nothing")
	}
}
