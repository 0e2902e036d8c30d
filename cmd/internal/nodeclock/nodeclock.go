// Package nodeclock remembers what the authorities' tokens showed of this node's clock, and
// says what a Manifest states of it. It corrects nothing.
//
// clock.json in the node's directory is a note, not evidence: it may be lost, and the next
// tokens write it again. What it says is not stated any more after a day, in another boot
// of the machine, or once somebody has set the clock, which a clock that nobody sets shows.
// A crash leaves the old note or the new one.
package nodeclock

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/messages"
	"holdfast/preserve"
	"holdfast/wholefile"
)

// FileName is the note's, in the node's directory.
const FileName = "clock.json"

const maxFile = 64 << 10 // bytes

// Measured is the note.
type Measured struct {
	// OffsetMS is how far the authorities were ahead of the node's clock.
	OffsetMS int64 `json:"offset_ms"`
	// Bound: it is at least that, away from zero.
	Bound     bool          `json:"bound,omitempty"`
	Operators []string      `json:"operators"`
	Measured  holdfast.Time `json:"measured"` // by the node's clock
	// Boot and UpMS say when that was by a clock that nobody sets, so that a
	// clock that was set since is noticed.
	Boot string `json:"boot,omitempty"`
	UpMS int64  `json:"up_ms,omitempty"`
}

const (
	clockMoved = time.Second // a change of the offset that is written down at once
	clockAged  = time.Hour   // an older note is written anew
	// clockStale is for how long an offset is stated: clocks drift, and are set.
	clockStale = 24 * time.Hour
)

// Watch is what this process has said of the clock. The zero Watch is ready; safe for
// concurrent use.
type Watch struct {
	mu   sync.Mutex
	told time.Duration
}

// Offset is how far the authorities were ahead, or a bound of it.
func (m *Measured) Offset() time.Duration {
	return time.Duration(m.OffsetMS) * time.Millisecond
}

// Text says it to a person, without a number that nobody measured.
func (m *Measured) Text() string {
	side, least := "behind", ""
	if m.OffsetMS < 0 {
		side = "ahead of"
	}
	if m.Bound {
		least = "at least "
	}
	return fmt.Sprintf("this node's clock is %s%v %s those of %s", least, m.Offset().Abs().Round(time.Second), side, messages.Visible(strings.Join(m.Operators, " and ")))
}

// fact is what a Manifest states.
func (m *Measured) fact() holdfast.Clock {
	least := ""
	if m.Bound {
		least = ", at least,"
	}
	return holdfast.Clock{OffsetMS: m.OffsetMS,
		Source: fmt.Sprintf("node, measured%s against %s at %s", least, strings.ToValidUTF8(strings.Join(m.Operators, " and "), "\uFFFD"), m.Measured)}
}

// Read returns the note in dir, or nil if there is none, or if the clock was set
// since: then nothing is known of it.
func Read(dir string) *Measured {
	m := new(Measured)
	b, err := wholefile.Read(filepath.Join(dir, FileName), maxFile)
	if err == nil {
		err = wholefile.DecodeJSON(FileName, b, m)
	}
	if err != nil || len(m.Operators) == 0 {
		return nil
	}
	boot, up := uptime()
	now := time.Now()
	if now.Before(m.Measured.Time) {
		return nil
	}
	if boot != "" && boot == m.Boot {
		stepped := now.Sub(m.Measured.Time) - (up - time.Duration(m.UpMS)*time.Millisecond)
		if stepped.Abs() > clockMoved {
			return nil
		}
	}
	return m
}

// Stale reports whether the note is too old to be stated as what the clock is
// now: by its age, or because the machine was started since, when its clock may
// have been set unseen.
func (m *Measured) Stale() bool {
	boot, _ := uptime()
	return boot != m.Boot || time.Since(m.Measured.Time) > clockStale
}

// Known is what a Manifest states. Of a stale note it is when, not how much.
func Known(dir string) holdfast.Clock {
	switch m := Read(dir); {
	case m == nil:
		return holdfast.Clock{Source: "node"}
	case m.Stale():
		return holdfast.Clock{Source: fmt.Sprintf("node, measured at %s and not since", m.Measured)}
	default:
		return m.fact()
	}
}

// Said notes that a person was told of an offset: Note tells it no more.
func (w *Watch) Said(offset time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = offset
}

// Note writes down what tokens showed, for the Manifests that follow, and
// tells a person of a clock that is wrong. It corrects nothing.
func (w *Watch) Note(dir string, log *slog.Logger, d preserve.Drift) {
	w.mu.Lock()
	defer w.mu.Unlock()
	boot, up := uptime()
	m := &Measured{OffsetMS: d.Offset.Milliseconds(), Bound: d.Bound, Operators: d.Operators[:min(len(d.Operators), 4)],
		Measured: holdfast.At(d.At), Boot: boot, UpMS: up.Milliseconds()}
	if d.Wrong() && (d.Offset-w.told).Abs() > preserve.ClockLimit {
		w.told = d.Offset
		log.Warn(m.Text()+": times that it states are off by that; set it (timedatectl set-ntp true), and `holdfast doctor` looks again", "offset_ms", m.OffsetMS)
	}
	old := Read(dir)
	if old != nil && old.Bound == m.Bound && (old.Offset()-d.Offset).Abs() <= clockMoved && d.At.Sub(old.Measured.Time) < clockAged {
		return
	}
	// Two processes may write it at once; each writes it whole.
	if err := wholefile.WriteJSON(filepath.Join(dir, FileName), m); err != nil {
		log.Warn("clock not noted", "err", err)
	}
}

// uptime is a clock that nobody sets: since which boot, and how long. Where the
// system does not tell, boot is "".
func uptime() (boot string, up time.Duration) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0
	}
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return "", 0
	}
	first, _, _ := strings.Cut(string(text), " ")
	s, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return "", 0
	}
	return string(bytes.TrimSpace(id)), time.Duration(s * float64(time.Second))
}
