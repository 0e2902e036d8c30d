package s3

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/hashing"
	"holdfast/storage"
)

// Extender lengthens, on a schedule, for how long nobody can remove what lies in a
// store: each pass gives all of it Options.Retention from then on, but for what has a
// tombstone (storage.ErasedPrefix): that lapses, so that its erasure can run. Several
// may run at once; none can shorten what another has given. Every method may be called
// concurrently.
type Extender struct {
	Store *Store
	// Problem is told of what could not be kept, and why; the pass goes on. Optional;
	// calls come side by side.
	Problem func(k storage.Key, err error)

	mu   sync.Mutex
	last Passed
}

// Passed says what a pass did.
type Passed struct {
	Begun, Ended  time.Time
	Kept          int64 // things that are kept now
	Extended      int64 // those whose retention became longer
	Skipped, Lost int64 // left out, since it is to be erased; could not be kept
	// Least is the earliest time at which something that was not skipped can be
	// removed: zero if that is now, or if nothing lies in the store.
	Least time.Time
}

// State is how long all is kept still.
type State struct {
	Last  Passed        // the last pass that went through the whole store
	Left  time.Duration // until Last.Least
	Alert string        // why a person should look; empty: nothing is amiss
}

// State returns what the last pass found, as of now. There is an alert when less than
// twice Options.Interval is left, when something could not be kept, and before the
// first pass: what is not known is not well.
func (e *Extender) State(now time.Time) State {
	e.mu.Lock()
	defer e.mu.Unlock()
	st := State{Last: e.last, Left: e.last.Least.Sub(now)}
	twice := 2 * e.Store.o.Interval
	switch {
	case e.Store.o.Unlocked:
		st.Left, st.Alert = 0, noLock
	case e.last.Ended.IsZero():
		st.Left, st.Alert = 0, "no pass has gone through the store yet since this process began"
	case e.last.Lost > 0:
		st.Alert = fmt.Sprintf("%d of %d could not be kept for longer (see the log)", e.last.Lost, e.last.Lost+e.last.Kept)
	case e.last.Kept == 0:
		st.Left = e.Store.o.Retention // an empty store
	case st.Left < twice:
		st.Alert = short(st.Left, e.Store.o.Interval)
	}
	return st
}

// Marked says until when the marker is kept, which a pass extends last of all, and only
// where it lost nothing: so whoever opens a store learns at once whether whole passes
// are made. There is an alert when less than twice Options.Interval is left, as of now.
func (s *Store) Marked(ctx context.Context, now time.Time) (State, error) {
	if s.o.Unlocked {
		return State{Alert: noLock}, nil
	}
	_, r, err := s.lockedAt(ctx, markerKey)
	if err != nil {
		return State{}, fmt.Errorf("look for the lock of %s: %w", markerKey, err)
	}
	st := State{Left: r.Until.Sub(now)}
	if st.Left < 2*s.o.Interval {
		st.Alert = short(st.Left, s.o.Interval)
	}
	return st, nil
}

const noLock = "the bucket has no object lock: nothing keeps what lies there"

func short(left, interval time.Duration) string {
	if left <= 0 {
		return "locks have ended: nothing keeps what lies in the bucket, and nothing extends it"
	}
	return fmt.Sprintf("the first lock ends in %v, which is less than twice the interval of %v: extending does not keep up", left.Round(time.Second), interval)
}

// Run makes a pass each Options.Interval, the first when the last one of any process is
// that long ago, until ctx is done. A pass that fails is made again after a hundredth of
// the interval.
func (e *Extender) Run(ctx context.Context) error {
	wait := time.Duration(0)
	if st, err := e.Store.Marked(ctx, time.Now()); err == nil {
		wait = max(0, st.Left-(e.Store.o.Retention-e.Store.o.Interval))
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = e.Store.o.Interval
		if _, err := e.Pass(ctx); err != nil && ctx.Err() == nil {
			e.Store.o.Log.Error("extend the locks of the store", "error", err)
			wait /= 100
		} else if st := e.State(time.Now()); err == nil && st.Alert != "" {
			e.Store.o.Log.Error("locks of the store", "alert", st.Alert)
		}
	}
}

