package metrics_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"holdfast/metrics"
)

func TestLocks(t *testing.T) {
	m := metrics.New(metrics.Options{})
	left, alert, err := time.Minute, false, error(nil)
	m.Locks(func(context.Context) (time.Duration, bool, error) { return left, alert, err })
	s := httptest.NewServer(m.Handler(func() error { return nil }))
	defer s.Close()
	for range 2 {
		_, text := get(t, s.URL+"/metrics")
		want := "holdfast_lock_alert 0"
		if alert {
			want = "holdfast_lock_alert 1"
		}
		if !strings.Contains(text, want) || !strings.Contains(text, "holdfast_lock_left_seconds 60") {
			t.Errorf("%q is not shown", want)
		}
		alert = true
	}
	err = errors.New("away")
	if _, text := get(t, s.URL+"/metrics"); strings.Contains(text, "holdfast_lock_left_seconds 60") {
		t.Error("what could not be asked is shown")
	}
}
