package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast"
	"holdfast/hashing"
)

// NormaliseTime bounds one call of a Normaliser.
const NormaliseTime = time.Minute

// Normalise is the stage that derives Pages and Posts and fixes the Manifest's
// bytes. Several processes may run it at once: the first Note of a position
// wins, and who was overtaken reads the position again.
//
// A crash anywhere leaves the stage where it was; the messages are normalised
// again. As long as no Note is durable nothing names the derived Objects, and
// once it is, nothing derives them again: so one capture has one Manifest, even
// if a newer program would derive something else.
type Normalise struct {
	Queue     Consumer
	Partition int
	By        map[string]Normaliser // by scheme of the Source; a Source of another scheme needs none
	Stop      <-chan struct{}       // Optional: closed, it ends Run with nil behind what is under way.
	Log       *slog.Logger          // Optional.
}

// Run works until ctx ends, and returns its error, or the queue's.
func (n *Normalise) Run(ctx context.Context) error {
	_, err := n.run(ctx, Bounds{})
	return err
}

// Drain normalises what is there, and returns how many messages that were.
func (n *Normalise) Drain(ctx context.Context) (int, error) { return n.run(ctx, Bounds{NoWait: true}) }

func (n *Normalise) run(ctx context.Context, b Bounds) (total int, err error) {
	var lost overtaken
	waits, cancel := untilStop(ctx, n.Stop)
	defer cancel()
	for {
		at, got, err := receive(waits, n.Queue, StageNormalise, n.Partition, b)
		if stopped(n.Stop) && ctx.Err() == nil {
			return total, nil
		}
		if err != nil || len(got) == 0 {
			return total, err
		}
		notes, err := n.notes(ctx, got)
		if err != nil {
			return total, err
		}
		ack := Ack{Stage: StageNormalise, Partition: n.Partition, From: at, To: at + int64(len(got))}
		switch err := n.Queue.Advance(ctx, ack, notes...); {
		case errors.Is(err, ErrStale) && lost.again(ctx, at):
		case err != nil:
			return total, err
		}
		total += len(got)
	}
}

// overtaken is how often, and for how long, somebody else was faster at one position.
type overtaken struct {
	at    int64
	since time.Time
}

// again reports whether it is to be tried again, after a moment where the stage has
// not moved yet: who was faster may stand before his commit. One that does not move
// for staleStage belongs to somebody else.
func (o *overtaken) again(ctx context.Context, at int64) bool {
	if now := time.Now(); o.since.IsZero() || at != o.at {
		o.at, o.since = at, now
		return true
	} else if now.Sub(o.since) > staleStage {
		return false
	}
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Millisecond):
	}
	return true
}

const staleStage = 10 * time.Second

// receive reads on from where a stage is. Where several processes run it, one
// may wait at a position that the others go past and prune; it reads the
// position again.
func receive(ctx context.Context, q Consumer, s Stage, partition int, b Bounds) (from int64, got []Message, err error) {
	for {
		if from, err = q.Position(ctx, s, partition); err != nil {
			return 0, nil, err
		}
		if got, err = q.Receive(ctx, s, partition, from, b); !errors.Is(err, ErrStale) || ctx.Err() != nil {
			return from, got, err
		}
	}
}

