package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/hashing"
	"holdfast/storage"
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

// TestMirrorPulled guards that a disk that goes while it is written to ends the
// run with a word on what to do, and harms neither the node nor the next run.
func TestMirrorPulled(t *testing.T) {
	n := sealedNode(t, 1)
	var in []storage.Incoming
	for i := range 2 * storage.MaxImport {
		text := fmt.Appendf(nil, "object %d", i)
		d := hashing.Of(text)
		in = append(in, storage.Incoming{Digest: &d, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }})
	}
	for len(in) > 0 {
		if _, err := n.store.(storage.Importer).Import(t.Context(), in[:storage.MaxImport]); err != nil {
			t.Fatal(err)
		}
		in = in[storage.MaxImport:]
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
