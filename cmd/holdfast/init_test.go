package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast"
	"holdfast/catalog"
	"holdfast/cmd/internal/nodedir"
	"holdfast/cmd/internal/restore"
	"holdfast/wholefile"
)

// TestInitTakesUpItsOwn guards that an init takes up what a killed one has left
// only if it would have made the same: no key of a rehearsal in a real node, none
// in clear where encrypted ones are wanted, no name that was not asked for.
func TestInitTakesUpItsOwn(t *testing.T) {
	t.Setenv("HOLDFAST_PASSPHRASE", "correct horse battery staple")
	plain := initOptions{label: "office"}
	for name, c := range map[string]struct {
		killed, then initOptions
		only         string // what it left; "" both keys
		taken        bool
	}{
		"the same":                {plain, plain, "", true},
		"the same, encrypted":     {initOptions{label: "office", encrypt: true}, initOptions{label: "office", encrypt: true}, "", true},
		"another label":           {plain, initOptions{label: "office-7"}, "", false},
		"a rehearsal before":      {initOptions{label: "office", training: true}, plain, "", false},
		"a rehearsal's seal key":  {initOptions{label: "office", training: true}, plain, nodedir.FileSealKey, false},
		"a real node before":      {plain, initOptions{label: "office", training: true}, nodedir.FileSealKey, false},
		"in clear before":         {plain, initOptions{label: "office", encrypt: true}, "", false},
		"a seal key in clear":     {plain, initOptions{label: "office", encrypt: true}, nodedir.FileSealKey, false},
		"encrypted before":        {initOptions{label: "office", encrypt: true}, plain, "", false},
		"only the log key before": {plain, plain, nodedir.FileLogKey, true},
	} {
		cli := &cli{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, data: filepath.Join(t.TempDir(), "node")}
		if err := os.MkdirAll(filepath.Join(cli.data, "keys"), 0o700); err != nil {
			t.Fatal(err)
		}
		if c.killed.encrypt {
			if err := cli.vault().Begin([]byte("correct horse battery staple")); err != nil {
				t.Fatal(err)
			}
		}
		was, err := cli.drawNode(t.Context(), c.killed)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{nodedir.FileLogKey, nodedir.FileSealKey} {
			if c.only != "" && f != c.only {
				if err := os.Remove(filepath.Join(cli.data, f)); err != nil {
					t.Fatal(err)
				}
			}
		}
		cli.keys = nil // another process
		n, err := cli.initNode(t.Context(), c.then)
		if (err == nil) != c.taken {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			if n.set.Name != was.Name || c.only == "" && n.keys.Newest().ID() != was.Keys[0].ID() {
				t.Errorf("%s: another key was drawn beside the one that lay there", name)
			}
			n.Close()
			continue
		}
		if _, err := os.Lstat(filepath.Join(cli.data, nodedir.FileSettings)); !errors.Is(err, fs.ErrNotExist) || n != nil {
			t.Errorf("%s: there is a node all the same", name)
		}
	}
}

// TestInitLeavesANodeAlone guards that a directory whose node.json is lost, or
// where a restore is not finished, is not made into another node.
func TestInitLeavesANodeAlone(t *testing.T) {
	lost := (&keyWorld{t, t.TempDir()})
	lost.open().Close()
	if err := os.Remove(filepath.Join(lost.dir, nodedir.FileSettings)); err != nil {
		t.Fatal(err)
	}
	half := t.TempDir()
	if err := wholefile.WriteJSON(filepath.Join(half, restore.FileName), struct{}{}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{lost.dir, half} {
		c := &cli{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, data: dir}
		if n, err := c.initNode(t.Context(), initOptions{label: "office"}); err == nil || !strings.Contains(err.Error(), "restore") {
			t.Errorf("%v, %v", n, err)
		}
		if _, err := os.Lstat(filepath.Join(dir, nodedir.FileSettings)); err == nil {
			t.Error("node.json is written")
		}
	}
}

// TestKeyMadeIsTold guards the custody line of the first key: a kill between the
// line that opens the chain and that one loses it for no longer than to the next
// start, and it is there once.
func TestKeyMadeIsTold(t *testing.T) {
	ctx := t.Context()
	c := &cli{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, data: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(c.data, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := c.drawNode(ctx, initOptions{label: "office"})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.makeParts(ctx, s, ""), s.Write(c.data)); err != nil {
		t.Fatal(err)
	}
	n, err := c.openStore(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.openCase(ctx, s.Unfiled, "unfiled", catalog.Record{}); err != nil {
		t.Fatal(err)
	}
	n.Close() // killed here
	for start := 1; start <= 2; start++ {
		if n, err = c.open(ctx); err != nil {
			t.Fatal(err)
		}
		told := 0
		err := n.outbox.Lines(s.Unfiled, func(raw []byte, _ holdfast.Head) error {
			l, err := holdfast.ParseLine(raw)
			if err == nil && l.Action == "key-made" && len(l.Objects) == 1 && l.Objects[0] == s.Keys[0].ID() {
				told++
			}
			return err
		})
		if err != nil || told != 1 {
			t.Errorf("start %d: told %d times, %v", start, told, err)
		}
		n.Close()
	}
}
