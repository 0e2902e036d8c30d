package heard

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"holdfast"
	"holdfast/canon"
	"holdfast/pipeline"
	"holdfast/wholefile"
)

// Gap is how long nobody may be heard without that being a silence.
const Gap = 15 * time.Minute

// FileName is, in the node's directory, what a kill would lose.
const FileName = "heard.json"

const (
	followed      = "followed"  // the action
	heardEvery    = time.Hour   // a line of custody for each Case
	heardKept     = time.Minute // what is known since then is brought to the disk
	heardAtOnce   = 5000        // channels that one line names, at most
	maxHeardFile  = 64 << 20
	heardVersion  = 1
	heardSpansMax = 1000 // of a channel, between two lines
)

// Span is a time in which the service answered for a channel what had happened,
// again and again, never more than [Gap] apart. Both ends are times of answers.
type Span struct {
	From holdfast.Time `json:"from"`
	To   holdfast.Time `json:"to"`
}

// heardChannel are the spans of a channel that no line of custody has yet.
type heardChannel struct {
	Case  holdfast.ID   `json:"case"`
	Spans []Span        `json:"spans"`
	Told  holdfast.Time `json:"told,omitzero"` // the last answer that a line has
}

// heardDoc is DIR/heard.json: what a kill would lose of them. It may be lost itself:
// then that time counts as one in which nobody was asked.
type heardDoc struct {
	Channels map[string]*heardChannel `json:"channels"`
	Version  int                      `json:"version"`
}

// Custody is where it is said.
type Custody interface {
	// Append writes a line into the chain of a Case, durably.
	Append(ctx context.Context, e pipeline.Entry) (holdfast.Head, error)
	// Lines calls yield with each line of a Case, in order, and where it stands.
	Lines(home holdfast.ID, yield func(line []byte, at holdfast.Head) error) error
}

// Node is who hears.
type Node struct {
	Dir     string
	Agent   holdfast.Agent
	Custody Custody
	Log     *slog.Logger
}

// Ears note answers. Not for several callers at once: the loop of `watch run` has them,
// under its lock. Nothing is
// noted but what was answered, so a process that is killed, stopped or asleep makes a
// gap, and a crash can lose what was heard, and never add to it.
type Ears struct {
	Node

	doc      heardDoc
	since    time.Time // of the oldest that no line has
	keptAt   time.Time
	unstored bool
}

// Heard notes that the service answered for a channel at a time.
func (h *Ears) Heard(channel string, home holdfast.ID, at time.Time) {
	if channel == "" || at.IsZero() {
		return
	}
	if h.doc.Channels == nil {
		h.doc = heardDoc{Channels: map[string]*heardChannel{}, Version: heardVersion}
	}
	c := h.doc.Channels[channel]
	if c == nil {
		c = &heardChannel{Case: home}
		h.doc.Channels[channel] = c
	}
	c.Case = home
	if h.since.IsZero() {
		h.since = at
	}
	h.unstored = true
	t := holdfast.At(at)
	if n := len(c.Spans); n > 0 && !t.Before(c.Spans[n-1].To.Time) && t.Sub(c.Spans[n-1].To.Time) <= Gap {
		c.Spans[n-1].To = t
		return
	}
	if len(c.Spans) < heardSpansMax { // a clock that jumps
		c.Spans = append(c.Spans, Span{t, t})
	}
}

// Turn brings what is known to the disk, and into custody once an hour.
func (h *Ears) Turn(ctx context.Context, now time.Time) {
	switch {
	case h.since.IsZero():
	case now.Sub(h.since) >= heardEvery || now.Before(h.since):
		h.Flush(ctx, now)
		h.keptAt = now
	case h.unstored && now.Sub(h.keptAt) >= heardKept:
		h.keep(ctx)
		h.keptAt = now
	}
}

func (h *Ears) keep(ctx context.Context) {
	b, err := json.Marshal(h.doc)
	if err == nil {
		err = wholefile.Replace(filepath.Join(h.Dir, FileName), b, 0o600)
	}
	if err != nil {
		h.Log.WarnContext(ctx, "when channels were answered for is not on the disk yet", "err", err)
		return
	}
	h.unstored = false
}

// Flush writes the lines, and goes on from the last answer of each channel. A crash
// before the file says so writes the same lines once more, which say the same.
func (h *Ears) Flush(ctx context.Context, now time.Time) {
	by := map[holdfast.ID]map[Span][]string{}
	for channel, c := range h.doc.Channels {
		for _, s := range c.Spans {
			if s = s.inward(); !s.To.After(c.Told.Time) {
				continue
			}
			if by[c.Case] == nil {
				by[c.Case] = map[Span][]string{}
			}
			by[c.Case][s] = append(by[c.Case][s], channel)
		}
	}
	for home, spans := range by {
		if err := h.lines(ctx, home, spans); err != nil {
			h.Log.WarnContext(ctx, "when channels were answered for is not in custody yet", "case", home, "err", err)
			h.since = now.Add(heardKept - heardEvery) // again in a minute
			return
		}
	}
	for channel, c := range h.doc.Channels {
		last := c.Spans[len(c.Spans)-1].To
		if c.Spans, c.Told = []Span{{last, last}}, last; now.Sub(last.Time) > Gap {
			delete(h.doc.Channels, channel)
		}
	}
	h.since = time.Time{}
	if len(h.doc.Channels) > 0 {
		h.since = now
	}
	h.keep(ctx)
}

