package heard

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

// newNode has a custody of its own, and a Case in it.
func newNode(t *testing.T) (n Node, home holdfast.ID) {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	q, err := sqlite.Open(t.Context(), filepath.Join(dir, "queue.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	if err := os.Mkdir(filepath.Join(dir, "outbox"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := pipeline.OpenOutbox(filepath.Join(dir, "outbox"), pipeline.Facts{Node: "office.0000000000000001"}, q, log)
	if err != nil {
		t.Fatal(err)
	}
	home = holdfast.NewID()
	if _, err := out.Append(t.Context(), pipeline.Entry{Case: home, Action: "opened"}); err != nil {
		t.Fatal(err)
	}
	return Node{Dir: dir, Custody: out, Log: log}, home
}

// TestHeard guards what custody says of the times in which channels were answered
// for. Random nodes work, sleep, are killed and begin again, under clocks that jump:
// no time in which nobody was answered for longer than the resolution is ever said to
// be heard, and what was on the disk before a kill is.
func TestHeard(t *testing.T) {
	n, home := newNode(t)
	ctx := t.Context()
	seeds := uint64(3)
	if os.Getenv("HOLDFAST_LONG") != "" {
		seeds = 100
	}
	for seed := range seeds {
		rnd := rand.New(rand.NewPCG(seed, 21))
		_ = os.Remove(filepath.Join(n.Dir, FileName))
		h := &Ears{Node: n}
		now := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC).AddDate(int(seed), 0, 0)
		all, held, kept := map[string][]time.Time{}, map[string][]time.Time{}, map[string][]time.Time{} // answers; those that no kill has taken; those that none can take
		names := []string{fmt.Sprint(1000 + seed), fmt.Sprint(5000 + seed)}
		keep := func() {
			for _, name := range names {
				kept[name] = slices.Clone(held[name])
			}
		}
		for range 700 {
			now = now.Add(time.Duration(1+rnd.IntN(60)) * time.Second)
			switch rnd.IntN(150) {
			case 0: // asleep, or the line is down
				now = now.Add(time.Duration(rnd.IntN(90)) * time.Minute)
			case 1: // killed
				h = &Ears{Node: n}
				for _, name := range names {
					held[name] = slices.Clone(kept[name])
				}
				now = now.Add(time.Duration(rnd.IntN(40)) * time.Minute)
				if err := h.TakeUp(ctx, now); err != nil {
					t.Fatal(err)
				}
			case 2: // stopped
				h.Flush(ctx, now)
				keep()
				h = &Ears{Node: n}
				if err := h.TakeUp(ctx, now); err != nil {
					t.Fatal(err)
				}
			}
			name := names[min(rnd.IntN(20), 1)]
			all[name], held[name] = append(all[name], now), append(held[name], now)
			h.Heard(name, home, now)
			h.Turn(ctx, now)
			if !h.unstored {
				keep()
			}
		}
		h.Flush(ctx, now)
		keep()
		for _, name := range names {
			spans, events, err := Of(n.Custody, name, []holdfast.ID{home})
			if err != nil || len(spans) == 0 || len(events) == 0 {
				t.Fatalf("seed %d: %v, %v", seed, spans, err)
			}
			last := all[name][0]
			for _, at := range all[name][1:] {
				for _, s := range spans {
					if gap := at.Sub(last); gap > Gap && s.From.Before(at) && s.To.After(last) {
						t.Errorf("seed %d: nobody was answered from %s to %s, and it is said to be heard from %s to %s", seed, last, at, s.From, s.To)
					}
				}
				last = at
			}
			for _, at := range kept[name] {
				near := func(s Span) bool {
					return !at.Before(s.From.Add(-time.Minute)) && !at.After(s.To.Add(time.Minute))
				}
				if !slices.ContainsFunc(spans, near) {
					t.Errorf("seed %d: the answer of %s was on the disk, and is not told", seed, at)
				}
			}
		}
	}
}

// TestHeardFile: a file that was damaged costs what it held and is said; it claims
// nothing, and the node works.
func TestHeardFile(t *testing.T) {
	n, home := newNode(t)
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for _, bad := range []string{"", "{", `{"version":2}`, `{"version":1,"channels":{"5":null}}`, `{"version":1,"channels":{"5":{"case":"x","spans":[]}}}`,
		`{"version":1,"channels":{"5":{"case":"00112233445566778899aabbccddeeff","spans":[{"from":"2026-03-01T09:00:00.000Z","to":"2026-03-01T08:00:00.000Z"}]}}}`} {
		if err := os.WriteFile(filepath.Join(n.Dir, FileName), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		h := &Ears{Node: n}
		if err := h.TakeUp(t.Context(), at); err != nil || len(h.doc.Channels) > 0 {
			t.Errorf("%q: %v, %v", bad, h.doc, err)
		}
	}
	if spans, _, err := Of(n.Custody, "5", []holdfast.ID{home}); err != nil || len(spans) > 0 {
		t.Errorf("%v, %v", spans, err)
	}
}
