package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"holdfast"
	"holdfast/collectors"
	"holdfast/pipeline"
)

// lookAt is what --metrics shows, by name and labels.
func lookAt(t *testing.T, addr string) map[string]float64 {
	t.Helper()
	r, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, l := range regexp.MustCompile(`(?m)^(holdfast_\S+) (\S+)$`).FindAllStringSubmatch(string(b), -1) {
		if out[l[1]], err = strconv.ParseFloat(l[2], 64); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestMetered: what a node does from a Task to its Seal is counted, and its engines
// are asked.
func TestMetered(t *testing.T) {
	c, made := roundNode(t)
	made.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	free.Close()
	c.metrics, c.role = addr, "all"
	n, err := c.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := n.serveMetrics(ctx, nil); err != nil {
		t.Fatal(err)
	}
	loop := newCollectLoop(n)
	loop.r.by = only(collects(func(string) (*collectors.Acquired, error) {
		now := time.Now()
		return &collectors.Acquired{Started: now, Ended: now, Outcome: collectors.Failed, Reasons: []collectors.Reason{{Code: "http-status", Detail: "404"}}}, nil
	}))
	done := make(chan error, 2)
	go func() { done <- loop.run(ctx) }()
	go func() { done <- n.work(ctx) }()
	before := time.Now()
	addTask(t, n, "https://office.example/", taskOptions{})
	m := lookAt(t, addr)
	for end := time.Now().Add(30 * time.Second); m[`holdfast_captures_total{state="sealed"}`] == 0 && time.Now().Before(end); m = lookAt(t, addr) {
		time.Sleep(50 * time.Millisecond)
	}
	for _, name := range []string{"holdfast_accepted_total", "holdfast_accepted_bytes_total", `holdfast_tasks_total{what="taken"}`, `holdfast_stage_done_total{stage="preserve"}`, `holdfast_stage_done_total{stage="normalise"}`,
		`holdfast_seals_total{state="sealed"}`, `holdfast_captures_total{state="sealed"}`, "holdfast_seal_seconds_count", "holdfast_data_free_bytes",
		`holdfast_engine_up{engine="queue"}`, `holdfast_engine_up{engine="store"}`, `holdfast_engine_up{engine="catalog"}`} {
		if m[name] <= 0 {
			t.Errorf("%s is %v", name, m[name])
		}
	}
	if at := m["holdfast_last_sealed_timestamp_seconds"]; at < float64(before.Add(-time.Minute).Unix()) || at > float64(time.Now().Add(time.Minute).Unix()) {
		t.Errorf("last sealed at %f", at)
	}
	for _, s := range []pipeline.Stage{pipeline.StageNormalise, pipeline.StagePreserve, pipeline.StageIndex, pipeline.StageResults} {
		if _, there := m[`holdfast_stage_lag{partition="0",stage="`+string(s)+`"}`]; !there {
			t.Errorf("no lag of %s", s)
		}
	}
	// A message that is none is a failure; a lease that is lost is not.
	n.queue.Publish(t.Context(), nil, pipeline.Message{ID: "bad"})
	n.queue.Publish(t.Context(), &pipeline.Move{Task: holdfast.NewID(), Token: 1, Done: true})
	m = lookAt(t, addr)
	if failed, lost := m[`holdfast_errors_total{call="publish"}`], m[`holdfast_tasks_total{what="lost"}`]; failed != 1 || lost != 1 {
		t.Errorf("%v failures, %v leases lost", failed, lost)
	}
	stop()
	for range 2 {
		<-done
	}
}
