package pipeline_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

var errCrash = errors.New("crash")

// crasher is a Queue whose calls may crash before or after they are done.
type crasher struct {
	queue
	at func(step string) error
}

type queue interface {
	pipeline.Publisher
	pipeline.Consumer
	pipeline.Identifier
	pipeline.Announcer
}

func (c crasher) Publish(ctx context.Context, m *pipeline.Move, msg ...pipeline.Message) ([]pipeline.Place, error) {
	if err := c.at("before publish"); err != nil {
		return nil, err
	}
	at, err := c.queue.Publish(ctx, m, msg...)
	if err == nil {
		err = c.at("after publish")
	}
	return at, err
}

func (c crasher) Advance(ctx context.Context, a pipeline.Ack, out ...pipeline.Message) error {
	if err := c.at("before advance"); err != nil {
		return err
	}
	if err := c.queue.Advance(ctx, a, out...); err != nil {
		return err
	}
	return c.at("after advance")
}

// life runs publishers and all stages on one data directory until something
// crashes: the first crash ends everything at once, as kill -9 does.
func life(t *testing.T, dir string, cat *catalog, accept chan holdfast.ID, odds float64, todo func() holdfast.ID, quiet func() bool) {
	ctx, kill := context.WithCancelCause(t.Context())
	defer kill(nil)
	crash := func(string) error {
		if context.Cause(ctx) != nil {
			return errCrash // the dead do nothing more
		}
		if rand.Float64() < odds {
			kill(errCrash)
			return errCrash
		}
		return nil
	}
	q, store := openQueue(t, dir), openStore(t, dir)
	defer q.Close()
	defer store.Close()
	s := newSealer(store)
	s.at = crash
	c := crasher{q, crash}
	cat.fail = func() error { return crash("index") }
	var wg sync.WaitGroup
	run := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && !errors.Is(err, errCrash) && ctx.Err() == nil {
				t.Error(err)
			}
			kill(errCrash)
		})
	}
	run((&pipeline.Normalise{Queue: c, By: map[string]pipeline.Normaliser{"https": pager{}}}).Run)
	run((&pipeline.Preserve{Queue: c, Plans: s, Carrier: s, Window: time.Millisecond}).Run)
	run((&pipeline.Index{Queue: c, Indexer: cat}).Run)
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				id := todo()
				if id == "" {
					return
				}
				if _, err := c.Publish(ctx, nil, captured(t, id)); err == nil {
					accept <- id
				} else {
					accept <- "again " + id
				}
			}
		})
	}
	wg.Go(func() { // or until all is done
		for ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
			if idle(q) && quiet() {
				kill(errCrash)
			}
		}
	})
	wg.Wait()
}

// idle reports whether every stage is at its end.
func idle(q *sqlite.Queue) bool {
	ctx := context.Background()
	end, _ := q.End(ctx, pipeline.StageNormalise, 0)
	for _, s := range []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve, pipeline.StageIndex} {
		if at, err := q.Position(ctx, s, 0); err != nil || at != end {
			return false
		}
	}
	from, _ := q.Position(ctx, pipeline.StageResults, 0)
	left, err := q.Receive(ctx, pipeline.StageResults, 0, from, pipeline.Bounds{NoWait: true})
	return err == nil && len(left) == 0
}

// pager derives something different at each call, as a newer program might: then
// only the first may ever be seen.
type pager struct{}

func (pager) Normalise(_ context.Context, c *pipeline.Captured) (*pipeline.Derived, error) {
	b, _ := json.Marshal(rand.Int64())
	switch c.Manifest.ID[0] {
	case '0':
		panic("hostile page")
	case '1':
		return nil, errors.New("cannot read")
	case '2':
		return nil, nil
	}
	return &pipeline.Derived{
		Objects:         []pipeline.DerivedObject{{Name: "page.json", Role: "page", Type: "application/json", Bytes: b}},
		Transformations: []holdfast.Transformation{{Action: "normalise", Inputs: []string{"source.html"}, Output: "page.json", Tool: "test"}},
	}, nil
}

