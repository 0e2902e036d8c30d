package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/gotd/td/bin"
	"github.com/gotd/td/tg"
	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/filelock"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/tl"
)

// benchMessages is how many messages the channel of `bench telegram` has.
const benchMessages = 20_000

// What is done with Telegram's answers is measured against a service in a process of
// its own, over loopback, on the same cores. On the real network the service's limits
// decide.

// benchPage is how many messages the service puts into one answer.
const benchPage = 100

// benchText makes the i-th post of a channel; of every few one has marks, and one a
// document.
func benchText(i int, document tg.MessageMediaClass) (text string, change func(*tg.Message)) {
	return fmt.Sprintf("Fire at the harbour, report %d. %s", i, strings.Repeat("Людям сказали уйти. ", i%5)), func(m *tg.Message) {
		m.SetViews(i)
		m.SetForwards(i / 7)
		if i%5 == 0 {
			m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityBold{Offset: 0, Length: 4}, &tg.MessageEntityTextURL{Offset: 8, Length: 3, URL: "https://example.org/a"}})
		}
		if i%4 == 0 {
			m.SetMedia(document)
		}
	}
}

// benchChannel makes the channel @harbour of so many messages.
func benchChannel(w *telegramtest.World, count int) {
	ch := w.Channel(1234, "harbour", "Harbour news")
	document := w.Document(7, "harbour.jpg", "image/jpeg", make([]byte, 1000))
	for i := range count {
		text, change := benchText(i, document)
		ch.Post(text, change)
	}
}

// rawAnswers are answers as they come, of so many messages in all.
func rawAnswers(count int) (raw [][]byte, err error) {
	document := telegramtest.NewWorld().Document(7, "harbour.jpg", "image/jpeg", make([]byte, 1000))
	for len(raw)*benchPage < count {
		a := &tg.MessagesChannelMessages{Pts: count, Count: count, Chats: []tg.ChatClass{&tg.Channel{ID: 1234, Title: "Harbour news", Photo: &tg.ChatPhotoEmpty{}, Broadcast: true}}}
		for k := range benchPage {
			text, change := benchText(len(raw)*benchPage+k, document)
			m := &tg.Message{ID: len(raw)*benchPage + k + 1, Post: true, PeerID: &tg.PeerChannel{ChannelID: 1234}, Date: 1_700_000_000, Message: text}
			change(m)
			a.Messages = append(a.Messages, m)
		}
		var b bin.Buffer
		if err := a.Encode(&b); err != nil {
			return nil, err
		}
		raw = append(raw, b.Buf)
	}
	return raw, nil
}

// benchAnswers times the reading of answers: where each message lies in the bytes,
// what it is, and its digest; and gotd's decoder by itself.
func (c *cli) benchAnswers(count int) error {
	raw, err := rawAnswers(count)
	if err != nil {
		return err
	}
	messages := float64(len(raw) * benchPage)
	var ours, bare span
	const times = 20 // in turn, so that what else the machine does falls on both
	for range times {
		ours.add(func() {
			for _, b := range raw {
				a, serr := tl.Split(b)
				if serr != nil || len(a.Messages) != benchPage || a.Unread != nil {
					err = errors.Join(errors.New("an answer was not read whole"), serr)
					return
				}
				hashing.Of(b)
				for _, m := range a.Messages {
					hashing.Of(m.In(b))
				}
			}
		})
		bare.add(func() {
			for _, b := range raw {
				if _, derr := tg.DecodeMessagesMessages(&bin.Buffer{Buf: b}); derr != nil {
					err = derr
					return
				}
			}
		})
	}
	if err != nil {
		return err
	}
	rate, limit := times*messages/ours.cpu.Seconds(), times*messages/bare.cpu.Seconds()
	c.figure("answers", rate, "messages per CPU-second, decoded and hashed, in memory", rate/limit, fmt.Sprintf("gotd's decoder alone (%.0f); the budget is 65,000", limit))
	return nil
}

// benchHistory times a channel's history from the first question to sealed and
// durable, the index off, the service itself on the same cores.
func (c *cli) benchHistory(ctx context.Context, count int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	s, err := startService(ctx, c.errs, serviceWorld{Messages: count})
	if err != nil {
		return err
	}
	defer s.Close()
	l, _, err := ownLine(ctx, s.serviceUp)
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
	rate := m / all.wall.Seconds()
	c.figure("history", rate, "messages/s, first question to sealed, loopback", rate/20_000, fmt.Sprintf("the budget of 20,000 (by the wall clock; kept, while others were sealed, %.0f)", m/kept.wall.Seconds()))
	rate = m / all.cpu.Seconds()
	c.figure("history", rate, "messages per CPU-second, first question to sealed, loopback", rate/20_000, "the budget of 20,000 (without the service's own work)")
	return nil
}

// timeHistory captures @harbour and seals it meanwhile.
func (n *node) timeHistory(ctx context.Context, by collectors.Collector, count int) (kept, all span, err error) {
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
	want := 1 + (count+benchPage-1)/benchPage // the channel, and its pages
	r := roundOf(n, by)
	all.add(func() {
		work, stop := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- s.sealAll(work, n, ids[0], want) }()
		kept.add(func() {
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

// span is time, and processor time of this process.
type span struct{ wall, cpu time.Duration }

func (s *span) add(f func()) {
	begun, used := time.Now(), cpu()
	f()
	s.wall, s.cpu = s.wall+time.Since(begun), s.cpu+cpu()-used
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

// roundOf is a round with one Collector for everything, of which nothing is told.
func roundOf(n *node, by collectors.Collector) *round {
	return &round{n: n, by: map[string]collectors.Collector{"http": by, "https": by, "telegram": by}, told: func(captured) {}, later: func(captured) {},
		intake: &pipeline.Intake{Queue: n.queue, Store: n.store, Space: n.store, Heads: n.outbox, Facts: n.facts}}
}

// answersCode is an Asker who knows the code.
type answersCode string

// Code implements telegram.Asker.
func (a answersCode) Code(context.Context, string) (string, error) { return string(a), nil }

// Password implements telegram.Asker.
func (a answersCode) Password(context.Context, string) (string, error) { return "", io.EOF }

// ownLine is a Line to a Telegram of one's own, until its end. Nothing that is
// set for a node, or in the environment, leads it elsewhere.
func ownLine(ctx context.Context, s serviceUp) (*openLine, *telegram.Line, error) {
	servers, err := telegram.ParseServers(s.File)
	if err != nil {
		return nil, nil, err
	}
	o := telegram.Options{App: telegram.App{ID: 1, Hash: "hash"}, Servers: servers, Pushes: true}
	in, err := o.LogIn(ctx, "+"+s.Phone, answersCode(s.Code))
	if err != nil {
		return nil, nil, err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	up, l := make(chan *telegram.Line, 1), &openLine{account: "a1", stop: stop, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.err = o.Run(run, telegram.Account{Name: l.account, Session: in.Session}, func(ctx context.Context, at *telegram.Line) error {
			up <- at
			<-ctx.Done()
			return nil
		})
	}()
	select {
	case at := <-up:
		l.by = telegram.NewCollector(telegram.CollectorOptions{Line: at, Training: true})
		return l, at, nil
	case <-l.done:
		stop()
		return nil, nil, l.err
	}
}

// end ends it.
func (l *openLine) end() {
	l.stop()
	<-l.done
}
