package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"holdfast"
	"holdfast/pipeline"
)

// TestPoisonTold: what cannot be sealed is told before its batch is acknowledged, with
// the Case where the message says it, and again after a crash.
func TestPoisonTold(t *testing.T) {
	dir := t.TempDir()
	q, s := openQueue(t, dir), newSealer(openStore(t, dir))
	ids := publish(t, q, 1)
	torn := captured(t, holdfast.NewID())
	torn.Body = bytes.Replace(torn.Body, []byte("kelp"), []byte("KELP"), 1) // another inline Object than the Manifest names
	garbage := pipeline.Message{ID: holdfast.NewID(), Body: []byte("of another form")}
	_, err := q.Publish(t.Context(), nil, torn, garbage)
	must(t, err)
	var told []pipeline.Poisoned
	crash := true
	run := func() error {
		if _, err := (&pipeline.Normalise{Queue: q}).Drain(t.Context()); err != nil {
			return err
		}
		return (&pipeline.Preserve{Queue: q, Plans: s, Carrier: s, Poison: func(_ context.Context, p []pipeline.Poisoned) error {
			told = append(told, p...)
			if crash {
				return errCrash
			}
			return nil
		}}).Drain(t.Context())
	}
	if err := run(); !errors.Is(err, errCrash) {
		t.Fatalf("it was not told: %v", err)
	}
	at, err := q.Position(t.Context(), pipeline.StagePreserve, 0)
	must(t, err)
	if at != 0 {
		t.Errorf("acknowledged up to %d, and nobody was told", at)
	}
	crash = false
	must(t, run()) // now by the plan that stands
	if len(told) != 4 {
		t.Fatalf("told %d times of 2 messages, twice", len(told))
	}
	for i, p := range told {
		want := []pipeline.Poisoned{{Place: 2, ID: torn.ID, Case: holdfast.ID(strings.Repeat("c", 32))}, {Place: 3, ID: garbage.ID}}[i%2]
		if p.Place != want.Place || p.ID != want.ID || p.Case != want.Case || p.Err == nil {
			t.Errorf("told %+v, wanted %+v", p, want)
		}
	}
	if got := sealed(t, s.store); len(got) != 1 || got[ids[0]] != 1 {
		t.Errorf("sealed: %v", got)
	}
}
