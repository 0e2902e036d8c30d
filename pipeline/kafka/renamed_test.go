package kafka_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	kgo "github.com/segmentio/kafka-go"

	"holdfast"
	"holdfast/deploy/engines"
	"holdfast/pipeline"
	"holdfast/preserve"
	"holdfast/preserve/sealtest"
)

// dies plans and is gone before it carries anything out.
type dies struct{ parts }

var errDied = errors.New("died")

func (dies) Carry(context.Context, *holdfast.Plan, pipeline.Batch) (pipeline.Outcome, error) {
	return pipeline.Outcome{}, errDied
}

// TestRenamedInMidPlan: who seals dies behind his plan, and then the queue gets another
// name, because the stage is set to a position where no plan begins (an operator does
// so, or brokers that have lost the end of a log). What the plan of the former name
// holds is neither sealed twice nor skipped as sealed already: it is carried out.
func TestRenamedInMidPlan(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	all := map[holdfast.ID]bool{}
	publish := func(n int) {
		m := captures(t, n, 300)
		_, err := q.Publish(t.Context(), nil, m...)
		must(t, err)
		for _, k := range m {
			all[k.ID] = true
		}
	}
	publish(100)
	stop := p.working(t, q)
	settled(t, q, time.Minute)
	stop()
	p.once(t, all)

	publish(50)
	_, err := (&pipeline.Normalise{Queue: q}).Drain(t.Context())
	must(t, err)
	s := p.dying(t)
	if err := (&pipeline.Preserve{Queue: q, Plans: s, Carrier: s}).Drain(t.Context()); !errors.Is(err, errDied) {
		t.Fatalf("who was to die said %v", err)
	}
	before, err := q.Identity(t.Context())
	must(t, err)
	client, prefix := p.raw(t)
	res, err := client.OffsetCommit(t.Context(), &kgo.OffsetCommitRequest{GroupID: prefix + ".preserve", GenerationID: -1,
		Topics: map[string][]kgo.OffsetCommit{prefix + ".normalised": {{Offset: 37}}}})
	must(t, err)
	must(t, res.Topics[prefix+".normalised"][0].Error)

	publish(20)
	stop = p.working(t, q)
	settled(t, q, time.Minute)
	stop()
	after, err := q.Identity(t.Context())
	must(t, err)
	if before.Queue == after.Queue {
		t.Error("the queue kept its name")
	}
	if s := p.once(t, all); len(s.of) != len(all) {
		t.Errorf("%d sealed, %d published", len(s.of), len(all))
	}
}

// TestLostInMidPlan: who seals dies behind his plan, and the power of all brokers takes
// the end of what he planned. Nobody can carry that plan out any more: what is left of it
// is sealed under another, once, also where the next one dies again on the way, and no
// partition stands still. Where normalise can write what was lost again, nothing is.
func TestLostInMidPlan(t *testing.T) {
	t.Run("lost", func(t *testing.T) { lostInMidPlan(t, "*", 30) })
	t.Run("normalised again", func(t *testing.T) { lostInMidPlan(t, "normalised-*", 0) })
}

