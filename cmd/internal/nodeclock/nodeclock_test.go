package nodeclock

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast"
	"holdfast/preserve"
	"holdfast/wholefile"
)

func write(file string, v any) error {
	b, err := wholefile.EncodeJSON(v)
	if err != nil {
		return err
	}
	return wholefile.Replace(file, b, 0o600)
}

// TestOldClockIsNotStated guards that an offset which nobody measured again is
// not stated as what the clock is: after a day, or in another boot.
func TestOldClockIsNotStated(t *testing.T) {
	dir := t.TempDir()
	boot, up := uptime()
	if boot == "" {
		t.Skip("this system does not tell its uptime")
	}
	for name, c := range map[string]struct {
		age    time.Duration
		boot   string
		stated bool
	}{"fresh": {time.Minute, boot, true}, "a day old": {clockStale + time.Minute, boot, false}, "of another boot": {time.Minute, "another", false}} {
		m := Measured{OffsetMS: 604800000, Operators: []string{"A", "B"}, Measured: holdfast.At(time.Now().Add(-c.age)), Boot: c.boot, UpMS: (up - c.age).Milliseconds()}
		if err := write(filepath.Join(dir, FileName), m); err != nil {
			t.Fatal(err)
		}
		got := Known(dir)
		if (got.OffsetMS != 0) != c.stated || !strings.Contains(got.Source, m.Measured.String()) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What was measured of the clock is forgotten when somebody sets the clock, and
// when it cannot be true.
func TestClockNote(t *testing.T) {
	var w Watch
	dir, log := t.TempDir(), slog.New(slog.NewTextHandler(os.Stderr, nil))
	if c := Known(dir); c.Source != "node" || c.OffsetMS != 0 {
		t.Errorf("without a note: %+v", c)
	}
	now := time.Now()
	w.Note(dir, log, preserve.Drift{Offset: 90 * time.Second, Operators: []string{"A", "B"}, At: now})
	if c := Known(dir); c.OffsetMS != 90_000 || !strings.HasPrefix(c.Source, "node, measured against A and B at 2") {
		t.Errorf("noted: %+v", c)
	}
	first, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	w.Note(dir, log, preserve.Drift{Offset: 90*time.Second + 300*time.Millisecond, Operators: []string{"A", "B"}, At: now.Add(time.Minute)})
	if again, err := os.ReadFile(filepath.Join(dir, FileName)); err != nil || string(again) != string(first) {
		t.Errorf("written again for nothing: %s %v", again, err)
	}
	boot, up := uptime()
	if boot == "" {
		t.Skip("this system has no clock that nobody sets")
	}
	for name, m := range map[string]Measured{
		"set since":      {OffsetMS: 1, Operators: []string{"A"}, Measured: holdfast.At(now.Add(-time.Hour)), Boot: boot, UpMS: (up - time.Minute).Milliseconds()},
		"from to-morrow": {OffsetMS: 1, Operators: []string{"A"}, Measured: holdfast.At(now.Add(time.Hour)), Boot: "other"},
		"of nobody":      {OffsetMS: 1, Measured: holdfast.At(now.Add(-time.Hour))},
	} {
		if err := write(filepath.Join(dir, FileName), m); err != nil {
			t.Fatal(err)
		}
		if c := Known(dir); c.OffsetMS != 0 || c.Source != "node" {
			t.Errorf("%s: %+v", name, c)
		}
	}
}
