package pipeline_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"holdfast"
	"holdfast/pipeline"
	"holdfast/pipeline/sqlite"
)

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		partition int
		position  int64
		want      pipeline.Place
	}{{0, 0, 0}, {0, 7, 7}, {1, 1, 1<<40 + 1}, {pipeline.MaxPartitions - 1, pipeline.MaxPosition, 1<<53 - 1}} {
		p := pipeline.At(c.partition, c.position)
		if p != c.want || p.Partition() != c.partition || p.Position() != c.position {
			t.Errorf("partition %d, position %d: %d, back %d and %d", c.partition, c.position, p, p.Partition(), p.Position())
		}
	}
}

// split is a queue of three partitions; what is published lies in the last one.
type split struct {
	pipeline.EventQueue
	end int64 // of partition 2
}

func (s *split) Identity(ctx context.Context) (pipeline.Identity, error) {
	id, err := s.EventQueue.Identity(ctx)
	id.Partitions = 3
	return id, err
}

func (s *split) End(_ context.Context, _ pipeline.Stage, partition int) (int64, error) {
	return map[int]int64{0: 100, 2: s.end}[partition], nil
}

func (s *split) Publish(_ context.Context, _ *pipeline.Move, m ...pipeline.Message) (at []pipeline.Place, err error) {
	for i := range m {
		if m[i].Key != m[0].Key || m[i].Key == "" {
			return nil, errors.New("the lines of a chain do not stay in order")
		}
		s.end++
		at = append(at, pipeline.At(2, s.end))
	}
	return at, nil
}

// TestMarkOfPartition: a mark counts where its own partition reaches as far, and
// tells of an older copy by that one.
func TestMarkOfPartition(t *testing.T) {
	q := &split{EventQueue: openQueue(t, t.TempDir())}
	dir, home := t.TempDir(), holdfast.NewID()
	o := openOutbox(t, dir, q)
	for range 5 {
		_, err := o.Append(t.Context(), note(home, "a"))
		must(t, err)
	}
	must(t, o.Recover(t.Context(), nil))
	if q.end != 5 {
		t.Errorf("published again: %d messages", q.end)
	}
	q.end = 4 // partition 0 has 100
	older, err := o.Older(t.Context())
	must(t, err)
	if !older {
		t.Error("an older copy was not noticed")
	}
	must(t, o.Recover(t.Context(), nil))
	if q.end != 4+5 {
		t.Errorf("lines that the queue no longer has were not published again: %d", q.end)
	}
}

// TestShareEmbedded: partition 0, again after ErrStale, and the end with run's.
func TestShareEmbedded(t *testing.T) {
	q, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "queue.db"), sqlite.Options{})
	must(t, err)
	defer q.Close()
	calls, ended := 0, errors.New("ended")
	err = q.Share(t.Context(), pipeline.StagePreserve, func(_ context.Context, partition int) error {
		if calls++; partition != 0 || calls == 2 {
			return ended
		}
		return pipeline.ErrStale
	})
	if calls != 2 || err != ended {
		t.Errorf("%d calls, %v", calls, err)
	}
	if q.Share(t.Context(), "other", nil) == nil {
		t.Error("a stage that nobody knows is shared")
	}
}

// before is a queue whose other user was faster, and stands before his commit.
type before struct {
	pipeline.Consumer
	times int
}

func (b *before) Advance(ctx context.Context, a pipeline.Ack, out ...pipeline.Message) error {
	if b.times--; b.times >= 0 {
		return pipeline.ErrStale
	}
	return b.Consumer.Advance(ctx, a, out...)
}

// TestNormaliseBesideAnother: who was overtaken reads the position again until it has
// moved, and gives up for a stage alone that does not move.
func TestNormaliseBesideAnother(t *testing.T) {
	q := openQueue(t, t.TempDir())
	id := holdfast.NewID()
	_, err := q.Publish(t.Context(), nil, pipeline.Message{ID: id, Body: []byte(id)})
	must(t, err)
	n, err := (&pipeline.Normalise{Queue: &before{q, 5}}).Drain(t.Context())
	must(t, err)
	if at, err := q.Position(t.Context(), pipeline.StageNormalise, 0); n == 0 || at != 1 || err != nil {
		t.Errorf("%d messages, at %d, %v", n, at, err)
	}
}
