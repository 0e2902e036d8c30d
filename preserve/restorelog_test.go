package preserve_test

import (
	"errors"
	"path/filepath"
	"testing"

	"holdfast/preserve"
)

// TestMirrorSize guards which names of a mirror belong to which state of the log.
func TestMirrorSize(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int64{
		"tlog/o/checkpoint/7":                  7,
		"tlog/o/tile/0/000":                    256,
		"tlog/o/tile/0/000.p/3":                3,
		"tlog/o/tile/0/001.p/3":                259,
		"tlog/o/tile/1/000.p/1":                256,
		"tlog/o/tile/1/000":                    65536,
		"tlog/o/tile/0/x001/234":               256 * 1235,
		"tlog/o/tile/entries/x001/234.p/255":   256*1234 + 255,
		"tlog/o/tile/entries/000.p/1":          1,
		"tlog/o/checkpoint/0":                  0,
		"tlog/o/checkpoint/x":                  0,
		"tlog/o/tile/0/000.p/0":                0,
		"tlog/o/tile/9/000":                    0,
		"tlog/o/tile/6/x999/x999/x999/999":     0,
		"tlog/o":                               0,
		"seals/x/checkpoint/7":                 0,
		"tlog/o/tile/0/x99999999999999999/999": 0,
	} {
		origin, got, ok := preserve.MirrorSize(name)
		if got != want || ok != (want > 0) || ok && origin != "o" {
			t.Errorf("%s: %q %d %t, want %d", name, origin, got, ok, want)
		}
	}
}

// TestRestoreTlog guards that a log made again from its mirror is the same log,
// which OpenTlog continues, and that one whose last entries nobody can compute is
// not made at all.
func TestRestoreTlog(t *testing.T) {
	t.Parallel()
	d := newLogDir(t)
	l := d.mustOpen(t)
	grow(t, l, 0, 511) // with the birth, two full bundles
	full, _ := l.Newest()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if full.Size != 512 {
		t.Skipf("%d entries: an append was repeated", full.Size)
	}
	d.dir = t.TempDir()
	if _, err := d.open(t); !errors.Is(err, preserve.ErrLogBehind) {
		t.Fatalf("a lost directory: %v", err)
	}
	tree, err := preserve.RestoreTlog(t.Context(), filepath.Join(d.dir, "log"), d.store, l.VKey(), nil)
	if err != nil || tree != full {
		t.Fatalf("%+v, %v; want %+v", tree, err, full)
	}
	l = d.mustOpen(t)
	grow(t, l, 511, 3)
	grown, _ := l.Newest()
	if p, err := l.Mirror().Consistency(t.Context(), full, grown); err != nil || p == nil {
		t.Errorf("the restored log is another: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// The store has no statement that gives the last three.
	if _, err := preserve.RestoreTlog(t.Context(), filepath.Join(t.TempDir(), "log"), d.store, l.VKey(), nil); !errors.Is(err, preserve.ErrIncomplete) {
		t.Errorf("without the last entries: %v", err)
	}
}
