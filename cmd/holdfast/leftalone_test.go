package main

import (
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// TestRetryLeftAlone guards who asks a site again that asked to be left alone: not before
// the time that it named, never sooner than by itself, never later than a day, not at all
// where that is beyond the end; and what our own rules refuse stays refused.
func TestRetryLeftAlone(t *testing.T) {
	now := time.Now().Truncate(time.Millisecond)
	task := pipeline.Task{ID: holdfast.NewID()}
	asks := func(wait time.Duration, codes ...string) *collectors.Acquired {
		a := &collectors.Acquired{Outcome: collectors.Failed, Again: now.Add(wait)}
		for _, c := range append(codes, "http-status") {
			a.Reasons = append(a.Reasons, collectors.Reason{Code: c})
		}
		return a
	}
	for _, c := range []struct {
		retry, wait, least, most time.Duration
		attempt                  uint32
		codes                    []string
		done                     bool
	}{
		{retry: time.Hour, wait: 10 * time.Minute, least: 10 * time.Minute, most: 10 * time.Minute},
		{retry: time.Hour, wait: 10 * time.Minute, least: 10 * time.Minute, most: 10 * time.Minute, codes: []string{"bot-wall"}},
		{retry: time.Hour, wait: -time.Hour, least: 400 * time.Millisecond, most: 2 * time.Second},
		{retry: time.Hour, wait: time.Second, attempt: 30, least: 2 * time.Minute, most: 8 * time.Minute},
		{retry: time.Hour, wait: time.Hour + time.Second, done: true},
		{retry: 30 * 24 * time.Hour, wait: 400 * 24 * time.Hour, least: 24 * time.Hour, most: 24 * time.Hour},
		{retry: time.Hour, wait: time.Minute, codes: []string{"address-refused"}, done: true},
		{retry: time.Hour, wait: time.Minute, codes: []string{"never-keep"}, done: true},
		{retry: 0, wait: time.Minute, done: true},
	} {
		task.Attempt = c.attempt
		m, err := taskOptions{RetryFor: c.retry}.move(task, asks(c.wait, c.codes...), now, now)
		if err != nil || m.Done != c.done {
			t.Errorf("%+v: %+v, %v", c, m, err)
			continue
		}
		if d := m.Due.Sub(now); !c.done && (d < c.least || d > c.most) {
			t.Errorf("%+v: due after %s", c, d)
		}
	}
}

// TestLeftAloneADay: whatever it says, it is not believed for longer.
func TestLeftAloneADay(t *testing.T) {
	now := time.Now()
	if at := leftAlone(&collectors.Acquired{Again: now.AddDate(50, 0, 0)}, now); at.Sub(now) != collectors.MaxAgain {
		t.Errorf("left alone until %s", at)
	}
}

// TestHostLeave guards that one page's word holds its host for an hour at most, and only
// its own.
func TestHostLeave(t *testing.T) {
	now := time.Now()
	w := &watchRun{hosts: map[string]*host{"a": {}, "b": {}}}
	w.hostLeave(&watchTask{host: "a"}, now.Add(20*time.Hour), now)
	w.hostLeave(&watchTask{host: "c"}, now.Add(time.Hour), now)
	if d := w.hosts["a"].free.Sub(now); d != webHoldMost || !w.hosts["b"].free.IsZero() {
		t.Errorf("a for %s, b until %s", d, w.hosts["b"].free)
	}
	w.hostLeave(&watchTask{host: "a"}, now.Add(time.Minute), now)
	if d := w.hosts["a"].free.Sub(now); d != webHoldMost {
		t.Errorf("a for %s, after a shorter word", d)
	}
}
