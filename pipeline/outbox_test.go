package pipeline_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

var facts = pipeline.Facts{Node: "test.0123456789abcdef", Software: holdfast.Software{Digest: hashing.Of([]byte("s")), Name: "holdfast", Version: "1"}, Config: hashing.Of([]byte("c"))}

func openOutbox(t testing.TB, dir string, q pipeline.EventQueue) *pipeline.Outbox {
	t.Helper()
	o, err := pipeline.OpenOutbox(filepath.Join(dir, "outbox"), facts, q, nil)
	must(t, err)
	return o
}

func note(home holdfast.ID, why string) pipeline.Entry {
	return pipeline.Entry{Case: home, Action: "note-added", Why: why, Agent: holdfast.Agent{Pseudonym: "kelp"}}
}

// events returns the Events in the queue by ID, and checks each.
func events(t *testing.T, q pipeline.Consumer) map[holdfast.ID]*pipeline.Captured {
	t.Helper()
	out := map[holdfast.ID]*pipeline.Captured{}
	for at := int64(0); ; {
		got, err := q.Receive(t.Context(), pipeline.StageNormalise, 0, at, pipeline.Bounds{NoWait: true})
		must(t, err)
		if len(got) == 0 {
			return out
		}
		for _, m := range got {
			c, err := pipeline.ParseCaptured(m.Body)
			must(t, err)
			if out[m.ID] != nil {
				t.Fatalf("event %s twice", m.ID)
			}
			out[m.ID], at = c, m.Position
		}
	}
}

func TestOutbox(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, dir)
	o := openOutbox(t, dir, q)
	home, other := holdfast.NewID(), holdfast.NewID()
	if _, err := o.Head(t.Context(), home); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("head of a case that was never opened: %v", err)
	}
	opened := pipeline.Entry{Case: home, Action: "opened", X: []byte(`{"name":"2026-017"}`)}
	first, err := o.Append(t.Context(), opened)
	must(t, err)
	_, err = o.Append(t.Context(), pipeline.Entry{Case: other, Action: "opened"})
	must(t, err)
	for range 3 {
		_, err = o.Append(t.Context(), note(home, "why"))
		must(t, err)
	}
	o = openOutbox(t, dir, q) // verified again from the first line
	last, err := o.Head(t.Context(), home)
	must(t, err)
	if first.Length != 1 || last.Length != 4 || last.Chain != first.Chain {
		t.Fatalf("heads %+v, %+v", first, last)
	}
	head, n := hashing.Digest{}, int64(0)
	ev := events(t, q)
	must(t, o.Lines(home, func(line []byte, h holdfast.Head) error {
		n++
		head = holdfast.Next(head, hashing.Of(line))
		e := ev[holdfast.EventID(first.Chain, n)]
		if h.Head != head || h.Length != n || e == nil {
			t.Fatalf("line %d: head %+v, event %v", n, h, e)
		}
		if string(e.Inline["line.json"]) != string(line) || e.Manifest.Custody != h || e.Manifest.Kind != holdfast.KindEvent || e.Manifest.Object("line.json").Role != "custody-line" {
			t.Fatalf("event of line %d: %+v", n, e.Manifest)
		}
		return nil
	}))
	if n != 4 || head != last.Head || len(ev) != 5 {
		t.Fatalf("%d lines, %d events", n, len(ev))
	}
	if s := ev[holdfast.EventID(first.Chain, 1)].Manifest.Source; s != holdfast.Source("holdfast:case/"+string(home)) {
		t.Fatalf("source %s", s)
	}
}

// down is a queue that cannot be reached.
type down struct{ pipeline.EventQueue }

func (down) Publish(context.Context, *pipeline.Move, ...pipeline.Message) ([]pipeline.Place, error) {
	return nil, errCrash
}

