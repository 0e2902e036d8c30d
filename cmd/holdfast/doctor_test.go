package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
)

// A node in memory or on a network's disk is told.
func TestUnlasting(t *testing.T) {
	for kind, want := range map[int64]string{0xef53: "", 0x58465342: "", 0x9123683e: "", 0x01021994: "memory", 0x6969: "network", 0xff534d42: "network", 0x794c7630: "container", 0x65735546: "FUSE"} {
		if got := unlasting(kind); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%#x: %q, want %q", kind, got, want)
		}
	}
	if kind, free, total, err := fileSystem(t.TempDir()); err != nil || free > total {
		t.Errorf("%#x %d %d %v", kind, free, total, err)
	}
	if unlasting(-0xacb2be) != unlasting(0xff534d42) { // statfs of CIFS on a machine that sign-extends
		t.Error("a negative kind is another one")
	}
}

// What was measured of the clock is forgotten when somebody sets the clock, and
// when it cannot be true.
func TestClockNote(t *testing.T) {
	n := &node{dir: t.TempDir(), log: (&cli{errs: os.Stderr}).log()}
	if c := n.knownClock(); c.Source != "node" || c.OffsetMS != 0 {
		t.Errorf("without a note: %+v", c)
	}
	now := time.Now()
	n.noteClock(preserve.Drift{Offset: 90 * time.Second, Operators: []string{"A", "B"}, At: now})
	if c := n.knownClock(); c.OffsetMS != 90_000 || !strings.HasPrefix(c.Source, "node, measured against A and B at 2") {
		t.Errorf("noted: %+v", c)
	}
	first, err := os.ReadFile(filepath.Join(n.dir, fileClock))
	if err != nil {
		t.Fatal(err)
	}
	n.noteClock(preserve.Drift{Offset: 90*time.Second + 300*time.Millisecond, Operators: []string{"A", "B"}, At: now.Add(time.Minute)})
	if again, err := os.ReadFile(filepath.Join(n.dir, fileClock)); err != nil || string(again) != string(first) {
		t.Errorf("written again for nothing: %s %v", again, err)
	}
	boot, up := uptime()
	if boot == "" {
		t.Skip("this system has no clock that nobody sets")
	}
	for name, m := range map[string]measuredClock{
		"set since":      {OffsetMS: 1, Operators: []string{"A"}, Measured: holdfast.At(now.Add(-time.Hour)), Boot: boot, UpMS: (up - time.Minute).Milliseconds()},
		"from to-morrow": {OffsetMS: 1, Operators: []string{"A"}, Measured: holdfast.At(now.Add(time.Hour)), Boot: "other"},
		"of nobody":      {OffsetMS: 1, Measured: holdfast.At(now.Add(-time.Hour))},
	} {
		if err := writeJSON(filepath.Join(n.dir, fileClock), m); err != nil {
			t.Fatal(err)
		}
		if c := n.knownClock(); c.OffsetMS != 0 || c.Source != "node" {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