func lostInMidPlan(t *testing.T, topics string, gone int) {
	dir := t.TempDir()
	c := engines.Kafka(t, 1, "log.dirs="+dir)
	t.Setenv(brokers, strings.Join(c.Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	there := map[holdfast.ID]bool{}
	publish := func(n int) (ids []holdfast.ID) {
		m := captures(t, n, 300)
		_, err := q.Publish(t.Context(), nil, m...)
		must(t, err)
		for _, k := range m {
			ids = append(ids, k.ID)
			there[k.ID] = true
		}
		return ids
	}
	normalised := func() {
		_, err := (&pipeline.Normalise{Queue: q}).Drain(t.Context())
		must(t, err)
	}
	publish(100)
	stop := p.working(t, q)
	settled(t, q, time.Minute)
	stop()
	publish(30)
	normalised()
	kept := files(t, c, dir)
	lost := publish(30)
	normalised()
	var told []holdfast.ID
	refuse := errors.New("custody cannot be written")
	tell := func(_ context.Context, g pipeline.GivenUp) error {
		if told == nil && len(g.Lost) > 0 { // then nothing of the plan may be planned anew
			told = []holdfast.ID{}
			return refuse
		}
		told = append(told, g.Lost...)
		return nil
	}
	dying := p.dying(t)
	if err := (&pipeline.Preserve{Queue: q, Plans: dying, Carrier: dying}).Drain(t.Context()); !errors.Is(err, errDied) {
		t.Fatalf("who was to die said %v", err)
	}
	p.putBack(t, c, dir, kept, topics)
	must(t, q.Close()) // it remembers what it read
	q = p.queue(t, 1)
	for _, id := range lost[:gone] {
		delete(there, id)
	}
	publish(20)
	if gone > 0 { // else he who seals is faster
		normalised()
	}
	// He takes the old plan for what it is, plans what is left, and dies again.
	again := &pipeline.Preserve{Queue: q, Plans: dying, Carrier: diesLater{dying.parts}, GivenUp: tell}
	if gone > 0 {
		before := len(p.seals(t).given)
		if err := again.Drain(t.Context()); !errors.Is(err, refuse) {
			t.Fatalf("who could not tell of what is lost said %v", err)
		}
		if after := p.seals(t).given; len(after) != before {
			t.Errorf("planned anew before it was told what is lost: %v", after)
		}
	}
	if err := again.Drain(t.Context()); !errors.Is(err, errDied) {
		t.Fatalf("who was to die at his second plan said %v", err)
	}
	if slices.Sort(told); !slices.Equal(told, slices.Sorted(slices.Values(lost[:gone]))) {
		t.Errorf("%d captures were told as lost, not the %d that are", len(told), gone)
	}
	normalised() // so that the next one finds all of the first plan, where nothing is lost
	stop = p.working(t, q)
	settled(t, q, time.Minute)
	stop()
	s := p.seals(t)
	for id := range there {
		if s.of[id] == "" {
			t.Errorf("capture %s is in no Seal", id)
		}
	}
	if len(s.of) != len(there) || len(s.given) != 1 {
		t.Errorf("%d sealed, %d there; given up: %v", len(s.of), len(there), s.given)
	}
}

// diesLater refuses what cannot be carried out, and dies at what can.
type diesLater struct{ parts }

func (d diesLater) Carry(ctx context.Context, p *holdfast.Plan, b pipeline.Batch) (pipeline.Outcome, error) {
	if len(b.Items) < len(p.Captures) {
		return d.parts.Carry(ctx, p, b)
	}
	return pipeline.Outcome{}, errDied
}

// stands still before he plans.
type standsStill struct {
	parts
	still func()
}

func (s *standsStill) Plan(ctx context.Context, b pipeline.Batch) (*holdfast.Plan, error) {
	if s.still != nil {
		s.still()
		s.still = nil
	}
	return s.parts.Plan(ctx, b)
}

// TestRenamedWhileOneStandsStill: who seals has read a batch and stands still. Another gets
// the partition and the queue another name, under which it seals all. Who wakes up plans
// under the old name, which nobody has planned under: he finds that it is the old one, and
// leaves his plan alone, as does whoever begins after him.
func TestRenamedWhileOneStandsStill(t *testing.T) {
	t.Setenv(brokers, strings.Join(engines.Kafka(t, 1).Brokers, ","))
	p := place{t.TempDir()}
	q := p.queue(t, 1)
	all := map[holdfast.ID]bool{}
	publish := func(n int) {
		m := captures(t, n, 300)
		_, err := q.Publish(t.Context(), nil, m...)
		must(t, err)
		for _, k := range m {
			all[k.ID] = true
		}
	}
	publish(100)
	stop := p.working(t, q)
	settled(t, q, 3*time.Minute)
	stop()
	publish(50)
	_, err := (&pipeline.Normalise{Queue: q}).Drain(t.Context())
	must(t, err)
	before, err := q.Identity(t.Context())
	must(t, err)
	s := &standsStill{parts: p.dying(t).parts, still: func() {
		_, err := q.Redraw(t.Context(), before.Queue)
		must(t, err)
		stop := p.working(t, q)
		settled(t, q, 3*time.Minute)
		stop()
	}}
	if err := (&pipeline.Preserve{Queue: q, Plans: s, Carrier: s}).Drain(t.Context()); !errors.Is(err, pipeline.ErrStale) {
		t.Errorf("who woke up said %v", err)
	}
	if s.still != nil {
		t.Fatal("nobody stood still")
	}
	publish(20)
	stop = p.working(t, q)
	settled(t, q, 3*time.Minute)
	stop()
	if s := p.seals(t); len(s.of) != len(all) || len(s.given) != 1 {
		t.Errorf("%d sealed, %d published; plans left alone: %v", len(s.of), len(all), s.given)
	}
}

// dying is who dies behind his first plan.
func (p place) dying(t *testing.T) dies {
	t.Helper()
	store := p.store(t)
	n := sealtest.NewNode(t, sealtest.NodeOptions{Offline: true, Wait: time.Second, Store: func(preserve.Store) preserve.Store { return store }})
	know, err := p.office(n)
	must(t, err)
	return dies{parts{n.Sealer, store, know}}
}