// notes calls the Normalisers, on all cores, and returns what they changed.
func (n *Normalise) notes(ctx context.Context, got []Message) ([]Message, error) {
	made := make([][]byte, len(got))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range got {
		by := n.By[scheme(m)]
		if by == nil || m.Damaged {
			continue // the draft is the Manifest; or preserve will call it poison
		}
		g.Go(func() (err error) {
			made[i], err = n.note(ctx, by, m)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []Message
	for i, note := range made {
		if note != nil {
			out = append(out, Message{Position: got[i].Position, ID: got[i].ID, Note: note})
		}
	}
	return out, nil
}

// scheme finds the Source's scheme without reading the Manifest, which in its
// canonical form has `source` right before `started`; both names with their
// unescaped quotation marks occur in no string.
func scheme(m Message) string {
	_, manifest, _, err := split(m.Body)
	if err != nil {
		return ""
	}
	before, _, ok := bytes.Cut(manifest, []byte(`","started":"`))
	i := bytes.LastIndex(before, []byte(`,"source":"`))
	if !ok || i < 0 {
		return ""
	}
	s, _, _ := strings.Cut(string(before[i+len(`,"source":"`):]), ":")
	return s
}

// note returns the Note of one message, or nil if the draft stands. Only the end
// of ctx is an error: whatever else goes wrong, the capture goes on.
func (n *Normalise) note(ctx context.Context, by Normaliser, m Message) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, NormaliseTime)
	defer cancel()
	d, err := derive(limited, by, m.Body)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx) // stopped, not failed: somebody does it again
	}
	if err == nil && (d == nil || len(d.Objects) == 0) {
		return nil, nil
	}
	c, perr := ParseCaptured(m.Body)
	if perr != nil {
		n.log().WarnContext(ctx, "message cannot be read, it will be skipped as poison", "position", m.Position, "error", perr)
		return nil, nil
	}
	var note []byte
	if err == nil {
		note, err = d.add(c.Manifest)
	}
	if err == nil {
		return note, nil
	}
	n.log().WarnContext(ctx, "normaliser failed, the capture is kept without what it derives", "capture", c.Manifest.ID, "error", err)
	c.Manifest.Completeness.Reasons = append(c.Manifest.Completeness.Reasons, "normalise-failed")
	draft, err := c.Manifest.Encode()
	if err != nil {
		return nil, nil
	}
	return encodeMessage(draft, nil, 0), nil
}

// derive turns a panic of the Normaliser, which reads hostile pages, into an
// error: it must not take the node down with it. It works on a copy: what was
// acquired is not its to change. The caller reads the message again, if there is
// something to add: reading costs more than all else in a capture's way.
func derive(ctx context.Context, by Normaliser, body []byte) (d *Derived, err error) {
	defer func() {
		if r := recover(); r != nil {
			d, err = nil, fmt.Errorf("normalise: panic: %v", r)
		}
	}()
	own, err := ParseCaptured(bytes.Clone(body))
	if err != nil {
		return nil, err
	}
	if d, err = by.Normalise(ctx, own); err != nil {
		return nil, fmt.Errorf("normalise: %w", err)
	}
	return d, nil
}

// add makes the Note: the Manifest with the derived Objects, and their bytes. A
// name that is taken is refused.
func (d *Derived) add(m holdfast.Manifest) ([]byte, error) {
	m.Objects = slices.Clone(m.Objects)
	inline, total := map[string][]byte{}, 0
	for _, o := range d.Objects {
		if m.Object(o.Name) != nil {
			return nil, messageError("derived object %.80q: the name is taken", o.Name)
		}
		if total += len(o.Bytes); total > MaxInline {
			return nil, messageError("derived objects of more than %d bytes", MaxInline)
		}
		inline[o.Name] = o.Bytes
		m.Objects = append(m.Objects, holdfast.Object{Digest: hashing.Of(o.Bytes), Name: o.Name, Restricted: o.Restricted,
			Role: o.Role, Size: int64(len(o.Bytes)), Type: o.Type})
	}
	slices.SortFunc(m.Objects, func(a, b holdfast.Object) int { return strings.Compare(a.Name, b.Name) })
	m.Transformations = append(slices.Clone(m.Transformations), d.Transformations...)
	for i, t := range m.Transformations {
		if t.Inputs == nil {
			m.Transformations[i].Inputs = []string{}
		}
	}
	manifest, err := m.Encode()
	if err != nil {
		return nil, err
	}
	return encodeMessage(manifest, inline, total), nil
}

func (n *Normalise) log() *slog.Logger { return orDiscard(n.Log) }

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
