package spool

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// TestSweepSpools guards that what dead processes left goes, and what live ones
// have stays.
func TestSweepSpools(t *testing.T) {
	data := t.TempDir()
	live, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	long := time.Now().Add(-2 * Grace)
	for name, old := range map[string]bool{"spool-dead/lock": false, "spool-dead/browser/x": false, "spool-young/x": false, "spool-old/x": true, "spool-dead.gone/browser/x": false, ".new-spool-young/lock": false, ".new-spool-old/lock": true, ".new-young": false, ".new-old": true, "other": true} {
		file := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if old {
			for f := file; f != data; f = filepath.Dir(f) {
				if err := os.Chtimes(f, long, long); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if got, err := Living(data); err != nil || len(got) != 1 || got[0] != live.Dir() {
		t.Errorf("of a live process: %v, %v", got, err)
	}
	if err := Sweep(data); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{filepath.Base(live.dir) + "/lock": true, "spool-dead": false, "spool-young": true, "spool-old": false, "spool-dead.gone": false, ".new-spool-young": true, ".new-spool-old": false, ".new-young": true, ".new-old": false, "other": true} {
		if _, err := os.Lstat(filepath.Join(data, name)); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", name, err == nil, want)
		}
	}
}

// TestSpoolRemoved guards that whoever is killed while a spool is removed leaves what
// the next one removes: what has the name of a spool has the lock's file in it.
func TestSpoolRemoved(t *testing.T) {
	data := t.TempDir()
	s, err := Open(data)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		if err := os.WriteFile(filepath.Join(s.dir, strconv.Itoa(i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	removed := make(chan struct{})
	go func() {
		defer close(removed)
		s.Close()
	}()
	there := func(name string) bool { _, err := os.Lstat(name); return err == nil }
	for looks := 0; ; looks++ {
		if !there(filepath.Join(s.dir, "lock")) && there(s.dir) {
			t.Fatalf("look %d: without a lock: whoever is killed now leaves it for an hour", looks)
		}
		select {
		case <-removed:
			if left, err := os.ReadDir(data); err != nil || len(left) > 0 {
				t.Errorf("left: %v %v", left, err)
			}
			return
		default:
		}
	}
}
