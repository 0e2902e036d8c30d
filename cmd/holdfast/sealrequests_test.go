package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"holdfast"
	"holdfast/cmd/internal/engineset"
	"holdfast/deploy/engines"
	"holdfast/filelock"
	"holdfast/pipeline"
)

// requestCount counts requests to a bucket, by what they ask for.
type requestCount struct {
	mu sync.Mutex
	n  map[string]int
}

func (a *requestCount) count(r *http.Request) {
	what := r.Method
	if q := r.URL.Query(); r.Method == http.MethodGet && (q.Has("list-type") || q.Has("versions")) {
		what = "LIST"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n[what]++
}

// TestSealRequests holds how many requests a Seal costs a bucket: each is a wait, and
// what its server has to do for it.
func TestSealRequests(t *testing.T) {
	s := &office{minio: engines.MinIO(t)}
	if err := s.bucket("bench", true); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", s.minio.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", s.minio.SecretKey)
	behind, err := url.Parse(s.minio.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	a := &requestCount{n: map[string]int{}}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		a.count(r.In)
		r.SetURL(behind)
		r.Out.Host = r.In.Host // it is signed
	}})
	defer proxy.Close()
	c := &cli{out: io.Discard, errs: os.Stderr}
	n, err := c.benchNodeAt(t.Context(), t.TempDir(), engineset.URLs{Store: "s3://bench/office?endpoint=" + proxy.URL}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	unlock, err := filelock.Wait(t.Context(), n.path("preserve.lock"))
	if err != nil {
		t.Fatal(err)
	}
	sealing, err := n.startSealing(t.Context(), unlock)
	if err != nil {
		t.Fatal(err)
	}
	defer sealing.Close()
	seal := func(count int) {
		t.Helper()
		if err := n.fillQueue(t.Context(), count, 1000); err != nil {
			t.Fatal(err)
		}
		if _, err := (&pipeline.Normalise{Queue: n.queue, By: n.normalisers()}).Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, err := sealing.drain(t.Context(), n); err != nil || got < count {
			t.Fatal(got, err)
		}
	}
	seal(100) // with what the node's making left, and the log's beginning
	a.mu.Lock()
	clear(a.n)
	a.mu.Unlock()
	seal(holdfast.MaxSubjects)
	a.mu.Lock()
	defer a.mu.Unlock()
	var said []string
	total := 0
	for _, what := range slices.Sorted(maps.Keys(a.n)) {
		said, total = append(said, fmt.Sprintf("%d %s", a.n[what], what)), total+a.n[what]
	}
	t.Logf("one Seal: %d requests: %s", total, strings.Join(said, ", "))
	// Plan, notbefore, pack, statement, three tokens; a tile and a checkpoint of the mirror;
	// the Seal's own checkpoint and inclusion. How many folders are asked for varies by a few.
	if a.n[http.MethodPut] != 11 || total > 66 {
		t.Errorf("want 11 PUT and at most 66 requests")
	}
}
