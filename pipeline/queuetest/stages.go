package queuetest

import (
	"bytes"
	"errors"
	"testing"

	"holdfast"
	"holdfast/pipeline"
)

func (s suite) stages(t *testing.T) {
	q, _ := s.fresh(t)
	publish(t, q, messages(10)...)
	for _, st := range []pipeline.Stage{pipeline.StagePreserve, pipeline.StageIndex} {
		same(t, "messages before normalise", len(all(t, q, st)), 0)
		if err := q.Advance(t.Context(), pipeline.Ack{Stage: st, To: 1}); err == nil {
			t.Fatalf("%s went past normalise", st)
		}
	}
	if err := q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 11}); err == nil {
		t.Fatal("normalise went past the end")
	}
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 6}))
	same(t, "messages", len(all(t, q, pipeline.StagePreserve)), 6)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, To: 5}))
	for st, want := range map[pipeline.Stage]int64{pipeline.StageNormalise: 6, pipeline.StagePreserve: 5, pipeline.StageIndex: 0, pipeline.StageResults: 0} {
		at, err := q.Position(t.Context(), st, 0)
		must(t, err)
		same(t, string(st), at, want)
	}
	// Not acknowledged is given again, acknowledged may be read again.
	got, err := q.Receive(t.Context(), pipeline.StagePreserve, 0, 5, pipeline.Bounds{})
	must(t, err)
	same(t, "redelivered", got[0].Position, 6)
	if _, err := q.Position(t.Context(), "other", 0); err == nil {
		t.Fatal("a stage that nobody knows has a position")
	}
	if _, err := q.Receive(t.Context(), "other", 0, 0, pipeline.Bounds{NoWait: true}); err == nil {
		t.Fatal("a stage that nobody knows reads")
	}
}

// stale: of two that believe to own a stage, one moves it.
func (s suite) stale(t *testing.T) {
	q, dir := s.fresh(t)
	publish(t, q, messages(10)...)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 10}))
	o := pipeline.Outcome{Seal: holdfast.SealID("0123456789abcdef", 0, 1), State: pipeline.StateSigned, Reason: "test"}
	body, err := o.Encode()
	must(t, err)
	move := pipeline.Ack{Stage: pipeline.StagePreserve, From: 0, To: 4}
	must(t, q.Advance(t.Context(), move, pipeline.Message{Body: body}))
	other := s.at(t, dir, nil)
	for _, a := range []pipeline.Ack{move, {Stage: pipeline.StagePreserve, From: 3, To: 9}, {Stage: pipeline.StagePreserve, From: 5, To: 9}} {
		if err := other.Advance(t.Context(), a, pipeline.Message{Body: body}); !errors.Is(err, pipeline.ErrStale) {
			t.Fatalf("stale ack %+v: %v", a, err)
		}
	}
	if err := other.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, From: 4, To: 3}); err == nil {
		t.Fatal("a stage went back")
	}
	same(t, "results", len(all(t, q, pipeline.StageResults)), 1)
}

func (s suite) notes(t *testing.T) {
	q, dir := s.fresh(t)
	m := messages(5)
	publish(t, q, m...)
	note := func(p int64, text string) pipeline.Message {
		return pipeline.Message{Position: p, ID: m[p-1].ID, Note: []byte(text)}
	}
	if err := q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 3}, note(4, "x")); !errors.Is(err, pipeline.ErrMessage) {
		t.Fatalf("note of a position that is not acknowledged: %v", err)
	}
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 3}, note(2, "two")))
	if err := q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 3}, note(2, "other")); !errors.Is(err, pipeline.ErrStale) {
		t.Fatalf("second normalise: %v", err)
	}
	must(t, q.Close())
	q = s.at(t, dir, nil)
	for i, got := range all(t, q, pipeline.StageIndex) {
		want := []string{"", "two", ""}[i]
		if string(got.Note) != want || (got.Note == nil) != (want == "") || !bytes.Equal(got.Body, m[i].Body) || got.ID != m[i].ID {
			t.Fatalf("position %d: note %q, want %q", got.Position, got.Note, want)
		}
	}
}

func (s suite) results(t *testing.T) {
	q, _ := s.fresh(t)
	publish(t, q, messages(3)...)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 3}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, To: 2}, pipeline.Message{Body: []byte("a")}))
	must(t, q.Announce(t.Context(), pipeline.Message{Body: []byte("b")}, pipeline.Message{Body: []byte("c")}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, From: 2, To: 3}, pipeline.Message{Body: []byte("d")}))
	var text string
	for _, m := range all(t, q, pipeline.StageResults) {
		text += string(m.Body)
	}
	same(t, "results", text, "abcd")
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageResults, To: 4}))
	if err := q.Announce(t.Context(), pipeline.Message{}); !errors.Is(err, pipeline.ErrMessage) {
		t.Fatalf("empty result: %v", err)
	}
}

func (s suite) prune(t *testing.T) {
	q, _ := s.fresh(t)
	m := messages(10)
	publish(t, q, m...)
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageNormalise, To: 10}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StagePreserve, To: 8, Poison: []int64{3}}))
	must(t, q.Advance(t.Context(), pipeline.Ack{Stage: pipeline.StageIndex, To: 6}))
	if _, err := q.Prune(t.Context(), 0, pipeline.StageIndex); err == nil {
		t.Fatal("pruned what may not be preserved")
	}
	n, err := q.Prune(t.Context(), 4, pipeline.StagePreserve, pipeline.StageIndex)
	must(t, err)
	same(t, "pruned", n, 4)
	n, err = q.Prune(t.Context(), 0, pipeline.StagePreserve, pipeline.StageIndex)
	must(t, err)
	if !s.kind.Remembers {
		n-- // the poisoned one too
	}
	same(t, "pruned", n, 1)
	got, err := q.Receive(t.Context(), pipeline.StageNormalise, 0, 6, pipeline.Bounds{})
	must(t, err)
	same(t, "left", len(got), 4)
	if s.kind.Remembers {
		kept, err := q.Receive(t.Context(), pipeline.StageIndex, 0, 2, pipeline.Bounds{Count: 1})
		must(t, err)
		same(t, "poison is kept", kept[0].ID, m[2].ID)
	}
	if _, err := q.Receive(t.Context(), pipeline.StageIndex, 0, 0, pipeline.Bounds{NoWait: true}); !errors.Is(err, pipeline.ErrStale) {
		t.Fatalf("a hole that the stage has gone past: %v", err)
	}
	if s.kind.Remembers {
		same(t, "an ID that was pruned", publish(t, q, m[0])[0], 1)
	}
	same(t, "next position", publish(t, q, messages(1)...)[0], 11)
}

func (s suite) name(t *testing.T) {
	q, dir := s.fresh(t)
	first, err := q.Identity(t.Context())
	must(t, err)
	if len(first.Queue) != 16 || !holdfast.ValidSealID(holdfast.SealID(first.Queue, 0, 1)) || len(first.Former) != 0 || first.Partitions < 1 {
		t.Fatalf("identity %+v", first)
	}
	publish(t, q, messages(3)...)
	second, err := q.Redraw(t.Context(), first.Queue)
	must(t, err)
	if second.Queue == first.Queue || len(second.Former) != 1 || second.Former[0] != first.Queue {
		t.Fatalf("redrawn %+v", second)
	}
	again, err := s.at(t, dir, nil).Redraw(t.Context(), first.Queue) // told twice, drawn once
	must(t, err)
	same(t, "name", again.Queue, second.Queue)
	same(t, "next position", publish(t, q, messages(1)...)[0], 4)
}
