package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/keyring"
	"holdfast/mirror"
	"holdfast/vault"
)

// TestLostKeysAreEnded guards that keys which were lost before a restore can be
// said to be in other hands: by name, and by a compromise of all.
func TestLostKeysAreEnded(t *testing.T) {
	ctx := context.Background()
	begin := func() (*keyWorld, holdfast.PolicyKey, holdfast.Time) {
		w := &keyWorld{t, t.TempDir()}
		text, err := keyring.Make(ctx, vault.New(t.TempDir(), nil), "", "", false)
		if err == nil {
			t.Fatal("made a key where no directory is", text)
		}
		lost := holdfast.PolicyKey{SPKI: text.SPKI, From: holdfast.At(time.Now().Add(-60 * 24 * time.Hour))}
		w.settings(func(s *nodedir.Settings) {
			s.Former = []mirror.FormerLog{{Name: "old.0000000000000001", VKey: s.VKey, Keys: []holdfast.PolicyKey{lost}}, {Name: "old.0000000000000002", VKey: s.VKey, Keys: []holdfast.PolicyKey{lost}}}
		})
		return w, lost, holdfast.At(time.Now().Add(-40 * 24 * time.Hour))
	}
	ended := func(n *node, at holdfast.Time) {
		t.Helper()
		es := n.entries()
		if len(es) != 3 {
			t.Fatalf("%d entries", len(es))
		}
		for _, e := range es[1:] {
			if u := e.Keys[0].Until; u == nil || !u.Equal(at.Time) {
				t.Errorf("under %s it ends %v, want %s", e.Name, u, at)
			}
		}
	}
	lines := func(n *node) (count int) {
		err := n.outbox.Lines(n.set.Unfiled, func(raw []byte, _ holdfast.Head) error {
			if strings.Contains(string(raw), `"action":"key-compromised"`) {
				count++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return count
	}
	c := func(w *keyWorld) *cli {
		return &cli{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, data: w.dir}
	}

	w, lost, since := begin()
	n, id := w.open(), holdfast.KeyID(lost.SPKI)
	if err := c(w).declareKey(ctx, n, id, since.String()); err != nil {
		t.Fatal(err)
	}
	ended(n, since)
	ended(w.open(), since)
	if k := n.keys.Newest(); k.Compromised || k.Until != nil {
		t.Error("the key that signs ended too")
	}
	if err := c(w).declareKey(ctx, n, id, since.String()); err == nil {
		t.Error("ended twice at the same time")
	}
	earlier := holdfast.At(since.Add(-time.Hour))
	if err := c(w).declareKey(ctx, w.open(), id, earlier.String()); err != nil {
		t.Fatal(err)
	}
	ended(w.open(), earlier)
	if got := lines(w.open()); got != 2 {
		t.Errorf("%d lines tell of it, want one for each time", got)
	}
	again := w.open() // as after a crash behind the line
	if err := (keyRecord{again}).Tell(ctx, &keyring.Change{Action: "key-compromised", Old: []string{id}, Since: &earlier}); err != nil || lines(again) != 2 {
		t.Errorf("told again, %d lines, %v", lines(again), err)
	}
	if err := c(w).declareKey(ctx, n, n.keys.Newest().ID(), since.String()); err == nil {
		t.Error("ended the key that signs, and made none")
	}

	w, _, since = begin()
	n = w.open()
	if err := c(w).rotate(ctx, n, rotateOptions{since: since.String()}); err != nil {
		t.Fatal(err)
	}
	ended(n, since)
	ended(w.open(), since)
}
