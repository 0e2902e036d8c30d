package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/cmd/internal/cputime"
	"holdfast/cmd/internal/telegrambench"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/filelock"
	"holdfast/pipeline"
)

// benchMessages is how many messages the channel of `bench telegram` has.
const benchMessages = 20_000

// What is done with Telegram's answers is measured against a service in a process of
// its own, over loopback, on the same cores. On the real network the service's limits
// decide.

func (c *cli) benchAnswers(count int) error {
	rate, limit, err := telegrambench.Answers(count)
	if err != nil {
		return err
	}
	c.figure("answers", rate, "messages per CPU-second, decoded and hashed, in memory", rate/limit, fmt.Sprintf("gotd's decoder alone (%.0f); the budget is 65,000", limit))
	return nil
}

// benchHistory times a channel's history from the first question to sealed and
// durable, the index off, the service itself on the same cores.
func (c *cli) benchHistory(ctx context.Context, count int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := c.startService(ctx, telegrambench.World{Messages: count})
	if err != nil {
		return err
	}
	defer s.Close()
	l, _, err := ownLine(ctx, s.Up)
	if err != nil {
		return err
	}
	defer l.end()
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	n, err := c.benchNode(ctx, dir)
	if err != nil {
		return err
	}
	defer n.Close()
	kept, all, err := n.timeHistory(ctx, l.by, count)
	if err != nil {
		return err
	}
	m := float64(count)
	rate := m / all.Wall.Seconds()
	c.figure("history", rate, "messages/s, first question to sealed, loopback", rate/20_000, fmt.Sprintf("the budget of 20,000 (by the wall clock; kept, while others were sealed, %.0f)", m/kept.Wall.Seconds()))
	rate = m / all.CPU.Seconds()
	c.figure("history", rate, "messages per CPU-second, first question to sealed, loopback", rate/20_000, "the budget of 20,000 (without the service's own work)")
	return nil
}

// timeHistory captures @harbour and seals it meanwhile.
func (n *node) timeHistory(ctx context.Context, by collectors.Collector, count int) (kept, all cputime.Span, err error) {
	ids, err := n.queue.AddTasks(ctx, pipeline.Task{Source: "telegram:@harbour", Case: n.set.Unfiled, Options: []byte("{}")})
	if err != nil {
		return kept, all, err
	}
	unlock, err := filelock.Wait(ctx, n.path("preserve.lock"))
	if err != nil {
		return kept, all, err
	}
	s, err := n.startSealing(ctx, unlock)
	if err != nil {
		return kept, all, err
	}
	defer s.Close()
	want := 1 + (count+telegrambench.PageSize-1)/telegrambench.PageSize // the channel, and its pages
	r := roundOf(n, by)
	all.Add(func() {
		work, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- s.sealAll(work, n, ids[0], want) }()
		kept.Add(func() {
			r.run(ctx, []wish{{id: ids[0]}})
			r.names.end(ctx)
		})
		if r.stopped != nil || len(r.got) != want {
			stop()
		}
		err = <-ended
		stop()
	})
	for _, g := range r.got {
		if g.outcome != collectors.Complete {
			return kept, all, fmt.Errorf("capture %s is %s: %v", g.id, g.outcome, g.reasons)
		}
	}
	if r.stopped != nil || len(r.got) != want {
		return kept, all, errors.Join(fmt.Errorf("%d captures of %d", len(r.got), want), r.stopped)
	}
	return kept, all, err
}

// sealAll seals until so many captures of a Task are sealed.
func (s *sealing) sealAll(ctx context.Context, n *node, task holdfast.ID, want int) error {
	open := map[holdfast.ID]bool{}
	for step := range want {
		open[holdfast.CaptureID(task, uint64(step), 0)] = true
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	p := s.preserve(n)
	p.Sealed = func(o pipeline.Outcome) {
		for _, id := range o.Captures {
			if o.State == pipeline.StateSealed {
				delete(open, id)
			}
		}
		if len(open) == 0 {
			stop()
		}
	}
	g, work := errgroup.WithContext(work)
	g.Go(func() error { return (&pipeline.Normalise{Queue: n.queue, By: n.normalisers()}).Run(work) })
	g.Go(func() error { return p.Run(work) })
	if err := g.Wait(); len(open) > 0 {
		return fmt.Errorf("%d of %d captures were not sealed: %w", len(open), want, err)
	}
	return nil
}

// drain seals what is in the queue and returns how many captures and Events that
// were.
func (s *sealing) drain(ctx context.Context, n *node) (sealed int, err error) {
	p := s.preserve(n)
	p.Sealed = func(o pipeline.Outcome) {
		if o.State == pipeline.StateSealed {
			sealed += len(o.Captures)
		}
	}
	err = p.Drain(ctx)
	return sealed, err
}

func (c *cli) benchServiceCmd() *cobra.Command {
	cmd := command("service", "The service that `bench telegram` asks, in a process of its own", "holdfast bench service </dev/null", cobra.NoArgs,
		func(*cobra.Command, []string) error { return telegrambench.Serve(c.in, c.out) })
	cmd.Hidden = true
	return cmd
}

// startService starts that process, until it is closed.
func (c *cli) startService(ctx context.Context, of telegrambench.World) (*telegrambench.Service, error) {
	cmd, err := thisProgram(ctx, c.errs, "bench", "service")
	if err != nil {
		return nil, err
	}
	return telegrambench.Start(cmd, of)
}

// thisProgram is a process of this program; what is set for a node in the
// environment does not reach it.
func thisProgram(ctx context.Context, errs io.Writer, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Args[0], cmd.Stderr = "holdfast", errs // by its name, as a test's binary goes by it too
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	return cmd, nil
}

// roundOf is a round with one Collector for everything, of which nothing is told.
func roundOf(n *node, by collectors.Collector) *round {
	return &round{n: n, by: map[string]collectors.Collector{"http": by, "https": by, "telegram": by}, told: func(captured) {}, later: func(captured) {},
		intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
}

// ownLine is a Line to a Telegram of one's own, until its end. Nothing that is
// set for a node, or in the environment, leads it elsewhere.
func ownLine(ctx context.Context, up telegrambench.Up) (*openLine, *telegram.Line, error) {
	l := &openLine{account: "a1", done: make(chan struct{})}
	at, stop, err := up.Line(ctx, l.account, func(err error) { l.err = err; close(l.done) })
	if err != nil {
		return nil, nil, err
	}
	l.stop, l.by = stop, telegram.NewCollector(telegram.CollectorOptions{Line: at, Training: true})
	return l, at, nil
}

// end ends it.
func (l *openLine) end() {
	l.stop()
	<-l.done
}
