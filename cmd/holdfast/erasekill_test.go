package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/storage"
)

var errEraseDied = errors.New("died here")

// dyingEraser is a store that works so often on what an erasure writes and erases, and never
// again: as a process that is killed right behind that.
type dyingEraser struct {
	nodeStore
	left int
}

func (d *dyingEraser) step(err error) error {
	if d.left--; d.left == 0 && err == nil {
		return errEraseDied
	}
	return err
}

func (d *dyingEraser) Create(ctx context.Context, name string, r io.Reader) error {
	if !strings.HasPrefix(name, storage.ErasedPrefix) && !strings.Contains(name, ".erased-") {
		return d.nodeStore.Create(ctx, name, r)
	}
	if d.left <= 0 {
		return errEraseDied
	}
	return d.step(d.nodeStore.Create(ctx, name, r))
}

func (d *dyingEraser) Erase(ctx context.Context, k storage.Key) error {
	if d.left <= 0 {
		return errEraseDied
	}
	return d.step(d.nodeStore.(storage.Eraser).Erase(ctx, k))
}

// TestEraseKilled guards that an erasure which is killed behind any of its writes is
// finished by the next run, that in between all the rest can be read and nothing is
// called erased that is not, and that whoever erases another capture of the same pack
// first does not lose it.
func TestEraseKilled(t *testing.T) {
	w := newKillWorld(t)
	one, two := filepath.Join(w.dir, "one.txt"), filepath.Join(w.dir, "two.txt")
	big := filepath.Join(w.dir, "big.bin")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(one, []byte("FIRSTWORD"), 0o600))
	must(os.WriteFile(two, []byte("SECONDWORD"), 0o600))
	must(os.WriteFile(big, append([]byte("BIGWORD"), bytes.Repeat([]byte("x"), 1<<20)...), 0o600))
	id := func(out string) string {
		_, rest, ok := strings.Cut(out, `"event":"sealed","id":"`)
		if !ok {
			t.Fatal(out)
		}
		return rest[:32]
	}
	first := id(w.must("add", one, big, "--case", "kill", "--giver", "nobody", "--json"))
	second := id(w.must("add", two, "--case", "kill", "--giver", "nobody", "--json"))
	w.must("seal", "--wait", "1m")
	base := filepath.Join(w.dir, "base")
	must(exec.Command("cp", "-a", w.data, base).Run())
	erase := func(left int, args ...string) error {
		c := &cli{in: strings.NewReader(""), out: io.Discard, errs: io.Discard, data: w.data}
		n, err := c.open(t.Context())
		must(err)
		defer n.Close()
		o := eraseOptions{wait: time.Minute, resume: len(args) == 0}
		if len(args) > 0 {
			o.order, o.reason = "Court 4", "privacy"
		}
		if left > 0 {
			n.store = &dyingEraser{n.store, left}
		}
		return c.erase(t.Context(), n, args, o)
	}
	for left := 1; ; left++ {
		must(os.RemoveAll(w.data))
		must(exec.Command("cp", "-a", base, w.data).Run())
		err := erase(left, first)
		died := errors.Is(err, errEraseDied)
		if !died {
			must(err)
		}
		what := fmt.Sprintf("killed behind write %d", left)
		if died {
			if out := w.must("audit", "--all"); !strings.Contains(out, "0 problems") {
				t.Errorf("%s: %s", what, out)
			}
			w.must("show", second)
			if out := w.must("custody", "kill"); strings.Contains(out, " erased ") {
				t.Errorf("%s: called erased", what)
			}
			if left%2 == 0 {
				must(erase(0, second)) // it finishes the other one too
			}
			must(erase(0))
		}
		bytesGone(t, w.data, what, "FIRSTWORD", "BIGWORD")
		if left%2 == 0 && died {
			bytesGone(t, w.data, what, "SECONDWORD")
		}
		if out := w.must("audit", "--all"); !strings.Contains(out, "0 problems") {
			t.Errorf("%s, and finished: %s", what, out)
		}
		if out := w.must("custody", "kill"); !strings.Contains(out, " erased ") {
			t.Errorf("%s, and finished: not called erased", what)
		}
		if !died {
			if left < 5 {
				t.Errorf("%d writes: the test hardly tests", left)
			}
			break
		}
	}
}

// TestEraseKilledForReal does it to processes, at whatever instant.
func TestEraseKilledForReal(t *testing.T) {
	w := newKillWorld(t)
	rounds := 4
	if os.Getenv("HOLDFAST_LONG") != "" {
		rounds = 60
	}
	for i := range rounds {
		word := fmt.Sprintf("WORD%dWORD", i)
		file := filepath.Join(w.dir, "file.txt")
		if err := os.WriteFile(file, append([]byte(word), bytes.Repeat([]byte("x"), i%2<<20)...), 0o600); err != nil {
			t.Fatal(err)
		}
		out := w.must("add", file, "--case", "kill", "--giver", "nobody", "--json")
		_, rest, _ := strings.Cut(out, `"event":"sealed","id":"`)
		w.start("", w.bin, "erase", rest[:32], "--order", "Court 4", "--reason", "privacy").kill(1500 * time.Millisecond)
		w.must("erase", rest[:32], "--order", "Court 4", "--reason", "privacy")
		bytesGone(t, w.data, fmt.Sprint("round ", i), word)
	}
	if out := w.must("audit", "--all"); !strings.Contains(out, "0 problems") {
		t.Error(out)
	}
	w.must("rebuild")
}

func bytesGone(t *testing.T, dir, what string, words ...string) {
	t.Helper()
	for _, word := range words {
		if out, err := exec.Command("grep", "-rla", word, dir).Output(); err == nil {
			t.Errorf("%s: %s is still in %s", what, word, out)
		}
	}
}
