package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	kgo "github.com/segmentio/kafka-go"

	"holdfast/pipeline"
)

// hold is what this handle knows of a stage of a partition.
type hold struct {
	run run

	advance sync.Mutex // one Advance at a time
	wrote   wrote      // what normalise wrote; under advance

	mu    sync.Mutex
	gen   *generation // while Share gives the partition to this process; else nil
	known bool        // done is the position: only while gen is there, because nobody else moves it
	done  int64
}

// generation is a membership in a consumer group, as it is at a time.
type generation struct {
	id     int
	member string
	over   context.Context // ends when the partitions are taken away
}

func (q *Queue) hold(a at) *hold {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.holds[a] == nil {
		q.holds[a] = &hold{}
	}
	return q.holds[a]
}

// give and take are the beginning and the end of a generation.
func (h *hold) give(g *generation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gen, h.known = g, false
}

func (h *hold) take(g *generation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gen == g {
		h.gen, h.known = nil, false
		h.run.forget()
	}
}

// Position implements pipeline.Consumer.
func (q *Queue) Position(ctx context.Context, s pipeline.Stage, partition int) (int64, error) {
	_, err := topicOf(s)
	if err == nil {
		err = q.known(partition)
	}
	var done int64
	if err == nil {
		done, err = q.position(ctx, at{s, partition}, q.hold(at{s, partition}))
	}
	if err != nil {
		return 0, fmt.Errorf("read position of %s: %w", s, err)
	}
	return done, nil
}

