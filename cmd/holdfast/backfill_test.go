package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gotd/td/tg"

	"holdfast"
	"holdfast/catalog"
	"holdfast/collectors"
	"holdfast/collectors/telegram"
	"holdfast/collectors/telegram/telegramtest"
	"holdfast/pipeline"
)

// answersCode is an Asker who knows the code.
type answersCode string

func (a answersCode) Code(context.Context, string) (string, error) { return string(a), nil }

func (a answersCode) Password(context.Context, string) (string, error) { return "", nil }

// lineTo is a Line to a Telegram of one's own, for the length of a test.
func lineTo(t testing.TB, s *telegramtest.Server) *telegram.Line {
	t.Helper()
	servers, err := telegram.ParseServers(s.File())
	if err != nil {
		t.Fatal(err)
	}
	o := telegram.Options{App: telegram.App{ID: 1, Hash: "hash"}, Servers: servers}
	in, err := o.LogIn(t.Context(), "+"+s.Phone, answersCode(s.Code))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	got, done := make(chan *telegram.Line), make(chan error, 1)
	go func() {
		done <- o.Run(ctx, telegram.Account{Name: "a1", Session: in.Session}, func(ctx context.Context, l *telegram.Line) error {
			got <- l
			<-ctx.Done()
			return nil
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	select {
	case l := <-got:
		return l
	case err := <-done:
		t.Fatal(err)
		return nil
	}
}

// channelOf makes a channel of so many messages, with something of all kinds.
func channelOf(w *telegramtest.World, count int) {
	ch := w.Channel(1234, "harbour", "Harbour news")
	photo := w.Document(7, "harbour.jpg", "image/jpeg", make([]byte, 1000))
	for i := range count {
		ch.Post(fmt.Sprintf("Fire at the harbour, report %d. %s", i, strings.Repeat("Людям сказали уйти. ", i%5)), func(m *tg.Message) {
			m.SetViews(i)
			m.SetForwards(i / 7)
			if i%5 == 0 {
				m.SetEntities([]tg.MessageEntityClass{&tg.MessageEntityBold{Offset: 0, Length: 4}, &tg.MessageEntityTextURL{Offset: 8, Length: 3, URL: "https://example.org/a"}})
			}
			if i%4 == 0 {
				m.SetMedia(photo)
			}
		})
	}
}

// BenchmarkBackfill measures a channel's history from the first question to sealed
// and durable, the index off, the service itself on the same cores, over loopback:
// on the real network the service's limits decide. Of the two halves each is said
// by itself, and both in messages per second and per CPU-second.
func BenchmarkBackfill(b *testing.B) {
	const count = 50_000
	w := telegramtest.NewWorld()
	channelOf(w, count)
	s, err := telegramtest.Start(w, telegramtest.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	l, ctx := lineTo(b, s), b.Context()
	var kept, sealed span
	for b.Loop() {
		b.StopTimer()
		n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(ctx, b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		r := roundOf(n, telegram.NewCollector(telegram.CollectorOptions{Line: l, Training: true}))
		id := addTask(b, n, "telegram:@harbour", taskOptions{})
		b.StartTimer()
		kept.add(func() {
			r.run(ctx, []wish{{id: id}})
			r.names.end(ctx)
		})
		for _, g := range r.got {
			if g.outcome != collectors.Complete {
				b.Fatal(g)
			}
		}
		if len(r.got) != count/100+1 || r.stopped != nil {
			b.Fatal(len(r.got), r.stopped)
		}
		sealed.add(func() {
			if _, err := (&pipeline.Normalise{Queue: n.queue, By: n.normalisers()}).Drain(ctx); err != nil {
				b.Fatal(err)
			}
			if got := drainSeals(b, n); got < count/100+1 {
				b.Fatal(got)
			}
		})
		b.StopTimer()
		n.Close()
		b.StartTimer()
	}
	all := span{kept.wall + sealed.wall, kept.cpu + sealed.cpu}
	for name, s := range map[string]span{"kept": kept, "seal": sealed, "both": all} {
		b.ReportMetric(float64(b.N*count)/s.wall.Seconds(), name+"/s")
		b.ReportMetric(float64(b.N*count)/s.cpu.Seconds(), name+"/cpu-s")
	}
}

// span is time, and processor time of this process.
type span struct{ wall, cpu time.Duration }

func (s *span) add(f func()) {
	begun, used := time.Now(), cpu()
	f()
	s.wall, s.cpu = s.wall+time.Since(begun), s.cpu+cpu()-used
}

// drainSeals seals what is in the queue and returns how many captures and Events
// that were.
func drainSeals(b *testing.B, n *node) (sealed int) {
	unlock, err := lockFile(b.Context(), n.path("preserve.lock"))
	if err != nil {
		b.Fatal(err)
	}
	s, err := n.startSealing(b.Context(), unlock)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	p := s.preserve(n)
	p.Sealed = func(o pipeline.Outcome) {
		if o.State == pipeline.StateSealed {
			sealed += len(o.Captures)
		}
	}
	if err := p.Drain(b.Context()); err != nil {
		b.Fatal(err)
	}
	return sealed
}

// TestChannelInterrupted: a history whose process ends anywhere, again and again,
// is in the end there whole: each answer once, under the ID of its step, and each
// post.
func TestChannelInterrupted(t *testing.T) {
	w := telegramtest.NewWorld()
	channelOf(w, 950)
	s, err := telegramtest.Start(w, telegramtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, n := roundNode(t)
	by := telegram.NewCollector(telegram.CollectorOptions{Line: lineTo(t, s), Training: true})
	id := addTask(t, n, "telegram:@harbour", taskOptions{})
	rounds := 0
	for ; len(tasksLeft(t, n)) > 0; rounds++ {
		if rounds > 1000 {
			t.Fatal("no end")
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Duration(1+rounds%40)*time.Millisecond)
		r := roundOf(n, by)
		r.run(ctx, []wish{{id: id}})
		r.names.end(ctx)
		stop()
		for _, k := range tasksLeft(t, n) { // what a killed process leaves is free when its lease is over
			if err := n.queue.Renew(t.Context(), k, time.Millisecond); k.Lease.Token > 0 && k.Lease.Until.After(time.Now()) && err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := n.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got, want []holdfast.ID
	for cp, err := range n.cat.Captures(t.Context(), catalog.Query{Kind: holdfast.KindCapture}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, cp.ID)
	}
	for step := range uint64(11) {
		want = append(want, holdfast.CaptureID(id, step, 0))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d captures, want %d", len(got), len(want))
	}
	posts := 0
	for p, err := range n.cat.Posts(t.Context(), catalog.PostQuery{Channel: "1234"}) {
		if err != nil {
			t.Fatal(err)
		}
		if posts++; p.ID != int64(posts) || p.State != catalog.Present || len(p.Versions) != 1 {
			t.Fatalf("post %d: %+v", posts, p)
		}
	}
	if posts != 950 || rounds < 3 {
		t.Errorf("%d posts after %d rounds", posts, rounds)
	}
	t.Logf("%d rounds, asked %d times", rounds, s.Asked("messages.getHistory"))
}