// inward is a span in whole minutes, so that channels share them: never longer than
// it was. One that has none stays as it is.
func (s Span) inward() Span {
	from, to := s.From.Truncate(time.Minute), s.To.Truncate(time.Minute)
	if from.Before(s.From.Time) {
		from = from.Add(time.Minute)
	}
	if !from.Before(to) {
		return s
	}
	return Span{holdfast.At(from), holdfast.At(to)}
}

// heardLine is a span as a line of custody has it. Members stand in canonical order.
type heardLine struct {
	Channels []string      `json:"channels"`
	From     holdfast.Time `json:"from"`
	To       holdfast.Time `json:"to"`
}

type heardX struct {
	Spans []heardLine `json:"spans"`
}

func (h *Ears) lines(ctx context.Context, home holdfast.ID, spans map[Span][]string) error {
	var all []heardLine
	for s, channels := range spans {
		slices.Sort(channels)
		for part := range slices.Chunk(channels, heardAtOnce) {
			all = append(all, heardLine{part, s.From, s.To})
		}
	}
	slices.SortFunc(all, func(a, b heardLine) int {
		return cmp.Or(a.From.Compare(b.From.Time), a.To.Compare(b.To.Time), slices.Compare(a.Channels, b.Channels))
	})
	for len(all) > 0 {
		n, names := 0, 0
		for n < len(all) && (n == 0 || names+len(all[n].Channels)+5*n <= heardAtOnce) {
			names += len(all[n].Channels)
			n++
		}
		x, err := canon.Marshal(heardX{all[:n]})
		if err != nil {
			return err
		}
		if _, err := h.Custody.Append(ctx, pipeline.Entry{Case: home, Action: followed, Agent: h.Agent, X: x}); err != nil {
			return fmt.Errorf("write custody line: %w", err)
		}
		all = all[n:]
	}
	return nil
}

// TakeUp writes what the process before this one has left on the disk.
func (h *Ears) TakeUp(ctx context.Context, now time.Time) error {
	b, err := os.ReadFile(filepath.Join(h.Dir, FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read when channels were answered for: %w", err)
	}
	var d heardDoc
	if len(b) > maxHeardFile || json.Unmarshal(b, &d) != nil || d.Version != heardVersion || !d.sound() {
		h.Log.WarnContext(ctx, "when channels were answered for before this start is not known: that time counts as one in which nobody was asked", "file", FileName)
		return os.Remove(filepath.Join(h.Dir, FileName))
	}
	h.doc = d
	if len(d.Channels) > 0 {
		h.Flush(ctx, now)
	}
	return nil
}

func (d heardDoc) sound() bool {
	for _, c := range d.Channels {
		if c == nil || len(c.Spans) == 0 {
			return false
		}
		for _, s := range c.Spans {
			if s.To.Before(s.From.Time) {
				return false
			}
		}
		if _, err := holdfast.ParseID(string(c.Case)); err != nil {
			return false
		}
	}
	return true
}

// Of are the times in which a channel was answered for, as custody says it,
// joined where no more than [Gap] lies between; and the Events that say it.
func Of(c Custody, channel string, homes []holdfast.ID) (spans []Span, events []holdfast.ID, err error) {
	for _, home := range homes {
		err = c.Lines(home, func(b []byte, h holdfast.Head) error {
			l, err := holdfast.ParseLine(b)
			if err != nil || l.Action != followed {
				return err
			}
			var x heardX
			if json.Unmarshal(l.X, &x) != nil {
				return nil // of a later program
			}
			here := false
			for _, s := range x.Spans {
				if slices.Contains(s.Channels, channel) && !s.To.Before(s.From.Time) {
					spans, here = append(spans, Span{s.From, s.To}), true
				}
			}
			if here {
				events = append(events, holdfast.EventID(h.Chain, h.Length))
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return Joined(spans), events, nil
}

// Joined are spans in order, none of which touches the next.
func Joined(all []Span) (out []Span) {
	slices.SortFunc(all, func(a, b Span) int { return cmp.Or(a.From.Compare(b.From.Time), a.To.Compare(b.To.Time)) })
	for _, s := range all {
		if n := len(out); n > 0 && s.From.Sub(out[n-1].To.Time) <= Gap {
			if s.To.After(out[n-1].To.Time) {
				out[n-1].To = s.To
			}
			continue
		}
		out = append(out, s)
	}
	return out
}