// Each accepted capture is in exactly one plan, carried out, and indexed, however
// often everything crashes at whatever step.
func TestCrashes(t *testing.T) {
	lives, per := 25, 40
	if os.Getenv("HOLDFAST_LONG") == "1" {
		lives = 600
	}
	dir, cat := t.TempDir(), newCatalog(t)
	accepted, retry := map[holdfast.ID]bool{}, []holdfast.ID{}
	odds := []float64{0.002, 0.01, 0.03, 0.1}
	for i := range lives {
		var mu sync.Mutex
		fresh, busy := per, 0
		todo := func() holdfast.ID {
			mu.Lock()
			defer mu.Unlock()
			if n := len(retry); n > 0 {
				id := retry[n-1]
				retry = retry[:n-1]
				busy++
				return id
			}
			if fresh <= 0 {
				return ""
			}
			fresh--
			busy++
			return holdfast.NewID()
		}
		quiet := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return fresh <= 0 && len(retry) == 0 && busy == 0
		}
		answers, done := make(chan holdfast.ID, 1), make(chan []holdfast.ID)
		go func() {
			var again []holdfast.ID
			for id := range answers {
				mu.Lock()
				busy--
				mu.Unlock()
				if old, ok := strings.CutPrefix(string(id), "again "); ok {
					again = append(again, holdfast.ID(old))
				} else {
					accepted[id] = true
				}
			}
			done <- again
		}()
		p := odds[i%len(odds)]
		if i == lives-1 {
			p, fresh = 0, 0
		}
		life(t, dir, cat, answers, p, todo, quiet)
		close(answers)
		retry = append(retry, <-done...)
	}
	if len(retry) > 0 {
		t.Fatalf("%d captures were refused though nothing crashed", len(retry))
	}
	got := sealed(t, openStore(t, dir))
	for id := range accepted {
		if got[id] == 0 {
			t.Errorf("%s was accepted and is in no Seal", id)
		}
		if cat.accepted[id] == 0 || cat.state[id] != pipeline.StateSigned {
			t.Errorf("%s: indexed %d times, state %q", id, cat.accepted[id], cat.state[id])
		}
	}
	t.Logf("%d lives, %d accepted, %d sealed", lives, len(accepted), len(got))
	if len(got) != len(accepted) || len(got) == 0 {
		t.Errorf("%d sealed, %d accepted", len(got), len(accepted))
	}
}

// The window, in fake time over the real queue.
func TestWindow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q, store := openQueue(t, dir), openStore(t, dir)
		s := newSealer(store)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { (&pipeline.Normalise{Queue: q}).Run(ctx) })
		wg.Go(func() { (&pipeline.Preserve{Queue: q, Plans: s, Carrier: s}).Run(ctx) })
		begin := time.Now()
		at := func(d time.Duration) { time.Sleep(time.Until(begin.Add(d))) }
		publish(t, q, 1) // idle for long: at once
		for i := range 5 {
			at(time.Duration(i+1) * time.Second)
			publish(t, q, 1) // within the window: together, at its end
		}
		at(100 * time.Second)
		publish(t, q, 1) // idle again: at once
		at(101 * time.Second)
		publish(t, q, 2500) // full twice at once, the rest a window after that
		at(200 * time.Second)
		cancel()
		wg.Wait()
		want := []struct {
			after time.Duration
			n     int
		}{{0, 1}, {15 * time.Second, 5}, {100 * time.Second, 1}, {101 * time.Second, 1024}, {101 * time.Second, 1024}, {116 * time.Second, 452}}
		for i, p := range s.plans {
			t.Logf("%v: %d captures", p.when.Sub(begin), len(p.batch.Items))
			if i < len(want) && (len(p.batch.Items) != want[i].n || (p.when.Sub(begin)-want[i].after).Abs() > 300*time.Millisecond) {
				t.Errorf("batch %d: %d captures after %v, want %+v", i, len(p.batch.Items), p.when.Sub(begin), want[i])
			}
		}
		if len(s.plans) != len(want) {
			t.Errorf("%d batches, want %d", len(s.plans), len(want))
		}
		q.Close()
	})
}

func drain(t *testing.T, q queue, s *sealer) {
	t.Helper()
	_, err := (&pipeline.Normalise{Queue: q}).Drain(t.Context())
	must(t, err)
	must(t, (&pipeline.Preserve{Queue: q, Plans: s, Carrier: s}).Drain(t.Context()))
}

