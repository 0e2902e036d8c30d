package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast"
	"holdfast/pipeline"
)

// How far back normalise knows what it wrote to a partition: an hour, unless that
// is more messages than this. Preserve, which looks behind it, knows the whole hour.
const (
	memoryTime  = time.Hour
	memoryCount = 1 << 19
)

// wrote is what is in a partition of normalised. Nobody but the owner of normalise
// writes there; but one that does not know that he lost it may.
type wrote struct {
	end  int64  // what is known of
	last string // the print of the message there; "" if it is pruned
	from int64  // up to this position of captured all is there, or was dropped
	ids  map[holdfast.ID]bool
	list []written // oldest first
}

type written struct {
	id holdfast.ID
	at time.Time
}

func (w *wrote) add(id holdfast.ID, from int64, now time.Time) {
	w.from = max(w.from, from)
	w.ids[id] = true
	w.list = append(w.list, written{id, now})
	for len(w.list) > memoryCount || now.Sub(w.list[0].at) > memoryTime {
		delete(w.ids, w.list[0].id)
		w.list = w.list[1:]
	}
}

// normalise writes the messages whole. What a crash left done is not done again:
// each message says which one of captured it is. A second message of one ID is
// dropped, and said.
func (q *Queue) normalise(ctx context.Context, a at, h *hold, ack pipeline.Ack, out []pipeline.Message) error {
	if err := q.remember(ctx, a.partition, &h.wrote); err != nil {
		return err
	}
	notes := make(map[int64][]byte, len(out))
	for _, m := range out {
		notes[m.Position] = m.Note
	}
	var records []record
	var fresh []entry
	within := map[holdfast.ID]bool{}
	err := q.between(ctx, captured, a, ack.From, ack.To, func(e entry) error {
		switch {
		case e.Position <= h.wrote.from:
			return nil
		case !e.Damaged && (h.wrote.ids[e.ID] || within[e.ID]):
			q.o.Log.WarnContext(ctx, "a capture was published twice, the second is dropped", "capture", e.ID, "partition", a.partition, "position", e.Position)
			return q.bury(ctx, a, e, "duplicate")
		}
		within[e.ID] = true
		records, fresh = append(records, normalisedRecord(e, notes[e.Position])), append(fresh, e)
		return nil
	})
	if err != nil {
		return err
	}
	where, err := q.send(ctx, normalised, a.partition, records)
	if err != nil {
		h.wrote = wrote{} // what came of it is read again
		return err
	}
	for i, e := range fresh {
		h.wrote.add(e.ID, e.Position, time.Now())
		if h.wrote.end != where[i]-1 { // somebody else wrote between
			h.wrote = wrote{}
			return nil
		}
		h.wrote.end = where[i]
		h.wrote.last = printOf(e.ID, records[i].value)
	}
	return nil
}

// between yields the messages of a stage from one position to another.
func (q *Queue) between(ctx context.Context, topic string, a at, from, to int64, yield func(entry) error) error {
	for from < to {
		got, err := q.receive(ctx, topic, a, from, pipeline.Bounds{NoWait: true, Count: int(min(to-from, pipeline.MaxBatch))})
		if err != nil {
			return err
		}
		if len(got) == 0 {
			return fmt.Errorf("position %d of %s is not there", from+1, topic)
		}
		for _, e := range got {
			if err := yield(e); err != nil {
				return err
			}
			from = e.Position
		}
	}
	return nil
}

// remember reads what is in the partition and is not known: all of the last hour
// when ownership begins, and later what somebody else wrote.
func (q *Queue) remember(ctx context.Context, partition int, w *wrote) error {
	first, last, err := q.offsets(ctx, normalised, partition)
	if err != nil {
		return err
	}
	if w.ids != nil && w.end == last {
		return nil
	}
	from := w.end
	if w.ids == nil || from < first || from > last {
		*w = wrote{ids: map[holdfast.ID]bool{}}
		if from, err = q.hourBefore(ctx, partition, first, last); err != nil {
			return err
		}
		from = max(first, min(from, last-1), last-memoryCount, 0) // one at least: it says how far captured is done
	}
	for from < last {
		got, _, err := q.fetch(ctx, normalised, partition, from, 0)
		if errors.Is(err, kgo.OffsetOutOfRange) { // it is pruned meanwhile
			if first, _, ferr := q.offsets(ctx, normalised, partition); ferr == nil && first > from {
				from = first
				continue
			}
		}
		if err != nil {
			return fmt.Errorf("read what was normalised: %w", err)
		}
		for _, e := range got {
			w.add(e.ID, e.from, time.Now())
			from, w.last = e.Position, e.print()
		}
	}
	w.end = last
	if from > last {
		w.end = from
	}
	return nil
}

// hourBefore returns the offset where the last hour begins: that before now, or before
// the last message, whichever is earlier. Nothing was written while the stage stood still,
// and this machine's clock may be ahead of that of who wrote.
func (q *Queue) hourBefore(ctx context.Context, partition int, first, last int64) (from int64, err error) {
	now := time.Now()
	if last > first { // else all is pruned
		newest, _, err := q.fetch(ctx, normalised, partition, last-1, 0)
		if err != nil {
			return 0, fmt.Errorf("read what was normalised: %w", err)
		}
		if len(newest) > 0 && newest[0].at.Before(now) {
			now = newest[0].at
		}
	}
	return q.since(ctx, partition, now.Add(-memoryTime), last)
}

// since returns the offset of the first message of a time or later, or last.
func (q *Queue) since(ctx context.Context, partition int, t time.Time, last int64) (from int64, err error) {
	from = last
	err = q.try(ctx, attempt, func(ctx context.Context) error {
		name := q.o.topic(normalised)
		r, err := q.read.ListOffsets(ctx, &kgo.ListOffsetsRequest{Topics: map[string][]kgo.OffsetRequest{name: {kgo.TimeOffsetOf(partition, t)}}})
		if err != nil {
			return err
		}
		for _, p := range r.Topics[name] {
			for o := range p.Offsets {
				if o >= 0 {
					from = min(from, o)
				}
			}
			if p.Error != nil {
				return p.Error
			}
		}
		return nil
	})
	return from, err
}

// sealedIn finds the partition of a result by its Seal's ID; 0 if it has none.
func (q *Queue) sealedIn(body []byte) int {
	o, err := pipeline.ParseOutcome(body)
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(o.Seal, "-")
	n, _, _ := strings.Cut(rest, "-")
	p, err := strconv.Atoi(n)
	if err != nil || q.known(p) != nil {
		return 0
	}
	return p
}
