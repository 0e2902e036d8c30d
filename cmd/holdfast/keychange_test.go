package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"holdfast"
	"holdfast/cmd/internal/nodedir"
	"holdfast/keyring"
)

// world is a node's directory, opened anew by every step as by a process of its own.
type keyWorld struct {
	t   *testing.T
	dir string
}

func (w *keyWorld) open() *node {
	w.t.Helper()
	c := &cli{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, data: w.dir}
	n, err := c.initNode(context.Background(), initOptions{label: "office"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(n.Close)
	return n
}

func (w *keyWorld) settings(change func(*nodedir.Settings)) {
	w.t.Helper()
	if err := w.open().changeSettings(context.Background(), func(s *nodedir.Settings) error { change(s); return nil }); err != nil {
		w.t.Fatal(err)
	}
}

// told counts the custody lines that tell of a new key.
func (w *keyWorld) told(n *node, action, id string) (lines int) {
	w.t.Helper()
	err := n.outbox.Lines(n.set.Unfiled, func(raw []byte, _ holdfast.Head) error {
		l, err := holdfast.ParseLine(raw)
		if err != nil {
			return err
		}
		var x struct {
			New string   `json:"new"`
			Old []string `json:"old"`
		}
		if l.Action == action && json.Unmarshal(l.X, &x) == nil && x.New == id && len(x.Old) == 1 {
			lines++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return lines
}

// TestKeyChangeIsFinished guards that a change of keys that stops at any step is
// finished by whoever opens the node next, and told of once.
func TestKeyChangeIsFinished(t *testing.T) {
	ctx := context.Background()
	half := func(stop func(w *keyWorld, n *node, ch *keyring.Change)) (*keyWorld, keyring.Key, *keyring.Change) {
		w := &keyWorld{t, t.TempDir()}
		n := w.open()
		was := n.keys.Newest()
		k, err := keyring.Make(ctx, n.vault, "", "", false)
		if err != nil {
			t.Fatal(err)
		}
		if stop == nil { // before the change counts: a file that nothing names
			return w, was, &keyring.Change{New: k.ID()}
		}
		ch, err := n.keeper().Rotate(ctx, k, nil)
		if err != nil {
			t.Fatal(err)
		}
		stop(w, n, ch)
		return w, was, ch
	}
	w, was, _ := half(nil)
	if n := w.open(); n.keys.Newest().ID() != was.ID() || len(n.keys.All()) != 1 {
		t.Error("a key that was only drawn signs")
	}
	for name, stop := range map[string]func(w *keyWorld, n *node, ch *keyring.Change){
		"nothing told": func(*keyWorld, *node, *keyring.Change) {},
		"told, not noted": func(w *keyWorld, n *node, ch *keyring.Change) {
			if err := (keyRecord{n}).Tell(ctx, ch); err != nil {
				t.Fatal(err)
			}
		},
		"noted, not ended": func(w *keyWorld, n *node, ch *keyring.Change) {
			if err := (keyRecord{n}).Tell(ctx, ch); err != nil {
				t.Fatal(err)
			}
			if err := n.changeSettings(ctx, func(s *nodedir.Settings) error { s.KeysOpen = nil; return nil }); err != nil {
				t.Fatal(err)
			}
		},
		"ended, not deleted": func(w *keyWorld, n *node, ch *keyring.Change) {
			key, err := os.ReadFile(n.path(nodedir.FileSealKey))
			if err != nil {
				t.Fatal(err)
			}
			if err := n.finishKeys(ctx); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(n.path(nodedir.FileSealKey), key, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		w, was, ch := half(stop)
		n := w.open()
		old := n.keys.All()[0]
		if old.ID() != was.ID() || old.State() != "retired" || n.keys.Holds(old) || n.keys.Newest().ID() != ch.New || n.set.KeysOpen != nil && w.open().set.KeysOpen != nil {
			t.Errorf("%s: the old key is %s, held %t; the new one %s", name, old.State(), n.keys.Holds(old), n.keys.Newest().ID())
		}
		if until := old.Until; until == nil || !until.Equal(old.Retired.Add(keyring.Margin)) {
			t.Errorf("%s: it ends %v, retired %v", name, until, old.Retired)
		}
		if lines := w.told(w.open(), "key-rotated", ch.New); lines != 1 {
			t.Errorf("%s: %d custody lines tell of it", name, lines)
		}
		if s, err := n.sealSigner(ctx); err != nil || holdfast.KeyID(s.SPKI()) != ch.New {
			t.Errorf("%s: signs with another key, %v", name, err)
		}
	}
}

// TestNodeOfBefore guards nodes that were made before node.json had a list of
// keys: the one key they have is known, rotated and encrypted like any.
func TestNodeOfBefore(t *testing.T) {
	ctx := context.Background()
	w := &keyWorld{t, t.TempDir()}
	was := w.open().entry()
	w.settings(func(s *nodedir.Settings) { s.Keys = nil })
	n := w.open()
	if len(n.set.Keys) != 0 {
		t.Fatal("the list is still there")
	}
	if e := n.entry(); len(e.Keys) != 1 || !e.Keys[0].From.Equal(was.Keys[0].From.Time) || string(e.Keys[0].SPKI) != string(was.Keys[0].SPKI) {
		t.Errorf("entry %+v, was %+v", e, was)
	}
	c := &cli{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, data: w.dir}
	if err := c.rotate(ctx, n, rotateOptions{}); err != nil {
		t.Fatal(err)
	}
	if ks := w.open().keys.All(); len(ks) != 2 || ks[0].State() != "retired" || ks[1].State() != "active" {
		t.Errorf("%+v", ks)
	}
}
