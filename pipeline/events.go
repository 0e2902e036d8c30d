package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast"
	"holdfast/hashing"
)

// eventsAtOnce bounds the Events of one Publish.
const eventsAtOnce = 256

// Recover publishes what was written and, as far as the marks tell, was not
// published. Call it when a node starts; with all set, the marks are not
// believed: so after the queue was lost or restored.
func (o *Outbox) Recover(ctx context.Context, all bool) error {
	o.mu.Lock()
	err := o.scan()
	o.mu.Unlock()
	for _, c := range o.list() {
		from := c.mark()
		if all {
			from = 0
		}
		err = errors.Join(err, o.publishFrom(ctx, c, from))
	}
	return err
}

// publishOne publishes the line just appended, and those before it if their
// publishing was cut short.
func (o *Outbox) publishOne(ctx context.Context, c *chain, line []byte, h holdfast.Head) error {
	if done := c.mark(); done != h.Length-1 {
		return o.publishFrom(ctx, c, min(done, h.Length-1))
	}
	m, err := o.event(line, h)
	if err == nil {
		err = o.send(ctx, c, []Message{m}, h.Length)
	}
	if err != nil {
		return fmt.Errorf("publish custody line %d of chain %s: %w", h.Length, c.id, err)
	}
	return nil
}

// publishFrom publishes all lines after number done.
func (o *Outbox) publishFrom(ctx context.Context, c *chain, done int64) error {
	var out []Message
	last := int64(0)
	err := c.again(func(line []byte, h holdfast.Head) error {
		last = h.Length
		if h.Length <= done {
			return nil
		}
		m, err := o.event(line, h)
		if err != nil {
			return err
		}
		if out = append(out, m); len(out) < eventsAtOnce {
			return nil
		}
		err = o.send(ctx, c, out, h.Length)
		out = nil
		return err
	})
	if err == nil && last < done {
		return o.publishFrom(ctx, c, 0) // the mark was wrong
	}
	if err == nil && len(out) > 0 {
		err = o.send(ctx, c, out, last)
	}
	if err != nil {
		return fmt.Errorf("publish custody lines of chain %s: %w", c.id, err)
	}
	return nil
}

// send publishes and moves the mark. All lines before out were published, by
// what the mark said when it was read; so the new mark says no more than is so.
func (o *Outbox) send(ctx context.Context, c *chain, out []Message, last int64) error {
	if _, err := o.queue.Publish(ctx, nil, out...); err != nil {
		return err
	}
	if err := c.setMark(last); err != nil {
		o.log.WarnContext(ctx, "custody mark not written, lines will be published again", "chain", c.id, "error", err)
	}
	return nil
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
	return Message{ID: id, Body: body}, err
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
