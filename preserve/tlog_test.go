package preserve_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
	"holdfast/storage/file"
)

// logDir is a log with its store, in one directory.
type logDir struct {
	dir, skey string
	store     *file.Store
}

func newLogDir(t *testing.T) *logDir {
	t.Helper()
	_, skey, _, err := preserve.NewLogKey("node")
	if err != nil {
		t.Fatal(err)
	}
	return &logDir{t.TempDir(), skey, openStore(t, t.TempDir())}
}

func openStore(t *testing.T, dir string) *file.Store {
	t.Helper()
	s, err := file.Open(dir, file.Options{MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (d *logDir) open(t *testing.T) (*preserve.Tlog, error) {
	t.Helper()
	l, err := preserve.OpenTlog(t.Context(), preserve.TlogOptions{Dir: filepath.Join(d.dir, "log"), Key: d.skey, Store: d.store})
	if err == nil {
		t.Cleanup(func() { l.Close() })
	}
	return l, err
}

func (d *logDir) mustOpen(t *testing.T) *preserve.Tlog {
	t.Helper()
	l, err := d.open(t)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func leaf(i int) []byte { return fmt.Appendf(nil, "leaf %d", i) }

// grow appends leaves concurrently and returns the trees that came up.
func grow(t *testing.T, l *preserve.Tlog, from, n int) (trees []holdfast.Tree) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range n {
		wg.Go(func() {
			e, err := l.Append(t.Context(), leaf(from+i))
			if err == nil {
				err = e.Inclusion.Check(e.Tree.Root, leaf(from+i))
			}
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			trees = append(trees, e.Tree)
			mu.Unlock()
		})
	}
	wg.Wait()
	return trees
}

func TestLogBeginsWithItsBirth(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	l := d.mustOpen(t)
	e, err := l.Append(t.Context(), leaf(1))
	if err != nil || e.Index != 1 || e.Tree.Size != 2 || e.Tree.Origin != l.Origin() {
		t.Fatalf("%+v, %v", e, err)
	}
	raw, err := d.store.ReadName(t.Context(), "tlog/"+l.Origin()+"/tile/entries/000.p/1", 1<<20)
	if err != nil || !strings.Contains(string(raw), `"kind":"birth"`) || !strings.Contains(string(raw), l.Origin()) {
		t.Errorf("birth in the mirror: %q, %v", raw, err)
	}
	if tree, err := holdfast.OpenCheckpoint(e.Checkpoint, l.VKey()); err != nil || tree != e.Tree {
		t.Errorf("checkpoint %+v, %v", tree, err)
	}
}

// Proofs from the mirror alone hold between any two sizes, also across the edge
// of a tile of 256, and also for sizes at which nothing was mirrored.
func TestProofsFromTheMirror(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	l := d.mustOpen(t)
	first, _ := l.Newest()
	trees := []holdfast.Tree{first}
	for _, n := range []int{1, 3, 250, 2, 40, 300} {
		trees = append(trees, grow(t, l, int(trees[len(trees)-1].Size), n)...)
	}
	m := &preserve.Mirror{Store: d.store, Origin: l.Origin(), VKey: l.VKey()}
	_, newest, err := m.Newest(t.Context())
	if err != nil || newest.Size != 597 {
		t.Fatalf("newest %+v, %v", newest, err)
	}
	byTree := make(map[int64]holdfast.Tree)
	for _, tr := range trees {
		byTree[tr.Size] = tr
	}
	for _, a := range byTree {
		for _, b := range byTree {
			if a.Size > b.Size {
				continue
			}
			p, err := m.Consistency(t.Context(), a, b)
			if err != nil || (p == nil) != (a.Size == b.Size) {
				t.Errorf("%d to %d: %v", a.Size, b.Size, err)
			}
		}
	}
	wrong := first
	wrong.Root[0] ^= 1
	if _, err := m.Consistency(t.Context(), wrong, newest); !errors.Is(err, preserve.ErrFork) {
		t.Errorf("another past: %v", err)
	}
}

// The mirror's proofs agree with a log that is not Tessera's.
func TestProofsAgreeWithAnotherLog(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	l := d.mustOpen(t)
	other := sealtest.NewLog(t, d.skey)
	if other.VKey != l.VKey() {
		t.Fatal("not the same key")
	}
	for i := range 5 {
		if _, err := l.Append(t.Context(), leaf(i)); err != nil {
			t.Fatal(err)
		}
		other.Add(leaf(i))
	}
	// Births differ in time, so the two logs are a fork of one key, and only
	// that: sizes agree, roots do not.
	mine, _ := l.Newest()
	theirs, _ := other.Newest()
	if mine.Size != theirs.Size || mine.Root == theirs.Root {
		t.Fatalf("%+v %+v", mine, theirs)
	}
	if _, err := l.Mirror().Consistency(t.Context(), mine, theirs); !errors.Is(err, preserve.ErrFork) {
		t.Errorf("two roots of one size: %v", err)
	}
}

func TestForkIsSeenOnlyWithBothViews(t *testing.T) {
	t.Parallel()
	a := sealtest.NewLog(t, "")
	a.Add(leaf(1))
	b := a.Fork()
	a.Add(leaf(2))
	a.Add(leaf(3))
	b.Add(leaf(20))
	b.Add(leaf(30))
	for _, v := range []*sealtest.Log{a, b} {
		if err := v.Consistency(2, 4).Check(v.Tree(2).Root, v.Tree(4).Root); err != nil {
			t.Errorf("one view alone: %v", err)
		}
		if _, err := holdfast.OpenCheckpoint(v.Checkpoint(4), a.VKey); err != nil {
			t.Error(err)
		}
	}
	if err := a.Consistency(3, 4).Check(b.Tree(3).Root, a.Tree(4).Root); err == nil {
		t.Error("one view's proof holds from the other's past")
	}
}

func TestLogContinues(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	l := d.mustOpen(t)
	before := grow(t, l, 1, 5)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), leaf(9)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	l = d.mustOpen(t)
	after := grow(t, l, 6, 3)
	if _, err := l.Mirror().Consistency(t.Context(), before[0], after[len(after)-1]); err != nil {
		t.Error(err)
	}
}

// A log that has lost entries that its mirror holds is never continued.
func TestLogBehindItsMirror(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	l := d.mustOpen(t)
	grow(t, l, 1, 3)
	l.Close()
	snapshot := t.TempDir()
	if err := os.CopyFS(snapshot, os.DirFS(d.dir)); err != nil {
		t.Fatal(err)
	}
	l = d.mustOpen(t)
	grow(t, l, 4, 3)
	l.Close()

	lost := *d
	lost.dir = t.TempDir()
	if _, err := lost.open(t); !errors.Is(err, preserve.ErrLogBehind) {
		t.Errorf("lost disk: %v", err)
	}
	if _, err := os.Stat(filepath.Join(lost.dir, "log")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a second log was begun")
	}
	old := *d
	old.dir = snapshot
	if _, err := old.open(t); !errors.Is(err, preserve.ErrLogBehind) {
		t.Errorf("old snapshot: %v", err)
	}
	// The right way on: a new log whose birth names the last state of the old.
	last, err := preserve.LastTree(t.Context(), d.store, l.VKey())
	if err != nil || last.Size != 7 {
		t.Fatalf("%+v, %v", last, err)
	}
	_, skey, _, err := preserve.NewLogKey("node")
	if err != nil {
		t.Fatal(err)
	}
	next, err := preserve.OpenTlog(t.Context(), preserve.TlogOptions{
		Dir: filepath.Join(t.TempDir(), "log"), Key: skey, Store: d.store, Birth: holdfast.Birth{Previous: last},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	raw, err := d.store.ReadName(t.Context(), "tlog/"+next.Origin()+"/tile/entries/000.p/1", 1<<20)
	if err != nil || !strings.Contains(string(raw), last.Root.String()) {
		t.Errorf("birth %q does not name the old log: %v", raw, err)
	}
}

// An old snapshot that has grown on by itself, to the mirror's size or beyond,
// has signed a second history: that is a fork, and is said.
func TestForkedDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	l := d.mustOpen(t)
	grow(t, l, 1, 3)
	l.Close()
	copied := logDir{t.TempDir(), d.skey, openStore(t, t.TempDir())} // another store: nothing warns it
	if err := os.CopyFS(copied.dir, os.DirFS(d.dir)); err != nil {
		t.Fatal(err)
	}
	two := copied.mustOpen(t)
	grow(t, two, 100, 4)
	two.Close()
	l = d.mustOpen(t)
	grow(t, l, 4, 2)
	l.Close()
	back := logDir{copied.dir, d.skey, d.store}
	if _, err := back.open(t); !errors.Is(err, preserve.ErrFork) {
		t.Errorf("two histories: %v", err)
	}
}

// The log went on, the store did not: the next open mirrors what is missing.
func TestMirrorCatchesUp(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	good := d.store
	l := d.mustOpen(t)
	grow(t, l, 1, 2)
	l.Close()
	bad := &breaking{Store: good, at: "/tile/", mode: "before"}
	l, err := preserve.OpenTlog(t.Context(), preserve.TlogOptions{Dir: filepath.Join(d.dir, "log"), Key: d.skey, Store: bad})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), leaf(3)); !errors.Is(err, errInjected) {
		t.Fatalf("append with a store that fails: %v", err)
	}
	if tree, _ := l.Newest(); tree.Size != 3 {
		t.Errorf("newest %d is not mirrored", tree.Size)
	}
	l.Close()
	l = d.mustOpen(t)
	tree, _ := l.Newest()
	if _, m, err := l.Mirror().Newest(t.Context()); err != nil || tree.Size != 4 || m != tree {
		t.Errorf("after opening again: %d, mirror %d, %v", tree.Size, m.Size, err)
	}
}

func TestAppendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l := newLogDir(t).mustOpen(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, leaf(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("append under a dead context: %v", err)
	}
	if _, err := l.Append(t.Context(), leaf(1)); err != nil {
		t.Errorf("append the same again: %v", err)
	}
}

// The clock was set back by an hour: Tessera's newest checkpoint is from the
// future, and the log goes on all the same.
func TestLogSurvivesAClockThatIsSetBack(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	l := d.mustOpen(t)
	future := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(d.dir, "log", "checkpoint"), future, future); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := l.Append(t.Context(), leaf(1)); err != nil || time.Since(begin) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(begin), err)
	}
}
