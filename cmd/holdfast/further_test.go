package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/hashing"
	"holdfast/pipeline"
)

// stepper is a Source of so many steps; each asks for one page more.
type stepper struct {
	steps   uint64
	further bool
	bad     uint64 // a step whose Object has no name
	fail    func(step uint64) error
	asked   []string
}

func (s *stepper) Collect(_ context.Context, r collectors.Request, _ collectors.Keeper) (*collectors.Acquired, error) {
	step := uint64(0)
	if r.Cursor != nil {
		if _, err := fmt.Sscan(string(r.Cursor), &step); err != nil {
			return nil, err
		}
	}
	s.asked = append(s.asked, fmt.Sprintf("%s %d %s", r.Source, step, r.Options))
	if s.fail != nil {
		if err := s.fail(step); err != nil {
			return nil, err
		}
	}
	a := &collectors.Acquired{Started: time.Now(), Ended: time.Now(), Outcome: collectors.Complete}
	if s.bad > 0 && step == s.bad {
		a.Objects = []collectors.Object{{Name: "NO NAME", Role: "text", MediaType: "text/plain", Digest: hashing.Of(nil), Inline: []byte{}}}
	}
	if r.Source == "https://page.invalid/" {
		return a, nil
	}
	if step+1 < s.steps {
		a.Next = &collectors.Next{Step: step + 1, Cursor: fmt.Append(nil, step+1)}
	}
	if s.further {
		a.Further = []collectors.Further{{Source: "https://page.invalid/", Options: json.RawMessage(`{"a":1}`)}, {Source: "javascript:alert(1)"}, {Source: "http://127.0.0.1/"}}
	}
	return a, nil
}

// TestSteps guards a Source of several Captures: each is accepted by itself, the
// Collector goes on where it said, and what is named is captured too, once.
func TestSteps(t *testing.T) {
	_, n := roundNode(t)
	s := &stepper{steps: 3, further: true}
	id := addTask(t, n, "telegram:@harbour", taskOptions{Collector: json.RawMessage(`{"limit":9}`), RetryFor: time.Hour})
	r := roundOf(n, s)
	r.run(t.Context(), []wish{{id: id}})
	r.names.end(t.Context())
	if err := r.verdict(t.Context(), 1); err != nil {
		t.Error(err)
	}
	var ids []holdfast.ID
	for _, g := range r.got {
		if g.source == "telegram:@harbour" {
			ids = append(ids, g.id)
		}
	}
	want := []holdfast.ID{holdfast.CaptureID(id, 0, 0), holdfast.CaptureID(id, 1, 0), holdfast.CaptureID(id, 2, 0)}
	if !slices.Equal(ids, want) || len(r.got) != 6 {
		t.Errorf("captures %v of %d, want %v", ids, len(r.got), want)
	}
	for i := range 3 {
		if !slices.Contains(s.asked, fmt.Sprintf(`telegram:@harbour %d {"limit":9}`, i)) {
			t.Errorf("step %d was not asked for: %q", i, s.asked)
		}
	}
	if !slices.Contains(s.asked, `https://page.invalid/ 0 {"a":1}`) || len(s.asked) != 6 {
		t.Errorf("asked %q", s.asked)
	}
	if left := tasksLeft(t, n); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}

