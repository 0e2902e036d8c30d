package mirrors

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"holdfast"
	"holdfast/cmd/internal/engineset"
	"holdfast/hashing"
	"holdfast/mirror"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/vault"
)

// aNode is one with real engines in a directory of its own, and a Seal key that does not open.
func aNode(t *testing.T) *Node {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	name, _, vkey, err := preserve.NewLogKey("here")
	if err != nil {
		t.Fatal(err)
	}
	e := &engineset.Set{Dir: dir, Owner: holdfast.NewID(), Log: log}
	if err := e.Make(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	store, err := e.OpenStore(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	queue, err := e.OpenQueue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { queue.Close() })
	out, err := pipeline.OpenOutbox(filepath.Join(dir, "outbox"), pipeline.Facts{Node: name, Software: holdfast.Software{Name: "test", Digest: hashing.Of(nil)}, Config: hashing.Of(nil), Clock: holdfast.Clock{Source: "node"}}, queue, log)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Dir: dir, As: mirror.Node{Name: name, Unfiled: e.Owner}, VKey: vkey, Store: store, Queue: queue, Custody: out, Log: log,
		Signer: func(context.Context) (preserve.Signer, error) { return nil, vault.ErrPassphrase },
		Files: func(context.Context) (map[string][]byte, error) {
			return map[string][]byte{"node.json": []byte("{}\n")}, nil
		},
		Tasks: func(context.Context) iter.Seq2[pipeline.Task, error] { return func(func(pipeline.Task, error) bool) {} }}
	if _, err := out.Append(t.Context(), pipeline.Entry{Case: e.Owner, Action: "opened", Agent: n.Agent}); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestQueueOf guards that a queue whose later positions a mirror knows
// draws a new name, and that one that is as new keeps its name.
func TestQueueOf(t *testing.T) {
	n := aNode(t)
	id, err := n.Queue.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end, err := n.Queue.End(t.Context(), pipeline.StagePreserve, 0)
	if err != nil || end == 0 {
		t.Fatalf("end %d, %v: want what the line of custody is", end, err)
	}
	name := func() string {
		now, err := n.Queue.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return now.Queue
	}
	older := mirror.Queue{Name: id.Queue, End: end + 1}
	for what, q := range map[string]mirror.Queue{"as new": {Name: id.Queue, End: end}, "another queue": {Name: "0123456789abcdef", End: end + 9}} {
		if err := n.queueOf(t.Context(), &mirror.Mark{Queue: q}); err != nil || name() != id.Queue {
			t.Errorf("%s: %v, the name is %s", what, err, name())
		}
	}
	shared := *n
	shared.SharedQueue = true
	if err := shared.queueOf(t.Context(), &mirror.Mark{Queue: older}); err != nil || name() != id.Queue {
		t.Errorf("shared: %v, the name is %s", err, name())
	}
	if err := n.queueOf(t.Context(), &mirror.Mark{Queue: older}); err != nil || name() == id.Queue {
		t.Errorf("older: %v, the name is still %s", err, name())
	}
	was := name()
	if err := n.queueOf(t.Context(), &mirror.Mark{Queue: mirror.Queue{Name: was, End: end, Seal: holdfast.SealID(was, 0, end+1)}}); err != nil || name() == was {
		t.Errorf("a plan that this store lacks: %v, the name is still %s", err, name())
	}
}

// TestRun makes a mirror, goes on with it, and says what is wrong with what is none.
func TestRun(t *testing.T) {
	n := aNode(t)
	at := filepath.Join(t.TempDir(), "safe")
	d, _, err := n.Store.(engineset.Store).Put(t.Context(), strings.NewReader("an object"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		done, err := n.Run(t.Context(), Options{To: at})
		if err != nil || done.Problems != 0 || !errors.Is(done.Unsigned, vault.ErrPassphrase) {
			t.Fatalf("run %d: %+v, %v", i, done, err)
		}
		if want := int64(1 - i); done.Files != want {
			t.Errorf("run %d copied %d files, want %d", i, done.Files, want)
		}
	}
	if _, err := os.Stat(filepath.Join(at, "store/objects/sha256", d.Hex()[:2], d.Hex())); err != nil {
		t.Error(err)
	}
	list, err := Read(n.Dir)
	if err != nil || len(list) != 1 || list[0].Path != at {
		t.Fatalf("%+v, %v: want one mirror", list, err)
	}
	// One that the node has forgotten meanwhile is known again; one that is gone is not made anew.
	if err := os.Rename(at, at+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Run(t.Context(), Options{To: at}); err == nil || !strings.Contains(err.Error(), "mount its disk") {
		t.Errorf("gone: %v", err)
	}
	if err := n.NotBehind(t.Context()); err != nil {
		t.Errorf("a mirror out of reach stops the office: %v", err)
	}
	if err := errors.Join(os.Rename(at+".away", at), Forget(t.Context(), n.Dir, at)); err != nil {
		t.Fatal(err)
	}
	if err := Forget(t.Context(), n.Dir, at); err == nil || !strings.Contains(err.Error(), "none of this node's") {
		t.Errorf("forgotten twice: %v", err)
	}
	if _, err := n.Run(t.Context(), Options{To: at}); err != nil {
		t.Errorf("known again: %v", err)
	}
	second := at + ".second"
	if _, err := n.Run(t.Context(), Options{To: second}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(at, at+".away"), os.Rename(second, at)); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Run(t.Context(), Options{To: at}); !errors.Is(err, mirror.ErrNone) || !strings.Contains(err.Error(), "another mirror than the one of") {
		t.Errorf("another mirror of the node's in its place: %v, want ErrNone", err)
	}
	if _, err := aNode(t).Run(t.Context(), Options{To: at}); !errors.Is(err, mirror.ErrNone) {
		t.Errorf("another node's: %v, want ErrNone", err)
	}
	var usage *engineset.UsageError
	if _, err := n.Run(t.Context(), Options{To: filepath.Join(n.Dir, "safe")}); !errors.As(err, &usage) {
		t.Errorf("within the node: %v, want a usage error", err)
	}
}

// TestNotBehind: a node whose mirror knows a chain or a log that it lacks does not go on.
func TestNotBehind(t *testing.T) {
	n := aNode(t)
	at := filepath.Join(t.TempDir(), "safe")
	if _, err := n.Run(t.Context(), Options{To: at}); err != nil {
		t.Fatal(err)
	}
	if err := n.NotBehind(t.Context()); err != nil {
		t.Fatalf("as new as its mirror: %v", err)
	}
	chains, err := fs.Glob(os.DirFS(n.Dir), "outbox/*.jsonl")
	if err != nil || len(chains) != 1 {
		t.Fatalf("%v, %v", chains, err)
	}
	if err := os.Truncate(filepath.Join(n.Dir, chains[0]), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Run(t.Context(), Options{To: at}); !errors.Is(err, mirror.ErrNewer) || !strings.Contains(err.Error(), "Nothing was changed in it") {
		t.Errorf("a chain that is shorter here: %v, want ErrNewer", err)
	}
	m, err := mirror.ReadMark(t.Context(), mirror.Dir(at))
	if err != nil {
		t.Fatal(err)
	}
	m.Log = &holdfast.Tree{Origin: n.As.Name, Size: 3, Root: hashing.Of(nil)}
	if err := m.Write(t.Context(), mirror.Dir(at)); err != nil {
		t.Fatal(err)
	}
	if err := n.NotBehind(t.Context()); !errors.Is(err, mirror.ErrNewer) || !strings.Contains(err.Error(), "sealing stops: mirror "+at) {
		t.Errorf("a log that is shorter here: %v, want ErrNewer", err)
	}
	former, newest, err := Adopt(t.Context(), n.Log, n.Dir, mirror.Node{Name: "next.0123456789abcdef", Unfiled: n.As.Unfiled}, nil)
	if err != nil || !slices.ContainsFunc(former, func(f mirror.FormerLog) bool { return f.Name == n.As.Name && f.VKey == n.VKey }) || newest == nil || newest.Size != 3 {
		t.Errorf("adopted: %v, %v, %v: want the mirror's name and its newest state", former, newest, err)
	}
	if former, _, err := Adopt(t.Context(), n.Log, n.Dir, mirror.Node{Name: "next.0123456789abcdef", Unfiled: holdfast.NewID()}, nil); err != nil || len(former) != 0 {
		t.Errorf("another office's mirror: %v, %v", former, err)
	}
}

// TestURL has one form for each place.
func TestURL(t *testing.T) {
	abs, err := filepath.Abs("safe")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{"safe": abs, "file:" + abs: abs, abs: abs} {
		if got, err := URL(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	if got, err := URL("s3://"); err == nil {
		t.Errorf("a bucket without a name: %q", got)
	}
}
