package telegrambench

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"time"

	"holdfast/collectors/telegram/telegramtest"
)

// World is what there is at the service. It is the first line that it is told.
type World struct {
	Messages int `json:"messages"` // of @harbour
	Channels int `json:"channels"` // as of [ChannelName], with 20 posts each
}

// asked asks for posts: half of them in a few channels, the others in any.
type asked struct {
	Count int           `json:"count"`
	Pause time.Duration `json:"pause"`
}

// Up is where the service listens, and who may log in.
type Up struct {
	File  json.RawMessage `json:"file"` // as telegram.ParseServers reads it
	Phone string          `json:"phone"`
	Code  string          `json:"code"`
}

// Post is one that was made.
type Post struct {
	Channel string    `json:"channel"`
	ID      int64     `json:"id"`
	Made    time.Time `json:"made"`
}

// busyChannels are the few; channelPosts are what each of all begins with.
const (
	busyChannels = 20
	channelPosts = 20
)

// ChannelName is the name of the i-th channel of a [World].
func ChannelName(i int) string { return fmt.Sprintf("harbour%04d", i) }

// Serve is the service, until in ends: it is told what to be on in and says on out what
// there is, a JSON object a line.
func Serve(in io.Reader, out io.Writer) error {
	said, tell := json.NewDecoder(in), json.NewEncoder(out)
	var of World
	if err := said.Decode(&of); err != nil {
		return fmt.Errorf("read what there is: %w", err)
	}
	world := telegramtest.NewWorld()
	if of.Messages > 0 {
		Fill(world, of.Messages)
	}
	var channels []*telegramtest.Channel
	for i := range of.Channels {
		ch := world.Channel(2000+int64(i), ChannelName(i), "Harbour news")
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
	if err := tell.Encode(Up{s.File(), s.Phone, s.Code}); err != nil {
		return err
	}
	for {
		var p asked
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
			if err := tell.Encode(Post{fmt.Sprint(ch.ID), int64(id), made}); err != nil {
				return err
			}
			time.Sleep(p.Pause)
		}
	}
}

// Service is the service in a process of its own, so that what it spends and holds is not
// counted. Not for several callers at once.
type Service struct {
	Up
	cmd  *exec.Cmd
	tell *json.Encoder
	said *json.Decoder
	in   io.Closer
}

// Start begins one: cmd is a program that calls [Serve], and is not started. It ends with
// Close, or with this process.
func Start(cmd *exec.Cmd, of World) (*Service, error) {
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
	s := &Service{cmd: cmd, tell: json.NewEncoder(in), said: json.NewDecoder(bufio.NewReader(out)), in: in}
	if err := errors.Join(s.tell.Encode(of), s.said.Decode(&s.Up)); err != nil {
		s.Close()
		return nil, fmt.Errorf("start the service: %w", err)
	}
	return s, nil
}

// Close ends it.
func (s *Service) Close() {
	s.in.Close()
	s.cmd.Wait() //nolint:errcheck // it is of no more use
}

// Post has so many posts made, with a pause between two, and returns them when the last
// is there.
func (s *Service) Post(count int, pause time.Duration) ([]Post, error) {
	if err := s.tell.Encode(asked{count, pause}); err != nil {
		return nil, err
	}
	made := make([]Post, count)
	for i := range made {
		if err := s.said.Decode(&made[i]); err != nil {
			return nil, err
		}
	}
	return made, nil
}