// position asks the group, or knows it: a generation begins when no commit of the
// one before is taken any more, and from then on only its owner commits.
func (q *Queue) position(ctx context.Context, a at, h *hold) (int64, error) {
	h.mu.Lock()
	g, known, done := h.gen, h.known, h.done
	h.mu.Unlock()
	if known {
		return done, nil
	}
	done, err := q.committed(ctx, a)
	if err != nil {
		return 0, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if g != nil && h.gen == g && !h.known {
		h.known, h.done = true, done
	}
	return done, nil
}

// committed reads the group's offset, which is the position of the last message
// that is done. None is the beginning, and only while the beginning is there:
// Kafka forgets the offsets of a group that nobody joins for some days. One whose
// message is not there any more, or another, is of a log that brokers have lost a
// part of: then the stage begins again where the log does.
func (q *Queue) committed(ctx context.Context, a at) (done int64, err error) {
	topic, err := topicOf(a.stage)
	if err != nil {
		return 0, err
	}
	begin := int64(0)
	if a.stage == pipeline.StageAlerts {
		if begin, err = q.startedAt(ctx, a); err != nil {
			return 0, err
		}
	}
	done, was, err := q.offset(ctx, a, topic)
	if err != nil {
		return 0, err
	}
	first, last, err := q.offsets(ctx, topic, a.partition)
	if err != nil {
		return 0, err
	}
	if done >= 0 {
		whole, err := q.still(ctx, a, topic, done, was, first, last)
		if err != nil || whole {
			return max(done, begin), err
		}
		q.o.Log.ErrorContext(ctx, "brokers have lost messages that they had acknowledged (did all of them lose their power?): the stage begins again where its topic does. What was accepted last and is in no Seal may be lost",
			"stage", a.stage, "partition", a.partition, "done", done, "first", first+1, "last", last)
		return max(first, min(begin, last)), nil
	}
	if first > begin {
		err = fmt.Errorf("%w: Kafka has forgotten how far group %s was in partition %d, and the messages up to %d are pruned: set its offset with kafka-consumer-groups --reset-offsets (for %s to the end of its newest Seal in the store), and offsets.retention.minutes of the brokers to more than a stop can last",
			pipeline.ErrForeign, q.o.group(a.stage), a.partition, first, a.stage)
	}
	return begin, err
}

// offset is what the group has committed, -1 for nothing, and the print of it.
func (q *Queue) offset(ctx context.Context, a at, topic string) (done int64, print string, err error) {
	err = q.try(ctx, attempt, func(ctx context.Context) error {
		name := q.o.topic(topic)
		r, err := q.read.OffsetFetch(ctx, &kgo.OffsetFetchRequest{GroupID: q.o.group(a.stage), Topics: map[string][]int{name: {a.partition}}})
		if err == nil {
			err = r.Error
		}
		if err != nil {
			return err
		}
		for _, p := range r.Topics[name] {
			if p.Partition == a.partition {
				done, print = p.CommittedOffset, p.Metadata
				return p.Error
			}
		}
		return kgo.Unknown
	})
	return done, print, err
}

// Advance implements pipeline.Consumer: what the stage made, and then its position,
// which the broker takes from the owner of the partition only. A crash between the
// two leaves both as the next owner finds them: normalise goes on behind what it
// wrote, preserve finds its plan and says its result again.
//
// Where nobody shares the stage, everybody may move it, one at a time: this is for
// what is done by hand.
func (q *Queue) Advance(ctx context.Context, a pipeline.Ack, out ...pipeline.Message) error {
	err := q.checkAdvance(a, out)
	if err == nil {
		err = q.advance(ctx, a, out)
	}
	if err != nil {
		return fmt.Errorf("advance %s of partition %d to %d: %w", a.Stage, a.Partition, a.To, err)
	}
	return nil
}

func (q *Queue) checkAdvance(a pipeline.Ack, out []pipeline.Message) error {
	if _, err := topicOf(a.Stage); err != nil {
		return err
	}
	if err := q.known(a.Partition); err != nil {
		return err
	}
	if a.To < a.From || a.From < 0 {
		return fmt.Errorf("from %d to %d is not forward", a.From, a.To)
	}
	for _, m := range out {
		switch {
		case a.Stage == pipeline.StageNormalise && (len(m.Note) == 0 || m.Position <= a.From || m.Position > a.To):
			return fmt.Errorf("%w: note of position %d, stage goes from %d to %d", pipeline.ErrMessage, m.Position, a.From, a.To)
		case a.Stage == pipeline.StagePreserve && len(m.Body) == 0:
			return fmt.Errorf("%w: empty result", pipeline.ErrMessage)
		case a.Stage != pipeline.StageNormalise && a.Stage != pipeline.StagePreserve:
			return fmt.Errorf("%w: this stage writes nothing", pipeline.ErrMessage)
		case len(m.Note) > pipeline.MaxMessage || len(m.Body) > pipeline.MaxMessage:
			return fmt.Errorf("%w: more than %d bytes", pipeline.ErrMessage, pipeline.MaxMessage)
		}
	}
	return nil
}

func (q *Queue) advance(ctx context.Context, a pipeline.Ack, out []pipeline.Message) error {
	w := at{a.Stage, a.Partition}
	h := q.hold(w)
	h.advance.Lock()
	defer h.advance.Unlock()
	h.mu.Lock()
	g := h.gen
	h.mu.Unlock()
	if g != nil && g.over.Err() != nil && a.Stage == pipeline.StageNormalise {
		return fmt.Errorf("%w: the partition was taken away", pipeline.ErrStale) // before it writes beside the next owner
	}
	done, err := q.position(ctx, w, h)
	if err != nil {
		return err
	}
	if done != a.From {
		return fmt.Errorf("%w: it is at %d, not %d", pipeline.ErrStale, done, a.From)
	}
	print, err := q.reaches(ctx, w, a.To)
	if err != nil {
		return err
	}
	switch a.Stage {
	case pipeline.StageNormalise:
		err = q.normalise(ctx, w, h, a, out)
		print += h.wrote.print()
	case pipeline.StagePreserve:
		err = q.results(ctx, w, a, out)
	}
	if err != nil {
		return err
	}
	return q.commit(ctx, w, h, g, a.To, print)
}

// reaches refuses to go past what the stage may read, and returns the print of what
// it goes to; "" for nothing, or for what is pruned.
func (q *Queue) reaches(ctx context.Context, w at, to int64) (print string, err error) {
	topic, err := topicOf(w.stage)
	if err != nil || to == 0 {
		return "", err
	}
	got, err := q.receive(ctx, topic, w, to-1, pipeline.Bounds{Count: 1, NoWait: true})
	if err == nil && len(got) > 0 {
		return got[0].print(), nil
	}
	if err != nil && !errors.Is(err, pipeline.ErrStale) {
		return "", err
	}
	_, last, err := q.offsets(ctx, topic, w.partition)
	if err == nil && to > last {
		err = fmt.Errorf("position %d is past the end %d", to, last)
	}
	return "", err
}

// results says what is poison to the dead-letter topic, and what became of the rest.
func (q *Queue) results(ctx context.Context, w at, a pipeline.Ack, out []pipeline.Message) error {
	for _, p := range a.Poison {
		got, err := q.receive(ctx, normalised, w, p-1, pipeline.Bounds{Count: 1, NoWait: true})
		if err != nil {
			return err
		}
		if len(got) == 0 {
			return fmt.Errorf("poison at position %d is not there", p)
		}
		if err := q.bury(ctx, w, got[0], "poison"); err != nil {
			return err
		}
	}
	return q.say(ctx, w.partition, out)
}

func (q *Queue) say(ctx context.Context, partition int, out []pipeline.Message) error {
	records := make([]record, len(out))
	for i, m := range out {
		records[i] = resultRecord(m)
	}
	_, err := q.send(ctx, sealed, partition, records)
	return err
}

// bury copies a message to the dead-letter topic, for people. It may lie there twice.
func (q *Queue) bury(ctx context.Context, w at, e entry, reason string) error {
	_, err := q.send(ctx, dead, 0, []record{deadRecord(w.stage, w.partition, e, reason)})
	return err
}

// commit moves the stage. The broker refuses who is no longer a member of the group
// in its present generation; and who names none, while there are members.
func (q *Queue) commit(ctx context.Context, w at, h *hold, g *generation, to int64, print string) error {
	topic, err := topicOf(w.stage)
	if err != nil {
		return err
	}
	req := &kgo.OffsetCommitRequest{GroupID: q.o.group(w.stage), GenerationID: -1,
		Topics: map[string][]kgo.OffsetCommit{q.o.topic(topic): {{Partition: w.partition, Offset: to, Metadata: print}}}}
	if g != nil {
		req.GenerationID, req.MemberID = g.id, g.member
	}
	err = q.try(ctx, attempt, func(ctx context.Context) error {
		res, err := q.read.OffsetCommit(ctx, req)
		if err != nil {
			return err
		}
		all := slices.Concat(res.Topics[q.o.topic(topic)])
		if len(all) != 1 {
			return kgo.Unknown
		}
		return all[0].Error
	})
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gen == g {
		h.known, h.done = err == nil && g != nil, to
	}
	if err == nil {
		q.moves(w)
	}
	if lost(err) {
		return fmt.Errorf("%w: %w", pipeline.ErrStale, err)
	}
	return err
}

// Announce implements pipeline.Announcer: to the partition of its Seal, behind what
// preserve said of it.
func (q *Queue) Announce(ctx context.Context, results ...pipeline.Message) error {
	if err := q.checkAdvance(pipeline.Ack{Stage: pipeline.StagePreserve}, results); err != nil {
		return fmt.Errorf("announce: %w", err)
	}
	by := map[int][]pipeline.Message{}
	for _, m := range results {
		p := q.sealedIn(m.Body)
		by[p] = append(by[p], m)
	}
	for p, some := range by {
		if err := q.say(ctx, p, some); err != nil {
			return fmt.Errorf("announce: %w", err)
		}
	}
	return nil
}
