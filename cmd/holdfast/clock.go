package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"holdfast"
	"holdfast/messages"
	"holdfast/preserve"
)

// fileClock remembers what was last measured of this node's clock. It is a
// note, not evidence: it may be lost, and the next tokens write it again.
const fileClock = "clock.json"

// measuredClock is DIR/clock.json.
type measuredClock struct {
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

// clockWatch is what this process has said of the clock.
type clockWatch struct {
	mu   sync.Mutex
	told time.Duration
}

func (m *measuredClock) offset() time.Duration {
	return time.Duration(m.OffsetMS) * time.Millisecond
}

// text says it to a person, without a number that nobody measured.
func (m *measuredClock) text() string {
	side, least := "behind", ""
	if m.OffsetMS < 0 {
		side = "ahead of"
	}
	if m.Bound {
		least = "at least "
	}
	return fmt.Sprintf("this node's clock is %s%v %s those of %s", least, m.offset().Abs().Round(time.Second), side, messages.Visible(strings.Join(m.Operators, " and ")))
}

// fact is what a Manifest states.
func (m *measuredClock) fact() holdfast.Clock {
	least := ""
	if m.Bound {
		least = ", at least,"
	}
	return holdfast.Clock{OffsetMS: m.OffsetMS,
		Source: fmt.Sprintf("node, measured%s against %s at %s", least, strings.ToValidUTF8(strings.Join(m.Operators, " and "), "\uFFFD"), m.Measured)}
}

// readClock returns the note, or nil if there is none, or if the clock was set
// since: then nothing is known of it.
func (n *node) readClock() *measuredClock {
	m := new(measuredClock)
	if err := readJSON(n.path(fileClock), m); err != nil || len(m.Operators) == 0 {
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

// stale reports whether the note is too old to be stated as what the clock is
// now: by its age, or because the machine was started since, when its clock may
// have been set unseen.
func (m *measuredClock) stale() bool {
	boot, _ := uptime()
	return boot != m.Boot || time.Since(m.Measured.Time) > clockStale
}

// knownClock is what a Manifest states. Of a stale note it is when, not how much.
func (n *node) knownClock() holdfast.Clock {
	switch m := n.readClock(); {
	case m == nil:
		return holdfast.Clock{Source: "node"}
	case m.stale():
		return holdfast.Clock{Source: fmt.Sprintf("node, measured at %s and not since", m.Measured)}
	default:
		return m.fact()
	}
}

// noteClock writes down what tokens showed, for the Manifests that follow, and
// tells a person of a clock that is wrong. It corrects nothing.
func (n *node) noteClock(d preserve.Drift) {
	n.clock.mu.Lock()
	defer n.clock.mu.Unlock()
	boot, up := uptime()
	m := &measuredClock{OffsetMS: d.Offset.Milliseconds(), Bound: d.Bound, Operators: d.Operators[:min(len(d.Operators), 4)],
		Measured: holdfast.At(d.At), Boot: boot, UpMS: up.Milliseconds()}
	if d.Wrong() && (d.Offset-n.clock.told).Abs() > preserve.ClockLimit {
		n.clock.told = d.Offset
		n.log.Warn(m.text()+": times that it states are off by that; set it (timedatectl set-ntp true), and `holdfast doctor` looks again", "offset_ms", m.OffsetMS)
	}
	old := n.readClock()
	if old != nil && old.Bound == m.Bound && (old.offset()-d.Offset).Abs() <= clockMoved && d.At.Sub(old.Measured.Time) < clockAged {
		return
	}
	// Two processes may write it at once; each writes it whole.
	if err := writeJSON(n.path(fileClock), m); err != nil {
		n.log.Warn("clock not noted", "err", err)
	}
}

// sayClock tells scripts of a clock that is known to be wrong.
func (c *cli) sayClock(n *node) {
	if m := n.readClock(); c.json && m != nil && !m.stale() && m.offset().Abs() > preserve.ClockLimit {
		c.say(map[string]any{"event": "clock", "offset_ms": m.OffsetMS, "bound": m.Bound, "operators": m.Operators, "measured": m.Measured}, "")
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
