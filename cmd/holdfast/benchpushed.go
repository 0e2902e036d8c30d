package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"holdfast/cmd/internal/telegrambench"
	"holdfast/collectors/telegram/accounts"
)

// benchPushed watches so many channels with `watch run` in a process of its own, and
// times posts from the moment they are made, in the service's process, to the line
// that says that they are sealed: push, question, answer, queue, index, Seal. The
// authorities are in this process.
func (c *cli) benchPushed(ctx context.Context, channels, count int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := c.startService(ctx, telegrambench.World{Channels: channels})
	if err != nil {
		return err
	}
	defer s.Close()
	dir, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, err := c.benchWatches(ctx, dir, s, channels)
	if err != nil {
		return err
	}
	cmd, err := thisProgram(ctx, c.errs, "watch", "run", "--json")
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start watch run: %w", err)
	}
	lines := telegrambench.Read(out)
	begun := time.Now()
	took, err := lines.Follow(s, channels, count, func() { begun = time.Now() })
	followed := time.Since(begun)
	cmd.Cancel() //nolint:errcheck // it may have ended
	lines.Wait()
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return err
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		d := took[min(len(took)*p/100, len(took)-1)]
		c.figure("pushed", d.Seconds(), fmt.Sprintf("s, p%d of %d posts, made to told as sealed, loopback", p, len(took)), d.Seconds()/3, "the budget of 3 s for p99")
	}
	u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("this system does not say what a process has held")
	}
	resident, spent := float64(u.Maxrss)*1024/1e6, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime()
	c.figure("watched", resident, fmt.Sprintf("MB resident at most, watch run of %d channels, loopback", channels), resident/1000,
		fmt.Sprintf("the budget of 1,000 (%.1f s of processor time, %.0f s of posts in it)", spent.Seconds(), followed.Seconds()))
	return nil
}

// benchWatches makes a node that watches the channels, and returns the environment
// in which it works.
func (c *cli) benchWatches(ctx context.Context, dir string, s *telegrambench.Service, channels int) (env []string, err error) {
	n, err := c.benchNode(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	in, o, err := s.LogIn(ctx)
	if err != nil {
		return nil, err
	}
	if err := n.accounts.Keep(accounts.File("a1"), o.Servers.Service(), in); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "servers.json")
	if err := os.WriteFile(file, s.File, 0o600); err != nil {
		return nil, err
	}
	rows := make([]watchRow, channels)
	for i := range rows {
		rows[i].name = "telegram:@" + telegrambench.ChannelName(i)
	}
	sub := &cli{in: c.in, out: io.Discard, errs: c.errs, data: n.dir}
	return []string{"HOLDFAST_DATA=" + n.dir, "HOLDFAST_TELEGRAM_SERVERS=" + file, "HOLDFAST_TELEGRAM_APP_ID=1", "HOLDFAST_TELEGRAM_APP_HASH=0123456789abcdef0123456789abcdef"},
		sub.watchAdd(ctx, n, rows)
}