func tasksLeft(t *testing.T, n *node) (all []pipeline.Task) {
	t.Helper()
	for k, err := range n.waiting(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	return all
}

// TestStepLater guards a Source that can go on later only: nothing is captured,
// the Task keeps its place, and the next call goes on there.
func TestStepLater(t *testing.T) {
	_, n := roundNode(t)
	at := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	s := &stepper{steps: 3, fail: func(step uint64) error {
		if step == 1 {
			return fmt.Errorf("ask: %w", &collectors.Later{At: at, Why: "told to wait"})
		}
		return nil
	}}
	id := addTask(t, n, "telegram:@harbour", taskOptions{})
	r := roundOf(n, s)
	r.run(t.Context(), []wish{{id: id}})
	r.names.end(t.Context())
	var later *collectors.Later
	if err := r.verdict(t.Context(), 1); !errors.As(err, &later) || len(r.got) != 1 {
		t.Errorf("%d captures, %v", len(r.got), err)
	}
	left := tasksLeft(t, n)
	if len(left) != 1 || left[0].Step != 1 || left[0].Attempt != 0 || !left[0].Due.Equal(at) || left[0].Lease.Until.After(time.Now()) {
		t.Fatalf("left %+v", left)
	}
	s.fail = nil
	r = roundOf(n, s)
	ts, err := n.queue.Take(t.Context(), pipeline.Want{IDs: []holdfast.ID{id}, Early: true, Lease: time.Minute})
	if err != nil || len(ts) != 1 {
		t.Fatal(ts, err)
	}
	if _, err := n.queue.Publish(t.Context(), ts[0].Later(time.Time{})); err != nil {
		t.Fatal(err)
	}
	r.run(t.Context(), []wish{{id: id}})
	r.names.end(t.Context())
	if err := r.verdict(t.Context(), 1); err != nil || len(r.got) != 2 {
		t.Errorf("%d captures, %v", len(r.got), err)
	}
}

// TestStepAsked guards the rest that a Task decides: a step that fails is tried
// again at the same place, and what has no Collector is no wish.
func TestStepAsked(t *testing.T) {
	now := time.Now()
	k := pipeline.Task{ID: holdfast.NewID(), Step: 4, Cursor: []byte(`{"at":"NA=="}`)}
	failed := &collectors.Acquired{Outcome: collectors.Failed, Reasons: []collectors.Reason{{Code: "connection-closed"}},
		Next: &collectors.Next{Step: 5, Cursor: []byte("5")}}
	m, err := taskOptions{RetryFor: time.Hour}.move(k, failed, now, now)
	k.Cursor = m.Cursor
	cur, cerr := cursorOf(k)
	if err != nil || cerr != nil || m.Step != 4 || m.Attempt != 1 || m.Due.IsZero() || string(cur.At) != "4" || cur.Until.IsZero() {
		t.Errorf("%+v %+v %v %v", m, cur, err, cerr)
	}
	if m, err = (taskOptions{RetryFor: time.Hour}).move(k, failed, now, now.Add(2*time.Hour)); err != nil || m.Step != 5 || m.Attempt != 0 {
		t.Errorf("after the last attempt: %+v %v", m, err)
	}
	if _, err := (taskOptions{}).move(k, &collectors.Acquired{Next: &collectors.Next{Step: 4, Cursor: []byte("4")}}, now, now); err == nil {
		t.Error("the same step again is a step")
	}
	k.Cursor = []byte("{")
	if _, err := cursorOf(k); !errors.Is(err, errDamaged) {
		t.Error(err)
	}
	if _, err := (&round{}).collector(pipeline.Task{Source: "telegram:@harbour"}, taskOptions{}); !errors.Is(err, collectors.ErrRefused) {
		t.Error(err)
	}
}

// TestStepUnfit: a step that fits into no record takes none of those before it
// with it; its Task ends with a line of custody.
func TestStepUnfit(t *testing.T) {
	_, n := roundNode(t)
	s := &stepper{steps: 4, bad: 2}
	id := addTask(t, n, "telegram:@harbour", taskOptions{})
	r := roundOf(n, s)
	r.run(t.Context(), []wish{{id: id}})
	r.names.end(t.Context())
	if err := r.verdict(t.Context(), 1); !errors.Is(err, pipeline.ErrMessage) || len(r.got) != 2 {
		t.Errorf("%d captures, %v", len(r.got), err)
	}
	if left := tasksLeft(t, n); len(left) != 0 {
		t.Errorf("left %+v", left)
	}
}
