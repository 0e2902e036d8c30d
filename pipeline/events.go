package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// eventsAtOnce bounds the Events of one Publish.
const eventsAtOnce = 256

// Recover publishes what was written and, as far as the marks tell, was not
// published. Call it when a node starts. A chain that has the size of its mark is
// not read; another is, and verified, and one that is shorter than what was
// published, or is gone, is an error that wraps [ErrChain]. A mark that does not count, because the
// queue is another one or an older copy, is not believed: then each line is
// published that is in no plan. planned gives the IDs that plans hold, and is
// called at most once, and only then; nil: none is.
//
// What is published twice into one queue is there once. Into a new queue a line
// must not go that a plan has: it would be sealed twice.
func (o *Outbox) Recover(ctx context.Context, planned func(context.Context) (map[holdfast.ID]bool, error)) error {
	marked, err := o.marked() // before the chains, which are there before their marks
	if err == nil {
		o.mu.Lock()
		err = o.scan()
		o.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("recover outbox: %w", err)
	}
	now, err := o.state(ctx)
	if err != nil {
		return fmt.Errorf("recover outbox: %w", err)
	}
	err = o.missing(marked, now)
	var known map[holdfast.ID]bool
	for _, c := range o.list() {
		m := c.mark()
		if m.counts(now) {
			if !c.published(m) {
				err = errors.Join(err, o.publishAfter(ctx, c, m))
			}
			continue
		}
		if known == nil && planned != nil {
			all, perr := planned(ctx)
			if perr != nil {
				return fmt.Errorf("recover outbox: %w", errors.Join(err, perr))
			}
			known = all
		}
		err = errors.Join(err, o.publishRest(ctx, c, known))
	}
	return err
}

// Older reports whether the queue is an older copy of the one that the marks are
// of: they know a later position. Ask before [Outbox.Recover], which writes new
// marks. A mark that was lost shows nothing.
func (o *Outbox) Older(ctx context.Context) (bool, error) {
	var marks []mark
	for _, c := range o.list() {
		marks = append(marks, c.mark())
	}
	// Asked after the marks were read: another process may publish meanwhile.
	now, err := o.state(ctx)
	if err != nil {
		return false, fmt.Errorf("compare queue with custody marks: %w", err)
	}
	return slices.ContainsFunc(marks, func(m mark) bool { return m.of(now.id) && !now.holds(m.place) }), nil
}

// publishOne publishes the line just appended, and those before it if their
// publishing was cut short.
func (o *Outbox) publishOne(ctx context.Context, c *chain, line []byte, at point) error {
	if done := max(c.mark().lines, c.told.Load()); done != at.Length-1 {
		_, err := o.publishFrom(ctx, c, min(done, at.Length-1))
		return err
	}
	m, err := o.event(line, at.Head)
	if err == nil {
		err = o.send(ctx, c, []Message{m}, at)
	}
	if err != nil {
		return fmt.Errorf("publish custody line %d of chain %s: %w", at.Length, c.id, err)
	}
	return nil
}

// publishFrom publishes all lines after number done and returns the last point.
func (o *Outbox) publishFrom(ctx context.Context, c *chain, done int64) (point, error) {
	return o.publish(ctx, c, func(n int64) bool { return n > done }, true)
}

// publishAfter publishes what the mark, which counts, does not tell of.
func (o *Outbox) publishAfter(ctx context.Context, c *chain, m mark) error {
	last, err := o.publishFrom(ctx, c, m.lines)
	switch {
	case err != nil:
	case last.Length < m.lines && m.size > 0: // a line written now would take the place of a published one
		err = fmt.Errorf("%w: %s has %d lines, and %d were published: %s", ErrChain, c.path, last.Length, m.lines, c.whatNow())
	case last.Length < m.lines: // an older program's mark, which says no more
		_, err = o.publishFrom(ctx, c, 0)
	case last.Length == m.lines && m.size == 0: // the next start need not read it
		o.setMark(ctx, c, last, m.place)
	}
	return err
}

// publishRest publishes the lines that are in no plan. The mark is moved at the
// end alone: half way it would say of lines behind it that no plan has them.
func (o *Outbox) publishRest(ctx context.Context, c *chain, planned map[holdfast.ID]bool) error {
	last, err := o.publish(ctx, c, func(n int64) bool { return !planned[holdfast.EventID(c.id, n)] }, false)
	if err == nil {
		o.setMark(ctx, c, last, Place(c.lastAt.Load()))
	}
	return err
}