// Pass goes through the whole store once. Its error says that it did not come to the
// end; what could not be kept is counted in Passed.Lost and told to Problem.
func (e *Extender) Pass(ctx context.Context) (Passed, error) {
	if e.Store.o.Unlocked {
		return Passed{}, fmt.Errorf("extend: %w", e.Store.lockable(ctx))
	}
	p := &pass{e: e, Passed: Passed{Begun: time.Now()}}
	if err := p.run(ctx); err != nil {
		return p.Passed, fmt.Errorf("extend: %w", err)
	}
	p.Ended = time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = p.Passed
	return p.Passed, nil
}

type pass struct {
	e       *Extender
	ordered map[string]time.Time
	mu      sync.Mutex
	Passed
}

func (p *pass) run(ctx context.Context) (err error) {
	if p.ordered, err = p.e.Store.ordered(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	err = p.e.Store.each(gctx, "", "", everything, func(f found) bool {
		g.Go(func() error { return p.keep(gctx, f) })
		return gctx.Err() == nil
	})
	if werr := g.Wait(); werr != nil {
		return werr
	}
	if err != nil {
		return err
	}
	return p.mark(ctx)
}

// mark extends the marker: a pass that came here went through all. Where something was
// lost it is kept too, but for so short that the alert stays.
func (p *pass) mark(ctx context.Context) error {
	s := p.e.Store
	until := p.Begun.Add(s.o.Retention)
	if p.Lost > 0 {
		until = p.Begun.Add(2*s.o.Interval - 2*time.Second)
	}
	version, r, err := s.lockedAt(ctx, markerKey)
	if err == nil && r.Until.Before(until) {
		_, err = s.lengthen(ctx, markerKey, version, until)
	}
	if err != nil {
		return fmt.Errorf("keep %s: %w", markerKey, err)
	}
	return nil
}

// keep extends one key. Only the end of ctx is an error.
func (p *pass) keep(ctx context.Context, f found) error {
	if f.rel == markerKey && f.check() == nil {
		return nil // see mark
	}
	if f.lapses(p.ordered) {
		p.count(func() { p.Skipped++ })
		return nil
	}
	var got time.Time
	err := f.check()
	if err == nil {
		got, err = p.one(ctx, f.rel)
	}
	if cerr := ctx.Err(); cerr != nil {
		return cerr
	}
	if err != nil {
		p.e.tell(keyAt(f.rel), err)
		p.count(func() { p.Lost++ })
		return nil
	}
	p.count(func() {
		p.Kept++
		if p.Least.IsZero() || got.Before(p.Least) {
			p.Least = got
		}
	})
	return nil
}

// one extends what has less than the whole retention left, but for what was given in
// the same interval: a pass that is made again soon finds little to do.
func (p *pass) one(ctx context.Context, rel string) (time.Time, error) {
	s := p.e.Store
	version, r, err := s.lockedAt(ctx, rel)
	if err != nil {
		return r.Until, err
	}
	if r.Until.Sub(p.Begun) > s.o.Retention-s.o.Interval/2 {
		return r.Until, nil
	}
	until, err := s.lengthen(ctx, rel, version, p.Begun.Add(s.o.Retention))
	if err == nil {
		p.count(func() { p.Extended++ })
	}
	return until, err
}

func (p *pass) count(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (e *Extender) tell(k storage.Key, err error) {
	e.Store.o.Log.Error("could not be kept for longer", "key", k.String(), "error", err)
	if e.Problem != nil {
		e.Problem(k, err)
	}
}

// keyAt is the Key of what lies under rel; of what is no Object's, its name.
func keyAt(rel string) storage.Key {
	if len(rel) >= 64 {
		if d, err := hashing.ParseHex(rel[len(rel)-64:]); err == nil && objectKey(d) == rel {
			return storage.Key{Digest: d}
		}
	}
	return storage.Key{Name: rel}
}

// ordered are the names that have a tombstone, and since when.
func (s *Store) ordered(ctx context.Context) (map[string]time.Time, error) {
	names := map[string]time.Time{}
	return names, s.each(ctx, storage.ErasedPrefix, "", everything, func(f found) bool {
		if f.check() == nil {
			names[strings.TrimPrefix(f.rel, storage.ErasedPrefix)] = f.modified
		}
		return true
	})
}

// lapses: a tombstone names it. What was written again after that, because the same
// bytes came once more, is kept. Both times are the server's, which may count seconds.
func (f found) lapses(ordered map[string]time.Time) bool {
	at, ok := ordered[f.rel]
	return ok && f.modified.Before(at)
}
