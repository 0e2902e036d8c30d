package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"holdfast/catalog"
	"holdfast/cmd/internal/doctor"
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
		d := (&cli{out: &out, errs: io.Discard}).report()
		n.doctorPartitions(t.Context(), d)
		if !strings.Contains(out.String(), c.want) || (d.Faults > 0) != (c.since == since) {
			t.Errorf("%d faults: %s", d.Faults, out.String())
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

// changedRows is a catalog that somebody has had in their hands.
type changedRows struct {
	doctor.Catalog
	change func(*catalog.Capture)
}

func (k changedRows) Captures(ctx context.Context, q catalog.Query) iter.Seq2[catalog.Capture, error] {
	return func(yield func(catalog.Capture, error) bool) {
		for cp, err := range k.Catalog.Captures(ctx, q) {
			k.change(&cp)
			if !yield(cp, err) {
				return
			}
		}
	}
}

// TestCatalogAsStored: a row that is not what the store says is a fault that says so.
func TestCatalogAsStored(t *testing.T) {
	c, n := roundNode(t)
	if err := c.seal(t.Context(), n, time.Minute); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]struct {
		change func(*catalog.Capture)
		want   string
	}{
		"as it is":                 {func(*catalog.Capture) {}, "as the store has them"},
		"another Source":           {func(cp *catalog.Capture) { cp.Source += "x" }, "the Manifest"},
		"another Manifest":         {func(cp *catalog.Capture) { cp.Manifest[0] ^= 1 }, "does not"},
		"a Seal that is not there": {func(cp *catalog.Capture) { cp.Seal = "0000000000000000-0-00000000000000000001" }, "its Seal 0000000000000000"},
	} {
		var out bytes.Buffer
		d := (&cli{out: &out, errs: io.Discard}).report()
		d.Catalog(t.Context(), changedRows{n.cat, k.change}, stored{n.store, n.kept()})
		if (d.Faults == 0) != (name == "as it is") || !strings.Contains(out.String(), k.want) {
			t.Errorf("%s: %d faults: %s", name, d.Faults, out.String())
		}
		if d.Faults > 0 && strings.Contains(out.String(), "\nok") {
			t.Errorf("%s: faults, and well: %s", name, out.String())
		}
	}
}
