package metrics_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/metrics"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// TestShown: everything that is counted is shown, under the names that About lists;
// an engine that fails is 0 and not ready, and one that cannot be asked hides no other.
func TestShown(t *testing.T) {
	m := metrics.New(metrics.Options{Version: "1.2", Node: "office.0123", Role: "preserve", Data: t.TempDir()})
	at := time.UnixMilli(1_700_000_000_500)
	m.Accepted(3, 3000)
	m.Task("taken", 2)
	m.Done("preserve", 7)
	m.Poison(1)
	m.Error("publish")
	m.Seal("sealed", 5, &at)
	m.Seal("signed", 2, nil)
	m.SealTook(70 * time.Millisecond)
	asked := 0
	m.Probe("store", func(context.Context) error { asked++; return errors.New("it is full") })
	m.Probe("queue", func(context.Context) error { return nil })
	lag := []metrics.Lag{{Stage: "index", Partition: 3, Messages: 11, Still: time.Minute}}
	m.Notes(func(context.Context) map[string]string { return map[string]string{"partition 3 of index": "stands"} })
	var failing error
	m.Lag(func(context.Context) ([]metrics.Lag, error) { return lag, failing })
	m.Backlog(func(context.Context) (metrics.Backlog, error) {
		return metrics.Backlog{Due: 4, Held: 1, Oldest: time.Minute}, nil
	})
	m.Locks(func(context.Context) (time.Duration, bool, error) { return time.Hour, false, nil })
	var draining error
	s := httptest.NewServer(m.Handler(func() error { return draining }))
	defer s.Close()
	_, text := get(t, s.URL+"/metrics")
	for _, want := range []string{
		`holdfast_build_info{node="office.0123",role="preserve",version="1.2"} 1`, "holdfast_accepted_total 3", "holdfast_accepted_bytes_total 3000",
		`holdfast_tasks_total{what="taken"} 2`, `holdfast_stage_done_total{stage="preserve"} 7`, "holdfast_poison_total 1", `holdfast_errors_total{call="publish"} 1`,
		`holdfast_seals_total{state="sealed"} 1`, `holdfast_captures_total{state="signed"} 2`, `holdfast_seal_seconds_bucket{le="0.1"} 1`, "holdfast_last_sealed_timestamp_seconds 1.7000000005e+09",
		`holdfast_engine_up{engine="store"} 0`, `holdfast_engine_up{engine="queue"} 1`, `holdfast_stage_lag{partition="3",stage="index"} 11`, `holdfast_stage_still_seconds{partition="3",stage="index"} 60`,
		"holdfast_tasks_due 4", "holdfast_tasks_held 1", "holdfast_task_oldest_due_seconds 60", "process_resident_memory_bytes", "go_goroutines",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not shown: %s", want)
		}
	}
	about := m.About()
	for _, l := range regexp.MustCompile(`(?m)^# TYPE (holdfast_\S+)`).FindAllStringSubmatch(text, -1) {
		if about[l[1]] == "" {
			t.Errorf("%s is shown and not described", l[1])
		}
		delete(about, l[1])
	}
	if len(about) > 0 {
		t.Errorf("described and not shown: %v", about)
	}
	if code, said := get(t, s.URL+"/readyz"); code != 503 || !strings.Contains(said, `"store":"it is full"`) || !strings.Contains(said, `"queue":"ok"`) || !strings.Contains(said, `"partition 3 of index":"stands"`) {
		t.Errorf("ready: %d %s", code, said)
	}
	if asked != 1 {
		t.Errorf("an engine was asked %d times within a second", asked)
	}
	if code, _ := get(t, s.URL+"/livez"); code != 200 {
		t.Errorf("alive: %d", code)
	}
	failing = errors.New("no lag")
	if _, text := get(t, s.URL+"/metrics"); strings.Contains(text, "holdfast_stage_lag{") || !strings.Contains(text, "holdfast_tasks_due 4") {
		t.Error("a lag that cannot be read is shown, or hides others")
	}
}

func TestReady(t *testing.T) {
	m := metrics.New(metrics.Options{})
	var draining error
	s := httptest.NewServer(m.Handler(func() error { return draining }))
	defer s.Close()
	for _, c := range []struct {
		err  error
		want int
	}{{nil, 200}, {errors.New("draining"), 503}} {
		draining = c.err
		if code, said := get(t, s.URL+"/readyz"); code != c.want {
			t.Errorf("%v: %d %s", c.err, code, said)
		}
	}
}

// TestServe ends with its context and lets the address go.
func TestServe(t *testing.T) {
	l, err := metrics.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := metrics.Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), "give another address") {
		t.Errorf("the same address twice: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- metrics.New(metrics.Options{}).Serve(ctx, l, nil) }()
	if code, _ := get(t, "http://"+l.Addr().String()+"/livez"); code != 200 {
		t.Errorf("alive: %d", code)
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("serves on")
	}
}