// publish publishes the lines that are wanted and returns the point behind the
// last one that there is.
func (o *Outbox) publish(ctx context.Context, c *chain, wanted func(n int64) bool, marks bool) (last point, err error) {
	var out []Message
	flush := func() (err error) {
		if len(out) == 0 {
			return nil
		}
		if marks {
			err = o.send(ctx, c, out, last)
		} else {
			err = o.put(ctx, c, out)
		}
		out = nil
		return err
	}
	err = c.again(func(line []byte, h holdfast.Head) error {
		last = point{h, last.size + int64(len(line)) + 1}
		if !wanted(h.Length) {
			return nil
		}
		m, err := o.event(line, h)
		if err != nil {
			return err
		}
		if out = append(out, m); len(out) < eventsAtOnce {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return last, fmt.Errorf("publish custody lines of chain %s: %w", c.id, err)
	}
	return last, nil
}

func (o *Outbox) put(ctx context.Context, c *chain, out []Message) error {
	at, err := o.queue.Publish(ctx, nil, out...)
	if err == nil {
		c.lastAt.Store(int64(at[len(at)-1]))
	}
	return err
}

// send publishes and moves the mark. All lines before out were published, by
// what the mark said when it was read; so the new mark says no more than is so.
func (o *Outbox) send(ctx context.Context, c *chain, out []Message, last point) error {
	if err := o.put(ctx, c, out); err != nil {
		return err
	}
	o.setMark(ctx, c, last, Place(c.lastAt.Load()))
	return nil
}

// setMark names the queue as this handle first met it: a queue that was given
// another name since remembers that one.
func (o *Outbox) setMark(ctx context.Context, c *chain, at point, place Place) {
	c.told.Store(at.Length)
	name, err := o.queueName(ctx)
	if err == nil {
		err = c.setMark(mark{lines: at.Length, place: place, queue: name, size: at.size, head: at.Head.Head})
	}
	if err != nil {
		o.log.WarnContext(ctx, "custody mark not written, lines will be published again", "chain", c.id, "error", err)
	}
}

func (o *Outbox) queueName(ctx context.Context) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.name != "" {
		return o.name, nil
	}
	id, err := o.queue.Identity(ctx)
	if err == nil {
		o.name = id.Queue
	}
	return o.name, err
}

// event makes the Event of a line. It depends on the line and on this node only,
// the nonce too, so that a line published again is, unless the program changed
// meanwhile, the same Manifest.
func (o *Outbox) event(line []byte, head holdfast.Head) (Message, error) {
	l, err := holdfast.ParseLine(line)
	if err != nil {
		return Message{}, err
	}
	id := holdfast.EventID(l.Chain, l.N)
	c := Captured{Inline: map[string][]byte{"line.json": line}}
	c.Manifest = holdfast.Manifest{Agent: l.Agent, Case: l.Case, Custody: head, Started: l.At, Ended: l.At, ID: id, Kind: holdfast.KindEvent,
		Found: holdfast.Found{Why: l.Why}, Nonce: hashing.Of([]byte("event " + l.Nonce)).Hex(), Source: EventSource(l), Training: l.Training,
		Completeness: holdfast.Completeness{Outcome: "complete"},
		Collection: holdfast.Collection{Clock: o.facts.Clock, Config: o.facts.Config, Egress: or(o.facts.Egress, "unknown"), Identity: "none",
			Node: l.Node, Software: o.facts.Software},
		Objects: []holdfast.Object{{Digest: hashing.Of(line), Name: "line.json", Role: "custody-line", Size: int64(len(line)), Type: "application/json"}}}
	c.Manifest.Collection.Clock.Source = or(o.facts.Clock.Source, "node")
	body, err := c.Encode()
	return Message{ID: id, Key: "holdfast:" + string(l.Chain), Body: body}, err
}

// EventSource returns the Source of a line's Event: holdfast:case/<case> for a
// Case that was opened, holdfast:<kind>/<event ID> for the rest, kind being
// `export` for exporting and exported and else the action's first word.
func EventSource(l *holdfast.Line) holdfast.Source {
	kind, _, _ := strings.Cut(l.Action, "-")
	id := holdfast.EventID(l.Chain, l.N)
	switch l.Action {
	case "opened":
		kind, id = "case", l.Case
	case "exporting", "exported":
		kind = "export"
	}
	return holdfast.Source("holdfast:" + kind + "/" + string(id))
}
