package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"holdfast/collectors/telegram/telegramtest"
)

// The service that `bench telegram` asks has a process of its own, so that what it
// spends and holds is not counted: this program again, as `bench service`. It is told
// what to be on standard input, a JSON object a line, and ends with it.

// serviceWorld is what there is. The first line.
type serviceWorld struct {
	Messages int `json:"messages"` // of @harbour
	Channels int `json:"channels"` // @harbour0000 and so on, with channelPosts each
}

// servicePosts asks for posts: half of them in a few channels, the others in any.
type servicePosts struct {
	Count int           `json:"count"`
	Pause time.Duration `json:"pause"`
}

// serviceUp is where it listens, and who may log in.
type serviceUp struct {
	File  json.RawMessage `json:"file"`
	Phone string          `json:"phone"`
	Code  string          `json:"code"`
}

// servicePost is a post that was made.
type servicePost struct {
	Channel string    `json:"channel"`
	ID      int64     `json:"id"`
	Made    time.Time `json:"made"`
}

// busyChannels are the few; channelPosts are what each of all begins with.
const (
	busyChannels = 20
	channelPosts = 20
)

func benchChannelName(i int) string { return fmt.Sprintf("harbour%04d", i) }

func (c *cli) benchServiceCmd() *cobra.Command {
	cmd := command("service", "The service that `bench telegram` asks, in a process of its own", "holdfast bench service </dev/null", cobra.NoArgs,
		func(*cobra.Command, []string) error { return serveBench(c.in, c.out) })
	cmd.Hidden = true
	return cmd
}

// serveBench is the service, until in ends.
func serveBench(in io.Reader, out io.Writer) error {
	said, tell := json.NewDecoder(in), json.NewEncoder(out)
	var of serviceWorld
	if err := said.Decode(&of); err != nil {
		return fmt.Errorf("read what there is: %w", err)
	}
	world := telegramtest.NewWorld()
	if of.Messages > 0 {
		benchChannel(world, of.Messages)
	}
	var channels []*telegramtest.Channel
	for i := range of.Channels {
		ch := world.Channel(2000+int64(i), benchChannelName(i), "Harbour news")
		for k := range channelPosts {
			ch.Post(fmt.Sprintf("Report %d of the harbour before anybody watched", k))
		}
		channels = append(channels, ch)
	}
	s, err := telegramtest.Start(world, telegramtest.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := tell.Encode(serviceUp{s.File(), s.Phone, s.Code}); err != nil {
		return err
	}
	for {
		var p servicePosts
		if err := said.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read what to post: %w", err)
		}
		for i := range p.Count {
			ch := channels[rand.IntN(len(channels))]
			if i%2 == 0 {
				ch = channels[rand.IntN(min(len(channels), busyChannels))]
			}
			made := time.Now()
			id := ch.Post(fmt.Sprintf("Fire at the harbour, report %d", i))
			if err := tell.Encode(servicePost{fmt.Sprint(ch.ID), int64(id), made}); err != nil {
				return err
			}
			time.Sleep(p.Pause)
		}
	}
}

// benchService is that process.
type benchService struct {
	serviceUp
	cmd  *exec.Cmd
	tell *json.Encoder
	said *json.Decoder
	in   io.Closer
}

// startService starts one, until it is closed.
func startService(ctx context.Context, errs io.Writer, of serviceWorld) (*benchService, error) {
	cmd, err := thisProgram(ctx, errs, "bench", "service")
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the service: %w", err)
	}
	s := &benchService{cmd: cmd, tell: json.NewEncoder(in), said: json.NewDecoder(bufio.NewReader(out)), in: in}
	if err := errors.Join(s.tell.Encode(of), s.said.Decode(&s.serviceUp)); err != nil {
		s.Close()
		return nil, fmt.Errorf("start the service: %w", err)
	}
	return s, nil
}

// Close ends it.
func (s *benchService) Close() {
	s.in.Close()
	s.cmd.Wait() //nolint:errcheck // it is of no more use
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
