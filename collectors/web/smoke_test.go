package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"holdfast/collectors"
	"holdfast/hashing"
)

type memKeeper struct {
	mu sync.Mutex
	m  map[hashing.Digest][]byte
}

func (k *memKeeper) Put(_ context.Context, r io.Reader) (hashing.Digest, int64, error) {
	var b bytes.Buffer
	d, n, err := hashing.Copy(&b, r)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.m[d] = b.Bytes()
	return d, n, err
}

func TestSmoke(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>T</title><p>hello")
	}))
	defer s.Close()
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t0 := time.Now()
	v, err := c.Warm(t.Context())
	t.Log(v, err, time.Since(t0))
	for range 3 {
		t0 = time.Now()
		a, err := c.Collect(t.Context(), collectors.Request{Source: s.URL + "/page", AllowPrivate: true}, &memKeeper{m: map[hashing.Digest][]byte{}})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(time.Since(t0), a.Outcome, a.Reasons, a.Address, a.Completeness)
		for _, o := range a.Objects {
			t.Log(o.Name, o.Size, o.Kept)
		}
	}
}
