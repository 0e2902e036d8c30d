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

// TestVisitLeftAlone guards the same of a page on a schedule.
func TestVisitLeftAlone(t *testing.T) {
	began := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := began.Add(time.Minute)
	for _, c := range []struct {
		schedule       string
		failures       int64
		asked, want    time.Duration // from now; asked 0: not
		atLeast, exact bool
	}{
		{"every 6h0m0s", 1, 0, 15 * time.Minute, false, true},
		{"every 6h0m0s", 1, time.Minute, 15 * time.Minute, false, true},
		{"every 6h0m0s", 1, time.Hour, time.Hour, false, true},
		{"every 6h0m0s", 1, 7 * time.Hour, 12*time.Hour - time.Minute, false, true}, // the schedule's time behind it
		{"every 5m0s", 9, 3 * time.Hour, 24 * time.Hour, true, false},
		{"cron 0 6 * * * UTC", 1, 20 * time.Hour, 30*time.Hour - time.Minute, false, true},
		{"every 6h0m0s", 0, 10 * time.Hour, 6*time.Hour - time.Minute, false, true}, // it came: nobody asked
	} {
		asked := time.Time{}
		if c.asked > 0 {
			asked = now.Add(c.asked)
		}
		next := mustSchedule(t, c.schedule).nextAfter(began, began, now, c.failures, defaultLeast, asked)
		if d := next.Sub(now); c.exact && d != c.want || c.atLeast && d < c.want {
			t.Errorf("%+v: %s", c, d)
		}
		if c.failures > 0 && next.Before(asked) {
			t.Errorf("%+v: before the site said", c)
		}
	}
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
