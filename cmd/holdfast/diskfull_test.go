package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/storage"
)

// TestDiskFull guards: on a disk of which less than 5 % is free nothing more is
// accepted, with an error that says why and what to do, and what was accepted is
// still sealed; on a disk without a byte left nothing is lost; with room again
// all is well. The disk is a real file system of 48 MB.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=48m,mode=700"); err != nil {
		t.Skipf("NOT TESTED: a small file system cannot be mounted here (%v); run as root", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(disk, unix.MNT_DETACH) })
	n, err := (&cli{out: io.Discard, errs: io.Discard}).benchNode(t.Context(), disk)
	if err != nil {
		t.Fatal(err)
	}
	n.Close()
	w := &killWorld{t: t, dir: t.TempDir(), data: n.dir, accepted: map[string]bool{}}

	fill(t, disk, 20)
	w.feedUntilFull()
	t.Logf("%d captures were accepted until the disk was too full; %d kB of %d kB are free", len(w.accepted), free(t, disk)/1000, size(t, disk)/1000)
	w.program("list") // takes up what the feeder's end has left
	fill(t, disk, 3)
	out, code := w.program("capture", "https://full.invalid/")
	if code != exitUsage || !strings.Contains(out, "free") || !strings.Contains(out, "capture --resume") {
		t.Errorf("capture on a full disk: exit %d, %s", code, out)
	}
	if out, code := w.program("seal", "--wait", "1m"); code != exitDone {
		t.Errorf("seal with less than 5 %% free: exit %d, %s", code, out)
	}
	w.allSealed()

	fill(t, disk, 0)
	if out, code := w.program("capture", "https://full.invalid/"); code == exitDone {
		t.Errorf("capture on a disk without a byte left: exit %d, %s", code, out)
	}
	for _, args := range [][]string{{"list"}, {"seal", "--wait", "5s"}, {"rebuild"}, {"init"}} {
		if out, code := w.program(args...); strings.Contains(out, "panic") || code == exitUsage {
			t.Errorf("%v on a disk without a byte left: exit %d, %s", args, code, out)
		}
	}

	if err := os.Remove(filepath.Join(disk, "ballast")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"rebuild"}, {"seal", "--wait", "1m"}} {
		if out, code := w.program(args...); code != exitDone {
			t.Errorf("%v with room again: exit %d, %s", args, code, out)
		}
	}
	w.allSealed()
}

// TestWaitingSaysWhere guards: who is told that a disk is full is told which one.
func TestWaitingSaysWhere(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "spool", Err: syscall.ENOSPC}
	if text := waiting(full, 2).Error(); !strings.Contains(text, "free space where the data directory lies; 2 captures wait") {
		t.Error(text)
	}
	if text := waiting(fmt.Errorf("%w (free space where the spool lies): %w", full, storage.ErrFull), 2).Error(); strings.Count(text, "free space") != 1 {
		t.Error(text)
	}
}

// feedUntilFull runs a feeder, which ends by itself when nothing is accepted.
func (w *killWorld) feedUntilFull() {
	v := w.feeder("full")
	lines := <-v.out
	err := v.cmd.Wait()
	if text := v.errs.String(); err == nil || !strings.Contains(text, "store is full") {
		w.t.Fatalf("the feeder ended with %v:\n%s", err, text)
	}
	for _, l := range lines {
		var row struct{ Event, ID string }
		if json.Unmarshal([]byte(l), &row) == nil && row.Event == "accepted" {
			w.accepted[row.ID] = true
		}
	}
	if len(w.accepted) == 0 {
		w.t.Fatal("nothing was accepted at all")
	}
}

// program runs the program to its end, and returns all that it said.
func (w *killWorld) program(args ...string) (string, int) {
	cmd := exec.Command("holdfast", args...)
	cmd.Env = append(os.Environ(), "HOLDFAST_DATA="+w.data)
	out, err := cmd.CombinedOutput()
	x := (*exec.ExitError)(nil)
	if err != nil && !errors.As(err, &x) {
		w.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func (w *killWorld) allSealed() {
	w.t.Helper()
	c := countStore(w.t, w.data)
	for id := range w.accepted {
		if c.plans[id] != 1 {
			w.t.Errorf("capture %s was accepted and is in %d Seals", id, c.plans[id])
		}
	}
	list, code := w.program("list", "--json")
	if n := strings.Count(list, `"state":"sealed"`); code != exitDone || n < len(w.accepted) || n != strings.Count(list, "\n") {
		w.t.Errorf("list: exit %d, %d of %d sealed, %d accepted", code, n, strings.Count(list, "\n"), len(w.accepted))
	}
}

func statfs(t *testing.T, dir string) (s unix.Statfs_t) {
	if err := unix.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func free(t *testing.T, dir string) int64 { s := statfs(t, dir); return int64(s.Bavail) * s.Bsize }

func size(t *testing.T, dir string) int64 { s := statfs(t, dir); return int64(s.Blocks) * s.Bsize }

// fill leaves percent of the disk free.
func fill(t *testing.T, disk string, percent int64) {
	f, err := os.OpenFile(filepath.Join(disk, "ballast"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	need := max(free(t, disk)-size(t, disk)*percent/100, 0)
	if _, err := io.CopyN(f, zeros{}, need); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
