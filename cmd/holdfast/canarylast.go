package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"holdfast"
	"holdfast/messages"
	"holdfast/wholefile"
)

// fileCanary is what the last canary in each channel has measured. It may be lost:
// the custody of the Case has it, and a canary measures again.
const fileCanary = "canary.json"

// canaryLast is the result of one run, in all its rounds.
type canaryLast struct {
	Source   holdfast.Source `json:"source"`
	At       holdfast.Time   `json:"at"`
	Case     holdfast.ID     `json:"case_id"`
	Chain    holdfast.ID     `json:"chain"`
	N        int64           `json:"n"` // of the line of custody about its last round
	Made     int             `json:"made"`
	Seen     int             `json:"seen"` // in time
	Missed   []string        `json:"missed,omitempty"`
	Within   int64           `json:"within_ms"`
	Accepted *spread         `json:"accepted_ms,omitempty"`
	Sealed   *spread         `json:"sealed_ms,omitempty"`
}

// spread is the middle and the longest of delays, in ms.
type spread struct {
	P50 int64 `json:"p50"`
	Max int64 `json:"max"`
}

func spreadOf(ms []int64) *spread {
	if len(ms) == 0 {
		return nil
	}
	slices.Sort(ms)
	return &spread{ms[(len(ms)-1)/2], ms[len(ms)-1]}
}

func (s *spread) String() string {
	if s == nil {
		return "not measured"
	}
	return fmt.Sprintf("p50 %s, at most %s", seconds(&s.P50), seconds(&s.Max))
}

// lastOf counts what acts have shown. What was not done, or perhaps not, is no act
// that could be seen.
func lastOf(source holdfast.Source, acts []*canaryAct, within time.Duration) canaryLast {
	l := canaryLast{Source: source, Within: within.Milliseconds()}
	var accepted, sealed []int64
	for _, a := range acts {
		switch a.result {
		case canaryRefused, canaryUnclear:
			continue
		case canarySeen:
			l.Seen++
		default:
			l.Missed = append(l.Missed, fmt.Sprintf("%s of post %d (%s)", a.what, a.id, a.result))
		}
		l.Made++
		if ms := a.after(a.accepted); ms != nil {
			accepted = append(accepted, *ms)
		}
		if ms := a.after(a.sealed); ms != nil {
			sealed = append(sealed, *ms)
		}
	}
	l.Accepted, l.Sealed = spreadOf(accepted), spreadOf(sealed)
	return l
}

// finding says what a canary has missed, in one sentence; "" if nothing.
func (l canaryLast) finding() string {
	if len(l.Missed) == 0 {
		return ""
	}
	some := l.Missed[:min(len(l.Missed), 6)]
	return fmt.Sprintf("the canary of %s has shown that not all is seen: %d of %d acts in %s; not: %s", l.At, l.Seen, l.Made, time.Duration(l.Within)*time.Millisecond, strings.Join(some, ", "))
}

func (l canaryLast) row() map[string]any {
	recall := any(nil)
	if l.Made > 0 {
		recall = float64(l.Seen) / float64(l.Made)
	}
	return map[string]any{"event": "canary", "source": l.Source, "at": l.At, "case_id": l.Case, "made": l.Made, "seen": l.Seen, "recall": recall, "missed": append([]string{}, l.Missed...),
		"within_ms": l.Within, "accepted_ms": l.Accepted, "sealed_ms": l.Sealed, "custody": map[string]any{"chain": l.Chain, "n": l.N}}
}

func (l canaryLast) text() string {
	return fmt.Sprintf("canary    %s  %s", l.Source, l.short())
}

func (l canaryLast) short() string {
	if l.Made == 0 {
		return "nothing could be written, so nothing was measured"
	}
	s := fmt.Sprintf("%d of %d acts seen; accepted %s after them; sealed %s", l.Seen, l.Made, l.Accepted, l.Sealed)
	if len(l.Missed) > 0 {
		s += "; not seen in time: " + strings.Join(l.Missed[:min(len(l.Missed), 6)], ", ")
	}
	return s
}

// canaryLasts reads the last results. A file that cannot be read is none.
func (n *node) canaryLasts() map[holdfast.Source]canaryLast {
	var rows []canaryLast
	if err := wholefile.ReadJSON(n.path(fileCanary), &rows); err != nil && !errors.Is(err, fs.ErrNotExist) {
		n.log.Warn("what canaries have measured cannot be read, and may be removed: the custody has it", "err", err)
	}
	of := map[holdfast.Source]canaryLast{}
	for _, r := range rows {
		of[r.Source] = r
	}
	return of
}

// keepCanary puts a result in the place of the one before. canary.lock is held.
func (n *node) keepCanary(l canaryLast) error {
	of := n.canaryLasts()
	of[l.Source] = l
	rows := make([]canaryLast, 0, len(of))
	for _, r := range of {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b canaryLast) int { return strings.Compare(string(a.Source), string(b.Source)) })
	return wholefile.WriteJSON(n.path(fileCanary), rows)
}

// canaryTold is what `watch run` has told of canaries.
type canaryTold struct {
	asOf time.Time
	at   map[holdfast.Source]holdfast.Time
}

// canaries tells what canaries have measured since, and, when it begins, which of the
// last ones have missed something.
func (w *watchRun) canaries() {
	asOf := changed(w.n.path(fileCanary))
	begins := w.canary.at == nil
	if !begins && asOf.Equal(w.canary.asOf) {
		return
	}
	w.canary.asOf = asOf
	if begins {
		w.canary.at = map[holdfast.Source]holdfast.Time{}
	}
	of := w.n.canaryLasts()
	for _, k := range w.list {
		l, ok := of[k.Source]
		if !ok || w.canary.at[k.Source] == l.At {
			continue
		}
		w.canary.at[k.Source] = l.At
		if f := l.finding(); f != "" || !begins {
			row := l.row()
			row["why"] = f
			w.tell.say(row, "%s", messages.Visible(l.text()))
		}
	}
}
