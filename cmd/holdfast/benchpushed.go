package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"holdfast"
	"holdfast/collectors/telegram"
)

// Of following, as `bench telegram` measures it.
const (
	pushedPause  = 100 * time.Millisecond // between two posts, of any channel
	pushedAtMost = 3 * time.Minute        // to begin with, and for the last to be sealed
	pushedQuiet  = time.Second            // without a line, before the first
)

// benchPushed watches so many channels with `watch run` in a process of its own, and
// times posts from the moment they are made, in the service's process, to the line
// that says that they are sealed: push, question, answer, queue, index, Seal. The
// authorities are in this process.
func (c *cli) benchPushed(ctx context.Context, channels, count int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := startService(ctx, c.errs, serviceWorld{Channels: channels})
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
	lines := &watchLines{of: map[holdfast.ID][]postKey{}, sealed: map[postKey]time.Time{}, ended: make(chan struct{})}
	go lines.read(out)
	begun := time.Now()
	took, err := lines.follow(s, channels, count, func() { begun = time.Now() })
	followed := time.Since(begun)
	cmd.Cancel() //nolint:errcheck // it may have ended
	<-lines.ended
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
func (c *cli) benchWatches(ctx context.Context, dir string, s *benchService, channels int) (env []string, err error) {
	n, err := c.benchNode(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer n.Close()
	servers, err := telegram.ParseServers(s.File)
	if err != nil {
		return nil, err
	}
	o := telegram.Options{App: telegram.App{ID: 1, Hash: "hash"}, Servers: servers}
	in, err := o.LogIn(ctx, "+"+s.Phone, answersCode(s.Code))
	if err != nil {
		return nil, err
	}
	if err := n.keepSession(sessionFile("a1"), servers.Service(), in); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "servers.json")
	if err := os.WriteFile(file, s.File, 0o600); err != nil {
		return nil, err
	}
	rows := make([]watchRow, channels)
	for i := range rows {
		rows[i].name = "telegram:@" + benchChannelName(i)
	}
	sub := &cli{in: c.in, out: io.Discard, errs: c.errs, data: n.dir}
	return []string{"HOLDFAST_DATA=" + n.dir, "HOLDFAST_TELEGRAM_SERVERS=" + file, "HOLDFAST_TELEGRAM_APP_ID=1", "HOLDFAST_TELEGRAM_APP_HASH=0123456789abcdef0123456789abcdef"},
		sub.watchAdd(ctx, n, rows)
}

// postKey is a post as a line names it.
type postKey struct {
	channel string
	id      int64
}

// watchLines reads the lines of `watch run`: when each post is told as sealed. It is
// safe for concurrent use.
type watchLines struct {
	mu     sync.Mutex
	begun  int                       // channels whose history is there
	open   int                       // captures that are not sealed
	last   time.Time                 // when a line came
	of     map[holdfast.ID][]postKey // the posts of a Capture that is not sealed
	sealed map[postKey]time.Time     // the first time
	ended  chan struct{}             // closed behind the last line
}

func (l *watchLines) read(out io.Reader) {
	defer close(l.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		l.line(lines.Bytes(), time.Now())
	}
}

func (l *watchLines) line(b []byte, now time.Time) {
	var e struct {
		Event, Part, Channel string
		ID                   json.RawMessage
		Capture              holdfast.ID
	}
	if json.Unmarshal(b, &e) != nil {
		return // of another form, and not one of these
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = now
	switch e.Event {
	case "accepted":
		l.open++
		if e.Part == partBackfill {
			l.begun++
		}
	case "post":
		k := postKey{channel: e.Channel}
		if json.Unmarshal(e.ID, &k.id) == nil {
			l.of[e.Capture] = append(l.of[e.Capture], k)
		}
	case "sealed":
		l.open--
		var id holdfast.ID
		if json.Unmarshal(e.ID, &id) != nil {
			break
		}
		for _, k := range l.of[id] {
			if _, ok := l.sealed[k]; !ok {
				l.sealed[k] = now
			}
		}
		delete(l.of, id)
	}
}

// follow waits until all is followed and at rest, has the posts made and returns how long each
// took.
func (l *watchLines) follow(s *benchService, channels, count int, begin func()) (took []time.Duration, err error) {
	wait := func(what string, there func() bool) error {
		for end := time.Now().Add(pushedAtMost); !locked(&l.mu, there); {
			select {
			case <-l.ended:
				return fmt.Errorf("watch run ended before %s", what)
			case <-time.After(10 * time.Millisecond):
			}
			if time.Now().After(end) {
				return locked(&l.mu, func() error {
					return fmt.Errorf("not within %s: %s; %d histories, %d posts sealed, %d captures whose posts were told are not", pushedAtMost, what, l.begun, len(l.sealed), len(l.of))
				})
			}
		}
		return nil
	}
	ready := func() bool { return l.begun >= channels && l.open == 0 && time.Since(l.last) > pushedQuiet }
	if err := wait("all channels were followed, and what there was was sealed", ready); err != nil {
		return nil, err
	}
	begin()
	if err := s.tell.Encode(servicePosts{count, pushedPause}); err != nil {
		return nil, err
	}
	made := make([]servicePost, count)
	for i := range made {
		if err := s.said.Decode(&made[i]); err != nil {
			return nil, err
		}
	}
	err = wait("every post was sealed", func() bool {
		took = took[:0]
		for _, p := range made {
			at, ok := l.sealed[postKey{p.Channel, p.ID}]
			if !ok {
				return false
			}
			took = append(took, at.Sub(p.Made))
		}
		return true
	})
	return took, err
}