func TestBatchBytes(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	for range 70 {
		id := holdfast.NewID()
		b, err := pipeline.CaptureOf(id, pipeline.MaxInline).Encode()
		must(t, err)
		_, err = q.Publish(t.Context(), nil, pipeline.Message{ID: id, Body: b})
		must(t, err)
	}
	drain(t, q, s)
	if len(s.plans) != 2 || len(s.plans[0].batch.Items) != 63 { // 63 × (256 KiB + Manifest) < 16 MiB < 64 ×
		t.Errorf("%d batches, the first of %d", len(s.plans), len(s.plans[0].batch.Items))
	}
}

// damage changes the queue's file behind its back.
func damage(t *testing.T, dir, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "queue.db"))
	must(t, err)
	defer db.Close()
	_, err = db.Exec(text)
	must(t, err)
}

// What the queue forgot that it held is skipped as a duplicate; what cannot be
// read is poison, kept, and said; a batch of such alone is planned too.
func TestSkipped(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	ids := publish(t, q, 3)
	drain(t, q, s)
	damage(t, dir, `DELETE FROM ids`)
	for _, id := range []holdfast.ID{ids[1], holdfast.NewID(), ids[0]} {
		_, err := q.Publish(t.Context(), nil, captured(t, id))
		must(t, err)
	}
	damage(t, dir, `UPDATE captured SET body = substr(body, 1, 60) WHERE position = 5`)
	must(t, q.Close())
	q = openQueue(t, dir) // remembers nothing of it
	drain(t, q, s)
	b := s.plans[1].batch
	var why []string
	for _, k := range b.Skipped {
		why = append(why, k.Reason)
	}
	if b.First != 4 || b.Last != 6 || len(b.Items) != 0 || strings.Join(why, " ") != "duplicate poison duplicate" {
		t.Fatalf("batch %+v", b)
	}
	must(t, func() error {
		_, err := (&pipeline.Index{Queue: q, Indexer: newCatalog(t), Prune: q}).Drain(t.Context())
		return err
	}())
	kept, err := q.Receive(t.Context(), pipeline.StageIndex, 0, 4, pipeline.Bounds{})
	must(t, err)
	if len(kept) != 1 || !kept[0].Damaged {
		t.Fatalf("poison was not kept: %d messages", len(kept))
	}
	if got := sealed(t, s.store); len(got) != 3 {
		t.Fatalf("%d sealed", len(got))
	}
}

// An older copy of the queue, put back: what was planned meanwhile is neither
// sealed twice nor taken for what is accepted now.
func TestRestoredQueue(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	first := publish(t, q, 5)
	drain(t, q, s)
	unsealed := publish(t, q, 3) // in the copy, not yet planned
	damage(t, dir, `VACUUM INTO '`+filepath.Join(dir, "copy.db")+`'`)
	tail := publish(t, q, 4) // not in the copy
	drain(t, q, s)
	name, err := q.Identity(t.Context())
	must(t, err)
	must(t, q.Close())
	must(t, os.Rename(filepath.Join(dir, "copy.db"), filepath.Join(dir, "queue.db")))
	q = openQueue(t, dir)
	fresh := publish(t, q, 20) // past the end of all that was planned
	again := tail[1]
	_, err = q.Publish(t.Context(), nil, captured(t, again))
	must(t, err)
	drain(t, q, s)
	drain(t, q, s)
	got := sealed(t, s.store)
	for _, list := range [][]holdfast.ID{first, unsealed, tail, fresh} {
		for _, id := range list {
			if got[id] == 0 {
				t.Errorf("%s is in no Seal", id)
			}
		}
	}
	if len(got) != 5+3+4+20 {
		t.Errorf("%d sealed", len(got))
	}
	now, err := q.Identity(t.Context())
	must(t, err)
	if now.Queue == name.Queue || len(now.Former) != 1 {
		t.Errorf("identity %+v", now)
	}
	end, _ := q.End(t.Context(), pipeline.StageNormalise, 0)
	at, err := q.Position(t.Context(), pipeline.StagePreserve, 0)
	must(t, err)
	if at != end {
		t.Errorf("preserve is at %d of %d", at, end)
	}
}