func TestOutboxRecovers(t *testing.T) {
	dir, home := t.TempDir(), holdfast.NewID()
	o := openOutbox(t, dir, down{})
	for i := range 260 {
		h, err := o.Append(t.Context(), note(home, "unpublished"))
		if !errors.Is(err, errCrash) || h.Length != int64(i)+1 {
			t.Fatalf("append without a queue: %+v, %v", h, err)
		}
	}
	h, err := o.Head(t.Context(), home)
	must(t, err)
	path := filepath.Join(dir, "outbox", string(h.Chain)+".jsonl")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	f.WriteString(`{"action":"torn` + strings.Repeat(" ", 2000)) // a crash in the middle of a write
	must(t, f.Close())
	q := openQueue(t, dir)
	o = openOutbox(t, dir, q)
	must(t, o.Recover(t.Context(), nil))
	if n := len(events(t, q)); n != 260 {
		t.Fatalf("%d events", n)
	}
	h, err = o.Append(t.Context(), note(home, "after the torn line"))
	must(t, err)
	if b, _ := os.ReadFile(path); h.Length != 261 || strings.Contains(string(b), `"torn`) || !strings.HasSuffix(string(b), "}\n") || strings.Count(string(b), "\n") != 261 {
		t.Fatalf("length %d", h.Length)
	}
	before := events(t, q)
	must(t, os.WriteFile(strings.TrimSuffix(path, "jsonl")+"published", []byte("999999\n"), 0o600)) // a mark proves nothing
	must(t, o.Recover(t.Context(), nil))
	must(t, o.Recover(t.Context(), nil))
	if len(events(t, q)) != len(before) || len(before) != 261 {
		t.Fatal("published again under another ID")
	}
	lost := openQueue(t, t.TempDir())
	must(t, openOutbox(t, dir, lost).Recover(t.Context(), nil))
	for id, e := range events(t, lost) {
		a, err := e.Manifest.Encode()
		must(t, err)
		if b, _ := before[id].Manifest.Encode(); string(a) != string(b) {
			t.Fatal("published again as another Manifest")
		}
	}
}

// A Case that many begin at the same time gets one chain.
func TestOutboxBegins(t *testing.T) {
	dir := t.TempDir()
	q := openQueue(t, dir)
	handles := make([]*pipeline.Outbox, 6)
	for i := range handles {
		handles[i] = openOutbox(t, dir, q)
	}
	for range 10 {
		home := holdfast.NewID()
		var wg sync.WaitGroup
		start := make(chan struct{})
		for _, o := range handles {
			wg.Go(func() {
				<-start
				if _, err := o.Append(t.Context(), note(home, "first")); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		for _, o := range append(handles, openOutbox(t, dir, q)) {
			h, err := o.Head(t.Context(), home)
			must(t, err)
			if h.Length != int64(len(handles)) {
				t.Fatalf("chain of %d lines, %d were acknowledged", h.Length, len(handles))
			}
		}
	}
}

const appender = "HOLDFAST_OUTBOX_CHILD"

func TestMain(m *testing.M) {
	if dir, home, ok := strings.Cut(os.Getenv(appender), " "); ok {
		appendForever(dir, holdfast.ID(home))
	}
	os.Exit(m.Run())
}

// appendForever prints each length after it was acknowledged.
func appendForever(dir string, home holdfast.ID) {
	ctx := context.Background()
	q, err := sqlite.Open(ctx, filepath.Join(dir, "queue.db"), sqlite.Options{})
	var o *pipeline.Outbox
	if err == nil {
		o, err = pipeline.OpenOutbox(filepath.Join(dir, "outbox"), facts, q, nil)
	}
	for err == nil {
		var h holdfast.Head
		if h, err = o.Append(ctx, note(home, "x")); err == nil {
			fmt.Println(h.Length)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// Processes append to one chain and are killed: the chain holds together, no
// number is given twice, and what was acknowledged is there and published.
func TestOutboxKilled(t *testing.T) {
	dir, home := t.TempDir(), holdfast.NewID()
	q := openQueue(t, dir)
	rounds := 4
	if os.Getenv("HOLDFAST_LONG") == "1" {
		rounds = 80
	}
	acked := map[string]bool{}
	for range rounds {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 3 {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s", appender, dir, home))
			out, err := c.StdoutPipe()
			must(t, err)
			c.Stderr = os.Stderr
			must(t, c.Start())
			wg.Go(func() {
				for sc := bufio.NewScanner(out); sc.Scan(); {
					mu.Lock()
					if acked[sc.Text()] {
						t.Errorf("line %s was acknowledged twice", sc.Text())
					}
					acked[sc.Text()] = true
					mu.Unlock()
				}
			})
			time.AfterFunc(60*time.Millisecond+rand.N(60*time.Millisecond), func() { c.Process.Kill() })
			defer c.Wait()
		}
		wg.Wait()
	}
	o := openOutbox(t, dir, q)
	must(t, o.Recover(t.Context(), nil))
	h, err := o.Head(t.Context(), home)
	must(t, err)
	ev := events(t, q)
	for n := range h.Length {
		delete(acked, fmt.Sprint(n+1))
		if ev[holdfast.EventID(h.Chain, n+1)] == nil {
			t.Errorf("line %d is not published", n+1)
		}
	}
	t.Logf("%d lines", h.Length)
	if len(acked) > 0 || h.Length < 3 || int64(len(ev)) != h.Length {
		t.Errorf("acknowledged and lost: %v; %d lines, %d events", acked, h.Length, len(ev))
	}
}
