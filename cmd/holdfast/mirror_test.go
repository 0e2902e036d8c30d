package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/hashing"
	"holdfast/preserve"
	"holdfast/storage/file"
)

// sealedNode is a node with so many Seals, each of one Event or few.
func sealedNode(t *testing.T, seals int) *node {
	t.Helper()
	n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	for i := range seals {
		if i > 0 {
			if err := n.event(t.Context(), "noted", nil); err != nil {
				t.Fatal(err)
			}
		}
		if out, errs, code := call("seal", "--data", n.dir, "--wait", "1m"); code != 0 {
			t.Fatalf("seal: exit %d\n%s%s", code, out, errs)
		}
	}
	return n
}

// TestCopyWithin guards what a copy leaves out while the original grows: a state
// of the log that its newest checkpoint does not cover, in tiles, in proofs and
// in statements, and Seals whose packs are not there.
func TestCopyWithin(t *testing.T) {
	n := sealedNode(t, 3)
	tree, err := preserve.LastTree(t.Context(), n.store, n.set.VKey)
	if err != nil || tree.Size < 4 {
		t.Fatalf("%+v, %v", tree, err)
	}
	for size := tree.Size - 1; size >= 1; size-- { // as if these checkpoints came after the look
		if err := os.Remove(n.path(fmt.Sprintf("store/tlog/%s/checkpoint/%d", n.set.Name, size+1))); err != nil {
			t.Fatal(err)
		}
		to := copyOf(t, n)
		got, err := preserve.LastTree(t.Context(), to, n.set.VKey)
		if err != nil || got.Size != size {
			t.Fatalf("log of size %d: %+v, %v", size, got, err)
		}
		statements := 0
		for e, err := range to.List(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if _, s, ok := preserve.MirrorSize(e.Name); ok && s > size {
				t.Errorf("log of size %d: %s", size, e.Name)
			}
			if _, state, ok := strings.Cut(e.Name, "/inclusion/"); ok && state > fmt.Sprintf("%s/%d.json", n.set.Name, size) {
				t.Errorf("log of size %d: %s", size, e.Name)
			}
			if strings.HasSuffix(e.Name, "/statement.dsse.json") {
				statements++
				if at := predicate(t, to, e.Name); at.Size > size {
					t.Errorf("log of size %d: %s was signed at size %d", size, e.Name, at.Size)
				}
			}
		}
		if statements == 0 {
			t.Errorf("log of size %d: no Seal at all was copied", size)
		}
		if _, err := preserve.RestoreTlog(t.Context(), filepath.Join(t.TempDir(), "log"), to, n.set.VKey, [][]byte{n.keys.newest().SPKI}); err != nil {
			t.Errorf("log of size %d: %v", size, err)
		}
	}
}

