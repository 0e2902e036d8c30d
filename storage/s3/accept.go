package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"holdfast/storage"
)

const (
	probeEvery = 5 * time.Second  // how long Accept believes what a probe found
	fullFor    = 30 * time.Second // and an answer that the store is full
)

// Accept implements [storage.Accepter]. S3 does not tell how much room it has, so a
// store is full from an answer that says so until a write succeeds, or for 30 s.
func (s *Store) Accept(ctx context.Context) error {
	if err := s.accept(ctx); err != nil {
		return fmt.Errorf("accept: %w", err)
	}
	return nil
}

func (s *Store) accept(ctx context.Context) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	if e := s.foreign.Load(); e != nil {
		return *e
	}
	if s.full.within(fullFor) {
		return fmt.Errorf("the object store said that it is full (add disks or raise the bucket's quota; what is accepted is still sealed when there is room): %w", storage.ErrFull)
	}
	if s.spooled.Load() > s.o.MaxSpool/2 {
		return fmt.Errorf("%d MB wait to be written to the object store, of %d MB that may (it is slow, or away): %w", s.spooled.Load()>>20, s.o.MaxSpool>>20, storage.ErrFull)
	}
	if s.probed.within(probeEvery) {
		return nil
	}
	return s.Probe(ctx)
}

// Probe asks the server for the store's marker, for health and readiness: one small
// request. A marker that is gone, or of another store, stops the handle: what is
// written now would lie in somebody else's bucket, or in one that was emptied.
func (s *Store) Probe(ctx context.Context) error {
	id := s.id
	b, err := s.readMarker(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.stop(fmt.Errorf("probe: %w: the bucket was emptied or replaced (look before you start again)", err))
	case err != nil:
		return fmt.Errorf("probe: %w", err)
	}
	if got, err := parseMarker(b); err != nil || got != id {
		return s.stop(fmt.Errorf("probe: another store, %q, lies there now: %w", got, errors.Join(err, storage.ErrForeign)))
	}
	s.probed.set()
	return nil
}

// moment is when something last was, by a clock that nobody sets: one that was set back
// by an hour would have a store be full for an hour, and its marker not be looked at.
type moment struct{ at atomic.Pointer[time.Time] }

func (m *moment) set() {
	now := time.Now()
	m.at.Store(&now)
}

func (m *moment) forget() { m.at.Store(nil) }

// within reports whether it was less than d ago.
func (m *moment) within(d time.Duration) bool {
	at := m.at.Load()
	return at != nil && time.Since(*at) < d
}
