package seams

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"holdfast"
	"holdfast/catalog"
	catalogdb "holdfast/catalog/sqlite"
	"holdfast/hashing"
	"holdfast/pipeline"
	queuedb "holdfast/pipeline/sqlite"
	"holdfast/storage/file"
)

var (
	_ pipeline.Planner = (*Planner)(nil)
	_ pipeline.Carrier = (*Carrier)(nil)
	_ catalog.Judge    = Judge{}
)

// world is a store, a catalog, and what two lines of custody are once they are normalised.
type world struct {
	store *file.Store
	cat   *catalogdb.Catalog
	items []pipeline.Item
	log   bytes.Buffer
	told  atomic.Int64
}

func newWorld(t *testing.T) (*world, *Indexer) {
	ctx, dir, quiet, w := t.Context(), t.TempDir(), slog.New(slog.DiscardHandler), new(world)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.store, err = file.Open(filepath.Join(dir, "store"), file.Options{MinFree: -1})
	check(err)
	t.Cleanup(func() { w.store.Close() })
	w.cat, err = catalogdb.Create(ctx, filepath.Join(dir, "catalog.db"), catalogdb.Options{})
	check(err)
	t.Cleanup(func() { w.cat.Close() })
	q, err := queuedb.Open(ctx, filepath.Join(dir, "queue.db"), queuedb.Options{})
	check(err)
	defer q.Close()
	facts := pipeline.Facts{Node: "a.0123456789abcdef", Software: holdfast.Software{Name: "test", Digest: hashing.Of(nil)}, Config: hashing.Of(nil), Clock: holdfast.Clock{Source: "node"}}
	out, err := pipeline.OpenOutbox(filepath.Join(dir, "outbox"), facts, q, quiet)
	check(err)
	home := holdfast.NewID()
	for _, action := range []string{"opened", "noted"} {
		_, err = out.Append(ctx, pipeline.Entry{Case: home, Action: action})
		check(err)
	}
	_, err = (&pipeline.Normalise{Queue: q, Log: quiet}).Drain(ctx)
	check(err)
	ms, err := q.Receive(ctx, pipeline.StageIndex, 0, 0, pipeline.Bounds{Count: 2})
	check(err)
	for _, m := range ms {
		it, err := m.Item()
		check(err)
		w.items = append(w.items, it)
	}
	return w, &Indexer{Catalog: w.cat, Store: w.store, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Told: &w.told}
}

// TestAccepted: a message that cannot be read is said, and stops nothing behind it; a ctx that
// ends does.
func TestAccepted(t *testing.T) {
	w, x := newWorld(t)
	bad := w.items[0]
	bad.Manifest = []byte("{}")
	if err := x.Accepted(t.Context(), append([]pipeline.Item{bad}, w.items...)); err != nil {
		t.Fatal(err)
	}
	for _, it := range w.items {
		if cp, err := w.cat.Capture(t.Context(), it.ID); err != nil || cp.Manifest != hashing.Of(it.Manifest) {
			t.Errorf("%s: %+v, %v", it.ID, cp, err)
		}
	}
	if !strings.Contains(w.log.String(), "message not indexed") || w.told.Load() != 1 {
		t.Errorf("told %d times, and the log says %s", w.told.Load(), w.log.String())
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := x.Accepted(ctx, w.items); !errors.Is(err, context.Canceled) {
		t.Errorf("a ctx that has ended: %v", err)
	}
}

// TestSealed: a Seal whose plan is not there stops nothing, is pending, and is whole once the
// plan has been put back.
func TestSealed(t *testing.T) {
	w, x := newWorld(t)
	if err := x.Accepted(t.Context(), w.items); err != nil {
		t.Fatal(err)
	}
	seal := holdfast.SealID("0123456789abcdef", 0, 1)
	it := w.items[0]
	if err := x.Sealed(t.Context(), []pipeline.Outcome{{Seal: seal, State: pipeline.StateSigned, Reason: "no quorum"}}); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		t.Helper()
		cp, err := w.cat.Capture(t.Context(), it.ID)
		if err != nil {
			t.Fatal(err)
		}
		return cp.State
	}
	if left, err := w.cat.Unplaced(t.Context(), 9); err != nil || len(left) != 1 || left[0] != seal || state() != pipeline.StatePending {
		t.Errorf("%v, %v, %s: want %s, and its capture pending", left, err, state(), seal)
	}
	if !strings.Contains(w.log.String(), "until the plan is put back from a mirror") {
		t.Errorf("the log says %s", w.log.String())
	}
	p := &holdfast.Plan{Captures: []holdfast.Planned{{ID: it.ID, Manifest: hashing.Of(it.Manifest), Position: 1}}, First: 1, Last: 1, Queue: "0123456789abcdef", Seal: seal, Packs: []holdfast.Pack{}}
	b, err := p.Encode()
	if err == nil {
		err = w.store.Create(t.Context(), catalog.PlanName(seal), bytes.NewReader(b))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Place(t.Context(), w.cat, w.store, x.Log); err != nil {
		t.Fatal(err)
	}
	if left, err := w.cat.Unplaced(t.Context(), 9); err != nil || len(left) != 0 || state() != pipeline.StateSigned {
		t.Errorf("put back: %v, %v, %s", left, err, state())
	}
}
