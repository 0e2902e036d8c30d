// Package alerttest is what every outbox of alerts must do: that of one node, and that of
// an office.
package alerttest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/alert"
)

// Outbox is what is tested.
type Outbox interface {
	Add(ctx context.Context, events []alert.Event, dests ...string) (int64, error)
	Due(ctx context.Context, rule, dest string, now time.Time) ([]alert.Event, error)
	Last(ctx context.Context, rule, dest string, limit int) ([]alert.Event, error)
	Told(ctx context.Context, rule, dest string, events []alert.Event, now time.Time) error
	Failed(ctx context.Context, rule, dest string, why error, now time.Time) error
	State(ctx context.Context, rule, dest string) (alert.State, error)
	Drop(ctx context.Context, rule string) error
	Forget(ctx context.Context, captures []string) error
	Close() error
}

// Rule is of the events that are put in.
const Rule = "r"

// Run tests outboxes. fresh makes a place for one, empty; what it returns opens that
// again each time.
func Run(t *testing.T, fresh func(t *testing.T) (open func() Outbox)) {
	for name, test := range map[string]func(*testing.T, func() Outbox){"told": told, "texts": texts, "forget": forget} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

// Events are n events, each with an ID of its own.
func Events(n int) (out []alert.Event) {
	for i := range n {
		out = append(out, alert.Event{ID: fmt.Sprintf("%032x", i), Rule: Rule, Kind: "match", At: "2026-01-01T00:00:00.000Z", Node: "n", Words: fmt.Sprintf("words %d <&>", i), Text: "text"})
	}
	return out
}

// told: what is found again is not told again, what is not taken waits longer each time,
// and each destination stands for itself; all of it outlives the process.
func told(t *testing.T, open func() Outbox) {
	ctx, now := t.Context(), time.Now()
	o := open()
	all := Events(130)
	if n, err := o.Add(ctx, all, "a", "b"); n != 260 || err != nil {
		t.Fatal(n, err)
	}
	o.Close()
	o = open()
	defer o.Close()
	if n, err := o.Add(ctx, all, "a", "b"); n != 0 || err != nil {
		t.Errorf("again: %d new, %v", n, err)
	}
	due, err := o.Due(ctx, Rule, "a", now)
	if err != nil || len(due) != alert.MaxBatch || due[0] != all[0] {
		t.Fatalf("%d due, %v", len(due), err)
	}
	waits(t, o, now)
	if due, err := o.Due(ctx, Rule, "b", now); err != nil || len(due) != alert.MaxBatch {
		t.Errorf("the other: %d are due, %v", len(due), err)
	}
	if err := o.Told(ctx, Rule, "a", due, now); err != nil {
		t.Fatal(err)
	}
	s, err := o.State(ctx, Rule, "a")
	if err != nil || s.Told != 100 || s.Waiting != 30 || s.Tries != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	rest, err := o.Due(ctx, Rule, "a", now)
	if err != nil || len(rest) != 30 || rest[0] != all[100] {
		t.Errorf("%d are left, %v", len(rest), err)
	}
	if newest, err := o.Last(ctx, Rule, "a", 5); err != nil || len(newest) != 5 || newest[0] != all[129] {
		t.Errorf("the newest: %v, %v", newest, err)
	}
	if err := o.Drop(ctx, Rule); err != nil {
		t.Fatal(err)
	}
	if s, err := o.State(ctx, Rule, "a"); err != nil || s != (alert.State{}) {
		t.Errorf("dropped: %+v, %v", s, err)
	}
}

func waits(t *testing.T, o Outbox, now time.Time) {
	ctx, last := t.Context(), time.Duration(0)
	for i := range 12 {
		if err := o.Failed(ctx, Rule, "a", errors.New(strings.Repeat("no ", 5000)), now); err != nil {
			t.Fatal(err)
		}
		s, err := o.State(ctx, Rule, "a")
		wait := s.Next.Sub(now)
		if err != nil || s.Tries != int64(i+1) || wait < last || wait > 4*time.Hour || i == 0 && wait > 2*time.Minute || len(s.Error) > 5000 {
			t.Fatalf("after %d failures: %+v, %v", i+1, s, err)
		}
		last = wait
		if due, err := o.Due(ctx, Rule, "a", now); err != nil || len(due) != 0 {
			t.Errorf("%d are due while it is waited, %v", len(due), err)
		}
	}
	if last < time.Hour {
		t.Errorf("it waits %s after 12 failures", last)
	}
	if due, err := o.Due(ctx, Rule, "a", now.Add(last+time.Second)); err != nil || len(due) != alert.MaxBatch {
		t.Errorf("%d are due then, %v", len(due), err)
	}
	if due, err := o.Due(ctx, Rule, "a", now.Add(-30*24*time.Hour)); err != nil || len(due) == 0 {
		t.Errorf("a clock that was set back: %d are due, %v", len(due), err)
	}
}

// texts: the texts of what was told long ago go, their IDs stay.
func texts(t *testing.T, open func() Outbox) {
	ctx := t.Context()
	o := open()
	defer o.Close()
	all := Events(500)
	if _, err := o.Add(ctx, all, "a"); err != nil {
		t.Fatal(err)
	}
	for {
		due, err := o.Due(ctx, Rule, "a", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if len(due) == 0 {
			break
		}
		if err := o.Told(ctx, Rule, "a", due, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if last, err := o.Last(ctx, Rule, "a", 1000); err != nil || len(last) != 200 {
		t.Errorf("%d texts are kept, %v", len(last), err)
	}
	if n, err := o.Add(ctx, all, "a"); n != 0 || err != nil {
		t.Errorf("%d are new again, %v", n, err)
	}
}

// forget: what was erased is told no more.
func forget(t *testing.T, open func() Outbox) {
	ctx := t.Context()
	o := open()
	defer o.Close()
	all := Events(3)
	all[1].Capture = "0123"
	if _, err := o.Add(ctx, all, "a"); err != nil {
		t.Fatal(err)
	}
	if err := o.Forget(ctx, []string{"0123"}); err != nil {
		t.Fatal(err)
	}
	if due, err := o.Due(ctx, Rule, "a", time.Now()); err != nil || len(due) != 2 || due[1] != all[2] {
		t.Errorf("%+v are left, %v", due, err)
	}
}
