package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"holdfast"
	"holdfast/collectors/telegram/telegramtest"
)

// Of following, as `bench telegram` measures it.
const (
	pushedChannels = 20
	pushedPause    = 100 * time.Millisecond // between two posts, of any channel
	pushedAtMost   = 2 * time.Minute        // to begin with, and for the last to be sealed
)

// benchPushed times posts from the moment they are made, on the service's side, to
// the line of `watch run` that says that they are sealed: push, question, answer,
// queue, index, Seal.
func (c *cli) benchPushed(ctx context.Context, count int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	world := telegramtest.NewWorld()
	var channels []*telegramtest.Channel
	var rows []watchRow
	for i := range int64(pushedChannels) {
		name := fmt.Sprintf("harbour%02d", i)
		ch := world.Channel(2000+i, name, "Harbour news")
		ch.Post("the first")
		channels, rows = append(channels, ch), append(rows, watchRow{name: "telegram:@" + name})
	}
	s, err := telegramtest.Start(world, telegramtest.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
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
	lines := &watchLines{posted: map[postKey]time.Time{}, of: map[holdfast.ID][]time.Time{}}
	sub := &cli{in: c.in, out: lines, errs: io.Discard, data: n.dir, json: true}
	if err := sub.watchAdd(ctx, n, rows); err != nil {
		return err
	}
	w, err := sub.newWatchRun(ctx, n)
	if err != nil {
		return err
	}
	defer w.door.Close()
	l, at, err := ownLine(ctx, s)
	if err != nil {
		return err
	}
	w.door.open = l
	go w.door.forward(at.Pushed(), l.done)
	took, err := lines.follow(ctx, w, channels, count)
	if err != nil {
		return err
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		d := took[min(len(took)*p/100, len(took)-1)]
		c.figure("pushed", d.Seconds(), fmt.Sprintf("s, p%d of %d posts, made to told as sealed, loopback", p, len(took)), d.Seconds()/3, "the budget of 3 s for p99")
	}
	return nil
}

// postKey is a post as a line names it.
type postKey struct {
	channel string
	id      int64
}

// watchLines reads the lines of `watch run`: when each post that was made is told as
// sealed. It is safe for concurrent use.
type watchLines struct {
	mu     sync.Mutex
	begun  int // channels whose history is there
	posted map[postKey]time.Time
	of     map[holdfast.ID][]time.Time // when the posts of a Capture were made
	took   []time.Duration
}

// Write implements io.Writer: it is one line.
func (l *watchLines) Write(b []byte) (int, error) {
	now := time.Now()
	var e struct {
		Event, Part, Channel string
		ID                   json.RawMessage
		Capture              holdfast.ID
	}
	if json.Unmarshal(b, &e) != nil {
		return len(b), nil // of another form, and not one of these
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Event {
	case "accepted":
		if e.Part == partBackfill {
			l.begun++
		}
	case "post":
		k := postKey{channel: e.Channel}
		if json.Unmarshal(e.ID, &k.id) != nil {
			break
		}
		if made, ok := l.posted[k]; ok {
			l.of[e.Capture] = append(l.of[e.Capture], made)
			delete(l.posted, k)
		}
	case "sealed":
		var id holdfast.ID
		if json.Unmarshal(e.ID, &id) != nil {
			break
		}
		for _, made := range l.of[id] {
			l.took = append(l.took, now.Sub(made))
		}
		delete(l.of, id)
	}
	return len(b), nil
}

// follow runs the watches, makes the posts and returns how long each took.
func (l *watchLines) follow(ctx context.Context, w *watchRun, channels []*telegramtest.Channel, count int) ([]time.Duration, error) {
	until, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- w.run(ctx, until) }()
	wait := func(what string, there func() bool) error {
		for end := time.Now().Add(pushedAtMost); !locked(&l.mu, there); {
			select {
			case err := <-ended:
				ended <- err
				return errors.Join(fmt.Errorf("the run ended before %s", what), err)
			case <-time.After(10 * time.Millisecond):
			}
			if time.Now().After(end) {
				return fmt.Errorf("not within %s: %s", pushedAtMost, what)
			}
		}
		return nil
	}
	err := wait("all channels were followed", func() bool { return l.begun >= len(channels) })
	for i := 0; i < count && err == nil; i++ {
		ch := channels[rand.IntN(len(channels))]
		locked(&l.mu, func() error { // no line about it is read before it is noted
			made := time.Now()
			l.posted[postKey{fmt.Sprint(ch.ID), int64(ch.Post(fmt.Sprintf("Fire at the harbour, report %d", i)))}] = made
			return nil
		})
		time.Sleep(pushedPause)
	}
	if err == nil {
		err = wait("every post was sealed", func() bool { return len(l.took) >= count })
	}
	stop()
	return l.took, errors.Join(err, <-ended)
}