// Several batches fly at once, and are acknowledged in order; one that fails
// holds back those behind it, and nothing before it.
func TestFlight(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	for range 5 {
		publish(t, q, pipeline.MaxBatch)
	}
	_, err := (&pipeline.Normalise{Queue: q}).Drain(t.Context())
	must(t, err)
	name, err := q.Identity(t.Context())
	must(t, err)
	third := holdfast.SealID(name.Queue, 0, 2*pipeline.MaxBatch+1)
	s.at = func(step string) error {
		if strings.HasPrefix(step, "before") && strings.HasSuffix(step, "/pack") {
			for range 1000 { // until another one is on its way, too
				if s.atOnce() > 1 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		if step == "before seals/"+third+"/statement" {
			return errCrash
		}
		return nil
	}
	var told []string
	p := &pipeline.Preserve{Queue: q, Plans: s, Carrier: s, Sealed: func(o pipeline.Outcome) { told = append(told, o.Seal) }}
	if err := p.Drain(t.Context()); !errors.Is(err, errCrash) {
		t.Fatalf("drain: %v", err)
	}
	at, err := q.Position(t.Context(), pipeline.StagePreserve, 0)
	must(t, err)
	if at != 2*pipeline.MaxBatch || len(told) != 2 || s.atOnce() < 2 {
		t.Fatalf("at %d, told of %d, %d at once", at, len(told), s.atOnce())
	}
	s.at = func(string) error { return nil }
	must(t, p.Drain(t.Context()))
	if got := sealed(t, s.store); len(got) != 5*pipeline.MaxBatch {
		t.Fatalf("%d sealed", len(got))
	}
	for i, seal := range told {
		if want := holdfast.SealID(name.Queue, 0, int64(i)*pipeline.MaxBatch+1); seal != want {
			t.Fatalf("told of %s, want %s", seal, want)
		}
	}
}

// The same, but nothing was accepted since: only the plans past the end show it.
func TestRestoredQueueAtItsEnd(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	publish(t, q, 5)
	drain(t, q, s)
	damage(t, dir, `VACUUM INTO '`+filepath.Join(dir, "copy.db")+`'`)
	publish(t, q, 2) // planned as 6 to 7, and then as 8 to 9
	drain(t, q, s)
	publish(t, q, 2)
	drain(t, q, s)
	name, err := q.Identity(t.Context())
	must(t, err)
	must(t, q.Close())
	must(t, os.Rename(filepath.Join(dir, "copy.db"), filepath.Join(dir, "queue.db")))
	must(t, os.RemoveAll(filepath.Join(dir, "store", "seals", holdfast.SealID(name.Queue, 0, 6)))) // a store that lost one as well
	q = openQueue(t, dir)
	drain(t, q, s)
	now, err := q.Identity(t.Context())
	must(t, err)
	if now.Queue == name.Queue {
		t.Error("the name stayed, though plans of it lie past the end")
	}
	fresh := publish(t, q, 3)
	drain(t, q, s)
	if b := s.plans[len(s.plans)-1].batch; b.Queue != now.Queue || len(b.Items) != len(fresh) || b.First != 6 {
		t.Errorf("the last batch is %s with %d captures", b.Seal(), len(b.Items))
	}
}

// pieces is a queue that tells less in one call than there is.
type pieces struct{ queue }

func (p pieces) Receive(ctx context.Context, s pipeline.Stage, partition int, after int64, b pipeline.Bounds) ([]pipeline.Message, error) {
	if s == pipeline.StagePreserve {
		b.Count = min(b.Count, 400)
	}
	return p.queue.Receive(ctx, s, partition, after, b)
}

// TestWindowTakesAlong: a batch that closes because the last one is long ago has what was
// there already, and does not wait for it; it asks for it once.
func TestWindowTakesAlong(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		q, store := openQueue(t, dir), openStore(t, dir)
		s := newSealer(store)
		publish(t, q, 1000)
		_, err := (&pipeline.Normalise{Queue: q}).Drain(t.Context())
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		begin := time.Now()
		wg.Go(func() { (&pipeline.Preserve{Queue: pieces{q}, Plans: s, Carrier: s}).Run(ctx) })
		time.Sleep(time.Minute)
		cancel()
		wg.Wait()
		if len(s.plans) != 2 || len(s.plans[0].batch.Items) != 800 || s.plans[0].when.Sub(begin) > time.Second {
			t.Errorf("%d batches", len(s.plans))
			for _, p := range s.plans {
				t.Errorf("%d captures after %v, want 800 at once", len(p.batch.Items), p.when.Sub(begin))
			}
		}
		q.Close()
	})
}