func predicate(t *testing.T, s *file.Store, name string) holdfast.Tree {
	t.Helper()
	raw, err := s.ReadName(t.Context(), name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	e, err := holdfast.ParseEnvelope(raw, holdfast.PayloadStatement, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	st, err := holdfast.ParseStatement(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return st.Predicate.Checkpoint
}

func copyOf(t *testing.T, n *node) *file.Store {
	t.Helper()
	to, err := file.Open(filepath.Join(t.TempDir(), "to"), file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { to.Close() })
	k := &copier{from: n.store, to: to, problem: func(name string, err error) { t.Errorf("%s: %v", name, err) }}
	if err := k.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestMirrorPulled guards that a disk that goes while it is written to ends the
// run with a word on what to do, and harms neither the node nor the next run.
func TestMirrorPulled(t *testing.T) {
	n := sealedNode(t, 1)
	var in []file.Incoming
	for i := range 2 * file.MaxImport {
		text := fmt.Appendf(nil, "object %d", i)
		d := hashing.Of(text)
		in = append(in, file.Incoming{Digest: &d, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }})
	}
	for len(in) > 0 {
		if _, err := n.store.Import(t.Context(), in[:file.MaxImport]); err != nil {
			t.Fatal(err)
		}
		in = in[file.MaxImport:]
	}
	disk := filepath.Join(t.TempDir(), "disk")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		for ctx.Err() == nil {
			if found, _ := filepath.Glob(filepath.Join(disk, "store", "tmp", "*", "100")); len(found) > 0 {
				os.Rename(disk, disk+".pulled") // its names are gone, what is open goes on
				os.RemoveAll(disk + ".pulled")
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, errs, code := call("mirror", "--to", disk, "--data", n.dir)
	if code != exitCould || !strings.Contains(errs, "put its disk back") {
		t.Errorf("pulled: exit %d, %q", code, errs)
	}
	stop()
	if _, errs, code := call("mirror", "--to", disk, "--data", n.dir); code != exitCould || !strings.Contains(errs, "mount its disk") {
		t.Errorf("not there: exit %d, %q", code, errs)
	}
	if _, errs, code := call("mirror", "--forget", disk, "--data", n.dir); code != 0 {
		t.Errorf("forget: exit %d, %q", code, errs)
	}
	if _, errs, code := call("mirror", "--to", disk, "--data", n.dir); code != 0 {
		t.Errorf("anew: exit %d, %q", code, errs)
	}
	if out, errs, code := call("mirror", "--to", disk, "--data", n.dir, "--check", "--json"); code != 0 || !strings.Contains(out, `"problems":0`) {
		t.Errorf("check: exit %d, %q %q", code, out, errs)
	}
}

// TestQueueOfMirror guards that a queue whose later positions a mirror knows
// draws a new name, and that one that is as new keeps its name.
func TestQueueOfMirror(t *testing.T) {
	n := sealedNode(t, 1)
	id, err := n.queue.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	end, err := n.queue.End(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	name := func() string {
		now, err := n.queue.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return now.Queue
	}
	for what, c := range map[string]struct {
		q   mirrorQueue
		new bool
	}{
		"as new":        {mirrorQueue{Name: id.Queue, End: end}, false},
		"another queue": {mirrorQueue{Name: "0123456789abcdef", End: end + 9}, false},
	} {
		if err := n.queueOf(t.Context(), &mirrorMark{Queue: c.q}); err != nil || name() != id.Queue {
			t.Errorf("%s: %v, the name is %s", what, err, name())
		}
	}
	if err := n.queueOf(t.Context(), &mirrorMark{Queue: mirrorQueue{Name: id.Queue, End: end + 1}}); err != nil || name() == id.Queue {
		t.Errorf("older: %v, the name is still %s", err, name())
	}
	was := name()
	if err := n.queueOf(t.Context(), &mirrorMark{Queue: mirrorQueue{Name: was, End: end, Seal: holdfast.SealID(was, 0, end+1)}}); err != nil || name() == was {
		t.Errorf("a plan that this store lacks: %v, the name is still %s", err, name())
	}
}

// TestRestoreDamaged guards that what has decayed in a mirror is said, and keeps
// nothing else from being restored.
func TestRestoreDamaged(t *testing.T) {
	n := sealedNode(t, 1)
	var objects []hashing.Digest
	for i := range 3 {
		d, _, err := n.store.Put(t.Context(), strings.NewReader(fmt.Sprint("object ", i)))
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, d)
	}
	dir := t.TempDir()
	safe, again := filepath.Join(dir, "safe"), filepath.Join(dir, "again")
	if _, errs, code := call("mirror", "--to", safe, "--data", n.dir); code != 0 {
		t.Fatalf("mirror: %d %s", code, errs)
	}
	bad := filepath.Join(safe, "store/objects/sha256", objects[1].Hex()[:2], objects[1].Hex())
	if err := os.Chmod(bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte("decayed."), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(bad, 0o400); err != nil {
		t.Fatal(err)
	}
	out, errs, code := call("restore", "--from", safe, "--data", again, "--json")
	if code != exitCould || !strings.Contains(errs, "1 things in the mirror are damaged") || !strings.Contains(errs, objects[1].Hex()) || !strings.Contains(out, `"problems":1`) {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	s, err := file.Open(filepath.Join(again, "store"), file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i, d := range objects {
		if ok, err := s.Has(t.Context(), d); err != nil || ok != (i != 1) {
			t.Errorf("object %d is there: %t, %v", i, ok, err)
		}
	}
	if _, errs, code := call("doctor", "--data", again); code > 1 {
		t.Errorf("doctor: %d %s", code, errs)
	}
	if out, errs, code := call("list", "--data", again); code != 0 {
		t.Errorf("list: %d %s%s", code, out, errs)
	}
}

// TestCopyNoGap: where a Seal is just being made, those behind it wait too.
func TestCopyNoGap(t *testing.T) {
	n := sealedNode(t, 3)
	plans, err := filepath.Glob(filepath.Join(n.path("store/seals"), "*", "plan.json"))
	if err != nil || len(plans) < 3 {
		t.Fatalf("%d plans, %v", len(plans), err)
	}
	seal := filepath.Base(filepath.Dir(plans[1]))
	packs, err := filepath.Glob(filepath.Join(n.path("store/cases"), "*", "packs", seal+".zip"))
	if err != nil || len(packs) == 0 {
		t.Fatalf("packs of %s: %v", seal, err)
	}
	parts, err := filepath.Glob(filepath.Join(filepath.Dir(plans[1]), "*"))
	for _, name := range append(parts, packs...) {
		if name != plans[1] {
			err = errors.Join(err, os.RemoveAll(name))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	to := copyOf(t, n)
	for e, err := range to.List(t.Context(), "seals/") {
		if err != nil {
			t.Fatal(err)
		}
		if id := strings.Split(e.Name, "/")[1]; id >= seal {
			t.Errorf("%s was copied, though %s is just being made", e.Name, seal)
		}
	}
}
