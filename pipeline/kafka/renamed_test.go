package kafka_test

import (
	"context"
	"errors"
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
	store := p.store(t)
	n := sealtest.NewNode(t, sealtest.NodeOptions{Offline: true, Wait: time.Second, Store: func(preserve.Store) preserve.Store { return store }})
	know, err := p.office(n)
	must(t, err)
	s := dies{parts{n.Sealer, store, know}}
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
