package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/pipeline"
	"holdfast/pipeline/kafka"
)

// standsQueue is a queue of which some is known.
type standsQueue struct {
	nodeQueue
	since time.Time
	all   []kafka.Standing
}

func (q standsQueue) Waits(context.Context, pipeline.Stage, int) (time.Time, error) {
	return q.since, nil
}

func (q standsQueue) Standing(context.Context) ([]kafka.Standing, error) { return q.all, nil }

// TestStandingTold: doctor and /readyz name a partition that nobody moves, its stage and
// since when; what came a moment ago is no fault.
func TestStandingTold(t *testing.T) {
	n, _ := secretNode(t) // its first custody lines are accepted, and nobody seals
	since := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		since time.Time
		want  string
	}{
		{since, "partition 0 of preserve stands still: "},
		{time.Now(), "none stands still"},
	} {
		var out bytes.Buffer
		n.engine = standsQueue{nodeQueue: n.queue, since: c.since}
		d := &doctor{c: &cli{out: &out, errs: io.Discard}}
		d.partitions(t.Context(), n)
		if !strings.Contains(out.String(), c.want) || (d.faults > 0) != (c.since == since) {
			t.Errorf("%d faults: %s", d.faults, out.String())
		}
		if c.since == since && (!strings.Contains(out.String(), stamp(since)) || !strings.Contains(out.String(), "`holdfast node preserve`")) {
			t.Errorf("it does not say since when and what to do: %s", out.String())
		}
	}
	if said := n.partitionsStill(t.Context()); len(said) != 0 {
		t.Errorf("at once: %v", said)
	}
	n.stills.at[stillKey{pipeline.StagePreserve, 0}] = stillAt{0, since}
	n.engine = standsQueue{nodeQueue: n.queue, all: []kafka.Standing{{Stage: pipeline.StageIndex, Partition: 7, Since: since, Err: errors.New("why")}}}
	said := n.partitionsStill(t.Context())
	if got := said["partition 7 of index"]; got != "stands still since "+stamp(since)+": why" {
		t.Errorf("what fails here: %q", said)
	}
	if got := said["partition 0 of preserve"]; !strings.HasPrefix(got, "stands still since "+stamp(since)) || !strings.Contains(got, "messages wait") {
		t.Errorf("what nobody moves: %q", said)
	}
}

// TestCatalogAsStored: a row that is not what the store says is a fault that says so.
func TestCatalogAsStored(t *testing.T) {
	c, n := roundNode(t)
	if err := c.seal(t.Context(), n, time.Minute); err != nil {
		t.Fatal(err)
	}
	rows, err := sampleRows(t.Context(), n)
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, cp := range rows {
		if err := n.asStored(t.Context(), cp); err != nil {
			t.Errorf("as it is: %v", err)
		}
		other := cp
		other.Source += "x"
		if err := n.asStored(t.Context(), other); err == nil || !strings.Contains(err.Error(), "the Manifest") {
			t.Errorf("another Source: %v", err)
		}
		other = cp
		other.Manifest[0] ^= 1
		if err := n.asStored(t.Context(), other); err == nil || !strings.Contains(err.Error(), "does not") {
			t.Errorf("another Manifest: %v", err)
		}
		other = cp
		other.Seal = "0000000000000000-0-00000000000000000001"
		if err := n.asStored(t.Context(), other); err == nil {
			t.Error("a Seal that is not there is taken")
		}
	}
}
